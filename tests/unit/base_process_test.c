/* vault/base/process.h and vault/base/peer.h. The program starts itself, to
 * report from inside what a started program finds: see report_self. */
#include "vault/base/arena.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/peer.h"
#include "vault/base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A text as execve wants it: writable. */
#define TEXT(literal) ((char[]){literal})

static char self[4096];

/* What it finds goes to its socket as lines. */
static int report_self(char **environment)
{
    dprintf(3, "session %d\n", getsid(0) == getpid());
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    struct sigaction now;
    sigaction(SIGPIPE, NULL, &now);
    dprintf(3, "signals %d %d\n", sigismember(&blocked, SIGTERM),
            now.sa_handler == SIG_IGN);
    unsigned n = 0;
    while (environment[n] != NULL) {
        dprintf(3, "environment %s\n", environment[n]);
        n++;
    }
    for (int fd = 0; fd < 256; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0) {
            bool null = S_ISCHR(st.st_mode) && st.st_rdev == 0x103;
            dprintf(3, "fd %d%s\n", fd, null ? " null" : "");
        }
    }
    for (int fd = 4; fd < 8; fd++) {
        char text[32];
        ssize_t len = read(fd, text, sizeof(text) - 1);
        if (len > 0) {
            text[len] = '\0';
            dprintf(3, "extra %d %s\n", fd, text);
        }
    }
    return 7;
}

/* What cv_process_begin leaves: 0, or the number of what is not as promised. */
static int begin_and_look(void)
{
    /* Descriptor 1 is closed, 5 to be kept, 6 not. */
    if (dup2(0, 5) != 5 || dup2(0, 6) != 6 || close(1) != 0) {
        return 1;
    }
    cv_process_begin(5);
    struct rlimit core;
    struct sigaction now;
    if (fcntl(1, F_GETFD) < 0 || fcntl(5, F_GETFD) < 0 ||
        fcntl(6, F_GETFD) >= 0) {
        return 2;
    }
    if (umask(0) != 077 || getrlimit(RLIMIT_CORE, &core) != 0 ||
        core.rlim_cur != 0 || core.rlim_max != 0) {
        return 3;
    }
    if (sigaction(SIGPIPE, NULL, &now) != 0 || now.sa_handler != SIG_IGN ||
        prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 4;
    }
    cJSON *tree = NULL;
    struct cv_arena *arena = NULL;
    struct cv_bytes text = {(const uint8_t *)"[1]", 3};
    if (cv_arena_new(4096, &arena, NULL) != CV_OK ||
        cv_json_parse(arena, text, &tree, NULL) != CV_OK) {
        return 5;
    }
    cv_arena_free(arena);
    char path[4096];
    if (cv_process_path("x", path, sizeof(path), NULL) != CV_OK) {
        return 6;
    }
    return 0;
}

static pid_t start(const struct cv_process_start *s)
{
    pid_t pid = -1;
    struct cv_err e;
    cv_err_init(&e);
    enum cv_status status = cv_process_start(s, &pid, &e);
    if (status != CV_OK) {
        fail_msg("%s", e.text);
    }
    assert_true(pid > 0);
    return pid;
}

static void read_report(int fd, char *out, size_t size)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, size - 1);
    assert_int_equal(cv_file_read(fd, "the report", &b, NULL), CV_OK);
    memcpy(out, cv_buf_text(&b), b.len + 1);
    cv_buf_wipe(&b);
}

