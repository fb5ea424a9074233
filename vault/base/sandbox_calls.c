/* Which system calls each profile may make. Only data; sandbox.c makes filters
 * of it. Names that a kernel or an architecture does not know are passed over.
 */
#include "vault/base/sandbox_internal.h"

/* What any program needs to run on descriptors that it has. Nothing here opens,
 * connects or starts anything. */
static const char *const basic[] = {
    /* memory; mmap and mprotect have conditions of their own */
    "brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mremap",
    "msync", "munlock", "munmap",
    /* threads and waiting; clone has a condition of its own */
    "exit", "exit_group", "futex", "futex_time64", "futex_waitv",
    "get_robust_list", "getcpu", "gettid", "restart_syscall", "rseq",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler",
    "sched_get_priority_max", "sched_get_priority_min", "sched_yield",
    "set_robust_list", "set_tid_address", "wait4", "waitid",
    /* time */
    "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
    "gettimeofday", "nanosleep", "setitimer", "time", "timer_create",
    "timer_delete", "timer_gettime", "timer_settime", "timerfd_create",
    "timerfd_gettime", "timerfd_settime", "times",
    /* signals */
    "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack", "signalfd4",
    /* who and where one is */
    "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid",
    "getppid", "getpriority", "getrandom", "getresgid", "getresuid",
    "getrlimit", "getrusage", "getsid", "getuid", "sysinfo", "umask", "uname",
    /* descriptors that are there */
    "close", "close_range", "copy_file_range", "dup", "dup2", "dup3",
    "fallocate", "fadvise64", "fcntl", "fdatasync", "flock", "fstat", "fstatfs",
    "fsync", "ftruncate", "getdents64", "lseek", "newfstatat", "pread64",
    "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readv", "sendfile", "sync_file_range", "write", "writev",
    /* waiting for them */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6",
    "select",
    /* sockets that are there, and pairs, which lead nowhere else */
    "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmmsg",
    "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    "socketpair", NULL};

static const char *const reading[] = {
    "access",  "faccessat", "faccessat2", "getcwd", "lstat",  "open",  "openat",
    "openat2", "readlink",  "readlinkat", "stat",   "statfs", "statx", NULL};

static const char *const writing[] = {
    "chmod",  "creat",    "fchmod",  "fchmodat", "fchown",    "link",
    "linkat", "mkdir",    "mkdirat", "rename",   "renameat",  "renameat2",
    "rmdir",  "truncate", "unlink",  "unlinkat", "utimensat", NULL};

static const char *const accepting[] = {"accept", "accept4", NULL};

/* socket has a condition of its own. getaddrinfo binds a netlink socket. */
static const char *const connecting[] = {"bind", "connect", NULL};

const char *const cv_sandbox_exec[] = {"execve", "execveat", NULL};

const char *const cv_sandbox_killers[] = {
    /* into another process */
    "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv",
    "process_vm_writev", "ptrace",
    /* into the kernel */
    "acct", "add_key", "bpf", "delete_module", "finit_module", "init_module",
    "ioperm", "iopl", "io_uring_enter", "io_uring_register", "io_uring_setup",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "modify_ldt",
    "nfsservctl", "perf_event_open", "quotactl", "quotactl_fd", "reboot",
    "request_key", "swapoff", "swapon", "syslog", "userfaultfd", "vm86",
    "vm86old",
    /* what the machine is */
    "adjtimex", "clock_adjtime", "clock_settime", "setdomainname",
    "sethostname", "settimeofday",
    /* what the file system is */
    "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount",
    "mount_setattr", "move_mount", "open_by_handle_at", "open_tree",
    "pivot_root", "setns", "umount", "umount2", "unshare", NULL};

const struct cv_sandbox_calls cv_sandbox_calls[] = {
    [CV_SANDBOX_BROKER] = {{basic, reading, writing, accepting}},
    [CV_SANDBOX_TOKEN] = {{basic}},
    [CV_SANDBOX_INTAKE] = {{basic, reading, connecting}},
    [CV_SANDBOX_MODULE] = {{NULL}},
    [CV_SANDBOX_OFFLINE] = {{basic, reading, writing}},
    [CV_SANDBOX_SPAWNER] = {{NULL}},
};
