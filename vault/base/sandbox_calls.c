/* Which system calls each profile may make. Only data and its arrangement;
 * sandbox_filter.c makes programs of it. Numbers rather than names, so that no
 * program has to look any up when it starts. */
#include "vault/base/sandbox_internal.h"

#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* A test brings another architecture's numbers along. */
#ifndef __NR_read
#include <asm/unistd.h>
#endif

#ifndef PR_SET_VMA
#include <sys/prctl.h>
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* What newer architectures left out, others having taken its place: nobody can
 * call it there. Any other number that is missing does not compile. */
#ifndef __NR_access
#define __NR_access (-1)
#endif
#ifndef __NR_chmod
#define __NR_chmod (-1)
#endif
#ifndef __NR_creat
#define __NR_creat (-1)
#endif
#ifndef __NR_dup2
#define __NR_dup2 (-1)
#endif
#ifndef __NR_epoll_create
#define __NR_epoll_create (-1)
#endif
#ifndef __NR_epoll_wait
#define __NR_epoll_wait (-1)
#endif
#ifndef __NR_fork
#define __NR_fork (-1)
#endif
#ifndef __NR_getpgrp
#define __NR_getpgrp (-1)
#endif
#ifndef __NR_ioperm
#define __NR_ioperm (-1)
#endif
#ifndef __NR_iopl
#define __NR_iopl (-1)
#endif
#ifndef __NR_link
#define __NR_link (-1)
#endif
#ifndef __NR_lstat
#define __NR_lstat (-1)
#endif
#ifndef __NR_mkdir
#define __NR_mkdir (-1)
#endif
#ifndef __NR_modify_ldt
#define __NR_modify_ldt (-1)
#endif
#ifndef __NR_open
#define __NR_open (-1)
#endif
#ifndef __NR_pause
#define __NR_pause (-1)
#endif
#ifndef __NR_pipe
#define __NR_pipe (-1)
#endif
#ifndef __NR_poll
#define __NR_poll (-1)
#endif
#ifndef __NR_readlink
#define __NR_readlink (-1)
#endif
#ifndef __NR_rename
#define __NR_rename (-1)
#endif
#ifndef __NR_rmdir
#define __NR_rmdir (-1)
#endif
#ifndef __NR_select
#define __NR_select (-1)
#endif
#ifndef __NR_stat
#define __NR_stat (-1)
#endif
#ifndef __NR_time
#define __NR_time (-1)
#endif
#ifndef __NR_unlink
#define __NR_unlink (-1)
#endif
#ifndef __NR_vfork
#define __NR_vfork (-1)
#endif

#define NR(name) ((short)__NR_##name)
#define END INT16_MIN
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LISTS 4
#define WHOLE UINT64_MAX

/* What any program needs to run on descriptors that it has. Nothing here opens,
 * connects or starts anything. */
static const short basic[] = {
    /* memory; mmap and mprotect have conditions of their own */
    NR(brk), NR(madvise), NR(membarrier), NR(mincore), NR(mlock), NR(mlock2),
    NR(mremap), NR(msync), NR(munlock), NR(munmap),
    /* threads and waiting; clone has a condition of its own */
    NR(exit), NR(exit_group), NR(futex), NR(futex_waitv), NR(get_robust_list),
    NR(getcpu), NR(gettid), NR(restart_syscall), NR(rseq),
    NR(sched_getaffinity), NR(sched_getparam), NR(sched_getscheduler),
    NR(sched_get_priority_max), NR(sched_get_priority_min), NR(sched_yield),
    NR(set_robust_list), NR(set_tid_address), NR(wait4), NR(waitid),
    /* time */
    NR(clock_getres), NR(clock_gettime), NR(clock_nanosleep), NR(getitimer),
    NR(gettimeofday), NR(nanosleep), NR(setitimer), NR(time), NR(timer_create),
    NR(timer_delete), NR(timer_gettime), NR(timer_settime), NR(timerfd_create),
    NR(timerfd_gettime), NR(timerfd_settime), NR(times),
    /* signals */
    NR(pause), NR(rt_sigaction), NR(rt_sigpending), NR(rt_sigprocmask),
    NR(rt_sigreturn), NR(rt_sigsuspend), NR(rt_sigtimedwait), NR(sigaltstack),
    NR(signalfd4),
    /* who and where one is */
    NR(getegid), NR(geteuid), NR(getgid), NR(getgroups), NR(getpgid),
    NR(getpgrp), NR(getpid), NR(getppid), NR(getpriority), NR(getrandom),
    NR(getresgid), NR(getresuid), NR(getrlimit), NR(getrusage), NR(getsid),
    NR(getuid), NR(sysinfo), NR(umask), NR(uname),
    /* descriptors that are there */
    NR(close), NR(close_range), NR(copy_file_range), NR(dup), NR(dup2),
    NR(dup3), NR(fallocate), NR(fadvise64), NR(fcntl), NR(fdatasync), NR(flock),
    NR(fstat), NR(fstatfs), NR(fsync), NR(ftruncate), NR(getdents64), NR(lseek),
    NR(newfstatat), NR(pread64), NR(preadv), NR(preadv2), NR(pwrite64),
    NR(pwritev), NR(pwritev2), NR(read), NR(readahead), NR(readv), NR(sendfile),
    NR(sync_file_range), NR(write), NR(writev),
    /* waiting for them */
    NR(epoll_create), NR(epoll_create1), NR(epoll_ctl), NR(epoll_pwait),
    NR(epoll_pwait2), NR(epoll_wait), NR(eventfd2), NR(pipe), NR(pipe2),
    NR(poll), NR(ppoll), NR(pselect6), NR(select),
    /* sockets that are there, and pairs, which lead nowhere else */
    NR(getpeername), NR(getsockname), NR(getsockopt), NR(recvfrom),
    NR(recvmmsg), NR(recvmsg), NR(sendmmsg), NR(sendmsg), NR(sendto),
    NR(setsockopt), NR(shutdown), NR(socketpair), END};

