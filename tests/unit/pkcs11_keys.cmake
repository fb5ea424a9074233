# Keys on tokens: how they get in, what comes out. On the rig of pkcs11.cmake.
foreach(name IN ITEMS create debris examine generate probe slotkey)
  cv_unit(pkcs11_${name}_test
    SOURCES pkcs11_${name}_test.c pkcs11_scratch.c pkcs11_rig.c pkcs11_leaks.c
    LINK pkcs11 base)
  target_compile_definitions(pkcs11_${name}_test PRIVATE
    CV_MISBEHAVING_SO="$<TARGET_FILE:misbehaving>")
  add_dependencies(pkcs11_${name}_test misbehaving)
endforeach()