static void what_a_program_is_given(void **state)
{
    (void)state;
    int pair[2];
    int one[2];
    int two[2];
    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    assert_true((fcntl(pair[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(pipe(one), 0); /* without close-on-exec */
    assert_int_equal(pipe(two), 0);
    assert_int_equal(write(one[1], "first", 5), 5);
    assert_int_equal(write(two[1], "second", 6), 6);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    signal(SIGPIPE, SIG_IGN);
    char *argv[] = {self, TEXT("report"), NULL};
    char *environment[] = {TEXT("A=1"), TEXT("B=2"), NULL};
    struct cv_process_start s = {.path = self,
                                 .argv = argv,
                                 .environment = environment,
                                 .socket = pair[1],
                                 .extra = {one[0], two[0], -1, -1}};
    pid_t pid = start(&s);
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    cv_file_close(&pair[1]);
    char text[2048];
    read_report(pair[0], text, sizeof(text));
    assert_int_equal(cv_process_wait(pid), 7);
    assert_string_equal(text, "session 1\n"
                              "signals 0 0\n"
                              "environment A=1\n"
                              "environment B=2\n"
                              "fd 0 null\n"
                              "fd 1 null\n"
                              "fd 2 null\n"
                              "fd 3\n"
                              "fd 4\n"
                              "fd 5\n"
                              "extra 4 first\n"
                              "extra 5 second\n");
    close(pair[0]);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
}

/* The descriptors given stand where others are to be put. */
static void descriptors_that_collide(void **state)
{
    (void)state;
    int pair[2];
    int one[2];
    int two[2];
    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    assert_int_equal(pipe2(one, O_CLOEXEC), 0);
    assert_int_equal(pipe2(two, O_CLOEXEC), 0);
    assert_int_equal(write(one[1], "first", 5), 5);
    assert_int_equal(write(two[1], "second", 6), 6);
    /* In a child, whose low numbers nobody else uses: 3 and 4 are the extras,
     * the wrong way round, 5 is the socket. */
    pid_t pid = fork();
    if (pid == 0) {
        int high[3] = {fcntl(two[0], F_DUPFD_CLOEXEC, 100),
                       fcntl(one[0], F_DUPFD_CLOEXEC, 100),
                       fcntl(pair[1], F_DUPFD_CLOEXEC, 100)};
        for (int i = 0; i < 3; i++) {
            if (dup3(high[i], 3 + i, O_CLOEXEC) != 3 + i) {
                _exit(99);
            }
        }
        char *argv[] = {self, TEXT("report"), NULL};
        struct cv_process_start s = {
            .path = self, .argv = argv, .socket = 5, .extra = {4, 3, 0, 0}};
        pid_t child = -1;
        if (cv_process_start(&s, &child, NULL) != CV_OK) {
            _exit(98);
        }
        _exit(cv_process_wait(child));
    }
    cv_file_close(&pair[1]);
    char text[2048];
    read_report(pair[0], text, sizeof(text));
    assert_int_equal(cv_process_wait(pid), 7);
    assert_string_equal(text, "session 1\n"
                              "signals 0 0\n"
                              "fd 0 null\n"
                              "fd 1 null\n"
                              "fd 2 null\n"
                              "fd 3\n"
                              "fd 4\n"
                              "fd 5\n"
                              "extra 4 first\n"
                              "extra 5 second\n");
    close(pair[0]);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
}

static void streams_that_are_kept(void **state)
{
    (void)state;
    /* Without a socket 3 is closed, though we have one; stdin and stderr are
     * ours. */
    char script[] = "test ! -e /proc/self/fd/3 && read x && "
                    "test $x = line && echo $x >&2";
    char *argv[] = {TEXT("sh"), TEXT("-c"), script, NULL};
    int in[2];
    int out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], "line\n", 5), 5);
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(in[0], 0) != 0 || dup2(out[1], 2) != 2 || dup2(1, 3) != 3) {
            _exit(99);
        }
        struct cv_process_start s = {.path = "/bin/sh",
                                     .argv = argv,
                                     .socket = -1,
                                     .extra = {-1},
                                     .keep_stdin = true,
                                     .keep_stderr = true};
        pid_t child = -1;
        if (cv_process_start(&s, &child, NULL) != CV_OK) {
            _exit(98);
        }
        _exit(cv_process_wait(child));
    }
    close(out[1]);
    char text[100];
    read_report(out[0], text, sizeof(text));
    assert_int_equal(cv_process_wait(pid), 0);
    assert_string_equal(text, "line\n");
    close(in[0]);
    close(in[1]);
    close(out[0]);
}

