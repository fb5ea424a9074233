/* Locking a program down, once its libraries are loaded.
 *
 * no_new_privs, then Landlock where the kernel has it (ABI 1: files only), then
 * a seccomp filter of the calls that the profile allows; everything else is
 * EPERM, and those that would start a program, look into another process or
 * change the kernel kill the process. Sandboxes are inherited, so a process
 * that must start others does so from a spawner forked before. */
#ifndef CERTVAULT_BASE_SANDBOX_H
#define CERTVAULT_BASE_SANDBOX_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum cv_sandbox_profile {
    CV_SANDBOX_BROKER,  /* files beneath the vault, sockets it is given, a
                           listening Unix socket, SQLite */
    CV_SANDBOX_TOKEN,   /* the sealed vault: no files, no new sockets */
    CV_SANDBOX_INTAKE,  /* TCP and name resolution, reading system files */
    CV_SANDBOX_OFFLINE, /* no network; files beneath given folders */
    CV_SANDBOX_SPAWNER  /* fork and execve, sendmsg; no files of its own */
};

/* What of the file system remains within reach (Landlock). */
struct cv_sandbox_folder {
    const char *path; /* used when fd is -1 */
    int fd;           /* an open folder, or -1 */
    bool writable;
};

struct cv_sandbox_report {
    bool no_new_privs;
    bool seccomp;
    int landlock_abi; /* 0: the kernel has none */
};

/* Locks this process down. `folders` (`n` of them): all that stays within
 * reach; a folder that is not there is passed over. Where a kernel lacks
 * Landlock the rest still holds; where no_new_privs or seccomp fails:
 * CV_UNAVAILABLE. `report` may be NULL. */
CV_MUST_USE enum cv_status
cv_sandbox_enter(enum cv_sandbox_profile profile,
                 const struct cv_sandbox_folder *folders, size_t n,
                 struct cv_sandbox_report *report, struct cv_err *err);

/* What the kernel offers, without entering anything (for doctor). */
void cv_sandbox_probe(struct cv_sandbox_report *report);

#endif
