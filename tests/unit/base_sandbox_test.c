/* vault/base/sandbox.h. Each look happens in a child that locked itself down;
 * its exit code is the answer. */
#include "vault/base/file.h"
#include "vault/base/process.h"
#include "vault/base/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The numbers that a child exits with, beside errno. */
#define DONE 0
#define NOT_ENTERED 200
#define BAD_SYSTEM_CALL (128 + SIGSYS)

static char inside[] = "/tmp/certvault-inside-XXXXXX";
static char outside[] = "/tmp/certvault-outside-XXXXXX";

static int make_folders(void **state)
{
    (void)state;
    return mkdtemp(inside) != NULL && mkdtemp(outside) != NULL ? 0 : -1;
}

static int drop_folders(void **state)
{
    (void)state;
    return rmdir(inside) | rmdir(outside);
}

static int landlock_abi(void)
{
    struct cv_sandbox_report r;
    cv_sandbox_probe(&r);
    return r.landlock_abi;
}

typedef int look(void);

/* Runs `what` in a child with this profile and `inside` within reach. */
static int locked_down(enum cv_sandbox_profile profile, bool writable,
                       look *what)
{
    pid_t pid = fork();
    if (pid == 0) {
        const struct cv_sandbox_folder folders[] = {
            {"/nowhere/at/all", -1, false},
            {inside, -1, writable},
        };
        struct cv_sandbox_report r;
        struct cv_err e;
        if (cv_sandbox_enter(profile, folders, 2, &r, &e) != CV_OK ||
            !r.no_new_privs || !r.seccomp) {
            _exit(NOT_ENTERED);
        }
        _exit(what());
    }
    return cv_process_wait(pid);
}

static int answer(long result)
{
    return result >= 0 ? DONE : errno;
}

static const enum cv_sandbox_profile closed[] = {
    CV_SANDBOX_BROKER, CV_SANDBOX_TOKEN, CV_SANDBOX_INTAKE, CV_SANDBOX_OFFLINE,
    CV_SANDBOX_RELAY};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int try_exec(void)
{
    char *argv[] = {inside, NULL};
    return answer(execve("/bin/true", argv, NULL));
}

static int try_execveat(void)
{
    return answer(syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0));
}

