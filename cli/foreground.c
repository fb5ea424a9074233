#include "cli/foreground.h"

#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASK_MS 2000
#define NOT_RUNNABLE 126
#define NOT_FOUND 127

/* What reaches us while a command runs, and is its business. */
static const int handed[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
                             SIGUSR2, SIGTSTP, SIGCONT, SIGALRM};
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* As we were started. */
static mode_t first_umask;
static struct sigaction first_pipe, first_size;
static sigset_t first_mask;

void cv_foreground_remember(void)
{
    first_umask = umask(077);
    (void)umask(first_umask);
    (void)sigaction(SIGPIPE, NULL, &first_pipe);
    (void)sigaction(SIGXFSZ, NULL, &first_size);
    (void)sigprocmask(SIG_SETMASK, NULL, &first_mask);
}

static void watched(sigset_t *set)
{
    (void)sigemptyset(set);
    for (size_t i = 0; i < COUNT(handed); i++) {
        (void)sigaddset(set, handed[i]);
    }
    (void)sigaddset(set, SIGCHLD);
}

void cv_foreground_hold(void)
{
    sigset_t set;

    watched(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int cv_foreground_interrupted(void)
{
    sigset_t set;

    (void)sigpending(&set);
    for (size_t i = 0; i < COUNT(ending); i++) {
        if (sigismember(&set, ending[i]) == 1) {
            return ending[i];
        }
    }
    return 0;
}

enum { SIGNALS, BROKER, TIMER, N_WATCHED };

struct run {
    const struct cv_foreground *f;
    struct pollfd fds[N_WATCHED];
    pid_t child; /* 0: none */
    int code;
    bool over;                  /* of what was waited for */
    enum cv_foreground_end end; /* of the grant */
};

/* The command's environment and descriptors are in the state that they had
 * when we began; what is ours closes by itself. */
static void become(const struct cv_foreground *f, int failure)
{
    char *const *argv;
    int number;

    for (size_t i = 0; f->environment[i][0] != NULL; i++) {
        (void)setenv(f->environment[i][0], f->environment[i][1], 1);
    }
    (void)umask(first_umask);
    (void)sigaction(SIGPIPE, &first_pipe, NULL);
    (void)sigaction(SIGXFSZ, &first_size, NULL);
    (void)sigprocmask(SIG_SETMASK, &first_mask, NULL);
    /* execvp(3) changes nothing in it. */
    memcpy(&argv, &f->argv, sizeof(argv));
    (void)execvp(argv[0], argv);
    number = errno;
    (void)!write(failure, &number, sizeof(number));
    _exit(number == ENOENT || number == ENOTDIR ? NOT_FOUND : NOT_RUNNABLE);
}

/* Starts it; *number is errno where it does not run. */
static enum cv_status start(struct run *r, int *number, struct cv_err *err)
{
    int ends[2];
    ssize_t n;

    *number = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a pipe");
    }
    r->child = fork();
    if (r->child == 0) {
        become(r->f, ends[1]);
    }
    if (r->child < 0) {
        enum cv_status s =
            cv_fail_errno(err, CV_INTERNAL, "cannot start a process");

        cv_file_close(&ends[0]);
        cv_file_close(&ends[1]);
        return s;
    }
    cv_file_close(&ends[1]);
    do {
        n = read(ends[0], number, sizeof(*number));
    } while (n == -1 && errno == EINTR);
    if (n != (ssize_t)sizeof(*number)) {
        *number = 0;
    }
    cv_file_close(&ends[0]);
    return CV_OK;
}

/* It stopped: so do we, for the shell to see; whoever continues us continues
 * it. One that was stopped with SIGSTOP is whoever did that one's business. */
static void stop_with(pid_t child, int number)
{
    if (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU) {
        (void)kill(getpid(), SIGSTOP);
        (void)kill(child, SIGCONT);
    }
}

static void reap(struct run *r)
{
    int status;

    while (r->child > 0 &&
           waitpid(r->child, &status, WNOHANG | WUNTRACED) > 0) {
        if (WIFSTOPPED(status)) {
            stop_with(r->child, WSTOPSIG(status));
        } else {
            r->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                          : WEXITSTATUS(status);
            r->child = 0;
            r->over = true;
        }
    }
}

/* The terminal gave it to the command too, but for a hangup, which it tells the
 * first of the session alone; what came from a process did not reach the
 * command unless it was sent to all. */
static void take_signal(struct run *r)
{
    struct signalfd_siginfo info;

    while (read(r->fds[SIGNALS].fd, &info, sizeof(info)) ==
           (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(r);
        } else if (r->f->argv == NULL) {
            for (size_t i = 0; i < COUNT(ending); i++) {
                r->over = r->over || (int)info.ssi_signo == ending[i];
            }
            if (info.ssi_signo == SIGTSTP) {
                (void)kill(getpid(), SIGSTOP);
            }
        } else if ((info.ssi_code != SI_KERNEL || info.ssi_signo == SIGHUP) &&
                   r->child > 0) {
            (void)kill(r->child, (int)info.ssi_signo);
        }
    }
}

static void tell(struct run *r, enum cv_foreground_end how)
{
    if (how == CV_FOREGROUND_NOTHING) {
        return;
    }
    if (r->end == CV_FOREGROUND_NOTHING) {
        r->end = how;
        r->f->ended(r->f->context, how);
    }
    /* Nothing more will be heard that matters. */
    r->fds[TIMER].fd = r->fds[BROKER].fd = -1;
    r->over = r->over || r->f->argv == NULL;
}

static void turn(struct run *r)
{
    int n = poll(r->fds, N_WATCHED, r->fds[BROKER].fd >= 0 ? ASK_MS : -1);

    if (n == 0 && !r->f->ask(r->f->context)) {
        tell(r, CV_FOREGROUND_LOST);
    }
    if (n <= 0) {
        return;
    }
    if (r->fds[SIGNALS].revents != 0) {
        take_signal(r);
    }
    if (!r->over && r->fds[BROKER].fd >= 0 && r->fds[BROKER].revents != 0) {
        tell(r, r->f->hear(r->f->context));
    }
    if (!r->over && r->fds[TIMER].fd >= 0 && r->fds[TIMER].revents != 0) {
        tell(r, CV_FOREGROUND_TIME);
    }
}

static enum cv_status watch(struct run *r, struct cv_err *err)
{
    struct itimerspec when = {.it_value.tv_sec =
                                  r->f->seconds > 0 ? r->f->seconds : 1};
    sigset_t set;

    watched(&set);
    r->fds[SIGNALS].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    r->fds[TIMER].fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
    r->fds[BROKER].fd = r->f->broker;
    for (size_t i = 0; i < N_WATCHED; i++) {
        r->fds[i].events = POLLIN;
    }
    if (r->fds[SIGNALS].fd == -1 || r->fds[TIMER].fd == -1 ||
        timerfd_settime(r->fds[TIMER].fd, 0, &when, NULL) != 0) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot wait");
    }
    return CV_OK;
}

