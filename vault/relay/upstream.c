#include "vault/relay/upstream_internal.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned char ALPN_H1[] = "\x08http/1.1";

enum cv_status cv_upstream_start(struct cv_err *err)
{
    SSL_CTX *ctx;

    /* The first call of a process decides what is read. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT,
                         NULL) != 1) {
        return cv_fail(err, CV_INTERNAL, "libssl does not start");
    }
    /* What it loads when it is first used, it loads now. */
    ctx = SSL_CTX_new(TLS_method());
    if (ctx == NULL) {
        ERR_clear_error();
        return cv_fail(err, CV_INTERNAL, "libssl does not start");
    }
    SSL_CTX_free(ctx);
    return CV_OK;
}

enum cv_status cv_upstream_new(struct cv_provider *provider,
                               struct cv_grant *grant, cv_upstream_sign *sign,
                               void *context, struct cv_upstream **out,
                               struct cv_err *err)
{
    struct cv_upstream *up = calloc(1, sizeof(*up));
    enum cv_status status;

    *out = NULL;
    if (up == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    atomic_init(&up->refs, 1);
    up->grant = cv_grant_ref(grant);
    up->provider = provider;
    up->sign = sign;
    up->context = context;
    status = cv_upstream_make_ctx(up, err);
    ERR_clear_error();
    if (status != CV_OK) {
        cv_upstream_unref(up);
        return status;
    }
    *out = up;
    return CV_OK;
}

struct cv_upstream *cv_upstream_ref(struct cv_upstream *up)
{
    atomic_fetch_add(&up->refs, 1);
    return up;
}

void cv_upstream_unref(struct cv_upstream *up)
{
    if (up != NULL && atomic_fetch_sub(&up->refs, 1) == 1) {
        SSL_CTX_free(up->ctx);
        cv_grant_unref(up->grant);
        free(up);
    }
}

static bool give_up(struct cv_upstream_try *t, struct cv_err *err)
{
    cv_fail(err, CV_REMOTE, "%s: %s", t->up->grant->upstream.address,
            t->out->cancelled ? "the connection is not wanted any more"
            : t->out->stage == CV_UPSTREAM_REACH
                ? "no connection within the time there was"
                : "TLS was not done within the time there was");
    return false;
}

bool cv_upstream_wait(struct cv_upstream_try *t, struct pollfd *fds, size_t n,
                      int wait_ms, struct cv_err *err)
{
    struct pollfd all[CV_LIMIT_ADDRESSES + 1];
    int64_t left = t->ends_ms - cv_clock_boot_ms();
    bool short_ = wait_ms >= 0 && wait_ms < left;
    int got = 0;

    if (left > 0) {
        memcpy(all, fds, n * sizeof(*fds));
        all[n] = (struct pollfd){t->cancel_fd, POLLIN, 0};
        do {
            got = poll(all, n + 1, short_ ? wait_ms : (int)left);
        } while (got < 0 && errno == EINTR);
        memcpy(fds, all, n * sizeof(*fds));
        if (got > 0 && all[n].revents != 0) {
            t->out->cancelled = true;
            return give_up(t, err);
        }
    }
    if (got < 0 || (got == 0 && !short_)) {
        t->out->timed_out = true;
        return give_up(t, err);
    }
    return true;
}

/* Whose handshake this thread is in: the key is one for all connections of the
 * grant, since making it costs as much as a handshake's share in a signature.
 */
static _Thread_local struct cv_upstream_try *current;

static enum cv_status ask_signer(struct cv_upstream_try *t, const char *purpose,
                                 const char *algorithm, struct cv_bytes data,
                                 struct cv_buf *signature)
{
    const struct cv_upstream_ask ask = {
        t->up->grant,        purpose,
        algorithm,           data,
        t->out->server_spki, t->up->grant->upstream.address};
    int64_t began = cv_clock_boot_ms();
    enum cv_status status;

    if (t->out->server_spki[0] == '\0') {
        return cv_fail(&t->cause, CV_INTERNAL,
                       "a signature before the server was verified");
    }
    t->out->stage = CV_UPSTREAM_SIGN;
    status = t->up->sign(t->up->context, &ask, signature, &t->cause);
    /* The time that a token or a person takes is not the server's. */
    t->ends_ms += cv_clock_boot_ms() - began;
    if (status == CV_OK) {
        t->signed_ = true;
        t->out->stage = CV_UPSTREAM_TLS;
    }
    return status;
}

enum cv_status cv_upstream_ask_signer(void *up, const char *purpose,
                                      const char *algorithm,
                                      struct cv_bytes data,
                                      struct cv_buf *signature,
                                      struct cv_err *err)
{
    struct cv_upstream_try *t = current;
    enum cv_status status;

