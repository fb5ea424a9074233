/* What upstream's parts share. */
#ifndef CERTVAULT_RELAY_UPSTREAM_INTERNAL_H
#define CERTVAULT_RELAY_UPSTREAM_INTERNAL_H

#include "vault/relay/upstream.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

struct addrinfo;

struct cv_upstream {
    atomic_uint refs;
    struct cv_grant *grant;
    struct cv_provider *provider;
    cv_upstream_sign *sign;
    void *context;
    SSL_CTX *ctx;
};

/* One attempt to connect, on its thread's stack. */
struct cv_upstream_try {
    struct cv_upstream *up;
    struct cv_upstream_conn *out;
    unsigned flags;
    int cancel_fd;
    int64_t ends_ms;     /* CLOCK_BOOTTIME */
    bool asked;          /* the server wants a certificate */
    bool signed_;        /* and got a signature */
    struct cv_err cause; /* what the verifier or the signer said */
};

/* Fills up->ctx of what the grant says. CV_INVALID, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_upstream_make_ctx(struct cv_upstream *up,
                                                struct cv_err *err);

/* The key's signer (a cv_provider_sign; `up` is the struct cv_upstream): asks
 * up->sign for the handshake that this thread is in. */
enum cv_status cv_upstream_ask_signer(void *up, const char *purpose,
                                      const char *algorithm,
                                      struct cv_bytes data,
                                      struct cv_buf *signature,
                                      struct cv_err *err);

/* SSL_CTX_set_cert_verify_callback's: the attempt is the SSL's app data. */
int cv_upstream_verify(X509_STORE_CTX *store, void *arg);

/* A connected socket to the grant's server in t->out->fd. CV_REMOTE, CV_BUSY
 * (CV_LIMIT_LOOKUPS). */
CV_MUST_USE enum cv_status cv_upstream_reach(struct cv_upstream_try *t,
                                             struct cv_err *err);

/* Waits until one of the `n` descriptors has its event, the attempt's end, at
 * most `wait_ms` (-1: no matter). True where it may go on (revents are set, all
 * 0 after `wait_ms`); false where it is over: t->out says why, and `err`. */
struct pollfd;
CV_MUST_USE bool cv_upstream_wait(struct cv_upstream_try *t, struct pollfd *fds,
                                  size_t n, int wait_ms, struct cv_err *err);

/* getaddrinfo, or a unit test's own. */
extern int (*cv_upstream_lookup)(const char *, const char *,
                                 const struct addrinfo *, struct addrinfo **);

#endif
