/* Between the files of the sandbox alone. */
#ifndef CERTVAULT_BASE_SANDBOX_INTERNAL_H
#define CERTVAULT_BASE_SANDBOX_INTERNAL_H

#include "vault/base/sandbox.h"

#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

/* What a call meets. What no rule names gets EPERM; in the spawner and in a
 * module's process it passes. */
enum cv_sandbox_action {
    CV_SANDBOX_ALLOW,
    CV_SANDBOX_REFUSE, /* EPERM */
    CV_SANDBOX_ABSENT, /* ENOSYS: as if the kernel did not have it */
    CV_SANDBOX_KILL
};

/* One call, by its number. With a mask it is a condition, and holds while
 * (argument & mask) == value; where no condition of a call holds, its rule
 * without one does, if it has any. */
struct cv_sandbox_rule {
    int number; /* negative: this architecture does not have the call */
    enum cv_sandbox_action action;
    unsigned argument;
    uint64_t mask; /* 0: whatever the arguments */
    uint64_t value;
};

#define CV_SANDBOX_RULES 320
#define CV_SANDBOX_FILTER 1024 /* instructions; the kernel takes 4096 */

/* The rules of a profile for the process `pid`, which may signal itself, for
 * the architecture this was compiled for. Returns how many were written to
 * `out`, in no order. */
size_t cv_sandbox_rules(enum cv_sandbox_profile profile, pid_t pid,
                        struct cv_sandbox_rule out[CV_SANDBOX_RULES]);

/* Makes a seccomp program of rules, which it sorts: a search tree over the
 * call's number. `audit_arch` is the one architecture whose calls it knows;
 * others, and the x32 calls of x86-64, kill. `other` is the SECCOMP_RET_ of
 * calls without a rule. Returns the number of instructions, 0 where they do
 * not fit (there is a test for each profile). */
size_t cv_sandbox_filter(uint32_t audit_arch, uint32_t other,
                         struct cv_sandbox_rule *rules, size_t n,
                         struct sock_filter out[CV_SANDBOX_FILTER]);

/* The version of Landlock that the kernel has; 0: none. */
int cv_sandbox_landlock_abi(void);

/* Leaves this thread, and all that it starts, nothing of the file system but
 * `folders`. CV_OK without doing anything where `abi` is 0. */
CV_MUST_USE enum cv_status
cv_sandbox_landlock(int abi, const struct cv_sandbox_folder *folders, size_t n,
                    struct cv_err *err);

#endif
