/* Locking a program down, once its libraries are loaded and before it starts a
 * thread (Landlock holds for the calling thread alone, and what that starts).
 *
 * no_new_privs, then Landlock where the kernel has it (files only), then a
 * seccomp filter of the calls that the profile allows; everything else is
 * EPERM, and those that would start a program, look into another process or
 * change the kernel kill the process (SIGSYS). No profile but the spawner's
 * and the module's may make memory executable, but for intake and the relay,
 * which may map libraries (glibc's name services).
 *
 * A PKCS#11 module is code that nobody here has read, and may want any call
 * that a driver's library makes. So its profile names what is forbidden, like
 * the spawner's: the calls that kill, starting programs and processes, sockets
 * of other families than Unix, IP and netlink, making itself dumpable. It gets
 * no Landlock, and may make memory executable: modules load what they need when
 * they need it. It reaches all threads that the module has started.
 *
 * Sandboxes are inherited, so a process that must start others does so from a
 * spawner forked before. For the same reason the spawner's own filter names
 * only what is forbidden (the calls that kill, execve not among them), and
 * without `folders` it gets no Landlock: what it starts locks itself down. */
#ifndef CERTVAULT_BASE_SANDBOX_H
#define CERTVAULT_BASE_SANDBOX_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum cv_sandbox_profile {
    CV_SANDBOX_BROKER,  /* files beneath the vault, SQLite, sockets it has
                           (one that listens is made before) */
    CV_SANDBOX_TOKEN,   /* the sealed vault: no files, no new sockets */
    CV_SANDBOX_INTAKE,  /* TCP and name resolution, reading system files */
    CV_SANDBOX_RELAY,   /* as intake, and a port of its own to listen on */
    CV_SANDBOX_MODULE,  /* code of others is loaded and runs: files, Unix
                           sockets, TCP, threads; no program is started */
    CV_SANDBOX_OFFLINE, /* no network; files beneath given folders */
    CV_SANDBOX_SPAWNER  /* what it may never do, and what it starts neither */
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

/* Locks this process down. `folders` (`n` of them; files can be named too): all
 * that stays within reach; one that is not there is passed over. Opening
 * anything else is EACCES; descriptors that are open stay usable. Where a
 * kernel lacks Landlock the rest still holds; where Landlock, no_new_privs or
 * seccomp fails: CV_UNAVAILABLE, and the process is to end. `report` may be
 * NULL. */
CV_MUST_USE enum cv_status
cv_sandbox_enter(enum cv_sandbox_profile profile,
                 const struct cv_sandbox_folder *folders, size_t n,
                 struct cv_sandbox_report *report, struct cv_err *err);

/* What the kernel offers, without entering anything (for doctor). */
void cv_sandbox_probe(struct cv_sandbox_report *report);

#endif
