/* A method whose part of pkcs11/ is not there yet. */
#include "cli/module_methods_internal.h"

CV_MODULE_METHOD(probe_token)
{
    (void)context;
    (void)parameters;
    (void)reply;
    return cv_fail(err, CV_UNAVAILABLE, "probe is not in this version");
}
