/* The files that a configuration names and a broker starts with: what is asked
 * of them, by `config check` and by the broker itself. */
#ifndef CERTVAULT_CLI_CONFIG_FILES_H
#define CERTVAULT_CLI_CONFIG_FILES_H

#include "vault/base/json.h"

/* Looks at the programs that are to be started (notify.command, command: of
 * audit.sinks and audit.anchors: absolute, there, and none but root or this
 * user can write them) and at the authorities that are to be trusted. `tree`
 * was checked (cv_config_schema_check). CV_CONFIG, naming the key; *bad is the
 * value. */
CV_MUST_USE enum cv_status
cv_config_files_check(const cJSON *tree, const cJSON **bad, struct cv_err *err);

/* Reads the PEM file `path`: *out is the caller's. CV_CONFIG. */
CV_MUST_USE enum cv_status cv_config_files_ca(const char *path, char **out,
                                              struct cv_err *err);

#endif
