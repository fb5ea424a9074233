/* The two ways to write a kubeconfig without some keys. */
#ifndef CERTVAULT_KUBECONFIG_STRIP_INTERNAL_H
#define CERTVAULT_KUBECONFIG_STRIP_INTERNAL_H

#include "vault/base/buf.h"

#include <stdbool.h>

/* The two members that are taken out. */
bool cv_strip_is_dropped(const char *key);

/* Writes the YAML `text`, which was read before, anew without those members of
 * each users[i].user whose `drop[i]` is set (`n` of them); with `unicode`
 * characters beyond ASCII are written as they are, else as escapes. CV_INTERNAL
 * where libyaml fails. */
CV_MUST_USE enum cv_status cv_strip_yaml(struct cv_bytes text, const bool *drop,
                                         size_t n, bool unicode,
                                         struct cv_buf *out,
                                         struct cv_err *err);

#endif