static int try_ptrace(void)
{
    return answer(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_read_memory(void)
{
    return answer(
        syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int try_bpf(void)
{
    return answer(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_io_uring(void)
{
    return answer(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_mount(void)
{
    return answer(syscall(SYS_mount, "", "", "", 0, NULL));
}

static int try_keys(void)
{
    return answer(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int try_unshare(void)
{
    return answer(syscall(SYS_unshare, 0));
}

static void what_kills(void **state)
{
    (void)state;
    look *const kills[] = {try_ptrace,   try_read_memory, try_bpf,
                           try_io_uring, try_mount,       try_keys,
                           try_unshare};
    for (size_t i = 0; i < COUNT(kills); i++) {
        for (size_t k = 0; k < COUNT(closed); k++) {
            assert_int_equal(locked_down(closed[k], true, kills[i]),
                             BAD_SYSTEM_CALL);
        }
        assert_int_equal(locked_down(CV_SANDBOX_SPAWNER, true, kills[i]),
                         BAD_SYSTEM_CALL);
    }
}

static void starting_programs(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(closed); k++) {
        assert_int_equal(locked_down(closed[k], true, try_exec),
                         BAD_SYSTEM_CALL);
        assert_int_equal(locked_down(closed[k], true, try_execveat),
                         BAD_SYSTEM_CALL);
    }
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return answer(pid);
}

static void new_processes(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(closed); k++) {
        assert_int_equal(locked_down(closed[k], true, try_fork), EPERM);
    }
    assert_int_equal(locked_down(CV_SANDBOX_SPAWNER, true, try_fork), DONE);
}

static int try_inet(void)
{
    return answer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int try_inet6(void)
{
    return answer(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int try_unix(void)
{
    return answer(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int try_packet(void)
{
    return answer(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int try_vsock(void)
{
    return answer(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int try_listen(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? errno : answer(listen(fd, 1));
}

static int try_pair(void)
{
    int pair[2];
    char text[4] = "";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
        send(pair[0], "abc", 3, MSG_NOSIGNAL) != 3 ||
        recv(pair[1], text, 3, 0) != 3 || strcmp(text, "abc") != 0) {
        return errno;
    }
    return DONE;
}

static void new_sockets(void **state)
{
    (void)state;
    look *const any[] = {try_inet, try_inet6, try_unix, try_packet, try_vsock};
    for (size_t i = 0; i < COUNT(any); i++) {
        assert_int_equal(locked_down(CV_SANDBOX_BROKER, true, any[i]), EPERM);
        assert_int_equal(locked_down(CV_SANDBOX_TOKEN, true, any[i]), EPERM);
        assert_int_equal(locked_down(CV_SANDBOX_OFFLINE, true, any[i]), EPERM);
    }
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, try_inet), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, try_unix), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, try_packet), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, try_vsock), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, true, try_inet), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, true, try_inet6), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, true, try_packet), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, true, try_vsock), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, true, try_listen), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, try_listen), EPERM);
    for (size_t k = 0; k < COUNT(closed); k++) {
        assert_int_equal(locked_down(closed[k], true, try_pair), DONE);
    }
}

static int listener = -1;

static int try_accept(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    /* Nobody called: EAGAIN is a yes. */
    return fd < 0 && errno == EAGAIN ? DONE : answer(fd);
}

static void accepting(void **state)
{
    (void)state;
    sa_family_t unnamed = AF_UNIX;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(
        bind(listener, (const struct sockaddr *)&unnamed, sizeof(unnamed)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(locked_down(CV_SANDBOX_BROKER, true, try_accept), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_TOKEN, true, try_accept), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, try_accept), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, true, try_accept), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_OFFLINE, true, try_accept), EPERM);
    close(listener);
}

static int open_in(const char *folder, int flags)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    if ((flags & O_CREAT) != 0) {
        (void)unlink(path);
    }
    return DONE;
}

static int make_inside(void)
{
    return open_in(inside, O_RDWR | O_CREAT);
}

static int make_outside(void)
{
    return open_in(outside, O_RDWR | O_CREAT);
}

static int read_outside(void)
{
    return answer(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int list_inside(void)
{
    return answer(open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int replace_inside(void)
{
    int dir = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct cv_bytes data = {(const uint8_t *)"x", 1};
    struct cv_err e;
    if (cv_file_replace(dir, "file", data, 0, &e) != CV_OK ||
        cv_file_replace(dir, "file", data, 0, &e) != CV_OK) {
        return (int)e.native;
    }
    return answer(unlinkat(dir, "file", 0));
}

static void files(void **state)
{
    (void)state;
    int refused = landlock_abi() > 0 ? EACCES : DONE;
    static const enum cv_sandbox_profile with_files[] = {CV_SANDBOX_BROKER,
                                                         CV_SANDBOX_OFFLINE};
    for (size_t k = 0; k < COUNT(with_files); k++) {
        enum cv_sandbox_profile p = with_files[k];
        assert_int_equal(locked_down(p, true, make_inside), DONE);
        assert_int_equal(locked_down(p, true, list_inside), DONE);
        assert_int_equal(locked_down(p, true, replace_inside), DONE);
        assert_int_equal(locked_down(p, true, make_outside), refused);
        assert_int_equal(locked_down(p, true, read_outside), refused);
        assert_int_equal(locked_down(p, false, list_inside), DONE);
        assert_int_equal(locked_down(p, false, make_inside), refused);
    }
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, false, list_inside), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, false, list_inside), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, false, read_outside),
                     refused);
    assert_int_equal(locked_down(CV_SANDBOX_RELAY, false, make_inside),
                     refused);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, false, read_outside),
                     refused);
    /* No files at all, not even those within reach. */
    assert_int_equal(locked_down(CV_SANDBOX_TOKEN, true, make_inside), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_TOKEN, true, list_inside), EPERM);
}

static int unlink_inside(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/file", inside);
    return unlink(path) != 0 && errno == ENOENT ? DONE : 1;
}

static int mkdir_inside(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/sub", inside);
    return mkdir(path, 0700) != 0 ? errno : rmdir(path);
}

/* From one folder to another, both within reach. */
static int move_inside(void)
{
    int dir = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdirat(dir, "sub", 0700) != 0 ||
        openat(dir, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0) {
        return errno;
    }
    int result = answer(renameat(dir, "file", dir, "sub/file"));
    (void)unlinkat(dir, result == DONE ? "sub/file" : "file", 0);
    (void)unlinkat(dir, "sub", AT_REMOVEDIR);
    return result;
}

