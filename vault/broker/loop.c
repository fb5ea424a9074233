#include "vault/broker/loop.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* As long as somebody is connected it looks around this often. */
#define TICK_MS 1000

struct cv_loop {
    const struct cv_loop_hooks *hooks;
    int listener;
    bool single; /* one connection, with which it ends */
    bool over;   /* it serves nobody any more, and drops all callers */
    struct cv_caller *callers[CV_LIMIT_CLIENTS];
    size_t n_callers;
    size_t n_attached; /* of them */
    struct pollfd polls[CV_LIMIT_CLIENTS + 2];
    struct cv_loop_request gathered[CV_LIMIT_TOGETHER];
    size_t n_gathered;
};

static volatile sig_atomic_t ended;

static void on_end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

/* The signals that end it stay blocked except while it waits, so that none is
 * missed between the look and the wait. */
static void catch_signals(sigset_t *while_waiting)
{
    struct sigaction sa = {.sa_handler = on_end};
    sigset_t blocked;

    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &blocked, while_waiting);
    (void)sigdelset(while_waiting, SIGTERM);
    (void)sigdelset(while_waiting, SIGINT);
}

static void caller_free(struct cv_caller *c)
{
    cv_channel_free(c->channel);
    free(c);
}

/* Takes `fd`. A connection that is not admitted is closed without a word: its
 * uid is nobody whom this broker serves. `iface`: it is attached. */
static enum cv_status add_caller(struct cv_loop *l, int fd,
                                 const struct cv_interface *iface,
                                 struct cv_err *err)
{
    struct cv_caller *c = calloc(1, sizeof(*c));
    enum cv_status s;

    if (c == NULL || l->n_callers == CV_LIMIT_CLIENTS) {
        free(c);
        (void)close(fd);
        return cv_fail(err, CV_BUSY, "too many connections");
    }
    s = cv_channel_new(fd, CV_LIMIT_FRAME_CLIENT, &c->channel, err);
    if (s == CV_OK) {
        s = cv_peer_read(cv_channel_fd(c->channel), &c->peer, err);
    }
    if (s == CV_OK && iface == NULL &&
        !l->hooks->admits(l->hooks->context, &c->peer)) {
        s = cv_fail(err, CV_DENIED, "this uid is not served");
    }
    if (s != CV_OK) {
        caller_free(c);
        return s;
    }
    c->last_ms = cv_clock_boot_ms();
    c->iface = iface;
    l->n_attached += iface != NULL ? 1 : 0;
    l->callers[l->n_callers++] = c;
    return CV_OK;
}

static void drop_caller(struct cv_loop *l, size_t i)
{
    struct cv_caller *c = l->callers[i];

    l->callers[i] = l->callers[--l->n_callers];
    l->n_attached -= c->iface != NULL ? 1 : 0;
    if (l->hooks->left != NULL) {
        l->hooks->left(l->hooks->context, c);
    }
    caller_free(c);
}

enum cv_status cv_loop_attach(struct cv_loop *l, int fd,
                              const struct cv_interface *iface,
                              struct cv_caller **out, struct cv_err *err)
{
    enum cv_status s = add_caller(l, fd, iface, err);

    *out = s == CV_OK ? l->callers[l->n_callers - 1] : NULL;
    return s;
}

/* Those that somebody else connected. */
static size_t n_clients(const struct cv_loop *l)
{
    return l->n_callers - l->n_attached;
}

/* Answers the requests that waited for each other. */
static void answer_gathered(struct cv_loop *l)
{
    if (l->n_gathered > 0) {
        l->hooks->together(l->hooks->context, l->gathered, l->n_gathered);
    }
    for (size_t i = 0; i < l->n_gathered; i++) {
        struct cv_loop_request *r = &l->gathered[i];

        r->caller->broken = r->caller->broken || r->failed;
        cv_message_free(&r->message);
    }
    l->n_gathered = 0;
}

static enum cv_status answer_one(struct cv_loop *l, struct cv_caller *c,
                                 struct cv_message *request, struct cv_err *err)
{
    enum cv_status s;

