cv_unit(yaml_parse_test SOURCES yaml_parse_test.c LINK yaml base)
