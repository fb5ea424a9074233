#include "cli/module_setting.h"

#include "pkcs11/module_named.h"

#include <limits.h>
#include <string.h>

/* What the loader or libc would take as orders is no module's. */
static enum cv_status check_variable(const cJSON *variable, struct cv_err *err)
{
    const char *name = variable->string;
    char shown[64];

    if (name[0] == '\0' || strchr(name, '=') != NULL ||
        !cJSON_IsString(variable) || strncmp(name, "LD_", 3) == 0 ||
        strncmp(name, "GLIBC_", 6) == 0) {
        return cv_fail(err, CV_CONFIG,
                       "modules: the variable %s is not set for a module",
                       cv_err_quote(shown, sizeof(shown), name, strlen(name)));
    }
    return CV_OK;
}

enum cv_status cv_module_setting_read(const cJSON *item,
                                      struct cv_module_setting *out,
                                      struct cv_err *err)
{
    const cJSON *env = NULL, *variable;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &out->name, 127},
        {"path", CV_JSON_STRING, true, &out->path, PATH_MAX - 1},
        {"reserved", CV_JSON_STRING, false, &out->reserved, 4096},
        {"env", CV_JSON_OBJECT, false, &env, 0},
    };
    enum cv_status s = cv_json_read(item, "modules", fields, 4, true, err);

    if (s == CV_INVALID) {
        if (err != NULL) {
            err->status = CV_CONFIG;
        }
        return CV_CONFIG;
    }
    if (s == CV_OK) {
        s = cv_module_named_check(out->name, out->path, err);
    }
    cJSON_ArrayForEach(variable, env)
    {
        s = s == CV_OK ? check_variable(variable, err) : s;
    }
    return s;
}
