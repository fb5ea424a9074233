# cmake --install: programs, units, manual pages, completions, the policy's
# schema. Where systemd, shells and man look for them beneath the prefix; the
# units name the programs there.
include(GNUInstallDirs)
install(TARGETS certvault certvaultd RUNTIME DESTINATION bin)
# Beside bin, whatever the system's libexec is called: that is where the
# programs look for each other (vault/base/process.h).
install(TARGETS token intake relay_program RUNTIME DESTINATION
        libexec/certvault)
install(FILES systemd/certvault.sysusers DESTINATION lib/sysusers.d
        RENAME certvault.conf)
install(FILES systemd/certvault.tmpfiles DESTINATION lib/tmpfiles.d
        RENAME certvault.conf)
foreach(page certvault.1 certvault-config.5 certvault-policy.5 certvaultd.8)
  string(REGEX REPLACE ".*\\." "" section ${page})
  install(FILES man/${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/docs/policy.schema.json
        DESTINATION share/certvault OPTIONAL)
# When it is run: the prefix may be another one then.
install(CODE "set(CV_SOURCE \"${CMAKE_CURRENT_SOURCE_DIR}\")
set(CV_MAIN \"$<TARGET_FILE:certvault>\")")
install(SCRIPT ${CMAKE_CURRENT_SOURCE_DIR}/install_made.cmake)