static int cut_inside(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/long", inside);
    return answer(truncate(path, 0));
}

static void moving_and_cutting(void **state)
{
    (void)state;
    if (landlock_abi() < 3) {
        skip();
    }
    assert_int_equal(locked_down(CV_SANDBOX_BROKER, true, move_inside), DONE);
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/long", inside);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(locked_down(CV_SANDBOX_BROKER, true, cut_inside), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_BROKER, false, cut_inside), EACCES);
    assert_int_equal(unlink(path), 0);
}

static void changing_files(void **state)
{
    (void)state;
    assert_int_equal(locked_down(CV_SANDBOX_BROKER, true, mkdir_inside), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_BROKER, true, unlink_inside), DONE);
    assert_int_equal(locked_down(CV_SANDBOX_INTAKE, true, mkdir_inside), EPERM);
    assert_int_equal(locked_down(CV_SANDBOX_TOKEN, true, mkdir_inside), EPERM);
}

static int map(int protection)
{
    void *p = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? errno : DONE;
}

static int map_data(void)
{
    return map(PROT_READ | PROT_WRITE);
}

static int map_code(void)
{
    return map(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int make_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return answer(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static void memory(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(closed); k++) {
        assert_int_equal(locked_down(closed[k], true, map_data), DONE);
        assert_int_equal(locked_down(closed[k], true, map_code), EPERM);
        assert_int_equal(locked_down(closed[k], true, make_code), EPERM);
    }
}

static int dumpable(void)
{
    return answer(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int raise_limit(void)
{
    struct rlimit core = {0, 0};
    return answer(setrlimit(RLIMIT_CORE, &core));
}

static int read_limit(void)
{
    struct rlimit core;
    return answer(getrlimit(RLIMIT_CORE, &core));
}

static int type_for_another(void)
{
    return answer(ioctl(0, TIOCSTI, "x"));
}

static int kill_parent(void)
{
    return answer(kill(getppid(), 0));
}

static int kill_self(void)
{
    return answer(kill(getpid(), 0));
}

static int abort_self(void)
{
    abort();
}

static void itself_and_others(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(closed); k++) {
        assert_int_equal(locked_down(closed[k], true, dumpable), EPERM);
        assert_int_equal(locked_down(closed[k], true, raise_limit), EPERM);
        assert_int_equal(locked_down(closed[k], true, read_limit), DONE);
        assert_int_equal(locked_down(closed[k], true, type_for_another), EPERM);
        assert_int_equal(locked_down(closed[k], true, kill_parent), EPERM);
        assert_int_equal(locked_down(closed[k], true, kill_self), DONE);
        assert_int_equal(locked_down(closed[k], true, abort_self),
                         128 + SIGABRT);
    }
}

static void *nothing(void *argument)
{
    return argument;
}

static int start_thread(void)
{
    pthread_t thread;
    int result = pthread_create(&thread, NULL, nothing, NULL);
    return result != 0 ? result : pthread_join(thread, NULL);
}

static void threads(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(closed); k++) {
        assert_int_equal(locked_down(closed[k], true, start_thread), DONE);
    }
}

/* What a spawner starts is inside its sandbox, and can enter its own. */
static int spawn(void)
{
    char script[] = "test -r /etc/passwd && grep -q 'NoNewPrivs:.*1' "
                    "/proc/self/status && grep -q 'Seccomp:.*2' "
                    "/proc/self/status";
    char name[] = "sh";
    char flag[] = "-c";
    char *argv[] = {name, flag, script, NULL};
    struct cv_process_start s = {
        .path = "/bin/sh", .argv = argv, .socket = -1, .extra = {-1}};
    pid_t pid = -1;
    if (cv_process_start(&s, &pid, NULL) != CV_OK) {
        return 1;
    }
    if (cv_process_wait(pid) != 0) {
        return 2;
    }
    return locked_down(CV_SANDBOX_TOKEN, false, try_inet) == EPERM ? DONE : 3;
}

static void the_spawner(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        if (cv_sandbox_enter(CV_SANDBOX_SPAWNER, NULL, 0, NULL, NULL) !=
            CV_OK) {
            _exit(NOT_ENTERED);
        }
        _exit(spawn());
    }
    assert_int_equal(cv_process_wait(pid), DONE);
}

static int modules(look *what)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(cv_sandbox_enter(CV_SANDBOX_MODULE, NULL, 0, NULL, NULL) != CV_OK
                  ? NOT_ENTERED
                  : what());
    }
    return cv_process_wait(pid);
}

