/* Any PKCS#11 module, started with options that a tool cannot give it:
 * CV_OPTIONS_MODULE names it, CV_OPTIONS_RESERVED is C_Initialize's pReserved
 * (NSS wants its folder there). */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST list;
static CK_RV (*initialize)(void *args);

static CK_RV initialize_with_options(void *args)
{
    static CK_C_INITIALIZE_ARGS given;

    if (args != NULL)
        memcpy(&given, args, sizeof(given));
    else
        given.flags = CKF_OS_LOCKING_OK;
    given.pReserved = getenv("CV_OPTIONS_RESERVED");
    return initialize(&given);
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    const char *path = getenv("CV_OPTIONS_MODULE");
    void *module = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = module != NULL ? dlsym(module, "C_GetFunctionList") : NULL;
    CK_RV (*get_list)(CK_FUNCTION_LIST **);
    CK_FUNCTION_LIST *real;

    if (symbol == NULL)
        return CKR_GENERAL_ERROR;
    memcpy(&get_list, &symbol, sizeof(get_list));
    CK_RV rv = get_list(&real);
    if (rv != CKR_OK)
        return rv;
    list = *real;
    initialize = real->C_Initialize;
    list.C_Initialize = initialize_with_options;
    *out = &list;
    return CKR_OK;
}
