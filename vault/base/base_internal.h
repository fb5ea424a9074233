/* What the files of vault/base share with each other alone. */
#ifndef CERTVAULT_BASE_BASE_INTERNAL_H
#define CERTVAULT_BASE_BASE_INTERNAL_H

#include "vault/base/arena.h"

/* Is `text` JSON as vault/base/json.h describes it? CV_INVALID with the byte
 * offset; CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_json_check_text(struct cv_bytes text,
                                              struct cv_err *err);

#endif