    if (l->hooks->waits != NULL &&
        l->hooks->waits(l->hooks->context, c, request)) {
        l->gathered[l->n_gathered++] =
            (struct cv_loop_request){.caller = c, .message = *request};
        if (l->n_gathered == CV_LIMIT_TOGETHER) {
            answer_gathered(l);
        }
        return CV_OK;
    }
    /* It may not overtake what the same caller sent before. */
    answer_gathered(l);
    s = cv_serve_message(c->iface != NULL ? c->iface : l->hooks->iface,
                         l->hooks->enter(l->hooks->context, c), c->channel,
                         request, err);
    cv_message_free(request);
    return s;
}

/* Answers every whole request that was read, or gathers it. */
static enum cv_status answer(struct cv_loop *l, struct cv_caller *c,
                             struct cv_err *err)
{
    for (;;) {
        struct cv_message request;
        enum cv_status s = cv_channel_next(c->channel, &request, err);

        if (s != CV_OK || request.tree == NULL) {
            return s;
        }
        s = answer_one(l, c, &request, err);
        if (s != CV_OK) {
            return s;
        }
    }
}

/* Reads from one caller and answers it, or gathers what it wants. */
static void serve_caller(struct cv_loop *l, struct cv_caller *c)
{
    struct cv_err err;
    bool closed = false;

    cv_err_init(&err);
    c->last_ms = cv_clock_boot_ms();
    if (cv_channel_fill(c->channel, &closed, &err) != CV_OK ||
        answer(l, c, &err) != CV_OK || closed) {
        c->broken = true;
    }
}

static void accept_callers(struct cv_loop *l)
{
    struct cv_err err;

    for (;;) {
        int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd == -1) {
            return;
        }
        cv_err_init(&err);
        (void)!add_caller(l, fd, NULL, &err);
    }
}

static nfds_t fill_polls(struct cv_loop *l)
{
    nfds_t n = 0;

    for (size_t i = 0; i < l->n_callers; i++) {
        l->polls[n++] = (struct pollfd){
            .fd = cv_channel_fd(l->callers[i]->channel), .events = POLLIN};
    }
    if (!l->single) {
        l->polls[n++] = (struct pollfd){.fd = l->listener, .events = POLLIN};
        /* poll passes over a descriptor that is -1. */
        l->polls[n++] =
            (struct pollfd){.fd = l->hooks->watch, .events = POLLIN};
    }
    return n;
}

/* Nobody talks to it any more. */
static bool is_quiet(const struct cv_loop *l, const struct cv_caller *c,
                     int64_t now)
{
    return !l->single && c->iface == NULL && c->grants == 0 &&
           now - c->last_ms > CV_LIMIT_CLIENT_IDLE_S * 1000LL;
}

/* From the last to the first, because dropping moves the last one. */
static void drop_broken(struct cv_loop *l)
{
    for (size_t i = l->n_callers; i-- > 0;) {
        if (l->callers[i]->broken) {
            drop_caller(l, i);
        }
    }
}

static void serve_ready(struct cv_loop *l, size_t n_callers)
{
    int64_t now = cv_clock_boot_ms();

    for (size_t i = 0; i < n_callers; i++) {
        if (l->polls[i].revents != 0) {
            serve_caller(l, l->callers[i]);
        } else if (is_quiet(l, l->callers[i], now)) {
            l->callers[i]->broken = true;
        }
    }
    answer_gathered(l);
}

/* How long to wait at most; false: not at all, for it is over. */
static bool how_long(const struct cv_loop *l, bool busy, struct timespec *limit,
                     const struct timespec **out)
{
    bool ticking = busy || (!l->single && n_clients(l) > 0);
    int64_t rest = -1;

    if (!l->single && l->hooks->rest != NULL) {
        rest = l->hooks->rest(l->hooks->context, n_clients(l));
        if (rest == 0) {
            return false;
        }
    }
    if (ticking && (rest == -1 || rest > TICK_MS)) {
        rest = TICK_MS;
    }
    limit->tv_sec = rest / 1000;
    limit->tv_nsec = rest % 1000 * 1000000;
    *out = rest == -1 ? NULL : limit;
    return true;
}

