/* What a module's name and path may be where the configuration names it. */
#ifndef CERTVAULT_PKCS11_MODULE_NAMED_H
#define CERTVAULT_PKCS11_MODULE_NAMED_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define CV_MODULE_NAMED_LEN 64

/* Letters, digits, and '.', '_', '-' behind the first. */
bool cv_module_named_is(const char *name, size_t len);

/* CV_CONFIG: `name` is none, or `path` is not absolute. */
CV_MUST_USE enum cv_status
cv_module_named_check(const char *name, const char *path, struct cv_err *err);

#endif
