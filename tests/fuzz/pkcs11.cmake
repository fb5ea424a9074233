cv_fuzz(pkcs11_uri SOURCES pkcs11_uri_fuzz.c LINK pkcs11 base)
cv_fuzz(pkcs11_module SOURCES pkcs11_module_fuzz.c LINK pkcs11 base)
