cv_unit(base_arena SOURCES base_arena_test.c LINK base)
cv_unit(base_clock SOURCES base_clock_test.c LINK base)
cv_unit(base_encode SOURCES base_encode_test.c LINK base)
cv_unit(base_err SOURCES base_err_test.c LINK base)
cv_unit(base_file SOURCES base_file_test.c LINK base PkgConfig::SECCOMP)
cv_unit(base_name SOURCES base_name_test.c LINK base)
cv_unit(base_json SOURCES base_json_test.c LINK base)
cv_unit(base_json_write SOURCES base_json_write_test.c LINK base)
cv_unit(base_process SOURCES base_process_test.c LINK base)
cv_unit(base_sandbox SOURCES base_sandbox_test.c LINK base)
cv_unit(base_sandbox_filter
        SOURCES base_sandbox_filter_test.c sandbox_generic.c
        LINK base PkgConfig::SECCOMP)
cv_unit(base_memory SOURCES base_memory_test.c LINK base)
target_link_options(base_memory PRIVATE
  -Wl,--wrap=malloc,--wrap=calloc,--wrap=strndup,--wrap=sodium_malloc)
