cv_unit(cli_args_test SOURCES cli_args_test.c LINK cli)
cv_unit(cli_check_test SOURCES cli_check_test.c LINK cli)
cv_unit(cli_config_schema_test SOURCES cli_config_schema_test.c LINK cli)
cv_unit(cli_output_test SOURCES cli_output_test.c LINK cli)
