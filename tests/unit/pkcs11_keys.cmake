# Keys on tokens: SoftHSM2 and NSS softokn, loaded into the tests.
foreach(name IN ITEMS create)
  cv_unit(pkcs11_${name}_test
    SOURCES pkcs11_${name}_test.c pkcs11_scratch.c
    LINK pkcs11 base ${CMAKE_DL_LIBS})
  set_tests_properties(unit/pkcs11_${name}_test PROPERTIES TIMEOUT 300)
endforeach()
