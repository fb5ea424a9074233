#include "vault/base/sandbox.h"

#include "vault/base/sandbox_internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "no list of system calls was checked for this architecture"
#endif

/* Profiles that name what is forbidden, where the others name what is not. */
static bool is_open(enum cv_sandbox_profile profile)
{
    return profile == CV_SANDBOX_SPAWNER || profile == CV_SANDBOX_MODULE;
}

static enum cv_status enter_seccomp(enum cv_sandbox_profile profile,
                                    struct cv_err *err)
{
    struct cv_sandbox_rule rules[CV_SANDBOX_RULES];
    struct sock_filter filter[CV_SANDBOX_FILTER];
    uint32_t other =
        is_open(profile) ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM;
    size_t n = cv_sandbox_rules(profile, getpid(), rules);
    struct sock_fprog program;

    n = cv_sandbox_filter(THIS_ARCH, other, rules, n, filter);
    program = (struct sock_fprog){(unsigned short)n, filter};
    /* For every thread there is, should there be any. */
    errno = ESRCH; /* a thread that could not be reached gives its id */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
                &program) != 0) {
        return cv_fail_errno(err, CV_UNAVAILABLE,
                             "cannot enter the sandbox: seccomp");
    }
    return CV_OK;
}

enum cv_status cv_sandbox_enter(enum cv_sandbox_profile profile,
                                const struct cv_sandbox_folder *folders,
                                size_t n, struct cv_sandbox_report *report,
                                struct cv_err *err)
{
    struct cv_sandbox_report got = {false, false, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return cv_fail_errno(err, CV_UNAVAILABLE,
                             "cannot enter the sandbox: no_new_privs");
    }
    got.no_new_privs = true;
    if (!is_open(profile) || n > 0) {
        got.landlock_abi = cv_sandbox_landlock_abi();
        enum cv_status status =
            cv_sandbox_landlock(got.landlock_abi, folders, n, err);
        if (status != CV_OK) {
            return status;
        }
    }
    enum cv_status status = enter_seccomp(profile, err);
    if (status != CV_OK) {
        return status;
    }
    got.seccomp = true;
    if (report != NULL) {
        *report = got;
    }
    return CV_OK;
}

void cv_sandbox_probe(struct cv_sandbox_report *report)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    report->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0;
    report->seccomp =
        syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0U, &action) == 0;
    report->landlock_abi = cv_sandbox_landlock_abi();
}
