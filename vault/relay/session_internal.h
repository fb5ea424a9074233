/* How the parts of the relay's HTTP hang together.
 *
 *   session (a client's connection: front_h1, front_h2)
 *      owns streams (a request and its answer: stream, request)
 *         which use a back (a connection to the server: back_h1, back_h2)
 *            that a pool keeps (one for each grant: pool)
 *
 * A stream has two ends. Either may go first: the front when it passed the
 * whole answer on or the client went, the back when the answer is complete or
 * the connection broke. It is freed when both have gone. */
#ifndef CERTVAULT_RELAY_SESSION_INTERNAL_H
#define CERTVAULT_RELAY_SESSION_INTERNAL_H

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/relay/dial.h"
#include "vault/relay/door.h"
#include "vault/relay/fields_internal.h"
#include "vault/relay/grant.h"
#include "vault/relay/http1.h"
#include "vault/relay/leg.h"
#include "vault/relay/pipe_internal.h"
#include "vault/relay/session.h"

#include <event2/event.h>

struct cv_back;
struct cv_pool;
struct cv_session;
struct cv_splice;
struct cv_stream;

/* Work that is done once, behind all that this turn of the loop brought:
 * sending what many frames made, freeing what may still be on the stack. */
struct cv_turn {
    void (*run)(void *ctx);
    void *ctx;
    struct cv_turn *next;
    bool queued;
};

struct cv_session_world {
    struct cv_session_config config;
    struct event *turn;
    struct cv_turn *turns;
    struct cv_turn **turns_end;
    struct cv_session *sessions;
    struct cv_pool *pools;
    struct cv_buf scratch; /* heads are written here, then sent */
    size_t n_sessions;
    size_t n_streams;
    size_t n_splices;
    size_t n_backs;
    uint64_t n_requests;
    uint64_t next_audit;
    bool ending;
};

void cv_session_turn(struct cv_session_world *w, struct cv_turn *turn);
/* It will not be run: its owner is about to be freed. */
void cv_session_unturn(struct cv_session_world *w, struct cv_turn *turn);
/* The world's buffer for a head, empty. */
struct cv_buf *cv_session_scratch(struct cv_session_world *w);

/* ---- streams ---- */

/* A text in the block of a stream's head, which may move. */
struct cv_piece {
    uint32_t at;
    uint32_t len;
};

struct cv_stream {
    struct cv_session *session; /* NULL: the front has gone */
    struct cv_pool *pool;
    struct cv_stream *next; /* in its session */
    struct cv_stream *prev;
    int32_t front_id; /* h2 */

    struct cv_back *back;
    int32_t back_id;             /* h2 */
    uint32_t window;             /* h2: of its answer */
    size_t passed;               /* h2: bytes of it that were passed on, ... */
    int64_t passed_since_ms;     /* ... since then */
    struct cv_stream *back_next; /* in its back */
    struct cv_stream *back_prev;
    struct cv_stream *wait_next; /* for a connection, in its pool */
    struct cv_pool_dial *dial;   /* one for this stream alone */
    uint64_t ask;                /* of the broker, not answered yet */
    struct cv_session_world *world;

    /* The request. */
    struct cv_fields head;
    struct cv_piece method;
    struct cv_piece target;
    struct cv_piece host;
    struct cv_piece upgrade;
    uint64_t length;        /* of its body, where has_length */
    struct cv_pipe request; /* its body */
    size_t head_len;        /* bytes of it so far, as h2 counts them */

    /* The answer. */
    struct cv_fields answer_head; /* while an h2 server sends it */
    unsigned status;
    struct cv_pipe answer;
    struct cv_fields answer_trailers;

