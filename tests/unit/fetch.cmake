foreach(name IN ITEMS signing retry region credentials api_error cluster)
  cv_unit(fetch_${name}_test SOURCES fetch_${name}_test.c LINK fetch base)
endforeach()
foreach(name IN ITEMS session cce)
  cv_unit(fetch_${name}_test SOURCES fetch_${name}_test.c fetch_network.c
          LINK fetch base)
endforeach()
