/* vault/base/sandbox_filter.c and its tables, against libseccomp: a filter that
 * libseccomp makes from the names below and ours are run over every call, with
 * arguments on both sides of every condition, for both architectures. */
#include "vault/base/sandbox_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PID 4711
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define WHOLE UINT64_MAX

/* sandbox_generic.c: the tables with the numbers of arm64. */
size_t generic_rules(enum cv_sandbox_profile profile, pid_t pid,
                     struct cv_sandbox_rule out[CV_SANDBOX_RULES]);

/* What any program needs to run on descriptors that it has. Nothing here opens,
 * connects or starts anything. */
static const char *const basic[] = {"brk",
                                    "madvise",
                                    "membarrier",
                                    "mincore",
                                    "mlock",
                                    "mlock2",
                                    "mremap",
                                    "msync",
                                    "munlock",
                                    "munmap",
                                    "exit",
                                    "exit_group",
                                    "futex",
                                    "futex_time64",
                                    "futex_waitv",
                                    "get_robust_list",
                                    "getcpu",
                                    "gettid",
                                    "restart_syscall",
                                    "rseq",
                                    "sched_getaffinity",
                                    "sched_getparam",
                                    "sched_getscheduler",
                                    "sched_get_priority_max",
                                    "sched_get_priority_min",
                                    "sched_yield",
                                    "set_robust_list",
                                    "set_tid_address",
                                    "wait4",
                                    "waitid",
                                    "clock_getres",
                                    "clock_gettime",
                                    "clock_nanosleep",
                                    "getitimer",
                                    "gettimeofday",
                                    "nanosleep",
                                    "setitimer",
                                    "time",
                                    "timer_create",
                                    "timer_delete",
                                    "timer_gettime",
                                    "timer_settime",
                                    "timerfd_create",
                                    "timerfd_gettime",
                                    "timerfd_settime",
                                    "times",
                                    "pause",
                                    "rt_sigaction",
                                    "rt_sigpending",
                                    "rt_sigprocmask",
                                    "rt_sigreturn",
                                    "rt_sigsuspend",
                                    "rt_sigtimedwait",
                                    "sigaltstack",
                                    "signalfd4",
                                    "getegid",
                                    "geteuid",
                                    "getgid",
                                    "getgroups",
                                    "getpgid",
                                    "getpgrp",
                                    "getpid",
                                    "getppid",
                                    "getpriority",
                                    "getrandom",
                                    "getresgid",
                                    "getresuid",
                                    "getrlimit",
                                    "getrusage",
                                    "getsid",
                                    "getuid",
                                    "sysinfo",
                                    "umask",
                                    "uname",
                                    "close",
                                    "close_range",
                                    "copy_file_range",
                                    "dup",
                                    "dup2",
                                    "dup3",
                                    "fallocate",
                                    "fadvise64",
                                    "fcntl",
                                    "fdatasync",
                                    "flock",
                                    "fstat",
                                    "fstatfs",
                                    "fsync",
                                    "ftruncate",
                                    "getdents64",
                                    "lseek",
                                    "newfstatat",
                                    "pread64",
                                    "preadv",
                                    "preadv2",
                                    "pwrite64",
                                    "pwritev",
                                    "pwritev2",
                                    "read",
                                    "readahead",
                                    "readv",
                                    "sendfile",
                                    "sync_file_range",
                                    "write",
                                    "writev",
                                    "epoll_create",
                                    "epoll_create1",
                                    "epoll_ctl",
                                    "epoll_pwait",
                                    "epoll_pwait2",
                                    "epoll_wait",
                                    "eventfd2",
                                    "pipe",
                                    "pipe2",
                                    "poll",
                                    "ppoll",
                                    "pselect6",
                                    "select",
                                    "getpeername",
                                    "getsockname",
                                    "getsockopt",
                                    "recvfrom",
                                    "recvmmsg",
                                    "recvmsg",
                                    "sendmmsg",
                                    "sendmsg",
                                    "sendto",
                                    "setsockopt",
                                    "shutdown",
                                    "socketpair",
                                    NULL};

static const char *const reading[] = {
    "access",  "faccessat", "faccessat2", "getcwd", "lstat",  "open",  "openat",
    "openat2", "readlink",  "readlinkat", "stat",   "statfs", "statx", NULL};

static const char *const writing[] = {
    "chmod",  "creat",    "fchmod",  "fchmodat", "fchown",    "link",
    "linkat", "mkdir",    "mkdirat", "rename",   "renameat",  "renameat2",
    "rmdir",  "truncate", "unlink",  "unlinkat", "utimensat", NULL};

static const char *const accepting[] = {"accept", "accept4", NULL};

static const char *const listening[] = {"accept", "accept4", "listen", NULL};

static const char *const connecting[] = {"bind", "connect", NULL};