    char audit_id[CV_GRANT_ID_LEN + 24];
    bool has_body;
    bool has_length;
    bool is_head;       /* HEAD */
    bool waiting;       /* in the pool's queue */
    bool sent;          /* to the server, by part at least */
    bool request_taken; /* bytes of its body were */
    bool replayed;      /* was sent twice already */
    bool answering;     /* the final head went to the front */
    bool refused;       /* the answer is ours */
    bool expects;       /* Expect: 100-continue */
    bool begun;         /* its head is complete */
    bool head_too_long;
    bool permit;         /* what was asked of the broker */
    int refuse_code;     /* where not permit */
    struct cv_err *why;  /* likewise */
    bool front_deferred; /* h2: nghttp2 waits for more of `answer` */
    bool back_deferred;  /* h2: of `request` */
};

static inline struct cv_slice cv_stream_text(const struct cv_stream *s,
                                             struct cv_piece piece)
{
    struct cv_slice text = {piece.len > 0 ? s->head.text + piece.at : "",
                            piece.len};

    return text;
}

/* Copies a text into the head's block (a failure sticks to s->head). */
static inline struct cv_piece cv_stream_keep(struct cv_stream *s,
                                             const char *text, size_t len)
{
    struct cv_piece piece = {cv_fields_keep(&s->head, text, len),
                             (uint32_t)len};

    if (s->head.failed) {
        piece.len = 0;
    }
    return piece;
}

/* A new stream of `session`; NULL: memory is gone. */
struct cv_stream *cv_stream_new(struct cv_session *session);

/* -- called by the front */

/* The request's head is complete: decides, records, passes on. */
void cv_stream_begin(struct cv_stream *s);
/* The request is none: records, refuses with `code`. */
void cv_stream_begin_bad(struct cv_stream *s, int code,
                         const struct cv_err *err);
/* `n` bytes of s->answer were taken by the front. */
void cv_stream_answer_took(struct cv_stream *s, size_t n);
/* More of its body: at most what s->request has room for, but for a sender that
 * is bound by a window. `s` may be gone when it returns. */
void cv_stream_request_data(struct cv_stream *s, const void *data, size_t len);
static inline size_t cv_stream_room(const struct cv_pipe *pipe)
{
    return pipe->len < CV_LIMIT_RELAY_PIPE ? CV_LIMIT_RELAY_PIPE - pipe->len
                                           : 0;
}
/* The body is complete. */
void cv_stream_request_end(struct cv_stream *s);
/* The front has passed the whole answer on, or has lost the client: `s` must
 * not be used any more. */
void cv_stream_front_gone(struct cv_stream *s);

/* -- called by the back */

/* An interim answer (100, 103). */
void cv_stream_interim(struct cv_stream *s, unsigned status,
                       struct cv_fields *fields);
/* The final head; `end`: no body follows, and the back has let go of the stream
 * (s->back is NULL), which must not be used any more. `fields` is changed. */
void cv_stream_answer(struct cv_stream *s, unsigned status,
                      struct cv_fields *fields, bool end);
/* At most what s->answer has room for, but for a sender that is bound by a
 * window. The back may have been dropped when it returns. */
void cv_stream_answer_data(struct cv_stream *s, const void *data, size_t len);
/* A 101: the back has let go of the stream and of `server`. */
void cv_stream_upgraded(struct cv_stream *s, struct cv_fields *fields,
                        struct cv_leg *server, const void *first, size_t len);
/* The answer is complete, the back has let go of the stream (s->back is NULL),
 * which must not be used any more. */
void cv_stream_answer_end(struct cv_stream *s);
/* `n` bytes of s->request were taken by the back. */
void cv_stream_request_took(struct cv_stream *s, size_t n);
enum cv_stream_loss {
    CV_STREAM_LOST,     /* who knows what the server did */
    CV_STREAM_STALE,    /* a kept connection, and not a byte of answer came */
    CV_STREAM_UNTOUCHED /* the server surely did nothing with it */
};

/* The back, which has let go of the stream, lost it before its answer was
 * complete. `s` must not be used any more. */
void cv_stream_lost(struct cv_stream *s, enum cv_stream_loss how,
                    const struct cv_err *err);

