/* One connection of the relay, to a client or to a server, on the event loop.
 *
 * A leg carries bytes over TLS, or plainly where it was given no SSL (tests).
 * It never blocks. What comes in is offered to `read`, what goes out is queued
 * and sent when the socket takes it: what is written within one turn of the
 * loop goes out together, so that many small pieces make one TLS record. Both
 * directions have back-pressure: a reader takes as much as it has room for
 * (or pauses the leg), a writer asks for room first. A leg that has nothing to
 * do holds no buffer, of ours or of libssl's.
 *
 * Hooks are called from the loop, never from within a call of this header. In
 * any of them the leg may be freed.
 *
 * Threads: the loop's alone. A leg may be made of an SSL that another thread
 * shook hands with. */
#ifndef CERTVAULT_RELAY_LEG_H
#define CERTVAULT_RELAY_LEG_H

#include "vault/base/err.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct cv_leg;

/* Bytes queued for sending: cv_leg_room is 0 from HIGH on, `writable` comes at
 * LOW. What is written in spite of that is taken up to HARD; beyond that the
 * connection is given up. */
#define CV_LEG_HIGH ((size_t)128 * 1024)
#define CV_LEG_LOW ((size_t)32 * 1024)
#define CV_LEG_HARD ((size_t)1024 * 1024)

struct cv_leg_hooks {
    /* Bytes have come. Returns how many of them were taken; what was not is
     * kept by the leg, which then reads nothing more until
     * cv_leg_pause(leg, false), when it is offered again. */
    size_t (*read)(void *ctx, const uint8_t *data, size_t len);
    /* The queue, which was longer than CV_LEG_LOW, no longer is. */
    void (*writable)(void *ctx);
    /* `clean`: the other end said that it will send nothing more (TLS's
     * close_notify; a plain leg's FIN), and all that it sent before was taken;
     * writing goes on to work. Not `clean`: the connection is broken (an
     * error, an alert, an end without close_notify: cv_leg_why tells), and
     * nothing passes either way any more. At most once each. */
    void (*closed)(void *ctx, bool clean);
};

/* Takes the connected socket `fd`, which it makes non-blocking, and `ssl`
 * (NULL: plain), whose handshake is done; both in any case. Reads nothing
 * before cv_leg_hook was called. NULL: memory is gone. */
CV_MUST_USE struct cv_leg *cv_leg_new(struct event_base *base, int fd,
                                      SSL *ssl);

/* From now on these hooks (borrowed, usually static; all three are there) are
 * called with `ctx`. Reading begins, unless the leg is paused. A leg that was
 * closed already tells the new hooks again. NULL: none, reading stops. */
void cv_leg_hook(struct cv_leg *leg, const struct cv_leg_hooks *hooks,
                 void *ctx);

/* Sends `len` bytes, or queues them. False where nothing can be sent: the
 * connection is broken, cv_leg_finish was called, or the queue has passed
 * CV_LEG_HARD (the leg is broken then: `closed` will come). */
bool cv_leg_write(struct cv_leg *leg, const void *data, size_t len);

/* How many bytes may be written now, 0 where nothing passes any more. Where it
 * is less than CV_LEG_HIGH - CV_LEG_LOW, `writable` will come. */
size_t cv_leg_room(const struct cv_leg *leg);

/* Bytes that are queued and not sent. */
size_t cv_leg_queued(const struct cv_leg *leg);

/* Stops (true) and resumes reading. A paused leg does not see the other end go
 * unless it writes. */
void cv_leg_pause(struct cv_leg *leg, bool pause);

/* Nothing more will be written: what is queued is sent, then close_notify
 * (plain: FIN). Reading goes on. */
void cv_leg_finish(struct cv_leg *leg);

/* Frees it for its owner: no hook is called any more. The leg sends what is
 * queued, close_notify and FIN, throws away what still comes (so that an
 * answer is not lost to a reset), and is gone when the other end closes too,
 * or after `ms` milliseconds. NULL is fine. */
void cv_leg_linger(struct cv_leg *leg, int ms);

/* Closes at once; what is queued is dropped. NULL is fine. */
void cv_leg_free(struct cv_leg *leg);

/* Frees the legs of this base that linger: before the base is freed. */
void cv_leg_end(const struct event_base *base);

/* Why the connection broke: CV_REMOTE with a text for people ("the other end
 * sent the TLS alert: bad certificate"). Returns that status; CV_OK, `err`
 * untouched, where it did not break. */
enum cv_status cv_leg_why(const struct cv_leg *leg, struct cv_err *err);

/* Borrowed. NULL for a plain leg. */
SSL *cv_leg_ssl(const struct cv_leg *leg);

#endif
