#include "vault/base/process.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Above every descriptor that a program is started with. */
#define HIGH 64

/* What the child needs, made ready before it is there: in it only calls that
 * are safe in a signal handler are. */
struct launch {
    const struct cv_process_start *start;
    int failure; /* where errno goes when execve fails */
};

static void give_up(int failure)
{
    int number = errno;
    /* Nothing can be done where this fails too: the parent reads an end. */
    ssize_t n = write(failure, &number, sizeof(number));
    _exit(n == (ssize_t)sizeof(number) ? 127 : 126);
}

static void reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++) {
        (void)sigaction(i, &standard, NULL); /* SIGKILL, SIGSTOP refuse */
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A copy of `fd` out of the way of those that are to be put in place. */
static int lift(int fd, int failure)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
    if (high < 0) {
        give_up(failure);
    }
    return high;
}

static void place(int from, int to, int failure)
{
    if (dup2(from, to) < 0) {
        give_up(failure);
    }
}

static void close_all_from(int first, int but)
{
    if (but > first) {
        (void)syscall(SYS_close_range, (unsigned)first, (unsigned)but - 1, 0U);
    }
    (void)syscall(SYS_close_range, (unsigned)but + 1, ~0U, 0U);
}

/* Puts the descriptors where the program expects them; nothing else stays. */
static void place_descriptors(const struct cv_process_start *s, int failure)
{
    int lifted[1 + CV_PROCESS_EXTRA_MAX];
    int n = 0;
    if (s->socket > 0) {
        lifted[n++] = lift(s->socket, failure);
    }
    for (int i = 0; i < CV_PROCESS_EXTRA_MAX && s->extra[i] > 0; i++) {
        lifted[n++] = lift(s->extra[i], failure);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) {
        give_up(failure);
    }
    null = lift(null, failure);
    if (!s->keep_stdin) {
        place(null, STDIN_FILENO, failure);
    }
    place(null, STDOUT_FILENO, failure);
    if (!s->keep_stderr) {
        place(null, STDERR_FILENO, failure);
    }
    int to = s->socket > 0 ? CV_PROCESS_SOCKET : CV_PROCESS_EXTRA;
    if (s->socket <= 0) {
        (void)close(CV_PROCESS_SOCKET);
    }
    for (int i = 0; i < n; i++) {
        place(lifted[i], to++, failure);
    }
    close_all_from(to, failure);
}

static void run_child(const struct launch *l)
{
    static char *const nothing[] = {NULL};
    const struct cv_process_start *s = l->start;
    int failure = lift(l->failure, l->failure);
    reset_signals();
    (void)setsid();
    place_descriptors(s, failure);
    execve(s->path, s->argv, s->environment == NULL ? nothing : s->environment);
    give_up(failure);
}

/* The errno that the child wrote; 0 where the program runs. */
static int read_failure(int fd)
{
    int number = 0;
    ssize_t n = 0;
    do {
        n = read(fd, &number, sizeof(number));
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(number) ? number : 0;
}

static enum cv_status refuse(const char *path, struct cv_err *err)
{
    cv_fail_errno(err, CV_UNAVAILABLE, "cannot start %s", path);
    if (errno == ENOENT) {
        cv_err_hint(err, "certvault is not installed whole: install it again");
    }
    return CV_UNAVAILABLE;
}

#if defined(CV_SANITIZED)
/* The checks do not follow a child onto another stack in the same memory. */
static pid_t launch(struct launch *l)
{
    pid_t child = fork();
    if (child == 0) {
        run_child(l);
    }
    return child;
}
#else
#define STACK CV_KIB(16)

static int run_in_clone(void *launch)
{
    run_child(launch);
    return 127;
}

/* As posix_spawn does: the child borrows this process's memory until it is
 * another program, so that none of it is copied; this thread waits so long. It
 * has a stack of its own, and no handler of ours may run in it. */
static pid_t launch(struct launch *l)
{
    alignas(16) char stack[STACK];
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t child =
        clone(run_in_clone, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, l);
    int number = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return child;
}
#endif

enum cv_status cv_process_start(const struct cv_process_start *s, pid_t *pid,
                                struct cv_err *err)
{
    *pid = -1;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return refuse(s->path, err);
    }
    struct launch l = {s, ends[1]};
    pid_t child = launch(&l);
    int number = errno;
    cv_file_close(&ends[1]);
    if (child > 0) {
        number = read_failure(ends[0]);
    }
    cv_file_close(&ends[0]);
    if (child < 0 || number != 0) {
        if (child > 0) {
            (void)cv_process_wait(child);
        }
        errno = number;
        return refuse(s->path, err);
    }
    *pid = child;
    return CV_OK;
}

int cv_process_wait(pid_t pid)
{
    int status = 0;
    pid_t got = 0;
    if (pid <= 0) {
        return -1; /* waitpid would take any child */
    }
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return -1;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