/* -- called by the pool */

/* There is a connection (`s` waits no more). */
void cv_stream_connected(struct cv_stream *s, struct cv_back *back);
/* There is none. */
void cv_stream_unreachable(struct cv_stream *s, const struct cv_err *err);

/* -- called by all */

/* Answers with a Kubernetes Status, where no answer has begun; else cuts the
 * stream off. The back is dropped. `s` may be gone when it returns. */
void cv_stream_refuse(struct cv_stream *s, int code, const char *why,
                      const char *hint);

/* ---- sessions ---- */

struct cv_session_ops {
    /* s->audit_id and so on are known; `fields` are the answer's, `status` not
     * a 1xx but with `interim`. `end`: no body. */
    void (*answer)(struct cv_stream *s, unsigned status,
                   const struct cv_fields *fields, bool end);
    void (*interim)(struct cv_stream *s, unsigned status,
                    const struct cv_fields *fields);
    /* Takes bytes of the answer at once where s->answer is empty; how many. */
    size_t (*direct)(struct cv_stream *s, const void *data, size_t len);
    /* There is more in s->answer, or its end. */
    void (*wake)(struct cv_stream *s);
    /* `n` bytes of the request were passed on. */
    void (*took)(struct cv_stream *s, size_t n);
    /* The answer will never be complete. Lets go of the stream
     * (cv_stream_front_gone). */
    void (*cut)(struct cv_stream *s);
    /* The server answered 101 and is connected by `server` (taken); `first`
     * came behind it. The stream is let go of. */
    void (*upgrade)(struct cv_stream *s, const struct cv_fields *fields,
                    struct cv_leg *server, const void *first, size_t len);
    /* No new requests; closes when those that are there are answered, and in
     * any case soon. */
    void (*end)(struct cv_session *session);
    /* Frees at once; streams are let go of. */
    void (*free)(struct cv_session *session);
};

struct cv_session {
    const struct cv_session_ops *ops;
    struct cv_session_world *world;
    struct cv_pool *pool;
    struct cv_leg *leg;
    struct cv_session *next;
    struct cv_session *prev;
    struct cv_stream *streams;
    struct cv_turn turn;
};

/* Makes a front of a leg (taken on success). NULL: memory is gone. */
struct cv_session *cv_front_h1_new(struct cv_session_world *w,
                                   struct cv_leg *leg, struct cv_pool *pool);
struct cv_session *cv_front_h2_new(struct cv_session_world *w,
                                   struct cv_leg *leg, struct cv_pool *pool);
/* Puts it into the lists of world and pool / takes it out and frees its leg
 * (which may be NULL). */
void cv_session_join(struct cv_session *session, struct cv_pool *pool);
void cv_session_leave(struct cv_session *session);

/* ---- connections to the server ---- */

struct cv_back_ops {
    /* Can it take one more request now? */
    bool (*has_room)(const struct cv_back *back);
    /* Sends the request of `s`, which it takes on. */
    void (*begin)(struct cv_back *back, struct cv_stream *s);
    /* There is more in s->request, or its end. */
    void (*wake)(struct cv_stream *s);
    /* `n` bytes of the answer were passed on. */
    void (*took)(struct cv_stream *s, size_t n);
    /* Nobody wants the answer any more. Lets go of the stream, without calling
     * it. */
    void (*drop)(struct cv_stream *s);
    /* No new requests; frees itself when none is there. */
    void (*retire)(struct cv_back *back);
    /* Frees at once. Streams must have been let go of. */
    void (*free)(struct cv_back *back);
};

struct cv_back {
    const struct cv_back_ops *ops;
    struct cv_session_world *world;
    struct cv_pool *pool;
    struct cv_leg *leg;
    struct cv_back *next;
    struct cv_back *prev;
    struct cv_turn turn;
    struct cv_stream *streams;
    size_t n_streams;
    int64_t idle_since_ms; /* CLOCK_BOOTTIME; 0: it is at work */
    bool used;             /* has answered before: may have been closed since */
    bool retiring;         /* takes no new requests */
    bool dead;             /* freed in its turn */
    struct cv_err why;     /* it is, where that is known */
};

