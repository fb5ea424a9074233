/* The variables that PKCS#11 modules read for where their tokens are, and that
 * are handed down to the process that loads one: from the command line to a
 * private broker or agent, and from there. The service hands down none; what a
 * module of its needs is in its configuration. */
#ifndef CERTVAULT_CLI_MODULE_ENV_H
#define CERTVAULT_CLI_MODULE_ENV_H

#include "vault/base/err.h"

#define CV_MODULE_ENV_MAX 12

/* Those that are set here ("NAME=value"), at most CV_MODULE_ENV_MAX, ended by
 * NULL; `first` (may be NULL) goes before them. The caller frees with
 * cv_module_env_free. CV_INTERNAL (memory). */
CV_MUST_USE enum cv_status cv_module_env_new(const char *first, char ***out,
                                             struct cv_err *err);
void cv_module_env_free(char **environment);

#endif