static const char *const starting[] = {"execve", "execveat", NULL};

static const char *const killers[] = {"kcmp",
                                      "pidfd_getfd",
                                      "process_madvise",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "ptrace",
                                      "acct",
                                      "add_key",
                                      "bpf",
                                      "delete_module",
                                      "finit_module",
                                      "init_module",
                                      "ioperm",
                                      "iopl",
                                      "io_uring_enter",
                                      "io_uring_register",
                                      "io_uring_setup",
                                      "kexec_file_load",
                                      "kexec_load",
                                      "keyctl",
                                      "lookup_dcookie",
                                      "modify_ldt",
                                      "nfsservctl",
                                      "perf_event_open",
                                      "quotactl",
                                      "quotactl_fd",
                                      "reboot",
                                      "request_key",
                                      "swapoff",
                                      "swapon",
                                      "syslog",
                                      "userfaultfd",
                                      "vm86",
                                      "vm86old",
                                      "adjtimex",
                                      "clock_adjtime",
                                      "clock_settime",
                                      "setdomainname",
                                      "sethostname",
                                      "settimeofday",
                                      "chroot",
                                      "fsconfig",
                                      "fsmount",
                                      "fsopen",
                                      "fspick",
                                      "mount",
                                      "mount_setattr",
                                      "move_mount",
                                      "open_by_handle_at",
                                      "open_tree",
                                      "pivot_root",
                                      "setns",
                                      "umount",
                                      "umount2",
                                      "unshare",
                                      NULL};

static const char *const *const lists[][4] = {
    [CV_SANDBOX_BROKER] = {basic, reading, writing, accepting},
    [CV_SANDBOX_TOKEN] = {basic},
    [CV_SANDBOX_INTAKE] = {basic, reading, connecting},
    [CV_SANDBOX_RELAY] = {basic, reading, connecting, listening},
    [CV_SANDBOX_MODULE] = {NULL},
    [CV_SANDBOX_OFFLINE] = {basic, reading, writing},
    [CV_SANDBOX_SPAWNER] = {NULL},
};

struct condition {
    const char *name;
    unsigned argument;
    uint64_t mask, value;
    bool network;
};

static const struct condition conditions[] = {
    {"mmap", 2, PROT_EXEC, 0, false},
    {"mprotect", 2, PROT_EXEC, 0, false},
    {"clone", 0, CLONE_THREAD, CLONE_THREAD, false},
    {"prlimit64", 2, WHOLE, 0, false},
    {"prctl", 0, WHOLE, PR_SET_NAME, false},
    {"prctl", 0, WHOLE, PR_GET_NAME, false},
    {"prctl", 0, WHOLE, PR_GET_DUMPABLE, false},
    {"prctl", 0, WHOLE, PR_GET_NO_NEW_PRIVS, false},
    {"prctl", 0, WHOLE, PR_GET_SECCOMP, false},
    {"prctl", 0, WHOLE, PR_CAPBSET_READ, false},
    {"prctl", 0, WHOLE, 0x53564d41, false},
    {"ioctl", 1, WHOLE, TCGETS, false},
    {"ioctl", 1, WHOLE, TIOCGWINSZ, false},
    {"ioctl", 1, WHOLE, FIONREAD, false},
    {"ioctl", 1, WHOLE, FIONBIO, false},
    {"ioctl", 1, WHOLE, FIOCLEX, false},
    {"tgkill", 0, WHOLE, PID, false},
    {"kill", 0, WHOLE, PID, false},
    {"socket", 0, WHOLE, AF_INET, true},
    {"socket", 0, WHOLE, AF_INET6, true},
    {"socket", 0, WHOLE, AF_UNIX, true},
    {"socket", 0, WHOLE, AF_NETLINK, true},
    {"mmap", 3, MAP_ANONYMOUS, 0, true},
};

/* --- the peer --- */

static void peer_add(scmp_filter_ctx filter, uint32_t action, const char *name,
                     unsigned n, const struct scmp_arg_cmp *arg)
{
    int number = seccomp_syscall_resolve_name(name);
    assert_int_not_equal(number, __NR_SCMP_ERROR);
    int result = seccomp_rule_add_array(filter, action, number, n, arg);
    /* -EDOM: the architecture does not have it */
    if (result != 0 && result != -EDOM) {
        fail_msg("%s: %d", name, result);
    }
}

static void peer_list(scmp_filter_ctx filter, uint32_t action,
                      const char *const *names)
{
    for (; names != NULL && *names != NULL; names++) {
        peer_add(filter, action, *names, 0, NULL);
    }
}

