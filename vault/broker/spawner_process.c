/* The process that starts programs: forked before the broker locks itself down,
 * it takes numbers and gives descriptors. */
#include "vault/broker/spawner_internal.h"

#include "vault/base/file.h"
#include "vault/base/process.h"
#include "vault/broker/anchor_place.h"
#include "vault/broker/names.h"
#include "vault/broker/notify.h"
#include "vault/broker/sink_command.h"
#include "vault/broker/sshsig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Programs that run at one time: a broker has one of each kind, and a few that
 * it let go and that are ending. */
#define CHILDREN 64

/* How long a helper's socket may take to let us in. */
#define CONNECT_S 5

/* Where the spawner keeps the text for module processes. */
#define MODULES_FD CV_PROCESS_EXTRA

/* How long module processes may take to end by themselves: their module closes
 * what it has open. */
#define MODULE_END_S 5

struct child {
    pid_t pid; /* 0: none; not yet waited for */
    uint32_t number;
    bool module;
};

#define VARIABLES 16

/* What the spawner knows, filled in before the fork. */
struct table {
    char path[CV_SPAWNER_COUNT][PATH_MAX];
    bool allow_unlocked;
    const struct cv_spawner_options *options;
    char helpers_at[PATH_MAX]; /* "": intake and relay are started here */
    char *environment[VARIABLES + 2]; /* of module processes */
    int modules;                      /* the text for them; -1: none */
    struct child children[CHILDREN];
    uint32_t last;    /* number given to a child */
    sigset_t signals; /* blocked in its children, and while it waits */
};

static char locale[] = "LC_ALL=C";
static char *const environment[] = {locale, NULL};

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* A file without a name that holds `text` and can never change; NULL: it is
 * still to be written and sealed. */
static enum cv_status keep_text(const char *text, int *fd, struct cv_err *err)
{
    const struct cv_bytes bytes = {(const uint8_t *)text,
                                   text != NULL ? strlen(text) : 0};
    enum cv_status s;

    *fd = memfd_create("modules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot keep the modules");
    }
    if (text == NULL) {
        return CV_OK;
    }
    s = cv_file_write(*fd, bytes, "the list of modules", err);
    if (s == CV_OK && fcntl(*fd, F_ADD_SEALS, SEALS) == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot seal the modules");
    }
    return s;
}

static enum cv_status fill_table(const struct cv_spawner_options *o,
                                 struct table *t, struct cv_err *err)
{
    enum cv_status s;

    memset(t, 0, sizeof(*t));
    t->modules = -1;
    t->options = o;
    t->allow_unlocked = o->allow_unlocked;
    t->environment[0] = locale;
    if (o->helpers_at != NULL) {
        if (o->helpers_at[0] != '/' || strlen(o->helpers_at) >= PATH_MAX) {
            return cv_fail(err, CV_CONFIG,
                           "the helpers' folder is no absolute path");
        }
        memcpy(t->helpers_at, o->helpers_at, strlen(o->helpers_at) + 1);
    }
    for (size_t i = 0;
         i < VARIABLES && o->environment != NULL && o->environment[i] != NULL;
         i++) {
        t->environment[i + 1] = o->environment[i];
    }
    if (o->modules != NULL) {
        s = keep_text(o->modules, &t->modules, err);
        if (s != CV_OK) {
            return s;
        }
    }
    s = cv_process_path("libexec/certvault/token", t->path[CV_SPAWNER_TOKEN],
                        PATH_MAX, err);
    if (s == CV_OK) {
        s = cv_process_path("libexec/certvault/intake",
                            t->path[CV_SPAWNER_INTAKE], PATH_MAX, err);
    }
    if (s == CV_OK) {
        s = cv_process_path("libexec/certvault/relay",
                            t->path[CV_SPAWNER_RELAY], PATH_MAX, err);
    }
    if (s == CV_OK) {
        memcpy(t->path[CV_SPAWNER_MODULE], t->path[CV_SPAWNER_TOKEN], PATH_MAX);
        memcpy(t->path[CV_SPAWNER_SINK], t->path[CV_SPAWNER_INTAKE], PATH_MAX);
    }
    return s;
}

/* The pairs of a program: [0] stays here, [1] is its own. */
struct pairs {
    int socket[2];
    int second[2]; /* the relay's; else -1 */
};

/* A child may have children of its own. */
static void usual_signals(const struct table *t)
{
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &t->signals, NULL);
}

