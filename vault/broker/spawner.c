#include "vault/broker/spawner_internal.h"

#include "vault/base/file.h"
#include "vault/base/process.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Requests that may be under way. */
#define ASKED 8

struct cv_spawner {
    int socket;
    pid_t pid;
    enum cv_spawner_program asked[ASKED]; /* answers come in this order */
    size_t n_asked;
    int ready[CV_SPAWNER_COUNT]; /* prepared and not yet taken; -1: none */
    uint32_t ready_child[CV_SPAWNER_COUNT];
    uint32_t child; /* the last answer's, or of what was prepared */
    int second;     /* the second descriptor of the last answer; -1: none */
    bool remote;    /* intake and relay are another's to start */
    bool gone;      /* it was killed */
};

enum cv_status cv_spawner_start(const struct cv_spawner_options *options,
                                struct cv_spawner **out, struct cv_err *err)
{
    struct cv_spawner *sp = calloc(1, sizeof(*sp));
    enum cv_status s;

    *out = NULL;
    if (sp == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    for (size_t i = 0; i < CV_SPAWNER_COUNT; i++) {
        sp->ready[i] = -1;
    }
    sp->remote = options->helpers_at != NULL;
    s = cv_spawner_process_start(options, &sp->socket, &sp->pid, err);
    if (s != CV_OK) {
        free(sp);
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

/* The descriptors of an answer, one or two; -1 where there is none. */
static void take_descriptors(struct msghdr *m, int fds[2])
{
    fds[0] = fds[1] = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
         c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len >= CMSG_LEN(sizeof(int)) &&
            c->cmsg_len <= CMSG_LEN(2 * sizeof(int)) && fds[0] == -1) {
            memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
        }
    }
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
    struct cv_spawner_answer a = {.error = EIO};
    struct iovec iov = {.iov_base = &a, .iov_len = sizeof(a)};
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control;
    int fds[2] = {-1, -1};
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
    if (a.error == 0) {
        take_descriptors(&m, fds);
    }
    errno = a.error;
    sp->child = a.child;
    sp->second = fds[1];
    return fds[0];
}

/* Takes answers until that of `program` is there, or (CV_SPAWNER_COUNT) none is
 * outstanding. */
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
        sp->ready_child[which] = sp->child;
    }
    return -1;
}

enum cv_status cv_spawner_reload(struct cv_spawner *sp, bool *changed,
                                 struct cv_err *err)
{
    const unsigned number = CV_SPAWNER_RELOAD;

    *changed = false;
    (void)answer_for(sp, CV_SPAWNER_COUNT);
    if (send(sp->socket, &number, sizeof(number), MSG_NOSIGNAL) !=
        (ssize_t)sizeof(number)) {
        return cv_fail_errno(err, CV_UNAVAILABLE, "the spawner is gone");
    }
    (void)receive(sp);
    if (errno != 0) {
        return cv_fail(err, errno == EPIPE ? CV_UNAVAILABLE : CV_CONFIG,
                       "the list of modules cannot be read again");
    }
    *changed = sp->child != 0;
    return CV_OK;
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

enum cv_status cv_spawner_run_child(struct cv_spawner *sp,
                                    enum cv_spawner_program program, int *fd,
                                    uint32_t *child, struct cv_err *err)
{
    enum cv_status s = cv_spawner_run(sp, program, fd, err);

    *child = s == CV_OK ? sp->child : 0;
    return s;
}

enum cv_status cv_spawner_run_relay(struct cv_spawner *sp, int fds[2],
                                    uint32_t *child, struct cv_err *err)
{
    enum cv_status s;

    sp->second = -1;
    s = cv_spawner_run_child(sp, CV_SPAWNER_RELAY, &fds[0], child, err);
    fds[1] = sp->second;
    sp->second = -1;
    if (s == CV_OK && fds[1] == -1) {
        cv_file_close(&fds[0]);
        s = cv_fail(err, CV_UNAVAILABLE, "the relay came without its sockets");
    }
    return s;
}

void cv_spawner_kill(struct cv_spawner *sp, uint32_t child)
{
    unsigned number = child | CV_SPAWNER_KILL;

    (void)!send(sp->socket, &number, sizeof(number), MSG_NOSIGNAL);
}

bool cv_spawner_look(struct cv_spawner *sp)
{
    struct pollfd p = {.fd = sp->socket};

    sp->gone = sp->gone || poll(&p, 1, 0) > 0;
    return sp->gone;
}

int cv_spawner_lifeline(const struct cv_spawner *sp)
{
    return sp->socket;
}

enum cv_status cv_spawner_run(struct cv_spawner *sp,
                              enum cv_spawner_program program, int *fd,
                              struct cv_err *err)
{
    *fd = sp->ready[program];
    sp->child = sp->ready_child[program];
    sp->ready[program] = -1;
    if (*fd == -1 && (is_asked(sp, program) || ask(sp, program))) {
        *fd = answer_for(sp, program);
    }
    if (*fd == -1) {
        enum cv_status s;

        sp->gone = sp->gone || errno == EPIPE || errno == ECONNRESET;
        s = cv_fail_errno(err, CV_UNAVAILABLE, "cannot start a helper program");

        if (sp->gone) {
            cv_err_hint(err, "what starts them was killed, and the broker ends "
                             "with it: try again when it runs again");
        } else if (sp->remote && (program == CV_SPAWNER_INTAKE ||
                                  program == CV_SPAWNER_SINK ||
                                  program == CV_SPAWNER_RELAY)) {
            cv_err_hint(err, "systemctl status certvault-intake.socket "
                             "certvault-relay.socket");
        } else {
            cv_err_hint(err, "check that libexec/certvault lies beside bin, "
                             "as it was built");
        }
        return s;
    }
    return CV_OK;
}