/* Families of sockets that a module may have are 1, 2, 10 and 16. */
static void peer_module(scmp_filter_ctx filter)
{
    static const char *const never[] = {"execve", "execveat", "fork", "vfork",
                                        NULL};
    struct scmp_arg_cmp arg = {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0};
    peer_list(filter, SCMP_ACT_ERRNO(EPERM), never);
    peer_add(filter, SCMP_ACT_ERRNO(EPERM), "clone", 1, &arg);
    arg = (struct scmp_arg_cmp){0, SCMP_CMP_EQ, PR_SET_DUMPABLE, 0};
    peer_add(filter, SCMP_ACT_ERRNO(EPERM), "prctl", 1, &arg);
    arg = (struct scmp_arg_cmp){0, SCMP_CMP_GT, AF_NETLINK, 0};
    peer_add(filter, SCMP_ACT_ERRNO(EPERM), "socket", 1, &arg);
    for (uint64_t family = 0; family < AF_NETLINK; family++) {
        arg = (struct scmp_arg_cmp){0, SCMP_CMP_EQ, family, 0};
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6) {
            peer_add(filter, SCMP_ACT_ERRNO(EPERM), "socket", 1, &arg);
        }
    }
    peer_add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

/* Returns the number of instructions. */
static size_t peer_make(enum cv_sandbox_profile profile, uint32_t arch,
                        struct sock_filter *out)
{
    bool open = profile == CV_SANDBOX_SPAWNER || profile == CV_SANDBOX_MODULE;
    scmp_filter_ctx filter =
        seccomp_init(open ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
    assert_non_null(filter);
    if (arch != seccomp_arch_native()) {
        assert_int_equal(seccomp_arch_remove(filter, SCMP_ARCH_NATIVE), 0);
        assert_int_equal(seccomp_arch_add(filter, arch), 0);
    }
    assert_int_equal(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH,
                                      SCMP_ACT_KILL_PROCESS),
                     0);
    peer_list(filter, SCMP_ACT_KILL_PROCESS, killers);
    if (profile == CV_SANDBOX_MODULE) {
        peer_module(filter);
    }
    if (!open) {
        peer_list(filter, SCMP_ACT_KILL_PROCESS, starting);
        for (int i = 0; i < 4; i++) {
            peer_list(filter, SCMP_ACT_ALLOW, lists[profile][i]);
        }
        for (size_t i = 0; i < COUNT(conditions); i++) {
            const struct condition *c = &conditions[i];
            struct scmp_arg_cmp arg = {c->argument, SCMP_CMP_MASKED_EQ, c->mask,
                                       c->value};
            if (!c->network || profile == CV_SANDBOX_INTAKE ||
                profile == CV_SANDBOX_RELAY) {
                peer_add(filter, SCMP_ACT_ALLOW, c->name, 1, &arg);
            }
        }
        peer_add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    }
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(seccomp_export_bpf(filter, fileno(file)), 0);
    seccomp_release(filter);
    rewind(file);
    size_t n = fread(out, sizeof(*out), 4096, file);
    assert_true(n > 0 && n < 4096);
    (void)fclose(file);
    return n;
}

/* --- running a program, as the kernel does --- */

static uint32_t load(const struct seccomp_data *d, uint32_t offset)
{
    uint32_t word;
    assert_true(offset % 4 == 0 && offset <= sizeof(*d) - 4);
    memcpy(&word, (const uint8_t *)d + offset, 4);
    return word;
}

static bool jumps(uint16_t code, uint32_t a, uint32_t k)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == k;
    case BPF_JGT:
        return a > k;
    case BPF_JGE:
        return a >= k;
    default:
        fail_msg("jump %x", code);
        return false;
    }
}

static uint32_t run(const struct sock_filter *f, size_t n,
                    const struct seccomp_data *d)
{
    uint32_t a = 0;
    for (size_t pc = 0; pc < n; pc++) {
        const struct sock_filter *i = &f[pc];
        if (i->code == (BPF_LD | BPF_W | BPF_ABS)) {
            a = load(d, i->k);
        } else if (i->code == (BPF_ALU | BPF_AND | BPF_K)) {
            a &= i->k;
        } else if (i->code == (BPF_JMP | BPF_JA)) {
            pc += i->k;
        } else if (BPF_CLASS(i->code) == BPF_JMP) {
            pc += jumps(i->code, a, i->k) ? i->jt : i->jf;
        } else {
            assert_int_equal(i->code, BPF_RET | BPF_K);
            return i->k;
        }
    }
    fail_msg("ran off the end");
    return 0;
}

/* --- the comparison --- */

struct pair {
    struct sock_filter ours[CV_SANDBOX_FILTER], theirs[4096];
    size_t n_ours, n_theirs;
    size_t compared;
};

static void compare(struct pair *p, const struct seccomp_data *d)
{
    uint32_t ours = run(p->ours, p->n_ours, d);
    uint32_t theirs = run(p->theirs, p->n_theirs, d);
    p->compared++;
    if (ours != theirs) {
        fail_msg("call %d (%llx %llx %llx %llx): %x, libseccomp says %x", d->nr,
                 (unsigned long long)d->args[0], (unsigned long long)d->args[1],
                 (unsigned long long)d->args[2], (unsigned long long)d->args[3],
                 ours, theirs);
    }
}

