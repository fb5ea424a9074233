#include "vault/relay/listener.h"

#include "vault/base/limits.h"
#include "vault/relay/leg.h"
#include "vault/relay/tls_front.h"
#include "vault/relay/tls_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Accepted in one turn of the loop. */
#define TURN 32
#define BACKLOG 1024

/* Somebody in the handshake. */
struct shaking {
    struct shaking *next, **before;
    struct cv_listener *l;
    struct event *event;
    SSL *ssl;
    int fd;
    uid_t uid;
    struct timeval until; /* of the loop's clock */
};

struct cv_listener {
    struct event_base *base;
    const struct cv_listener_hooks *hooks;
    void *ctx;
    SSL_CTX *tls;
    struct event *in, *pause; /* pause: descriptors had run out */
    int fd, port;
    struct shaking *shaking;
    size_t n_shaking;
};

struct cv_listener *cv_listener_new(struct event_base *base,
                                    const struct cv_listener_hooks *hooks,
                                    void *ctx)
{
    struct cv_listener *l = calloc(1, sizeof(*l));

    if (l != NULL) {
        l->base = base;
        l->hooks = hooks;
        l->ctx = ctx;
        l->fd = -1;
    }
    return l;
}

static void free_event(struct event **e)
{
    if (*e != NULL) {
        event_free(*e);
        *e = NULL;
    }
}

/* What is `keep`ed is no longer its own. */
static void end_shaking(struct shaking *s, bool keep)
{
    *s->before = s->next;
    if (s->next != NULL) {
        s->next->before = s->before;
    }
    s->l->n_shaking--;
    free_event(&s->event);
    if (!keep) {
        SSL_free(s->ssl);
        (void)close(s->fd);
    }
    free(s);
}

static void stop(struct cv_listener *l)
{
    free_event(&l->in);
    free_event(&l->pause);
    if (l->fd >= 0) {
        (void)close(l->fd);
        l->fd = -1;
    }
}

void cv_listener_free(struct cv_listener *l)
{
    struct shaking *next;

    if (l == NULL) {
        return;
    }
    for (struct shaking *s = l->shaking; s != NULL; s = next) {
        next = s->next;
        end_shaking(s, false);
    }
    stop(l);
    SSL_CTX_free(l->tls);
    free(l);
}

/* Why a handshake failed, where somebody tried to get in; NULL: a client that
 * went, or did not like us. */
static const char *failure(void)
{
    switch (ERR_GET_REASON(cv_tls_cause())) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "no client certificate";
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return "a client certificate that is not of this relay, or is over";
    case SSL_R_BAD_SIGNATURE:
        return "a client certificate without its key";
    default:
        return NULL;
    }
}

/* The handshake is done. */
static void shaken(struct shaking *s)
{
    struct cv_listener *l = s->l;
    char id[CV_GRANT_ID_LEN + 1];
    uid_t uid = s->uid;
    struct cv_leg *leg;
    bool h2;

    if (cv_tls_front_grant(s->ssl, id, NULL) != CV_OK) {
        end_shaking(s, false);
        l->hooks->stranger(l->ctx, &uid, "a client certificate for no grant");
        return;
    }
    h2 = cv_tls_front_is_h2(s->ssl);
    leg = cv_leg_new(l->base, s->fd, s->ssl);
    end_shaking(s, true);
    if (leg != NULL) {
        l->hooks->client(l->ctx, leg, h2, id, uid);
    }
}

/* Waits for the socket, but no longer than it has. */
static void wait_for(struct shaking *s, short what)
{
    struct timeval now, left;

    (void)event_base_gettimeofday_cached(s->l->base, &now);
    if (!evutil_timercmp(&s->until, &now, >)) {
        end_shaking(s, false);
        return;
    }
    evutil_timersub(&s->until, &now, &left);
    if (event_get_events(s->event) != what) {
        (void)event_del(s->event);
        (void)event_assign(s->event, s->l->base, s->fd, what,
                           event_get_callback(s->event), s);
    }
    if (event_add(s->event, &left) != 0) {
        end_shaking(s, false);
    }
}

static void on_shake(evutil_socket_t fd, short what, void *arg)
{
    struct shaking *s = arg;
    struct cv_listener *l = s->l;
    const char *why;
    uid_t uid = s->uid;
    int rc;

    (void)fd;
    if ((what & EV_TIMEOUT) != 0) {
        end_shaking(s, false);
        return;
    }
    ERR_clear_error();
    rc = SSL_accept(s->ssl);
    if (rc == 1) {
        shaken(s);
        return;
    }
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        wait_for(s, EV_READ);
        return;
    case SSL_ERROR_WANT_WRITE:
        wait_for(s, EV_WRITE);
        return;
    default:
        why = failure();
        end_shaking(s, false);
        if (why != NULL) {
            l->hooks->stranger(l->ctx, &uid, why);
        }
    }
}

