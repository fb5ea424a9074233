/* A connection to a server that speaks HTTP/1.1: a request at a time. */
#include "vault/relay/session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct back_h1 {
    struct cv_back back;
    struct cv_http1 reader;
    struct cv_http1_body body;
    bool in_body;      /* the answer's head has come, its body has not all */
    bool keep;         /* the connection lives on behind this answer */
    bool chunked;      /* the request's body is sent in chunks */
    bool request_sent; /* all of it */
    bool heard;        /* a byte of this answer has come */
    bool paused;
};

static struct back_h1 *back_of(struct cv_back *back)
{
    return (struct back_h1 *)back;
}

/* ---- the request ---- */

static void put_framing(struct back_h1 *b, struct cv_stream *s,
                        struct cv_buf *out)
{
    struct cv_slice method = cv_stream_text(s, s->method);

    b->chunked = false;
    if (s->has_body && !s->has_length) {
        b->chunked = true;
        cv_http1_put_header(out, cv_slice_of("transfer-encoding"),
                            cv_slice_of("chunked"));
    } else if (s->has_body) {
        cv_http1_put_length(out, s->length);
    } else if (cv_slice_is(method, "POST") || cv_slice_is(method, "PUT") ||
               cv_slice_is(method, "PATCH")) {
        cv_http1_put_length(out, 0);
    }
    if (s->upgrade.len > 0) {
        cv_http1_put_header(out, cv_slice_of("connection"),
                            cv_slice_of("Upgrade"));
        cv_http1_put_header(out, cv_slice_of("upgrade"),
                            cv_stream_text(s, s->upgrade));
    }
}

static struct cv_buf *put_head(struct back_h1 *b, struct cv_stream *s)
{
    const struct cv_grant_upstream *up = &s->pool->grant->upstream;
    struct cv_buf *out = cv_session_scratch(s->world);

    cv_http1_put_request(out, cv_stream_text(s, s->method), up->path,
                         cv_stream_text(s, s->target), up->authority);
    for (uint32_t i = 0; i < s->head.n; i++) {
        struct cv_slice name = {cv_fields_name(&s->head, i),
                                s->head.list[i].name_len};
        struct cv_slice value = {cv_fields_value(&s->head, i),
                                 s->head.list[i].value_len};

        if (name.len > 0) {
            cv_http1_put_header(out, name, value);
        }
    }
    put_framing(b, s, out);
    cv_http1_put_end(out);
    return out;
}

/* Sends of the request's body what there is and the leg has room for. */
static void wake(struct cv_stream *s)
{
    struct back_h1 *b = back_of(s->back);
    struct cv_leg *leg = b->back.leg;
    size_t room;

    if (b->back.dead || b->request_sent) {
        return;
    }
    while (s->request.len > 0 && (room = cv_leg_room(leg)) > 0) {
        size_t n = s->request.len < room ? s->request.len : room;
        char line[CV_HTTP1_CHUNK_LINE];

        if (b->chunked) {
            (void)cv_leg_write(leg, line, cv_http1_chunk_line(line, n));
        }
        (void)cv_leg_write(leg, cv_pipe_data(&s->request), n);
        if (b->chunked) {
            (void)cv_leg_write(leg, CV_HTTP1_CHUNK_END, 2);
        }
        cv_stream_request_took(s, n);
    }
    if (s->request.ended && s->request.len == 0) {
        if (b->chunked) {
            (void)cv_leg_write(leg, CV_HTTP1_LAST_CHUNK, 5);
        }
        b->request_sent = true;
    }
}

static void begin(struct cv_back *back, struct cv_stream *s)
{
    struct back_h1 *b = back_of(back);
    struct cv_buf *head;

    cv_pool_attach(back, s);
    b->request_sent = false;
    b->heard = false;
    b->reader.answers_head = s->is_head;
    head = put_head(b, s);
    if (cv_buf_status(head, "the request", &b->back.why) != CV_OK) {
        cv_back_die(&b->back);
        return;
    }
    s->sent = true;
    (void)cv_leg_write(back->leg, head->data, head->len);
    wake(s);
}

/* ---- the answer ---- */

static void copy_fields(const struct cv_head *head, struct cv_fields *out)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct cv_header *h = &head->headers[i];

        cv_fields_add(out, h->name.at, h->name.len, h->value.at, h->value.len);
    }
}

/* The answer is complete. `more`: bytes came behind it, which nobody asked
 * for. */
static void finish(struct back_h1 *b, struct cv_stream *s, bool more)
{
    b->in_body = false;
    b->back.used = true;
    cv_pool_detach(&b->back, s);
    if (!b->keep || !b->request_sent || b->back.retiring || more) {
        cv_back_die(&b->back);
    } else {
        cv_back_later(&b->back);
    }
}

/* The server has agreed to another protocol: the connection is no longer
 * ours. */
static void upgrade(struct back_h1 *b, struct cv_stream *s,
                    struct cv_fields *fields, const uint8_t *rest, size_t len)
{
    struct cv_leg *leg = b->back.leg;

    b->back.leg = NULL;
    cv_leg_hook(leg, NULL, NULL);
    cv_pool_detach(&b->back, s);
    cv_stream_upgraded(s, fields, leg, rest, len);
    cv_back_die(&b->back);
}

/* The head is complete; `rest` is behind it. Returns how many bytes of the
 * rest were taken. */