/* A call with each argument at, beside and above what conditions look for. */
static void compare_call(struct pair *p, uint32_t audit, uint32_t number)
{
    struct seccomp_data d = {.nr = (int)number, .arch = audit};
    compare(p, &d);
    for (size_t i = 0; i < COUNT(conditions); i++) {
        const uint64_t values[] = {
            conditions[i].value,
            conditions[i].value + 1,
            conditions[i].value | UINT64_C(0x100000000),
            ~conditions[i].value,
            conditions[i].mask,
            conditions[i].value | 0x40,
        };
        for (size_t v = 0; v < COUNT(values); v++) {
            for (unsigned at = 0; at < 4; at++) {
                memset(d.args, 0, sizeof(d.args));
                d.args[at] = values[v];
                compare(p, &d);
                d.args[2] |= PROT_EXEC;
                compare(p, &d);
                d.args[3] |= MAP_ANONYMOUS;
                compare(p, &d);
            }
        }
    }
}

static void compare_all(uint32_t arch, uint32_t audit,
                        size_t rules_of(enum cv_sandbox_profile, pid_t,
                                        struct cv_sandbox_rule *))
{
    static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM,
                                      AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64};
    static struct pair p;
    for (int profile = 0; profile <= CV_SANDBOX_SPAWNER; profile++) {
        struct cv_sandbox_rule rules[CV_SANDBOX_RULES];
        bool open =
            profile == CV_SANDBOX_SPAWNER || profile == CV_SANDBOX_MODULE;
        size_t n = rules_of((enum cv_sandbox_profile)profile, PID, rules);
        assert_in_range(n, 40, CV_SANDBOX_RULES - 20);
        p.n_ours = cv_sandbox_filter(
            audit, open ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM, rules,
            n, p.ours);
        assert_true(p.n_ours > 0);
        p.n_theirs =
            peer_make((enum cv_sandbox_profile)profile, arch, p.theirs);
        for (uint32_t number = 0; number < 700; number++) {
            compare_call(&p, audit, number);
            struct seccomp_data d = {.nr = (int)number};
            for (size_t i = 0; i < COUNT(others); i++) {
                d.arch = others[i];
                compare(&p, &d);
            }
            if (audit == AUDIT_ARCH_X86_64) {
                compare_call(&p, audit, number | 0x40000000U);
            }
        }
        compare_call(&p, audit, 0x3fffffffU);
        compare_call(&p, audit, 0x7fffffffU);
        compare_call(&p, audit, 0xfffffffeU);
        compare_call(&p, audit, 0xffffffffU);
    }
    assert_true(p.compared > 100000);
}

static void on_this_architecture(void **state)
{
    (void)state;
#ifdef __x86_64__
    compare_all(SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, cv_sandbox_rules);
#else
    compare_all(SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, cv_sandbox_rules);
#endif
}

static void on_arm64(void **state)
{
    (void)state;
    compare_all(SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, generic_rules);
}

/* A tree whose nodes cannot reach the other half in one jump. */
static void far_jumps(void **state)
{
    (void)state;
    static struct cv_sandbox_rule rules[CV_SANDBOX_RULES];
    static struct sock_filter filter[CV_SANDBOX_FILTER];
    size_t n = 0, made;
    for (int i = 0; i < 80; i++) {
        rules[n++] = (struct cv_sandbox_rule){2 * (79 - i), CV_SANDBOX_ALLOW, 1,
                                              WHOLE, (uint64_t)i << 32};
    }
    made = cv_sandbox_filter(AUDIT_ARCH_X86_64, SECCOMP_RET_TRAP, rules, n,
                             filter);
    assert_true(made > 512);
    for (int i = 0; i < 80; i++) {
        struct seccomp_data d = {.nr = 2 * (79 - i), .arch = AUDIT_ARCH_X86_64};
        d.args[1] = (uint64_t)i << 32;
        assert_int_equal(run(filter, made, &d), SECCOMP_RET_ALLOW);
        d.args[1] ^= 1;
        assert_int_equal(run(filter, made, &d), SECCOMP_RET_TRAP);
        d.nr++;
        assert_int_equal(run(filter, made, &d), SECCOMP_RET_TRAP);
    }
    while (n < CV_SANDBOX_RULES) {
        rules[n] = rules[n - 1];
        rules[n++].number++;
    }
    assert_int_equal(cv_sandbox_filter(AUDIT_ARCH_X86_64, SECCOMP_RET_TRAP,
                                       rules, n, filter),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_this_architecture),
        cmocka_unit_test(on_arm64),
        cmocka_unit_test(far_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
