/* The relay's port on 127.0.0.1: connections are accepted, asked whose they
 * are, and shaken hands with, all on the loop.
 *
 * Whose a connection is the kernel says (sock_diag(7)), before a byte is read
 * or written: somebody who has no grant here is closed at once, and can make
 * the relay do no public-key arithmetic. Who does not finish the handshake
 * within CV_LIMIT_RELAY_SHAKE_S is closed; nobody may be in more than
 * CV_LIMIT_RELAY_SHAKING of them.
 *
 * Threads: the loop's. */
#ifndef CERTVAULT_RELAY_LISTENER_H
#define CERTVAULT_RELAY_LISTENER_H

#include "vault/base/err.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct cv_leg;
struct cv_listener;

struct cv_listener_hooks {
    /* May this user come in? */
    bool (*knows)(void *ctx, uid_t uid);
    /* Is there room for one more? */
    bool (*room)(void *ctx);
    /* A client with a certificate of our CA for the grant `id`, which is to be
     * looked at. `leg` is taken. */
    void (*client)(void *ctx, struct cv_leg *leg, bool h2, const char *id,
                   uid_t uid);
    /* Somebody who had no right to be here; closed already. `uid` NULL: not
     * known; `why`: a literal. */
    void (*stranger)(void *ctx, const uid_t *uid, const char *why);
};

/* `hooks` are borrowed. NULL: memory is gone. */
struct cv_listener *cv_listener_new(struct event_base *base,
                                    const struct cv_listener_hooks *hooks,
                                    void *ctx);

/* Closes; what is in a handshake too. NULL is fine. */
void cv_listener_free(struct cv_listener *l);

/* Listens on 127.0.0.1:*port (0: any, then *port says which) with `ctx` (taken
 * in any case). On the port of before only `ctx` is new, from the next
 * connection on; another one takes its place. CV_BUSY: taken, the text says by
 * whom; CV_DENIED: below 1024, say; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_listener_open(struct cv_listener *l, int *port,
                                            SSL_CTX *ctx, struct cv_err *err);

/* Connections that are in the handshake. */
size_t cv_listener_shaking(const struct cv_listener *l);

#endif