/* A child without execve: it keeps nothing but its socket. */
static int fork_child(const struct table *t, unsigned program, int socket,
                      int other_end, pid_t *child)
{
    pid_t pid = fork();

    if (pid == -1) {
        return errno;
    }
    *child = pid;
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_DFL);
        usual_signals(t);
        (void)close(CV_PROCESS_SOCKET);
        (void)close(other_end);
        if (t->modules != -1) {
            (void)close(t->modules);
        }
        if (program == CV_SPAWNER_NAMES) {
            cv_names_serve(socket);
        } else if (program == CV_SPAWNER_SSHSIG) {
            cv_sshsig_serve(socket);
        } else if (program == CV_SPAWNER_COMMAND) {
            cv_sink_command_serve(t->options, socket);
        } else if (program == CV_SPAWNER_NOTIFY) {
            cv_notify_run(t->options->notify, socket);
        } else if (program == CV_SPAWNER_ANCHOR) {
            cv_anchor_place_serve(t->options->anchors, socket);
        } else {
            t->options->settings(t->options->context, socket);
        }
        _exit(0);
    }
    return 0;
}

static int exec_program(struct table *t, enum cv_spawner_program program,
                        const struct pairs *pairs, pid_t *child)
{
    static char unlocked[] = "--allow-unlocked", pkcs11[] = "--pkcs11";
    bool module = program == CV_SPAWNER_MODULE;
    char *argv[4] = {t->path[program], NULL, NULL, NULL};
    size_t n = 1;
    struct cv_process_start start = {
        .path = t->path[program],
        .argv = argv,
        .environment = module ? t->environment : environment,
        .socket = pairs->socket[1],
        .extra = {module ? t->modules : pairs->second[1], -1, -1, -1},
#ifdef CV_SANITIZED
        .keep_stderr = true,
#endif
    };
    struct cv_err err;

    if (module) {
        argv[n++] = pkcs11;
    }
    if (t->allow_unlocked) {
        argv[n++] = unlocked;
    }
    cv_err_init(&err);
    if (cv_process_start(&start, child, &err) != CV_OK) {
        return err.domain == CV_DOMAIN_ERRNO ? (int)err.native : EIO;
    }
    return 0;
}

static void answer_with(int socket, int error, uint32_t child,
                        const struct pairs *pairs)
{
    const int fds[2] = {pairs != NULL ? pairs->socket[0] : -1,
                        pairs != NULL ? pairs->second[0] : -1};
    const size_t len = fds[1] != -1 ? sizeof(fds) : sizeof(fds[0]);
    struct cv_spawner_answer a = {.error = error, .child = child};
    struct iovec iov = {.iov_base = &a, .iov_len = sizeof(a)};
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (error == 0 && fds[0] != -1) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(len);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(len);
        memcpy(CMSG_DATA(c), fds, len);
    }
    (void)sendmsg(socket, &m, MSG_NOSIGNAL);
}

/* What ended is waited for. */
static void reap(struct table *t)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        struct child *c = &t->children[i];

        if (c->pid != 0 && waitpid(c->pid, NULL, WNOHANG) == c->pid) {
            c->pid = 0;
        }
    }
}

/* A place for one more child. */
static struct child *child_place(struct table *t)
{
    reap(t);
    for (size_t i = 0; i < CHILDREN; i++) {
        if (t->children[i].pid == 0) {
            return &t->children[i];
        }
    }
    return NULL;
}

/* A number is given once, and a child that was not waited for keeps its pid:
 * so this is never another process. */
static void kill_one(const struct table *t, uint32_t number)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        if (t->children[i].pid != 0 && t->children[i].number == number) {
            (void)kill(t->children[i].pid, SIGKILL);
        }
    }
}

static void close_pairs(struct pairs *p)
{
    for (int i = 0; i < 2; i++) {
        cv_file_close(&p->socket[i]);
        cv_file_close(&p->second[i]);
    }
}

static bool make_pairs(unsigned program, struct pairs *p)
{
    struct cv_err err;

    cv_err_init(&err);
    return cv_process_pair(p->socket, &err) == CV_OK &&
           (program != CV_SPAWNER_RELAY ||
            cv_process_pair(p->second, &err) == CV_OK);
}

/* What stands at `path` must be a socket that nobody but us, root and our
 * service manager could have made or can reach. */
