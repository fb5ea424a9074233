/* What the files of vault/base share with each other alone. */
#ifndef CERTVAULT_BASE_BASE_INTERNAL_H
#define CERTVAULT_BASE_BASE_INTERNAL_H

#include "vault/base/arena.h"

#include <sys/types.h>

/* Is `text` JSON as vault/base/json.h describes it? CV_INVALID with the byte
 * offset; CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_json_check_text(struct cv_bytes text,
                                              struct cv_err *err);

/* openat(2) that follows no link and never leaves `dir`; -1 and errno (ELOOP,
 * EXDEV where that was tried). */
CV_MUST_USE int cv_file_open_beneath(int dir, const char *name, int flags,
                                     mode_t mode);

/* "cannot `doing` `path`: ..." from errno, with a hint where there is one:
 * CV_NOT_FOUND for ENOENT and ENOTDIR, else CV_IO. */
enum cv_status cv_file_fail(const char *doing, const char *path,
                            struct cv_err *err);

#endif
