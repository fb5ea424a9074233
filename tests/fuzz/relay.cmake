foreach(name IN ITEMS http1 info grant)
  cv_fuzz(relay_${name} SOURCES relay_${name}_fuzz.c LINK relay)
endforeach()