static int check_socket(const char *folder, const char *path)
{
    struct stat above, st;

    if (lstat(folder, &above) == -1 || lstat(path, &st) == -1) {
        return errno;
    }
    if (!S_ISDIR(above.st_mode) || !S_ISSOCK(st.st_mode) ||
        (above.st_uid != 0 && above.st_uid != geteuid()) ||
        (above.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        (st.st_uid != 0 && st.st_uid != geteuid()) ||
        (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return EPERM;
    }
    return 0;
}

static int connect_one(const struct table *t, const char *leaf, int *fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const struct timeval limit = {CONNECT_S, 0};
    int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", t->helpers_at,
                     leaf);
    int error = n > 0 && (size_t)n < sizeof(to.sun_path)
                    ? check_socket(t->helpers_at, to.sun_path)
                    : ENAMETOOLONG;

    if (error != 0) {
        return error;
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd == -1 ||
        setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == -1 ||
        connect(*fd, (const struct sockaddr *)&to, sizeof(to)) == -1) {
        error = errno;
        cv_file_close(fd);
    }
    return error;
}

/* Intake or the relay, where it is its service manager's to start. */
static void connect_helper(const struct table *t, int socket, unsigned program,
                           uint32_t number)
{
    struct pairs pairs = {{-1, -1}, {-1, -1}};
    int error = connect_one(
        t, program == CV_SPAWNER_RELAY ? "relay-orders.sock" : "intake.sock",
        &pairs.socket[0]);

    if (error == 0 && program == CV_SPAWNER_RELAY) {
        error = connect_one(t, "relay-asks.sock", &pairs.second[0]);
    }
    answer_with(socket, error, number, &pairs);
    close_pairs(&pairs);
}

/* Those that are no program of ours. */
static bool is_forked(unsigned program)
{
    return program == CV_SPAWNER_NAMES || program >= CV_SPAWNER_SETTINGS;
}

static void serve_one(struct table *t, int socket, unsigned program)
{
    struct child *child = child_place(t);
    struct pairs pairs = {{-1, -1}, {-1, -1}};
    int error;

    if (t->helpers_at[0] != '\0' &&
        (program == CV_SPAWNER_INTAKE || program == CV_SPAWNER_SINK ||
         program == CV_SPAWNER_RELAY)) {
        t->last = (t->last + 1) & ~(CV_SPAWNER_KILL | CV_SPAWNER_RELOAD);
        connect_helper(t, socket, program, t->last);
        return;
    }
    if (child == NULL || program >= CV_SPAWNER_COUNT ||
        (program == CV_SPAWNER_SETTINGS && t->options->settings == NULL) ||
        (program == CV_SPAWNER_COMMAND && t->options->n_sinks == 0) ||
        (program == CV_SPAWNER_NOTIFY && t->options->notify == NULL) ||
        (program == CV_SPAWNER_ANCHOR && t->options->anchors == NULL) ||
        !make_pairs(program, &pairs)) {
        close_pairs(&pairs);
        answer_with(socket, EINVAL, 0, NULL);
        return;
    }
    /* What may not be ended at once. */
    child->module =
        program == CV_SPAWNER_MODULE || program >= CV_SPAWNER_NOTIFY;
    child->number = t->last =
        (t->last + 1) & ~(CV_SPAWNER_KILL | CV_SPAWNER_RELOAD);
    if (is_forked(program)) {
        error = fork_child(t, program, pairs.socket[1], pairs.socket[0],
                           &child->pid);
    } else {
        error = exec_program(t, (enum cv_spawner_program)program, &pairs,
                             &child->pid);
    }
    answer_with(socket, error, child->number, &pairs);
    close_pairs(&pairs);
}

static bool is_same(int a, int b)
{
    char x[4096], y[sizeof(x)];
    off_t at = 0;

    for (;;) {
        ssize_t n = pread(a, x, sizeof(x), at);

        if (n < 0 || pread(b, y, sizeof(y), at) != n ||
            memcmp(x, y, (size_t)n) != 0) {
            return false;
        }
        if (n == 0) {
            return true;
        }
        at += n;
    }
}

/* A child reads it, so that no parser runs in what starts programs. */
static bool read_modules(const struct table *t, int fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        usual_signals(t);
        (void)close(CV_PROCESS_SOCKET);
        _exit(t->options->modules_now(t->options->context, fd) ? 0 : 1);
    }
    return pid > 0 && cv_process_wait(pid) == 0;
}

static void reload(struct table *t, int socket)
{
    const struct pairs none = {{-1, -1}, {-1, -1}};
    struct cv_err err;
    bool changed = false;
    int fd = -1, error = 0;

    cv_err_init(&err);
    if (t->options->modules_now == NULL || t->modules == -1) {
        error = ENOTSUP;
    } else if (keep_text(NULL, &fd, &err) != CV_OK || !read_modules(t, fd) ||
               fcntl(fd, F_ADD_SEALS, SEALS) == -1) {
        error = EINVAL;
    } else {
        changed = !is_same(fd, t->modules);
        error = dup2(fd, t->modules) == -1 ? errno : 0;
    }
    cv_file_close(&fd);
    answer_with(socket, error, changed ? 1 : 0, &none);
}

static void end_all(const struct table *t, bool modules, int signal_number)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        if (t->children[i].pid != 0 && t->children[i].module == modules) {
            (void)kill(t->children[i].pid, signal_number);
        }
    }
}

