/* Between the files of the leg alone. */
#ifndef CERTVAULT_RELAY_LEG_INTERNAL_H
#define CERTVAULT_RELAY_LEG_INTERNAL_H

#include "vault/base/arena.h"
#include "vault/relay/leg.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/* What goes into one TLS record (RFC 8446, 5.1). A piece of the queue is as
 * long: libssl wants what it could not send offered again in one piece. */
#define CV_LEG_PIECE ((size_t)16384)

struct cv_leg_piece;

/* Bytes to be sent, in pieces that are filled up before a new one is made. */
struct cv_leg_queue {
    struct cv_leg_piece *first, *last;
    size_t len;
};

/* False: memory is gone, nothing was added. */
CV_MUST_USE bool cv_leg_queue_add(struct cv_leg_queue *q, const uint8_t *data,
                                  size_t len);
/* The longest run at its head; borrowed. */
struct cv_bytes cv_leg_queue_first(const struct cv_leg_queue *q);
/* That many bytes of the first run were sent. */
void cv_leg_queue_took(struct cv_leg_queue *q, size_t len);
/* Empties it. */
void cv_leg_queue_drop(struct cv_leg_queue *q);

struct cv_leg {
    struct event in, out;
    struct event again; /* a timer: others had their turn */
    int fd;             /* -1: released */
    SSL *ssl;
    const struct cv_leg_hooks *hooks;
    void *ctx;
    struct cv_leg_queue queue;
    uint8_t *rest; /* read, and not taken by the owner */
    size_t rest_from, rest_len;
    char *why;
    struct event *timer; /* of one that lingers */
    struct cv_leg *next, **before;
    bool busy; /* in a callback of the loop: freed at its end */
    bool gone;
    bool paused;
    bool ended;  /* the other end will send nothing more */
    bool broken; /* nothing passes any more */
    bool told_ended, told_broken;
    bool was_high;      /* the queue was over CV_LEG_LOW */
    bool is_soon;       /* on_out is on its way */
    bool finishing;     /* nothing more will be queued */
    bool finished;      /* ... and the other end was told so */
    bool lingers;       /* it has no owner */
    bool send_waits_in; /* sending wants something read first */
};

enum cv_leg_io {
    CV_LEG_IO_DONE,  /* some bytes passed */
    CV_LEG_IO_IN,    /* when the socket can be read */
    CV_LEG_IO_OUT,   /* when it can be written */
    CV_LEG_IO_ENDED, /* the other end will send nothing more */
    CV_LEG_IO_BROKEN /* cv_leg_break was called */
};

/* One read or write of at most `len` bytes, TLS or plain; *n: how many passed.
 */
enum cv_leg_io cv_leg_recv(struct cv_leg *leg, uint8_t *buf, size_t len,
                           size_t *n);
enum cv_leg_io cv_leg_send(struct cv_leg *leg, const uint8_t *data, size_t len,
                           size_t *n);

/* Tells the other end that nothing more will come: close_notify, or FIN. */
enum cv_leg_io cv_leg_shut(struct cv_leg *leg);

/* The connection is of no more use; the owner is told from the loop. */
void cv_leg_break(struct cv_leg *leg, const char *why);

#endif