static size_t take_head(struct back_h1 *b, const uint8_t *rest, size_t len)
{
    struct cv_stream *s = b->back.streams;
    struct cv_head *head = &b->reader.head;
    unsigned status = (unsigned)head->status;
    struct cv_fields fields = {0};
    size_t taken = 0;

    copy_fields(head, &fields);
    if (fields.failed || (status == 101 && s->upgrade.len == 0)) {
        (void)cv_fail(&b->back.why, CV_REMOTE, "the server's answer is none");
        cv_back_die(&b->back);
        taken = len;
    } else if (status == 101) {
        upgrade(b, s, &fields, rest, len);
        taken = len;
    } else if (status < 200) {
        cv_stream_interim(s, status, &fields);
    } else {
        bool end = head->framing == CV_HTTP1_NONE;

        b->keep = head->keep_alive && head->framing != CV_HTTP1_TO_END;
        b->in_body = !end;
        cv_http1_body_begin(&b->body, head);
        if (end) {
            finish(b, s, len > 0);
        }
        cv_stream_answer(s, status, &fields, end);
    }
    cv_http1_drop(&b->reader);
    cv_fields_wipe(&fields);
    return taken;
}

/* Takes of the body what the stream has room for. False: no room. */
static bool take_body(struct back_h1 *b, const uint8_t *data, size_t len,
                      size_t *used)
{
    struct cv_stream *s = b->back.streams;
    size_t room = cv_stream_room(&s->answer);
    struct cv_bytes piece = {NULL, 0};

    *used = 0;
    if (room == 0) {
        return false;
    }
    switch (cv_http1_body_take(&b->body, data, len < room ? len : room, used,
                               &piece, &b->back.why)) {
    case CV_HTTP1_PIECE:
        cv_stream_answer_data(s, piece.data, piece.len);
        if (b->back.streams != s || !b->body.ended) {
            return true;
        }
        break;
    case CV_HTTP1_WAIT:
        return true;
    case CV_HTTP1_END:
        break;
    case CV_HTTP1_BROKEN:
        cv_back_die(&b->back);
        return true;
    }
    finish(b, s, *used < len);
    cv_stream_answer_end(s);
    return true;
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
    struct back_h1 *b = ctx;
    size_t at = 0;

    while (at < len) {
        size_t used = 0;

        if (b->back.dead) {
            return len;
        }
        if (b->back.streams == NULL) {
            cv_back_die(&b->back); /* nobody asked */
            return len;
        }
        b->heard = true;
        if (b->in_body) {
            if (!take_body(b, data + at, len - at, &used)) {
                b->paused = true;
                return at;
            }
            at += used;
            continue;
        }
        switch (cv_http1_feed(&b->reader, data + at, len - at, &used,
                              &b->back.why)) {
        case CV_HTTP1_MORE:
            return len;
        case CV_HTTP1_BAD:
            cv_back_die(&b->back);
            return len;
        case CV_HTTP1_HEAD:
            at += used;
            at += take_head(b, data + at, len - at);
            break;
        }
    }
    return at;
}

static void on_writable(void *ctx)
{
    struct back_h1 *b = ctx;

    if (b->back.streams != NULL) {
        wake(b->back.streams);
    }
}

static void on_closed(void *ctx, bool clean)
{
    struct back_h1 *b = ctx;
    struct cv_stream *s = b->back.streams;

    if (s != NULL && clean && b->in_body &&
        b->body.framing == CV_HTTP1_TO_END) {
        finish(b, s, false);
        cv_stream_answer_end(s);
    }
    cv_back_die(&b->back);
}

/* ---- its life ---- */

static bool has_room(const struct cv_back *back)
{
    const struct back_h1 *b = (const struct back_h1 *)back;

    return !b->back.dead && !back->retiring && back->n_streams == 0;
}

static void took(struct cv_stream *s, size_t n)
{
    struct back_h1 *b = back_of(s->back);

    (void)n;
    if (b->paused && !b->back.dead) {
        b->paused = false;
        cv_leg_pause(b->back.leg, false);
    }
}

/* What the server still says cannot be told from the next answer. */
static void drop(struct cv_stream *s)
{
    struct back_h1 *b = back_of(s->back);

    cv_pool_detach(&b->back, s);
    cv_back_die(&b->back);
}

static void back_retire(struct cv_back *back)
{
    back->retiring = true;
    if (back->n_streams == 0) {
        cv_back_die(back);
    }
}

static void back_free(struct cv_back *back)
{
    cv_back_die(back);
}

static void on_turn(void *ctx)
{
    struct back_h1 *b = ctx;
    struct cv_pool *pool = b->back.pool;
    struct cv_stream *s = b->back.streams;

    if (!b->back.dead) {
        if (s == NULL) {
            cv_pool_freed(pool, &b->back);
        }
        return;
    }
    if (s != NULL) {
        bool stale = b->back.used && !b->heard;

        cv_pool_detach(&b->back, s);
        cv_stream_lost(s, stale ? CV_STREAM_STALE : CV_STREAM_LOST,
                       &b->back.why);
    }
    cv_http1_drop(&b->reader);
    cv_leg_free(b->back.leg);
    cv_pool_lost(pool, &b->back);
    free(b);
}

static const struct cv_leg_hooks leg_hooks = {on_read, on_writable, on_closed};

static const struct cv_back_ops back_ops = {
    .has_room = has_room,
    .begin = begin,
    .wake = wake,
    .took = took,
    .drop = drop,
    .retire = back_retire,
    .free = back_free,
};

struct cv_back *cv_back_h1_new(struct cv_pool *pool, struct cv_leg *leg)
{
    struct back_h1 *b = calloc(1, sizeof(*b));

    if (b == NULL) {
        return NULL;
    }
    cv_err_init(&b->back.why);
    cv_http1_init(&b->reader, CV_HTTP1_ANSWERS);
    b->back.ops = &back_ops;
    b->back.world = pool->world;
    b->back.pool = pool;
    b->back.leg = leg;
    b->back.turn.run = on_turn;
    b->back.turn.ctx = b;
    cv_leg_hook(leg, &leg_hooks, b);
    return &b->back;
}