static volatile sig_atomic_t late;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    late = 1; /* and waitpid returns */
}

/* The broker is gone: what was started for it has nobody to answer any more,
 * and nothing that could be left half-done. None is left for others to find.
 * Only a module may be in the middle of writing to its token: it gets the time
 * to come to an end. */
static void end(const struct table *t)
{
    struct sigaction wake = {.sa_handler = on_alarm};
    const struct itimerval time = {{1, 0}, {MODULE_END_S, 0}};

    end_all(t, false, SIGTERM);
    (void)sigaction(SIGALRM, &wake, NULL);
    (void)setitimer(ITIMER_REAL, &time, NULL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
        if (late) {
            end_all(t, true, SIGKILL);
        }
    }
    _exit(0);
}

/* It types into no terminal (TIOCSTI), reads none, and gets no signal of one;
 * what goes wrong can still be said on standard error. */
static void leave_terminal(void)
{
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (tty != -1) {
        (void)ioctl(tty, TIOCNOTTY);
        (void)close(tty);
    }
    if (nothing > 2) {
        (void)dup2(nothing, 0);
        (void)dup2(nothing, 1);
        (void)close(nothing);
    }
}

static void on_child(int signal_number)
{
    (void)signal_number; /* and ppoll returns */
}

/* The end of a child is heard of in `await` alone. */
static void hear_of_children(struct table *t)
{
    const struct sigaction wake = {.sa_handler = on_child,
                                   .sa_flags = SA_NOCLDSTOP};
    sigset_t child;

    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigaction(SIGCHLD, &wake, NULL);
    (void)sigprocmask(SIG_BLOCK, &child, &t->signals);
    (void)sigdelset(&t->signals, SIGCHLD);
}

/* Until the broker says something. What ends meanwhile is waited for at once:
 * the next word may be a day away, and so long it would stay as a zombie. */
static void await(struct table *t)
{
    struct pollfd p = {.fd = CV_PROCESS_SOCKET, .events = POLLIN};

    do {
        reap(t);
    } while (ppoll(&p, 1, NULL, &t->signals) == -1 && errno == EINTR);
}

static void spawner_main(struct table *t, int socket)
{
    unsigned program;

    leave_terminal();

    /* Either may lie where the other is to be: a service begins with nothing
     * behind standard error. */
    socket = fcntl(socket, F_DUPFD_CLOEXEC, MODULES_FD + 1);
    if (t->modules != -1) {
        t->modules = fcntl(t->modules, F_DUPFD_CLOEXEC, MODULES_FD + 1);
    }
    /* The broker's client must see its connection end with the broker. */
    if (dup2(socket, CV_PROCESS_SOCKET) == -1) {
        _exit(1);
    }
    if (t->modules != -1) {
        if (dup2(t->modules, MODULES_FD) == -1) {
            _exit(1);
        }
        t->modules = MODULES_FD;
    }
    (void)close_range(t->modules == -1 ? CV_PROCESS_SOCKET + 1 : MODULES_FD + 1,
                      ~0U, 0);
    /* Ctrl-C at the terminal is the command line's alone. */
    (void)signal(SIGINT, SIG_IGN);
    /* Likewise what tells a service to read its configuration again. */
    (void)signal(SIGHUP, t->options->settings != NULL ? SIG_IGN : SIG_DFL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    hear_of_children(t);
    for (;;) {
        ssize_t n;

        await(t);
        n = recv(CV_PROCESS_SOCKET, &program, sizeof(program), MSG_WAITALL);
        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n != (ssize_t)sizeof(program)) {
            end(t);
        }
        if ((program & CV_SPAWNER_KILL) != 0) {
            kill_one(t, program & ~CV_SPAWNER_KILL);
        } else if (program == CV_SPAWNER_RELOAD) {
            reload(t, CV_PROCESS_SOCKET);
        } else {
            serve_one(t, CV_PROCESS_SOCKET, program);
        }
    }
}

enum cv_status
cv_spawner_process_start(const struct cv_spawner_options *options, int *socket,
                         pid_t *pid, struct cv_err *err)
{
    static struct table t;
    int pair[2];
    enum cv_status s = fill_table(options, &t, err);

    if (s == CV_OK &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot make a socket pair");
    }
    if (s != CV_OK) {
        cv_file_close(&t.modules);
        return s;
    }
    *pid = fork();
    if (*pid == 0) {
        spawner_main(&t, pair[1]);
    }
    (void)close(pair[1]);
    cv_file_close(&t.modules);
    if (*pid == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot start the spawner");
        cv_file_close(&pair[0]);
    }
    *socket = pair[0];
    return s;
}
