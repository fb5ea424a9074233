/* One module of the configuration: {name, path, reserved, env{}}. */
#ifndef CERTVAULT_CLI_MODULE_SETTING_H
#define CERTVAULT_CLI_MODULE_SETTING_H

#include "vault/base/json.h"

struct cv_module_setting {
    const char *name;
    const char *path;
    const char *reserved; /* C_Initialize's pReserved; NULL: none */
};

/* Reads one; texts are the tree's. CV_CONFIG: a key is missing, too long or
 * unknown, the name is none, the path not absolute, a variable may not be set.
 */
CV_MUST_USE enum cv_status cv_module_setting_read(const cJSON *item,
                                                  struct cv_module_setting *out,
                                                  struct cv_err *err);

#endif
