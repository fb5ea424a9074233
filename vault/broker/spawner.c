#include "vault/broker/spawner.h"

#include "vault/base/file.h"
#include "vault/base/process.h"
#include "vault/broker/names.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Programs that run at one time: a broker has one of each kind, and a few that
 * it let go and that are ending. */
#define CHILDREN 64

/* Requests that may be under way. */
#define ASKED 8

struct cv_spawner {
    int socket;
    pid_t pid;
    enum cv_spawner_program asked[ASKED]; /* answers come in this order */
    size_t n_asked;
    int ready[CV_SPAWNER_COUNT]; /* prepared and not yet taken; -1: none */
};

/* What the spawner knows, filled in before the fork. */
struct table {
    char path[CV_SPAWNER_COUNT][PATH_MAX];
    bool allow_unlocked;
    pid_t children[CHILDREN]; /* 0: none; not yet waited for */
};

/* The answer to a request; a descriptor goes along when `error` is 0. */
struct answer {
    int error; /* errno */
};

static char locale[] = "LC_ALL=C";
static char *const environment[] = {locale, NULL};

static enum cv_status fill_table(bool allow_unlocked, struct table *t,
                                 struct cv_err *err)
{
    enum cv_status s;

    memset(t, 0, sizeof(*t));
    t->allow_unlocked = allow_unlocked;
    s = cv_process_path("libexec/certvault/token", t->path[CV_SPAWNER_TOKEN],
                        PATH_MAX, err);
    if (s == CV_OK) {
        s = cv_process_path("libexec/certvault/intake",
                            t->path[CV_SPAWNER_INTAKE], PATH_MAX, err);
    }
    return s;
}

/* A child without execve: it keeps nothing but its socket. */
static int fork_names(int socket, int other_end, int spawner_socket,
                      pid_t *child)
{
    pid_t pid = fork();

    if (pid == -1) {
        return errno;
    }
    *child = pid;
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_DFL);
        (void)close(spawner_socket);
        (void)close(other_end);
        cv_names_serve(socket);
        _exit(0);
    }
    return 0;
}

static int exec_program(struct table *t, enum cv_spawner_program program,
                        int socket, pid_t *child)
{
    static char unlocked[] = "--allow-unlocked";
    char *argv[3] = {t->path[program], NULL, NULL};
    struct cv_process_start start = {
        .path = t->path[program],
        .argv = argv,
        .environment = environment,
        .socket = socket,
        .extra = {-1, -1, -1, -1},
#ifdef CV_SANITIZED
        .keep_stderr = true,
#endif
    };
    struct cv_err err;

    if (t->allow_unlocked) {
        argv[1] = unlocked;
    }
    cv_err_init(&err);
    if (cv_process_start(&start, child, &err) != CV_OK) {
        return err.domain == CV_DOMAIN_ERRNO ? (int)err.native : EIO;
    }
    return 0;
}

static void answer_with(int socket, int error, int fd)
{
    struct answer a = {.error = error};
    struct iovec iov = {.iov_base = &a, .iov_len = sizeof(a)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (error == 0) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    (void)sendmsg(socket, &m, MSG_NOSIGNAL);
}

/* A place for one more child; what ended in the meantime is waited for. */
static pid_t *child_place(struct table *t)
{
    pid_t *place = NULL;

    for (size_t i = 0; i < CHILDREN; i++) {
        if (t->children[i] != 0 &&
            waitpid(t->children[i], NULL, WNOHANG) == t->children[i]) {
            t->children[i] = 0;
        }
        if (t->children[i] == 0 && place == NULL) {
            place = &t->children[i];
        }
    }
    return place;
}

static void serve_one(struct table *t, int socket, unsigned program)
{
    pid_t *child = child_place(t);
    struct cv_err err;
    int pair[2] = {-1, -1};
    int error;

    if (child == NULL || program >= CV_SPAWNER_COUNT ||
        cv_process_pair(pair, &err) != CV_OK) {
        answer_with(socket, EINVAL, -1);
        return;
    }
    if (program == CV_SPAWNER_NAMES) {
        error = fork_names(pair[1], pair[0], socket, child);
    } else {
        error =
            exec_program(t, (enum cv_spawner_program)program, pair[1], child);
    }
    answer_with(socket, error, pair[0]);
    cv_file_close(&pair[0]);
    cv_file_close(&pair[1]);
}

/* The broker is gone: what was started for it has nobody to answer any more,
 * and nothing that could be left half-done. None is left for others to find. */
static void end(const struct table *t)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        if (t->children[i] != 0) {
            (void)kill(t->children[i], SIGTERM);
        }
    }
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    _exit(0);
}