static const short reading[] = {
    NR(access), NR(faccessat), NR(faccessat2), NR(getcwd),   NR(lstat),
    NR(open),   NR(openat),    NR(openat2),    NR(readlink), NR(readlinkat),
    NR(stat),   NR(statfs),    NR(statx),      END};

static const short writing[] = {
    NR(chmod),    NR(creat),     NR(fchmod), NR(fchmodat), NR(fchown),
    NR(link),     NR(linkat),    NR(mkdir),  NR(mkdirat),  NR(rename),
    NR(renameat), NR(renameat2), NR(rmdir),  NR(truncate), NR(unlink),
    NR(unlinkat), NR(utimensat), END};

static const short accepting[] = {NR(accept), NR(accept4), END};

static const short listening[] = {NR(accept), NR(accept4), NR(listen), END};

/* socket has a condition of its own. getaddrinfo binds a netlink socket. */
static const short connecting[] = {NR(bind), NR(connect), END};

/* Killed but in the spawner, and refused to modules. */
static const short starting[] = {NR(execve), NR(execveat), END};

/* Killed everywhere. */
static const short killers[] = {
    /* into another process */
    NR(kcmp), NR(pidfd_getfd), NR(process_madvise), NR(process_vm_readv),
    NR(process_vm_writev), NR(ptrace),
    /* into the kernel */
    NR(acct), NR(add_key), NR(bpf), NR(delete_module), NR(finit_module),
    NR(init_module), NR(ioperm), NR(iopl), NR(io_uring_enter),
    NR(io_uring_register), NR(io_uring_setup), NR(kexec_file_load),
    NR(kexec_load), NR(keyctl), NR(lookup_dcookie), NR(modify_ldt),
    NR(nfsservctl), NR(perf_event_open), NR(quotactl), NR(quotactl_fd),
    NR(reboot), NR(request_key), NR(swapoff), NR(swapon), NR(syslog),
    NR(userfaultfd), /* what the machine is */
    NR(adjtimex), NR(clock_adjtime), NR(clock_settime), NR(setdomainname),
    NR(sethostname), NR(settimeofday),
    /* what the file system is */
    NR(chroot), NR(fsconfig), NR(fsmount), NR(fsopen), NR(fspick), NR(mount),
    NR(mount_setattr), NR(move_mount), NR(open_by_handle_at), NR(open_tree),
    NR(pivot_root), NR(setns), NR(umount2), NR(unshare), END};

/* Lists that a profile may call. */
static const short *const lists[][LISTS] = {
    [CV_SANDBOX_BROKER] = {basic, reading, writing, accepting},
    [CV_SANDBOX_TOKEN] = {basic},
    [CV_SANDBOX_INTAKE] = {basic, reading, connecting},
    [CV_SANDBOX_RELAY] = {basic, reading, connecting, listening},
    [CV_SANDBOX_MODULE] = {NULL},
    [CV_SANDBOX_OFFLINE] = {basic, reading, writing},
    [CV_SANDBOX_SPAWNER] = {NULL},
};

/* Calls that meet something when one argument is so. */
#define MEETS(what, name, argument, mask, value)              \
    {                                                         \
        __NR_##name, CV_SANDBOX_##what, argument, mask, value \
    }
#define IF(name, argument, mask, value) \
    MEETS(ALLOW, name, argument, mask, value)

