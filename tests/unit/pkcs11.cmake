# Where a .module file's relative path begins.
pkg_get_variable(CV_P11KIT_MODULE_FOLDER p11-kit-1 p11_module_path)

# The tests that need no token.
foreach(name IN ITEMS rv uri)
  cv_unit(pkcs11_${name}_test SOURCES pkcs11_${name}_test.c LINK pkcs11 base)
endforeach()

# Those that do, real ones and the misbehaving one.
foreach(name IN ITEMS attribute login module object session sign token)
  cv_unit(pkcs11_${name}_test SOURCES pkcs11_${name}_test.c pkcs11_rig.c
                                      pkcs11_leaks.c
          LINK pkcs11 base)
  target_compile_definitions(pkcs11_${name}_test PRIVATE
    CV_MISBEHAVING_SO="$<TARGET_FILE:misbehaving>"
    CV_RELATIVE="${CV_P11KIT_MODULE_FOLDER}"
    CV_NO_LIST_SO="$<TARGET_FILE:no_list>")
  add_dependencies(pkcs11_${name}_test misbehaving no_list)
endforeach()
