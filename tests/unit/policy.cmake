add_executable(policy_drive policy_drive.c)
target_link_libraries(policy_drive PRIVATE policy yaml base)
set_target_properties(policy_drive PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                                              ${CMAKE_BINARY_DIR}/tests)

# A model of the contract in Python decides the same random requests.
find_program(CV_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME unit/policy_model
         COMMAND ${CV_SYSTEM_PYTHON} -B
                 ${CMAKE_CURRENT_SOURCE_DIR}/../scenario/policy_compare.py
                 $<TARGET_FILE:policy_drive> ${CV_TEST_DATA})
set_tests_properties(unit/policy_model PROPERTIES LABELS unit TIMEOUT 1800)

foreach(name IN ITEMS cases compare consent decide explain format input kill
        large lint list memory offer parse pattern refusals resolve terms told zone)
  cv_unit(policy_${name}_test SOURCES policy_${name}_test.c
          LINK policy yaml base)
endforeach()
target_link_options(policy_memory_test PRIVATE -Wl,--wrap=malloc
                    -Wl,--wrap=calloc -Wl,--wrap=realloc
                    -Wl,--wrap=reallocarray -Wl,--wrap=strdup
                    -Wl,--wrap=free
                    -Wl,--wrap=cv_pool_alloc -Wl,--wrap=cv_pool_copy
                    -Wl,--wrap=cv_pool_intern)

cv_unit(policy_cover_test SOURCES policy_cover_test.c LINK policy yaml base)
