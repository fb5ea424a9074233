#include "pkcs11/module_named.h"

#include <string.h>

bool cv_module_named_is(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z');

        if (!alnum && (i == 0 || strchr("._-", c) == NULL)) {
            return false;
        }
    }
    return len != 0 && len <= CV_MODULE_NAMED_LEN;
}

enum cv_status cv_module_named_check(const char *name, const char *path,
                                     struct cv_err *err)
{
    char shown[80];

    (void)cv_err_quote(shown, sizeof(shown), name, strlen(name));
    if (!cv_module_named_is(name, strlen(name))) {
        return cv_fail(err, CV_CONFIG, "%s is no name for a module", shown);
    }
    if (path[0] != '/') {
        return cv_fail(err, CV_CONFIG, "the path of module %s is not absolute",
                       shown);
    }
    return CV_OK;
}
