/* Connections to servers, made off the event loop.
 *
 * Resolving a name, connecting and the handshake, in which the broker signs
 * (a token may take a second), all block. A few threads do it; the loop is
 * told when a connection is there. Whether two that want the same connection
 * wait for one is the pool's matter, not this one's.
 *
 * Threads: all calls are the loop's. The `connect` function runs on the worker
 * threads, several at once. */
#ifndef CERTVAULT_RELAY_DIAL_H
#define CERTVAULT_RELAY_DIAL_H

#include "vault/relay/grant.h"

#include <openssl/types.h>
#include <stdbool.h>

struct event_base;
struct cv_leg;
struct cv_dialer;
struct cv_dial;

enum cv_dial_flags {
    CV_DIAL_H1_ONLY = 1 /* offer http/1.1 alone (for an upgrade) */
};

/* A connection that `connect` made. */
struct cv_dial_conn {
    int fd;
    SSL *ssl; /* shaken hands with; NULL: a plain one (tests) */
    bool h2;  /* what ALPN chose */
};

/* How to connect for a grant. */
struct cv_dial_how {
    /* Blocks. Gives up when `cancel_fd` becomes readable, or after
     * `timeout_ms`. On success *out is the caller's; else CV_REMOTE (network,
     * TLS), CV_DENIED and others that the broker said when asked to sign. */
    enum cv_status (*connect)(void *ctx, struct cv_grant *grant, unsigned flags,
                              int cancel_fd, int timeout_ms,
                              struct cv_dial_conn *out, struct cv_err *err);
    void *ctx;
};

/* Starts nothing yet: threads start when they are wanted, `threads` at most,
 * and stay. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_dial_begin(struct event_base *base,
                                         unsigned threads,
                                         const struct cv_dial_how *how,
                                         struct cv_dialer **out,
                                         struct cv_err *err);

/* Cancels what is under way, without calling anybody, and waits for the
 * threads: `connect` must return soon after its cancel_fd says so. NULL is
 * fine. */
void cv_dial_end(struct cv_dialer *dialer);

/* Told once, from the loop, never from within cv_dial. `leg` is the receiver's
 * (it has no hooks yet; `h2`: what ALPN chose), or NULL, and `err` says why:
 * CV_REMOTE, CV_DENIED, CV_BUSY (CV_LIMIT_DIALS wait already) and others. */
typedef void cv_dial_done(void *ctx, struct cv_leg *leg, bool h2,
                          const struct cv_err *err);

/* Connects for `grant` (a reference is held meanwhile) as soon as a thread is
 * free. One grant never has more than a quarter of them, so that a server that
 * does not answer does not stop the others. The ticket is valid until
 * `done` is called or it is cancelled. NULL: memory is gone, `done` will not
 * be called. */
CV_MUST_USE struct cv_dial *cv_dial(struct cv_dialer *dialer,
                                    struct cv_grant *grant, unsigned flags,
                                    cv_dial_done *done, void *ctx);

/* Gives it up: `done` is not called any more. Does not wait. */
void cv_dial_cancel(struct cv_dial *dial);

#endif
