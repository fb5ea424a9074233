foreach(name IN ITEMS box hop keyder keyring match note purpose slot target vectors)
  cv_unit(seal_${name}_test SOURCES seal_${name}_test.c LINK seal base)
endforeach()

# The vectors are what another program makes of docs/formats.md.
find_program(CV_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME unit/seal_vectors_made
         COMMAND ${CV_SYSTEM_PYTHON} -B
                 ${CMAKE_CURRENT_LIST_DIR}/seal_vectors.py ${CV_TEST_DATA}/seal
                 --check)
set_tests_properties(unit/seal_vectors_made PROPERTIES LABELS unit TIMEOUT 120)

cv_unit(seal_token_test
  SOURCES seal_token_test.c ${CMAKE_SOURCE_DIR}/cli/token_hop.c
          ${CMAKE_SOURCE_DIR}/cli/token_log.c
          ${CMAKE_SOURCE_DIR}/cli/token_methods.c
          ${CMAKE_SOURCE_DIR}/cli/token_slot.c
  LINK pkcs11 seal wire base)
