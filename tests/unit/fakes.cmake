if(TARGET misbehaving)
  cv_unit(fakes_misbehaving_test
    SOURCES fakes_misbehaving_test.c LINK ${CMAKE_DL_LIBS})
  target_include_directories(fakes_misbehaving_test
                             PRIVATE ${RIG_P11KIT_INCLUDE_DIRS})
  target_compile_definitions(fakes_misbehaving_test
    PRIVATE CV_MISBEHAVING_MODULE="$<TARGET_FILE:misbehaving>")
  add_dependencies(fakes_misbehaving_test misbehaving)
endif()
