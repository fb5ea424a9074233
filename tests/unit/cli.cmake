cv_unit(cli_args_test SOURCES cli_args_test.c LINK cli)
cv_unit(cli_examples_test SOURCES cli_examples_test.c LINK cli)
cv_unit(cli_check_test SOURCES cli_check_test.c LINK cli)
cv_unit(cli_config_schema_test SOURCES cli_config_schema_test.c LINK cli)
cv_unit(cli_doctor_service_test SOURCES cli_doctor_service_test.c LINK cli)
cv_unit(cli_output_test SOURCES cli_output_test.c LINK cli)
cv_unit(cli_report_sum_test
        SOURCES cli_report_sum_test.c ${CMAKE_SOURCE_DIR}/cli/report_sum.c LINK cli)
cv_unit(cli_status_http_test SOURCES cli_status_http_test.c LINK cli)
cv_unit(cli_sink_test
        SOURCES cli_sink_test.c ${CMAKE_SOURCE_DIR}/cli/sink_format.c LINK cli)