static int be_dumpable(void)
{
    return answer(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static volatile int second_forked;

static void *fork_later(void *argument)
{
    (void)argument;
    while (second_forked == 0) {
        (void)sched_yield();
    }
    second_forked = try_fork();
    return NULL;
}

/* A thread that was there before is locked down too. */
static int fork_in_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, fork_later, NULL) != 0 ||
        cv_sandbox_enter(CV_SANDBOX_MODULE, NULL, 0, NULL, NULL) != CV_OK) {
        return NOT_ENTERED;
    }
    second_forked = 1;
    (void)pthread_join(thread, NULL);
    return second_forked;
}

static void code_of_others(void **state)
{
    (void)state;
    look *const kills[] = {try_ptrace,   try_read_memory, try_bpf,
                           try_io_uring, try_mount,       try_keys,
                           try_unshare};
    look *const refused[] = {try_exec,   try_execveat, try_fork,
                             try_packet, try_vsock,    be_dumpable};
    look *const fine[] = {try_inet,     try_inet6,   try_unix,    start_thread,
                          read_outside, make_inside, list_inside, map_code};
    for (size_t i = 0; i < COUNT(kills); i++) {
        assert_int_equal(modules(kills[i]), BAD_SYSTEM_CALL);
    }
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_int_equal(modules(refused[i]), EPERM);
    }
    for (size_t i = 0; i < COUNT(fine); i++) {
        assert_int_equal(modules(fine[i]), DONE);
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(fork_in_thread());
    }
    assert_int_equal(cv_process_wait(pid), EPERM);
}

/* A folder by its descriptor, a single file by its path. */
static void kinds_of_folders(void **state)
{
    (void)state;
    if (landlock_abi() == 0) {
        skip();
    }
    pid_t pid = fork();
    if (pid == 0) {
        const struct cv_sandbox_folder folders[] = {
            {NULL, open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC), true},
            {"/etc/passwd", -1, true},
        };
        struct cv_sandbox_report r;
        if (cv_sandbox_enter(CV_SANDBOX_BROKER, folders, 2, &r, NULL) !=
                CV_OK ||
            r.landlock_abi < 1) {
            _exit(NOT_ENTERED);
        }
        if (make_inside() != DONE || read_outside() != DONE) {
            _exit(1);
        }
        _exit(open("/etc/group", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES);
    }
    assert_int_equal(cv_process_wait(pid), DONE);
}

static void entering_twice(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct cv_err e;
        if (cv_sandbox_enter(CV_SANDBOX_BROKER, NULL, 0, NULL, &e) != CV_OK) {
            _exit(NOT_ENTERED);
        }
        /* The first forbids what the second needs: that is told. */
        _exit(cv_sandbox_enter(CV_SANDBOX_BROKER, NULL, 0, NULL, &e) !=
              CV_UNAVAILABLE);
    }
    assert_int_equal(cv_process_wait(pid), DONE);
}

static void what_there_is(void **state)
{
    (void)state;
    struct cv_sandbox_report r;
    cv_sandbox_probe(&r);
    assert_true(r.no_new_privs);
    assert_true(r.seccomp);
    assert_true(r.landlock_abi >= 0);
    /* Nothing was entered. */
    assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_kills),
        cmocka_unit_test(starting_programs),
        cmocka_unit_test(code_of_others),
        cmocka_unit_test(new_processes),
        cmocka_unit_test(new_sockets),
        cmocka_unit_test(accepting),
        cmocka_unit_test(files),
        cmocka_unit_test(changing_files),
        cmocka_unit_test(moving_and_cutting),
        cmocka_unit_test(memory),
        cmocka_unit_test(itself_and_others),
        cmocka_unit_test(threads),
        cmocka_unit_test(the_spawner),
        cmocka_unit_test(kinds_of_folders),
        cmocka_unit_test(entering_twice),
        cmocka_unit_test(what_there_is),
    };
    return cmocka_run_group_tests(tests, make_folders, drop_folders);
}
