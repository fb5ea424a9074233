cv_fuzz(merge
  SOURCES merge_fuzz.c ${CMAKE_SOURCE_DIR}/cli/merge_text.c
          ${CMAKE_SOURCE_DIR}/cli/output_yaml.c
  LINK yaml base)
cv_fuzz(status_http SOURCES status_http_fuzz.c ${CMAKE_SOURCE_DIR}/cli/status_http.c LINK base)
