if(TARGET misbehaving)
  cv_unit(fakes_misbehaving_test
    SOURCES fakes_misbehaving_test.c LINK ${CMAKE_DL_LIBS})
  target_include_directories(fakes_misbehaving_test
                             PRIVATE ${RIG_P11KIT_INCLUDE_DIRS})
  target_compile_definitions(fakes_misbehaving_test
    PRIVATE CV_MISBEHAVING_MODULE="$<TARGET_FILE:misbehaving>")
  add_dependencies(fakes_misbehaving_test misbehaving)
endif()

if(TARGET misbehaving AND TARGET pkcs11)
  foreach(name IN ITEMS lies holes)
    cv_unit(pkcs11_${name}_test
      SOURCES pkcs11_${name}_test.c LINK pkcs11 base ${CMAKE_DL_LIBS})
    target_compile_definitions(pkcs11_${name}_test
      PRIVATE CV_MISBEHAVING_MODULE="$<TARGET_FILE:misbehaving>"
              CV_NO_LIST_MODULE="$<TARGET_FILE:no_list>")
    add_dependencies(pkcs11_${name}_test misbehaving no_list)
  endforeach()
endif()