static enum cv_status not_run(const struct run *r, int number, int *code,
                              struct cv_err *err)
{
    char shown[200];
    const char *name = r->f->argv[0];

    *code = number == ENOENT || number == ENOTDIR ? NOT_FOUND : NOT_RUNNABLE;
    errno = number;
    return cv_fail_errno(
        err, CV_FAILED, "cannot run %s",
        cv_err_quote(shown, sizeof(shown), name, strlen(name)));
}

enum cv_status cv_foreground_run(const struct cv_foreground *f, int *code,
                                 struct cv_err *err)
{
    struct run r = {.f = f, .fds = {{-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}}};
    int number = 0, timer;
    enum cv_status s = watch(&r, err);

    timer = r.fds[TIMER].fd;
    *code = 0;
    if (s == CV_OK && f->argv != NULL) {
        s = start(&r, &number, err);
    }
    if (s == CV_OK && number != 0) {
        s = not_run(&r, number, code, err);
        (void)waitpid(r.child, NULL, 0);
        r.over = true;
    }
    while (s == CV_OK && !r.over) {
        turn(&r);
    }
    if (s == CV_OK) {
        *code = r.code;
        if (f->argv == NULL && r.end == CV_FOREGROUND_LOST) {
            s = cv_fail(err, CV_UNAVAILABLE, "the broker is gone");
        } else if (f->argv == NULL && r.end == CV_FOREGROUND_EARLY) {
            s = cv_fail(err, CV_UNAVAILABLE,
                        "the grant has ended before its time");
        }
    }
    cv_file_close(&r.fds[SIGNALS].fd);
    cv_file_close(&timer);
    return s;
}