static void what_cannot_be_started(void **state)
{
    (void)state;
    static const char *const bad[] = {"/nowhere/at/all", "/etc", "/etc/passwd"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *argv[] = {TEXT("x"), NULL};
        struct cv_process_start s = {
            .path = bad[i], .argv = argv, .socket = -1, .extra = {-1}};
        struct cv_err e;
        pid_t pid = 0;
        assert_int_equal(cv_process_start(&s, &pid, &e), CV_UNAVAILABLE);
        assert_int_equal(pid, -1);
        assert_non_null(strstr(e.text, bad[i]));
        assert_int_equal(e.native, i == 0 ? ENOENT : EACCES);
        assert_int_equal(e.hint[0] != '\0', i == 0);
    }
    /* No child was left behind. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void waiting(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGKILL);
    }
    assert_int_equal(cv_process_wait(pid), 128 + SIGKILL);
    assert_int_equal(cv_process_wait(pid), -1);
    assert_int_equal(cv_process_wait(-1), -1);
    assert_int_equal(cv_process_wait(0), -1);
}

static void how_a_program_begins(void **state)
{
    (void)state;
    char *argv[] = {self, TEXT("begin"), NULL};
    struct cv_process_start s = {
        .path = self, .argv = argv, .socket = -1, .extra = {-1}};
    assert_int_equal(cv_process_wait(start(&s)), 0);
}

static void copy_self(const char *to)
{
    struct cv_buf b;
    int fd = -1;
    assert_int_equal(cv_file_open_input(self, &fd, NULL), CV_OK);
    cv_buf_init(&b, NULL, CV_MIB(64));
    assert_int_equal(cv_file_read(fd, "itself", &b, NULL), CV_OK);
    cv_file_close(&fd);
    assert_int_equal(
        cv_file_replace(AT_FDCWD, to, cv_buf_bytes(&b), 0700, NULL), CV_OK);
    cv_buf_wipe(&b);
}

static void where_programs_are(void **state)
{
    (void)state;
    char root[] = "/tmp/certvault-path-XXXXXX";
    assert_non_null(mkdtemp(root));
    static const char *const folders[] = {"bin", "libexec",
                                          "libexec/certvault"};
    static const char *const programs[] = {"bin/x", "libexec/certvault/x"};
    char path[256];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        char want[256];
        (void)snprintf(path, sizeof(path), "%s/%s", root, programs[i]);
        (void)snprintf(want, sizeof(want), "%s/libexec/certvault/token", root);
        copy_self(path);
        char *argv[] = {path, TEXT("path"), want, NULL};
        struct cv_process_start s = {
            .path = path, .argv = argv, .socket = -1, .extra = {-1}};
        assert_int_equal(cv_process_wait(start(&s)), 0);
        assert_int_equal(unlink(path), 0);
    }
    for (size_t i = 3; i > 0; i--) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, folders[i - 1]);
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(root), 0);
    char little[8];
    struct cv_err e;
    assert_int_equal(cv_process_path("x", little, sizeof(little), &e),
                     CV_CONFIG);
}

static int look_at_path(const char *want)
{
    char path[4096];
    if (cv_process_path("libexec/certvault/token", path, sizeof(path), NULL) !=
        CV_OK) {
        return 1;
    }
    return strcmp(path, want) == 0 ? 0 : 2;
}

static void who_is_there(void **state)
{
    (void)state;
    int pair[2];
    struct cv_peer p;
    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    assert_int_equal(cv_peer_read(pair[0], &p, NULL), CV_OK);
    assert_int_equal(p.uid, geteuid());
    assert_int_equal(p.gid, getegid());
    assert_int_equal(p.pid, getpid());
    gid_t groups[CV_PEER_GROUPS];
    int n = getgroups(CV_PEER_GROUPS, groups);
    assert_true(n >= 0);
    assert_int_equal(p.n_groups, n);
    assert_memory_equal(p.groups, groups, (size_t)n * sizeof(gid_t));
    char exe[128];
    cv_err_quote(exe, sizeof(exe), self, strlen(self));
    assert_string_equal(p.exe, exe);
    close(pair[0]);
    close(pair[1]);
}

/* A process that has ended shows nothing any more; who it was stays known. */
static void who_is_gone(void **state)
{
    (void)state;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* An abstract address that the kernel picks (unix(7), autobind). */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(address);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address,
                          sizeof(address.sun_family)),
                     0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len),
                     0);
    pid_t pid = fork();
    if (pid == 0) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _exit(connect(s, (const struct sockaddr *)&address, len) != 0);
    }
    assert_int_equal(cv_process_wait(pid), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    struct cv_peer p;
    assert_int_equal(cv_peer_read(fd, &p, NULL), CV_OK);
    assert_int_equal(p.uid, geteuid());
    assert_int_equal(p.pid, pid);
    assert_string_equal(p.exe, "");
    assert_string_equal(p.tty, "");
    assert_true(p.loginuid == -1);
    close(fd);
    close(listener);
}

