#include "vault/base/sandbox.h"

#include "vault/base/sandbox_internal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* A call that is allowed when one argument is as wanted. */
struct condition {
    const char *name;
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

#define WHOLE UINT64_MAX

static const struct condition conditions[] = {
    /* Nothing new becomes executable. */
    {"mmap", 2, PROT_EXEC, 0},
    {"mprotect", 2, PROT_EXEC, 0},
    {"clone", 0, CLONE_THREAD, CLONE_THREAD},
    {"prlimit64", 2, WHOLE, 0}, /* asking, not setting */
    {"prctl", 0, WHOLE, PR_SET_NAME},
    {"prctl", 0, WHOLE, PR_GET_NAME},
    {"prctl", 0, WHOLE, PR_GET_DUMPABLE},
    {"prctl", 0, WHOLE, PR_GET_NO_NEW_PRIVS},
    {"prctl", 0, WHOLE, PR_GET_SECCOMP},
    {"prctl", 0, WHOLE, PR_CAPBSET_READ},
    {"prctl", 0, WHOLE, PR_SET_VMA},
    /* What isatty and those that wait for bytes ask. Never TIOCSTI. */
    {"ioctl", 1, WHOLE, TCGETS},
    {"ioctl", 1, WHOLE, TIOCGWINSZ},
    {"ioctl", 1, WHOLE, FIONREAD},
    {"ioctl", 1, WHOLE, FIONBIO},
    {"ioctl", 1, WHOLE, FIOCLEX},
};

static const struct condition intake_conditions[] = {
    {"socket", 0, WHOLE, AF_INET},
    {"socket", 0, WHOLE, AF_INET6},
    {"socket", 0, WHOLE, AF_UNIX},
    {"socket", 0, WHOLE, AF_NETLINK},
    /* glibc loads name service modules when it first resolves a name. */
    {"mmap", 3, MAP_ANONYMOUS, 0},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A name that this architecture does not have is fine: nobody can call it. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name,
               unsigned n, const struct scmp_arg_cmp *arg)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || number < 0) {
        return 0;
    }
    return seccomp_rule_add_array(filter, action, number, n, arg);
}

static int add_list(scmp_filter_ctx filter, uint32_t action,
                    const char *const *names)
{
    int result = 0;
    for (; *names != NULL && result == 0; names++) {
        result = add(filter, action, *names, 0, NULL);
    }
    return result;
}

static int add_conditions(scmp_filter_ctx filter, const struct condition *all,
                          size_t n)
{
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        struct scmp_arg_cmp arg = {all[i].argument, SCMP_CMP_MASKED_EQ,
                                   all[i].mask, all[i].value};
        result = add(filter, SCMP_ACT_ALLOW, all[i].name, 1, &arg);
    }
    return result;
}

/* A process may signal itself (raise, abort). */
static int add_self(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp self = {0, SCMP_CMP_EQ, (uint64_t)getpid(), 0};
    int result = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &self);
    if (result == 0) {
        result = add(filter, SCMP_ACT_ALLOW, "kill", 1, &self);
    }
    return result;
}

static int add_allowed(scmp_filter_ctx filter, enum cv_sandbox_profile profile)
{
    int result = 0;
    for (int i = 0; i < CV_SANDBOX_LISTS && result == 0; i++) {
        const char *const *list = cv_sandbox_calls[profile].lists[i];
        if (list != NULL) {
            result = add_list(filter, SCMP_ACT_ALLOW, list);
        }
    }
    if (result == 0) {
        result = add_conditions(filter, conditions, COUNT(conditions));
    }
    if (result == 0 && profile == CV_SANDBOX_INTAKE) {
        result =
            add_conditions(filter, intake_conditions, COUNT(intake_conditions));
    }
    if (result == 0) {
        result = add_self(filter);
    }
    /* Its flags lie in memory, where a filter cannot look: glibc then falls
     * back to clone. */
    if (result == 0) {
        result = add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    }
    return result;
}

/* What a module may not do, answered with an error: it may have another way. */
static int add_module(scmp_filter_ctx filter)
{
    static const char *const never[] = {"execve", "execveat", "fork", "vfork",
                                        NULL};
    const struct scmp_arg_cmp process = {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD,
                                         0};
    const struct scmp_arg_cmp family = {0, SCMP_CMP_GT, AF_NETLINK, 0};
    const struct scmp_arg_cmp dumpable = {0, SCMP_CMP_EQ, PR_SET_DUMPABLE, 0};
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    int result = add_list(filter, refuse, never);
    if (result == 0) {
        result = add(filter, refuse, "clone", 1, &process);
    }
    if (result == 0) {
        result = add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    }
    if (result == 0) {
        result = add(filter, refuse, "socket", 1, &family);
    }
    if (result == 0) {
        result = add(filter, refuse, "prctl", 1, &dumpable);
    }
    return result;
}

/* Profiles that name what is forbidden, where the others name what is not. */
static bool is_open(enum cv_sandbox_profile profile)
{
    return profile == CV_SANDBOX_SPAWNER || profile == CV_SANDBOX_MODULE;
}

static int fill(scmp_filter_ctx filter, enum cv_sandbox_profile profile)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH,
                                  SCMP_ACT_KILL_PROCESS);
    if (result == 0) {
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    }
    /* A search tree in place of a long list, where the library can. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (result == 0) {
        result = add_list(filter, SCMP_ACT_KILL_PROCESS, cv_sandbox_killers);
    }
    if (result == 0 && !is_open(profile)) {
        result = add_list(filter, SCMP_ACT_KILL_PROCESS, cv_sandbox_exec);
    }
    if (result == 0 && !is_open(profile)) {
        result = add_allowed(filter, profile);
    }
    if (result == 0 && profile == CV_SANDBOX_MODULE) {
        result = add_module(filter);
    }
    return result;
}

static enum cv_status enter_seccomp(enum cv_sandbox_profile profile,
                                    struct cv_err *err)
{
    scmp_filter_ctx filter =
        seccomp_init(is_open(profile) ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
    int result = -ENOMEM;
    if (filter != NULL) {
        result = fill(filter, profile);
    }
    if (result == 0) {
        result = seccomp_load(filter);
    }
    seccomp_release(filter);
    if (result != 0) {
        errno = -result;
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
