/* The kinds of places that a PIN is read from. */
#ifndef CERTVAULT_CLI_PIN_KIND_H
#define CERTVAULT_CLI_PIN_KIND_H

#include "vault/base/err.h"

/* The kind of `source`, which is also the wire's word for it: "tty", "file",
 * "fd", "command", "credential"; NULL: it is none. *rest is what follows the
 * colon. */
const char *cv_pin_kind_read(const char *source, const char **rest);

/* As one that a configuration may name: a file by its absolute path.
 * CV_USAGE. */
CV_MUST_USE enum cv_status cv_pin_kind_check(const char *source,
                                             struct cv_err *err);

#endif
