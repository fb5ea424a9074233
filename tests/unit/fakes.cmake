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
  cv_unit(pkcs11_lies_test SOURCES pkcs11_lies_test.c LINK pkcs11 base)
  target_compile_definitions(pkcs11_lies_test
    PRIVATE CV_MISBEHAVING_MODULE="$<TARGET_FILE:misbehaving>"
            CV_NO_LIST_MODULE="$<TARGET_FILE:no_list>")
  add_dependencies(pkcs11_lies_test misbehaving no_list)
endif()