static enum cv_status run(struct cv_loop *l, struct cv_err *err)
{
    const struct timespec *timeout = NULL;
    struct timespec limit = {0};
    sigset_t while_waiting;
    bool busy = false;

    catch_signals(&while_waiting);
    if (l->hooks->begun != NULL) {
        l->hooks->begun(l->hooks->context, l);
    }
    while (!ended && (!l->single || n_clients(l) > 0) &&
           how_long(l, busy, &limit, &timeout)) {
        size_t n_callers = l->n_callers;
        nfds_t n = fill_polls(l);
        int ready = ppoll(l->polls, n, timeout, &while_waiting);

        if (ready == -1 && errno != EINTR) {
            return cv_fail_errno(err, CV_INTERNAL, "cannot wait for sockets");
        }
        if (ready > 0) {
            bool knocked = !l->single && l->polls[n - 2].revents != 0;
            bool watched = !l->single && l->polls[n - 1].revents != 0;

            serve_ready(l, n_callers);
            if (watched) {
                l->hooks->watched(l->hooks->context);
            }
            if (knocked) {
                accept_callers(l);
            }
        }
        drop_broken(l);
        busy = l->hooks->idle(l->hooks->context);
        drop_broken(l);
    }
    return CV_OK;
}

enum cv_status cv_loop_run(const struct cv_loop_hooks *hooks, int fd,
                           int listener, struct cv_err *err)
{
    struct cv_loop *l = calloc(1, sizeof(*l));
    enum cv_status s = CV_OK;

    if (l == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    l->hooks = hooks;
    l->listener = listener;
    l->single = fd != -1;
    if (l->single) {
        s = add_caller(l, fd, NULL, err);
    }
    if (s == CV_OK) {
        s = run(l, err);
    }
    l->over = true;
    while (l->n_callers > 0) {
        drop_caller(l, l->n_callers - 1);
    }
    free(l);
    return s;
}

bool cv_loop_is_over(const struct cv_loop *loop)
{
    return loop->over;
}

/* What lies at `path`: nothing, or a socket that nobody serves (removed). */
static enum cv_status clear_path(const struct sockaddr_un *sa,
                                 struct cv_err *err)
{
    struct stat st;
    int fd, connected;

    if (lstat(sa->sun_path, &st) == -1) {
        return errno == ENOENT
                   ? CV_OK
                   : cv_fail_errno(err, CV_CONFIG, "%s", sa->sun_path);
    }
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) {
        return cv_fail(err, CV_CONFIG, "%s is there and is no socket of ours",
                       sa->sun_path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket");
    }
    connected = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
    (void)close(fd);
    if (connected == 0) {
        return cv_fail(err, CV_BUSY, "a broker already serves %s",
                       sa->sun_path);
    }
    if (unlink(sa->sun_path) == -1) {
        return cv_fail_errno(err, CV_CONFIG, "cannot remove %s", sa->sun_path);
    }
    return CV_OK;
}

enum cv_status cv_loop_listen(const char *path, mode_t mode, int *listener,
                              struct cv_err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    enum cv_status s;

    *listener = -1;
    if (strlen(path) >= sizeof(sa.sun_path)) {
        return cv_fail(err, CV_CONFIG, "the socket's path is longer than %zu",
                       sizeof(sa.sun_path) - 1);
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    s = clear_path(&sa, err);
    if (s != CV_OK) {
        return s;
    }
    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The umask is 077: it is born closed to others and opened afterwards. */
    if (*listener == -1 ||
        bind(*listener, (const struct sockaddr *)&sa, sizeof(sa)) == -1 ||
        chmod(path, mode) == -1 || listen(*listener, 128) == -1) {
        s = cv_fail_errno(err, CV_CONFIG, "cannot listen at %s", path);
        cv_file_close(listener);
    }
    return s;
}