static void spawner_main(struct table *t, int socket)
{
    unsigned program;

    /* The broker's client must see its connection end with the broker. */
    if (dup2(socket, CV_PROCESS_SOCKET) == -1) {
        _exit(1);
    }
    (void)close_range(CV_PROCESS_SOCKET + 1, ~0U, 0);
    /* Ctrl-C at the terminal is the command line's alone. */
    (void)signal(SIGINT, SIG_IGN);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    for (;;) {
        ssize_t n =
            recv(CV_PROCESS_SOCKET, &program, sizeof(program), MSG_WAITALL);

        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n != (ssize_t)sizeof(program)) {
            end(t);
        }
        serve_one(t, CV_PROCESS_SOCKET, program);
    }
}

enum cv_status cv_spawner_start(bool allow_unlocked, struct cv_spawner **out,
                                struct cv_err *err)
{
    static struct table t;
    struct cv_spawner *sp = calloc(1, sizeof(*sp));
    int pair[2];
    pid_t pid;
    enum cv_status s = fill_table(allow_unlocked, &t, err);

    *out = NULL;
    if (s != CV_OK || sp == NULL) {
        free(sp);
        return s != CV_OK ? s : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    for (size_t i = 0; i < CV_SPAWNER_COUNT; i++) {
        sp->ready[i] = -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
        free(sp);
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket pair");
    }
    pid = fork();
    if (pid == 0) {
        spawner_main(&t, pair[1]);
    }
    (void)close(pair[1]);
    sp->socket = pair[0];
    sp->pid = pid;
    if (pid == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot start the spawner");
        cv_spawner_free(sp);
        return s;
    }
    *out = sp;
    return CV_OK;
}

void cv_spawner_free(struct cv_spawner *sp)
{
    if (sp != NULL) {
        for (size_t i = 0; i < CV_SPAWNER_COUNT; i++) {
            cv_file_close(&sp->ready[i]);
        }
        (void)close(sp->socket);
        if (sp->pid > 0) {
            (void)cv_process_wait(sp->pid);
        }
        free(sp);
    }
}

/* The one descriptor of an answer; whatever else came is closed. */
static int take_descriptor(struct msghdr *m)
{
    int fd = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
         c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int)) && fd == -1) {
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        }
    }
    return fd;
}

static bool ask(struct cv_spawner *sp, enum cv_spawner_program program)
{
    unsigned number = program;

    if (sp->n_asked == ASKED || send(sp->socket, &number, sizeof(number),
                                     MSG_NOSIGNAL) != (ssize_t)sizeof(number)) {
        return false;
    }
    sp->asked[sp->n_asked++] = program;
    return true;
}

/* The next answer: a descriptor, or -1 with errno set. */
static int receive(struct cv_spawner *sp)
{
    struct answer a = {.error = EIO};
    struct iovec iov = {.iov_base = &a, .iov_len = sizeof(a)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    do {
        n = recvmsg(sp->socket, &m, MSG_CMSG_CLOEXEC);
    } while (n == -1 && errno == EINTR);
    if (n != (ssize_t)sizeof(a)) {
        errno = EPIPE;
        return -1;
    }
    errno = a.error;
    return a.error == 0 ? take_descriptor(&m) : -1;
}

/* Takes answers until that of `program` is there. */
static int answer_for(struct cv_spawner *sp, enum cv_spawner_program program)
{
    while (sp->n_asked > 0) {
        enum cv_spawner_program which = sp->asked[0];
        int fd = receive(sp);

        sp->n_asked--;
        memmove(sp->asked, sp->asked + 1, sp->n_asked * sizeof(sp->asked[0]));
        if (which == program) {
            return fd;
        }
        cv_file_close(&sp->ready[which]);
        sp->ready[which] = fd;
    }
    return -1;
}

static bool is_asked(const struct cv_spawner *sp,
                     enum cv_spawner_program program)
{
    for (size_t i = 0; i < sp->n_asked; i++) {
        if (sp->asked[i] == program) {
            return true;
        }
    }
    return false;
}

void cv_spawner_prepare(struct cv_spawner *sp, enum cv_spawner_program program)
{
    if (sp->ready[program] == -1 && !is_asked(sp, program)) {
        (void)ask(sp, program);
    }
}

enum cv_status cv_spawner_run(struct cv_spawner *sp,
                              enum cv_spawner_program program, int *fd,
                              struct cv_err *err)
{
    *fd = sp->ready[program];
    sp->ready[program] = -1;
    if (*fd == -1 && (is_asked(sp, program) || ask(sp, program))) {
        *fd = answer_for(sp, program);
    }
    if (*fd == -1) {
        enum cv_status s =
            cv_fail_errno(err, CV_UNAVAILABLE, "cannot start a helper program");

        cv_err_hint(err, "check that libexec/certvault lies beside bin, as it "
                         "was built");
        return s;
    }
    return CV_OK;
}
