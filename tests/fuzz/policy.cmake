foreach(name IN ITEMS policy policy_cases policy_pattern policy_zone)
  cv_fuzz(${name} SOURCES ${name}_fuzz.c LINK policy yaml base)
endforeach()
