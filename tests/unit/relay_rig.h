/* A relay's HTTP between ends that the test plays: clients and servers over
 * plain socket pairs, speaking HTTP/1.1 as text or HTTP/2 through nghttp2, and
 * a broker that writes down, refuses, or lets one wait. All on one loop: what
 * is waited for is waited for by running it. */
#ifndef CERTVAULT_TESTS_UNIT_RELAY_RIG_H
#define CERTVAULT_TESTS_UNIT_RELAY_RIG_H

#include "vault/base/buf.h"
#include "vault/relay/dial.h"
#include "vault/relay/door.h"
#include "vault/relay/grant.h"
#include "vault/relay/session.h"

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>

#define RIG_ID "0123456789abcdef0123456789abcdef"
#define RIG_STREAMS 512
#define RIG_HOST "127.0.0.1:6443"

enum rig_broker { RIG_PERMIT, RIG_DENY, RIG_HOLD };

struct rig {
    struct event_base *base;
    struct cv_session_world *world;
    struct cv_door *door;
    struct cv_dialer *dialer;
    struct cv_grant *grant;
    /* the broker's end */
    struct event *broker_in;
    int broker;
    struct cv_buf broker_text;
    enum rig_broker answers;
    unsigned held;   /* asks that were not answered yet */
    unsigned n_asks; /* of method Request */
    cJSON *last;     /* the last one's parameters */
    /* the servers' ends; under the lock: they are made by worker threads */
    pthread_mutex_t lock;
    int dialled[RIG_STREAMS];
    unsigned n_dialled;
    unsigned n_accepted;
    unsigned last_flags;
    bool speaks_h2;
    bool unreachable;
};

/* A rig with a grant made of RIG_ID and `limits` (further members of its JSON,
 * as `"read_only":true,`; "" none). */
struct rig *rig_new(const char *limits);
void rig_free(struct rig *rig);
struct cv_grant *rig_grant(const char *id, const char *limits);

/* Runs the loop until cond(ctx) holds; fails the test after 20 seconds. */
void rig_until(struct rig *rig, bool (*cond)(void *ctx), void *ctx);
/* Runs what is ready, and what that makes ready. */
void rig_settle(struct rig *rig);
/* Answers the asks that are held. */
void rig_release(struct rig *rig, bool permit);
struct cv_session_counts rig_counts(const struct rig *rig);

/* ---- ends that speak bytes ---- */

struct rig_end {
    struct rig *rig;
    struct event *in;
    int fd;
    struct cv_buf got; /* what came and was not taken yet */
    size_t total;      /* bytes that ever came */
    bool closed;
    bool deaf; /* does not read */
};

int rig_client_fd(struct rig *rig, bool h2);
struct rig_end *rig_end_of(struct rig *rig, int fd);
/* A client's connection, which speaks HTTP/1.1. */
struct rig_end *rig_client(struct rig *rig);
/* The next connection that the relay makes to a server; waits for it. */
struct rig_end *rig_accept(struct rig *rig);
bool rig_has_dialled(struct rig *rig); /* one that was not accepted yet? */
void rig_end_free(struct rig_end *e);  /* closes */
void rig_send(struct rig_end *e, const char *text);
/* Sends what fits now; how many bytes. */
size_t rig_send_some(struct rig_end *e, const void *data, size_t len);
void rig_shut(struct rig_end *e); /* nothing more will be sent */
void rig_deaf(struct rig_end *e, bool deaf);
/* Waits until `text` is there, asserts that nothing else is before it, takes
 * it. */
void rig_expect(struct rig_end *e, const char *text);
/* Waits until `text` is somewhere in what came; takes all up to its end.
 * Returns that, borrowed until the next call. */
const char *rig_until_text(struct rig_end *e, const char *text);
void rig_until_closed(struct rig_end *e);
/* Waits for `n` bytes, takes them. */
void rig_skip(struct rig_end *e, size_t n);

/* ---- ends that speak HTTP/2 ---- */

struct rig_stream {
    int32_t id;
    struct cv_buf head; /* "name: value\n", the final one */
    struct cv_buf interim;
    struct cv_buf trailers;
    size_t got;         /* bytes of body */
    uint64_t sum;       /* of them: each times its place */
    struct cv_buf body; /* the first 64 KiB */
    bool has_head;
    bool ended; /* END_STREAM has come */
    bool closed;
    uint32_t code; /* that it was closed with */
    /* what it sends */
    size_t to_send; /* bytes, made by rig_byte */
    size_t sent;
    const char *text;         /* or this */
    bool more;                /* more will be given: do not end */
    bool given;               /* rig_h2_next has returned it */
    const char *send_trailer; /* its value; name "x-end" */
    bool hold;                /* does not open its window */
    size_t unread;
};

struct rig_h2 {
    struct rig_end *end;
    nghttp2_session *ng;
    bool server;
    struct rig_stream streams[RIG_STREAMS];
    unsigned n_streams;
    bool goaway; /* was received */
    bool dead;
};

struct rig_h2 *rig_client_h2(struct rig *rig);
/* `max_streams` is announced where it is not 0. */
struct rig_h2 *rig_accept_h2(struct rig *rig, uint32_t max_streams);
void rig_h2_free(struct rig_h2 *h);
void rig_h2_flush(struct rig_h2 *h);
/* A request; "body" may be NULL (none). Returns its stream. `extra` is a NULL
 * terminated list of name, value, ... or NULL. */
struct rig_stream *rig_h2_ask(struct rig_h2 *h, const char *method,
                              const char *path, const char *body,
                              const char *const *extra);
/* As it with `n` bytes of body by rig_byte. */
struct rig_stream *rig_h2_ask_big(struct rig_h2 *h, const char *path, size_t n);
/* The server's answer; `body` NULL: none. */
void rig_h2_answer(struct rig_h2 *h, struct rig_stream *s, const char *status,
                   const char *body);
void rig_h2_answer_big(struct rig_h2 *h, struct rig_stream *s, size_t n);
/* An answer that goes on: head now, then pieces. */
void rig_h2_answer_open(struct rig_h2 *h, struct rig_stream *s,
                        const char *status);
void rig_h2_say(struct rig_h2 *h, struct rig_stream *s, const char *text);
void rig_h2_finish(struct rig_h2 *h, struct rig_stream *s);
void rig_h2_interim(struct rig_h2 *h, struct rig_stream *s, const char *status);
/* Waits for the server's next request (its head). */
struct rig_stream *rig_h2_next(struct rig_h2 *h);
void rig_h2_until_head(struct rig_h2 *h, struct rig_stream *s);
void rig_h2_until_ended(struct rig_h2 *h, struct rig_stream *s);
void rig_h2_until_closed(struct rig_h2 *h, struct rig_stream *s);
void rig_h2_until_body(struct rig_h2 *h, struct rig_stream *s, size_t n);
/* Opens the window of a stream that was held. */
void rig_h2_unhold(struct rig_h2 *h, struct rig_stream *s);

static inline uint8_t rig_byte(size_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7);
}

/* The sum that `n` such bytes make. */
uint64_t rig_sum(size_t n);

#endif
