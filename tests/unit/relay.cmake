cv_unit(relay_leg_test SOURCES relay_leg_test.c relay_pair.c LINK relay base)
foreach(name IN ITEMS allow grant http1 http1_write info refusal)
  cv_unit(relay_${name}_test SOURCES relay_${name}_test.c LINK relay)
endforeach()
foreach(name IN ITEMS session session_churn session_flow session_pool session_refuse
                      session_upgrade)
  cv_unit(relay_${name}_test
          SOURCES relay_${name}_test.c relay_rig.c relay_rig_h2.c
          LINK relay base)
endforeach()

foreach(name IN ITEMS upstream upstream_hostile)
  cv_unit(relay_${name}_test SOURCES relay_${name}_test.c relay_upstream_rig.c
                                     tls_peer.c tls_rig.c
          LINK relay seal base)
endforeach()
cv_unit(relay_tls_front_test SOURCES relay_tls_front_test.c tls_rig.c
        LINK relay seal base)
cv_unit(relay_door_test SOURCES relay_door_test.c LINK relay wire base)
cv_unit(relay_dial_test SOURCES relay_dial_test.c LINK relay base)
cv_unit(relay_run_test SOURCES relay_run_test.c tls_rig.c
        LINK relay seal wire base)
cv_unit(relay_strangers_test SOURCES relay_strangers_test.c LINK relay)
