/* Between the files of the sandbox alone. */
#ifndef CERTVAULT_BASE_SANDBOX_INTERNAL_H
#define CERTVAULT_BASE_SANDBOX_INTERNAL_H

#include "vault/base/sandbox.h"

#define CV_SANDBOX_LISTS 4

/* Lists of names, each ended by NULL, that a profile may call. */
struct cv_sandbox_calls {
    const char *const *lists[CV_SANDBOX_LISTS];
};

extern const struct cv_sandbox_calls cv_sandbox_calls[];
extern const char *const cv_sandbox_exec[];    /* killed but in the spawner */
extern const char *const cv_sandbox_killers[]; /* killed everywhere */

/* The version of Landlock that the kernel has; 0: none. */
int cv_sandbox_landlock_abi(void);

/* Leaves this thread, and all that it starts, nothing of the file system but
 * `folders`. CV_OK without doing anything where `abi` is 0. */
CV_MUST_USE enum cv_status
cv_sandbox_landlock(int abi, const struct cv_sandbox_folder *folders, size_t n,
                    struct cv_err *err);

#endif