static const struct cv_sandbox_rule conditions[] = {
    /* Nothing new becomes executable. */
    IF(mmap, 2, PROT_EXEC, 0),
    IF(mprotect, 2, PROT_EXEC, 0),
    IF(clone, 0, CLONE_THREAD, CLONE_THREAD),
    IF(prlimit64, 2, WHOLE, 0), /* asking, not setting */
    IF(prctl, 0, WHOLE, PR_SET_NAME),
    IF(prctl, 0, WHOLE, PR_GET_NAME),
    IF(prctl, 0, WHOLE, PR_GET_DUMPABLE),
    IF(prctl, 0, WHOLE, PR_GET_NO_NEW_PRIVS),
    IF(prctl, 0, WHOLE, PR_GET_SECCOMP),
    IF(prctl, 0, WHOLE, PR_CAPBSET_READ),
    IF(prctl, 0, WHOLE, PR_SET_VMA),
    /* What isatty and those that wait for bytes ask. Never TIOCSTI. */
    IF(ioctl, 1, WHOLE, TCGETS),
    IF(ioctl, 1, WHOLE, TIOCGWINSZ),
    IF(ioctl, 1, WHOLE, FIONREAD),
    IF(ioctl, 1, WHOLE, FIONBIO),
    IF(ioctl, 1, WHOLE, FIOCLEX),
};

static const struct cv_sandbox_rule network_conditions[] = {
    IF(socket, 0, WHOLE, AF_INET),
    IF(socket, 0, WHOLE, AF_INET6),
    IF(socket, 0, WHOLE, AF_UNIX),
    IF(socket, 0, WHOLE, AF_NETLINK),
    /* glibc loads name service modules when it first resolves a name. */
    IF(mmap, 3, MAP_ANONYMOUS, 0),
};

/* What a module may not do, answered with an error: it may have another way.
 * Beside it, starting programs. */
static const struct cv_sandbox_rule module_conditions[] = {
    MEETS(REFUSE, fork, 0, 0, 0),
    MEETS(REFUSE, vfork, 0, 0, 0),
    MEETS(REFUSE, clone, 0, CLONE_THREAD, 0),
    IF(socket, 0, WHOLE, AF_INET),
    IF(socket, 0, WHOLE, AF_INET6),
    IF(socket, 0, WHOLE, AF_UNIX),
    IF(socket, 0, WHOLE, AF_NETLINK),
    MEETS(REFUSE, socket, 0, 0, 0),
    MEETS(REFUSE, prctl, 0, WHOLE, PR_SET_DUMPABLE),
    MEETS(ABSENT, clone3, 0, 0, 0),
};

struct filling {
    struct cv_sandbox_rule *out;
    size_t n;
};

static void add(struct filling *f, const struct cv_sandbox_rule *rule)
{
    if (rule->number >= 0 && f->n < CV_SANDBOX_RULES) {
        f->out[f->n++] = *rule;
    }
}

static void add_list(struct filling *f, const short *list,
                     enum cv_sandbox_action action)
{
    for (; list != NULL && *list != END; list++) {
        const struct cv_sandbox_rule rule = {*list, action, 0, 0, 0};

        add(f, &rule);
    }
}

static void add_conditions(struct filling *f,
                           const struct cv_sandbox_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        add(f, &rules[i]);
    }
}

/* A process may signal itself (raise, abort). */
static void add_self(struct filling *f, pid_t pid)
{
    const struct cv_sandbox_rule self[] = {
        IF(tgkill, 0, WHOLE, (uint64_t)pid),
        IF(kill, 0, WHOLE, (uint64_t)pid),
    };

    add_conditions(f, self, COUNT(self));
}

size_t cv_sandbox_rules(enum cv_sandbox_profile profile, pid_t pid,
                        struct cv_sandbox_rule out[CV_SANDBOX_RULES])
{
    /* Its flags lie in memory, where a filter cannot look: glibc then falls
     * back to clone. */
    static const struct cv_sandbox_rule absent = {__NR_clone3,
                                                  CV_SANDBOX_ABSENT, 0, 0, 0};
    struct filling f = {out, 0};

    add_list(&f, killers, CV_SANDBOX_KILL);
    if (profile == CV_SANDBOX_SPAWNER) {
        return f.n;
    }
    if (profile == CV_SANDBOX_MODULE) {
        add_list(&f, starting, CV_SANDBOX_REFUSE);
        add_conditions(&f, module_conditions, COUNT(module_conditions));
        return f.n;
    }
    add_list(&f, starting, CV_SANDBOX_KILL);
    for (int i = 0; i < LISTS; i++) {
        add_list(&f, lists[profile][i], CV_SANDBOX_ALLOW);
    }
    add_conditions(&f, conditions, COUNT(conditions));
    if (profile == CV_SANDBOX_INTAKE || profile == CV_SANDBOX_RELAY) {
        add_conditions(&f, network_conditions, COUNT(network_conditions));
    }
    add_self(&f, pid);
    add(&f, &absent);
    return f.n;
}
