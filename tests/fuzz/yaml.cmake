cv_fuzz(yaml SOURCES yaml_fuzz.c LINK yaml base)