/* It has something to do in its turn / the connection is over: its streams are
 * told so in its turn, and why. */
void cv_back_later(struct cv_back *back);
void cv_back_die(struct cv_back *back);

struct cv_back *cv_back_h1_new(struct cv_pool *pool, struct cv_leg *leg);
struct cv_back *cv_back_h2_new(struct cv_pool *pool, struct cv_leg *leg);

/* ---- pools ---- */

struct cv_pool_dial;

enum cv_pool_speaks { CV_POOL_UNKNOWN, CV_POOL_H1, CV_POOL_H2 };

struct cv_pool {
    struct cv_session_world *world;
    struct cv_grant *grant; /* NULL: it ended before we knew it */
    struct cv_pool *next;
    struct cv_pool *prev;
    struct cv_back *backs;
    struct cv_stream *waiting; /* for a connection */
    struct cv_stream **waiting_end;
    struct cv_pool_dial *dials;
    struct event *timer; /* closes what is idle */
    enum cv_pool_speaks speaks;
    size_t n_users; /* sessions, streams, splices */
    size_t n_backs;
    size_t n_waiting;
    size_t n_dials; /* for whoever waits */
    size_t n_idle;
    bool timer_on;
    int ended_status; /* 0: the grant lives */
    char why[CV_ERR_TEXT_LEN];
    char hint[CV_ERR_HINT_LEN];
};

/* The pool of that id, or NULL. */
struct cv_pool *cv_pool_find(const struct cv_session_world *w, const char *id);
/* The grant's pool, which is made where there is none. NULL: memory. */
struct cv_pool *cv_pool_get(struct cv_session_world *w, struct cv_grant *grant);
/* One that only refuses. */
struct cv_pool *cv_pool_new_ended(struct cv_session_world *w, int status,
                                  const char *why, const char *hint);
/* From now on it only refuses; a new pool may come with the grant's id. */
void cv_pool_end(struct cv_pool *pool, int status, const char *why,
                 const char *hint);
void cv_pool_use(struct cv_pool *pool);
/* Gives up a use; the pool goes with the last, and when it has no
 * connections. */
void cv_pool_leave(struct cv_pool *pool);
/* Finds a connection for the stream, now or later (cv_stream_connected,
 * cv_stream_unreachable: maybe from within this call). */
void cv_pool_want(struct cv_pool *pool, struct cv_stream *s);
/* The stream waits no more. */
void cv_pool_forget(struct cv_pool *pool, struct cv_stream *s);
/* A connection has room: it is idle, or a stream of it ended. */
void cv_pool_freed(struct cv_pool *pool, struct cv_back *back);
/* A back takes a stream on and lets go of it (s->back is NULL then). */
void cv_pool_attach(struct cv_back *back, struct cv_stream *s);
void cv_pool_detach(struct cv_back *back, struct cv_stream *s);
/* The connection is no more (called by backs, which then free themselves). */
void cv_pool_lost(struct cv_pool *pool, struct cv_back *back);
/* One that was kept turned out to be dead: those that are idle may be too. */
void cv_pool_distrust(struct cv_pool *pool);
/* Connections there are take no new requests. */
void cv_pool_retire(struct cv_pool *pool);
/* Closes all connections and dials; streams were let go of. */
void cv_pool_close(struct cv_pool *pool);

/* ---- upgraded connections ---- */

/* Passes bytes between the two legs (both taken) until both ends are closed or
 * one breaks; `first` are bytes of the server that came behind its 101. It is a
 * session of `pool` of its own. Where memory is gone, both are closed. */
void cv_splice_begin(struct cv_pool *pool, struct cv_leg *client,
                     struct cv_leg *server, const void *first, size_t len);

#endif