/* An undumpable program of the same user shows its name alone, and a name may
 * hold anything. */
static int hide_path(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return 99;
    }
    int pair[2];
    if (prctl(PR_SET_NAME, "a) b\n", 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        cv_process_pair(pair, NULL) != CV_OK) {
        return 98;
    }
    /* The one that asks is another process than the peer. */
    pid_t pid = fork();
    if (pid == 0) {
        struct cv_peer p;
        _exit(cv_peer_read(pair[0], &p, NULL) != CV_OK ||
              strcmp(p.exe, "(a) b?)") != 0);
    }
    return cv_process_wait(pid);
}

static void who_hides_its_path(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(hide_path());
    }
    assert_int_equal(cv_process_wait(pid), 0);
}

/* A process at a terminal of its own. */
static int sit_at_terminal(void)
{
    char name[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    /* A name that looks like the end of it and more fields. */
    if (prctl(PR_SET_NAME, "a) S 1 2 3 4", 0, 0, 0) != 0 || setsid() < 0 ||
        master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
        ptsname_r(master, name, sizeof(name)) != 0 || open(name, O_RDWR) < 0) {
        return 99;
    }
    int pair[2];
    struct cv_peer p;
    if (cv_process_pair(pair, NULL) != CV_OK ||
        cv_peer_read(pair[0], &p, NULL) != CV_OK) {
        return 98;
    }
    return strncmp(p.tty, "pts/", 4) != 0 ||
           strcmp(p.tty, name + strlen("/dev/")) != 0;
}

static void whose_terminal(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(sit_at_terminal());
    }
    assert_int_equal(cv_process_wait(pid), 0);
}

static void who_cannot_be_told(void **state)
{
    (void)state;
    struct cv_peer p;
    struct cv_err e;
    /* Not a socket; none there; one that nobody is connected to; TCP. */
    assert_int_equal(cv_peer_read(-1, &p, &e), CV_DENIED);
    int fd = open("/dev/null", O_RDONLY);
    assert_int_equal(cv_peer_read(fd, &p, &e), CV_DENIED);
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(cv_peer_read(fd, &p, &e), CV_DENIED);
    assert_int_equal(p.uid, (uid_t)-1);
    assert_int_equal(p.n_groups, 0);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(cv_peer_read(fd, &p, &e), CV_DENIED);
    close(fd);
}

/* As many groups as there is room for are told, one more is a no. */
static void groups_of(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    for (int n = CV_PEER_GROUPS; n <= CV_PEER_GROUPS + 1; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            gid_t groups[CV_PEER_GROUPS + 1];
            for (int i = 0; i < n; i++) {
                groups[i] = (gid_t)(1000 + i);
            }
            int pair[2];
            struct cv_peer p;
            if (setgroups((size_t)n, groups) != 0 ||
                cv_process_pair(pair, NULL) != CV_OK) {
                _exit(99);
            }
            enum cv_status status = cv_peer_read(pair[0], &p, NULL);
            bool told = status == CV_OK && p.n_groups == CV_PEER_GROUPS &&
                        p.groups[0] == 1000 &&
                        p.groups[CV_PEER_GROUPS - 1] == 1255;
            bool no = status == CV_DENIED && p.n_groups == 0;
            _exit(n == CV_PEER_GROUPS ? !told : !no);
        }
        assert_int_equal(cv_process_wait(pid), 0);
    }
}

int main(int argc, char **argv, char **environment)
{
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0) {
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "report") == 0) {
        return report_self(environment);
    }
    if (argc > 1 && strcmp(argv[1], "begin") == 0) {
        _exit(begin_and_look());
    }
    if (argc > 2 && strcmp(argv[1], "path") == 0) {
        return look_at_path(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_program_is_given),
        cmocka_unit_test(descriptors_that_collide),
        cmocka_unit_test(streams_that_are_kept),
        cmocka_unit_test(what_cannot_be_started),
        cmocka_unit_test(waiting),
        cmocka_unit_test(how_a_program_begins),
        cmocka_unit_test(where_programs_are),
        cmocka_unit_test(who_is_there),
        cmocka_unit_test(who_is_gone),
        cmocka_unit_test(who_hides_its_path),
        cmocka_unit_test(whose_terminal),
        cmocka_unit_test(who_cannot_be_told),
        cmocka_unit_test(groups_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