    if (t == NULL || t->up != up) {
        return cv_fail(err, CV_INTERNAL, "a signature for no handshake");
    }
    cv_err_init(&t->cause);
    status = ask_signer(t, purpose, algorithm, data, signature);
    if (status != CV_OK && err != NULL) {
        *err = t->cause;
    }
    return status;
}

/* The name that the server is asked for; an address is not one (RFC 6066
 * section 3). */
static bool ask_for(SSL *ssl, const struct cv_grant_upstream *to)
{
    char name[CV_LIMIT_HOST + 1]; /* libssl takes no constants */

    (void)snprintf(name, sizeof(name), "%s",
                   to->server_name != NULL ? to->server_name : to->host);
    return strspn(name, "0123456789.") == strlen(name) ||
           strchr(name, ':') != NULL ||
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

static enum cv_status prepare(struct cv_upstream_try *t, struct cv_err *err)
{
    SSL *ssl = SSL_new(t->up->ctx);

    t->out->ssl = ssl;
    if (ssl == NULL || SSL_set_app_data(ssl, t) != 1 ||
        SSL_set_fd(ssl, t->out->fd) != 1 ||
        !ask_for(ssl, &t->up->grant->upstream)) {
        return cv_fail(err, CV_INTERNAL, "libssl takes no connection");
    }
    /* 0 is success, here alone. */
    if ((t->flags & CV_UPSTREAM_H1_ONLY) != 0 &&
        SSL_set_alpn_protos(ssl, ALPN_H1, sizeof(ALPN_H1) - 1) != 0) {
        return cv_fail(err, CV_INTERNAL, "libssl takes no ALPN");
    }
    SSL_set_connect_state(ssl);
    return CV_OK;
}

static enum cv_status blame(struct cv_upstream_try *t, int reason,
                            struct cv_err *err)
{
    unsigned long code = ERR_peek_error();

    if (t->cause.status != CV_OK) {
        if (err != NULL) {
            *err = t->cause; /* the verifier's, the signer's */
        }
        return t->cause.status;
    }
    if (reason == SSL_ERROR_SYSCALL && code == 0) {
        cv_fail(err, CV_REMOTE, "the server closed the connection");
    } else {
        (void)cv_upstream_fail(code, err);
    }
    if (t->signed_ && ERR_GET_LIB(code) != ERR_LIB_SSL) {
        /* An alert is lost where the server resets the connection at once. */
        cv_err_hint(err, "it may have refused the client certificate");
    } else if (t->asked && !t->signed_) {
        cv_err_hint(err, "it asked for a client certificate, with none of the "
                         "signature algorithms that the key has");
    }
    cv_err_prefix(err, "%s", t->up->grant->upstream.address);
    return CV_REMOTE;
}

/* What ALPN chose must be what was offered. */
static bool read_alpn(struct cv_upstream_try *t)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(t->out->ssl, &name, &len);
    t->out->h2 = len == 2 && memcmp(name, "h2", 2) == 0;
    return t->out->h2
               ? (t->flags & CV_UPSTREAM_H1_ONLY) == 0
               : len == 0 || (len == 8 && memcmp(name, "http/1.1", 8) == 0);
}

/* A handshake that libssl is content with. */
static enum cv_status judge(struct cv_upstream_try *t, struct cv_err *err)
{
    const char *address = t->up->grant->upstream.address;

    if (!t->asked) {
        cv_fail(err, CV_REMOTE, "%s does not ask for a client certificate",
                address);
        cv_err_hint(err, "something that is not the API server ends TLS "
                         "before it; requests would be nobody's");
        return CV_REMOTE;
    }
    if (!t->signed_) {
        cv_fail(err, CV_REMOTE,
                "%s takes none of the signature algorithms that the key has",
                address);
        cv_err_hint(err, "`certvault token probe` shows what the token can do");
        return CV_REMOTE;
    }
    if (!read_alpn(t)) {
        return cv_fail(err, CV_REMOTE,
                       "%s chose a protocol that was not offered", address);
    }
    t->out->stage = CV_UPSTREAM_DONE;
    return CV_OK;
}

static enum cv_status shake_hands(struct cv_upstream_try *t, struct cv_err *err)
{
    for (;;) {
        struct pollfd fd = {t->out->fd, POLLIN, 0};
        int got, reason;

        ERR_clear_error();
        current = t;
        got = SSL_do_handshake(t->out->ssl);
        current = NULL;
        if (got == 1) {
            return judge(t, err);
        }
        reason = SSL_get_error(t->out->ssl, got);
        if (reason == SSL_ERROR_WANT_WRITE) {
            fd.events = POLLOUT;
        } else if (reason != SSL_ERROR_WANT_READ) {
            return blame(t, reason, err);
        }
        if (!cv_upstream_wait(t, &fd, 1, -1, err)) {
            return CV_REMOTE;
        }
    }
}

static enum cv_status speak_tls(struct cv_upstream_try *t, struct cv_err *err)
{
    enum cv_status status;

    t->out->stage = CV_UPSTREAM_TLS;
    status = prepare(t, err);
    if (status == CV_OK) {
        status = shake_hands(t, err);
    }
    ERR_clear_error();
    if (status == CV_OK) {
        /* Nothing is signed after the handshake. */
        SSL_certs_clear(t->out->ssl);
        (void)SSL_set_app_data(t->out->ssl, NULL);
    }
    return status;
}

enum cv_status cv_upstream_connect(struct cv_upstream *up, unsigned flags,
                                   int cancel_fd, int timeout_ms,
                                   struct cv_upstream_conn *out,
                                   struct cv_err *err)
{
    struct cv_upstream_try t = {.up = up,
                                .out = out,
                                .flags = flags,
                                .cancel_fd = cancel_fd,
                                .ends_ms = cv_clock_boot_ms() + timeout_ms};
    enum cv_status status;

    memset(out, 0, sizeof(*out));
    out->fd = -1;
    cv_err_init(&t.cause);
    status = cv_upstream_reach(&t, err);
    if (status == CV_OK) {
        status = speak_tls(&t, err);
    }
    if (status != CV_OK) {
        SSL_free(out->ssl);
        out->ssl = NULL;
        if (out->fd >= 0) {
            close(out->fd);
        }
        out->fd = -1;
    }
    return status;
}
