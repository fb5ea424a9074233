/* What a module process is told when it is started: a text on descriptor 4,
 * that certvaultd made before it locked itself down (cli/broker_config.h):
 *
 *     {"service": bool, "modules": [{"name", "path", "reserved"?, "env"?}]}
 *
 * Without one it is as strict as in the service. */
#ifndef CERTVAULT_CLI_MODULE_CONFIG_H
#define CERTVAULT_CLI_MODULE_CONFIG_H

#include "pkcs11/module.h"
#include "vault/base/json.h"

struct cv_module_config;

/* Reads descriptor `fd` from its beginning. *out is NULL on failure: CV_CONFIG
 * (not that, or a member missing), CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_module_config_read(int fd,
                                                 struct cv_module_config **out,
                                                 struct cv_err *err);
void cv_module_config_free(struct cv_module_config *config);

/* How modules are listed; borrowed. */
const struct cv_module_options *
cv_module_config_options(const struct cv_module_config *config);

/* Sets the variables that the configuration has for the module `name` in this
 * process's environment. CV_CONFIG (a name that is none, or that decides what
 * the loader loads). */
CV_MUST_USE enum cv_status
cv_module_config_apply(const struct cv_module_config *config, const char *name,
                       struct cv_err *err);

#endif
