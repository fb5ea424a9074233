cv_fuzz(archive SOURCES archive_fuzz.c LINK broker)
cv_fuzz(record_config SOURCES record_config_fuzz.c ${CMAKE_SOURCE_DIR}/cli/sink_target.c LINK broker)