static size_t shaking_of(const struct cv_listener *l, uid_t uid)
{
    size_t n = 0;

    for (const struct shaking *s = l->shaking; s != NULL; s = s->next) {
        n += s->uid == uid;
    }
    return n;
}

/* Begins the handshake; `fd` is taken. */
static void shake(struct cv_listener *l, int fd, uid_t uid)
{
    static const struct timeval limit = {CV_LIMIT_RELAY_SHAKE_S, 0};
    struct shaking *s = calloc(1, sizeof(*s));
    SSL *ssl = SSL_new(l->tls);
    struct timeval now;

    if (s == NULL || ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        free(s);
        SSL_free(ssl);
        (void)close(fd);
        return;
    }
    s->l = l;
    s->ssl = ssl;
    s->fd = fd;
    s->uid = uid;
    s->before = &l->shaking;
    s->next = l->shaking;
    if (s->next != NULL) {
        s->next->before = &s->next;
    }
    l->shaking = s;
    l->n_shaking++;
    (void)event_base_gettimeofday_cached(l->base, &now);
    evutil_timeradd(&now, &limit, &s->until);
    s->event = event_new(l->base, fd, EV_READ, on_shake, s);
    if (s->event == NULL || event_add(s->event, &limit) != 0) {
        end_shaking(s, false);
    }
}

/* Somebody has come; `fd` is taken. */
static void come(struct cv_listener *l, int fd)
{
    uid_t uid;
    enum cv_status s = cv_tls_front_uid(fd, &uid, NULL);

    if (s != CV_OK) {
        (void)close(fd);
        /* gone again already is no offence */
        if (s != CV_DENIED) {
            l->hooks->stranger(l->ctx, NULL, "the kernel does not say whose");
        }
        return;
    }
    if (!l->hooks->knows(l->ctx, uid)) {
        (void)close(fd);
        l->hooks->stranger(l->ctx, &uid, "a user without a grant");
        return;
    }
    if (!l->hooks->room(l->ctx) ||
        shaking_of(l, uid) >= CV_LIMIT_RELAY_SHAKING) {
        (void)close(fd);
        return;
    }
    shake(l, fd, uid);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
    const struct cv_listener *l = arg;

    (void)fd;
    (void)what;
    (void)event_add(l->in, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval a_while = {0, 100000};
    struct cv_listener *l = arg;

    (void)what;
    for (int i = 0; i < TURN; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (client >= 0) {
            come(l, client);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                   errno == ENOBUFS) {
            (void)event_del(l->in);
            (void)event_add(l->pause, &a_while);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
    }
}

static enum cv_status taken(int port, struct cv_err *err)
{
    uid_t uid;

    if (cv_tls_front_holder(port, &uid, NULL) == CV_OK) {
        (void)cv_fail(err, CV_BUSY,
                      "port %d is taken: a process of uid %lu listens there",
                      port, (unsigned long)uid);
    } else {
        (void)cv_fail(err, CV_BUSY, "port %d is taken", port);
    }
    cv_err_hint(err, "end that process, or give the relay another port in the "
                     "configuration");
    return CV_BUSY;
}

static enum cv_status bind_to(int fd, int *port, struct cv_err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)*port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int on = 1;

    if (fd < 0) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket");
    }
    /* connections of before, in TIME_WAIT, do not hold the port */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        if (errno == EADDRINUSE) {
            return taken(*port, err);
        }
        return cv_fail_errno(err, errno == EACCES ? CV_DENIED : CV_INTERNAL,
                             "cannot listen on port %d", *port);
    }
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot tell the port");
    }
    *port = ntohs(a.sin_port);
    return CV_OK;
}

/* A new socket in the place of the old one. */
static enum cv_status listen_on(struct cv_listener *l, int *port,
                                struct cv_err *err)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    enum cv_status s = bind_to(fd, port, err);
    struct event *in = NULL, *pause = NULL;

    if (s == CV_OK) {
        in = event_new(l->base, fd, EV_READ | EV_PERSIST, on_accept, l);
        pause = event_new(l->base, -1, 0, on_pause, l);
        if (in == NULL || pause == NULL || event_add(in, NULL) != 0) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    if (s != CV_OK) {
        free_event(&in);
        free_event(&pause);
        if (fd >= 0) {
            (void)close(fd);
        }
        return s;
    }
    stop(l);
    l->in = in;
    l->pause = pause;
    l->fd = fd;
    l->port = *port;
    return CV_OK;
}

enum cv_status cv_listener_open(struct cv_listener *l, int *port, SSL_CTX *ctx,
                                struct cv_err *err)
{
    if (l->fd < 0 || *port != l->port) {
        enum cv_status s = listen_on(l, port, err);

        if (s != CV_OK) {
            SSL_CTX_free(ctx);
            return s;
        }
    }
    SSL_CTX_free(l->tls);
    l->tls = ctx;
    return CV_OK;
}

size_t cv_listener_shaking(const struct cv_listener *l)
{
    return l->n_shaking;
}
