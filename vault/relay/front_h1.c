/* A client that speaks HTTP/1.1: one request after the other. What it sends
 * ahead waits in its leg until the answer before it is complete. */
#include "vault/relay/session_internal.h"

#include "vault/relay/refusal.h"

#include <stdlib.h>
#include <string.h>

/* How long a client has to take what it was told last. */
#define END_MS 2000

struct front_h1 {
    struct cv_session session;
    struct cv_http1 reader;
    struct cv_http1_body body;
    struct event *timer; /* a head that does not come; the end */
    int minor;           /* of the request's version */
    bool keep;           /* the connection lives on behind this answer */
    bool request_done;   /* the request is complete */
    bool chunked;        /* the answer's body is sent in chunks */
    bool unframed;       /* it ends with the connection */
    bool paused;
    bool ending;
    bool dead; /* freed in its turn */
};

static struct front_h1 *front_of(struct cv_session *session)
{
    return (struct front_h1 *)session;
}

static void die(struct front_h1 *f)
{
    f->dead = true;
    cv_session_turn(f->session.world, &f->session.turn);
}

/* Closes; what was said last still arrives. */
static void hang_up(struct front_h1 *f)
{
    cv_leg_linger(f->session.leg, END_MS);
    f->session.leg = NULL;
    die(f);
}

static void go_on_reading(struct front_h1 *f)
{
    if (f->paused && !f->dead) {
        f->paused = false;
        cv_leg_pause(f->session.leg, false);
    }
}

/* ---- timers ---- */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct front_h1 *f = ctx;
    struct cv_buf *out = cv_session_scratch(f->session.world);

    (void)fd;
    (void)what;
    if (f->dead) {
        return;
    }
    if (f->session.streams == NULL && !f->ending) {
        cv_refusal_http1(408, "the request's head did not come in time", NULL,
                         NULL, false, true, out);
        (void)cv_leg_write(f->session.leg, out->data, out->len);
        hang_up(f);
        return;
    }
    die(f);
}

static void set_timer(struct front_h1 *f, int ms)
{
    struct timeval time = {ms / 1000, (ms % 1000) * 1000};

    if (f->timer == NULL) {
        f->timer = event_new(f->session.world->config.base, -1, 0, on_timer, f);
    }
    if (f->timer == NULL || event_add(f->timer, &time) != 0) {
        die(f);
    }
}

static void drop_timer(struct front_h1 *f)
{
    if (f->timer != NULL && !f->ending) {
        event_free(f->timer);
        f->timer = NULL;
    }
}

/* ---- the answer ---- */

/* The answer is complete and so is the request, or the rest is not wanted. */
static void finish(struct front_h1 *f, struct cv_stream *s)
{
    bool keep = f->keep && f->request_done && !f->ending;

    cv_stream_front_gone(s);
    if (!keep) {
        hang_up(f);
    } else {
        go_on_reading(f);
    }
}

static void put_fields(struct cv_buf *out, const struct cv_fields *fields)
{
    for (uint32_t i = 0; i < fields->n; i++) {
        struct cv_slice name = {cv_fields_name(fields, i),
                                fields->list[i].name_len};
        struct cv_slice value = {cv_fields_value(fields, i),
                                 fields->list[i].value_len};

        if (name.len > 0) {
            cv_http1_put_header(out, name, value);
        }
    }
}

/* Sends a head; one that cannot be written (a server's field that is none)
 * ends the connection. */
static bool send_head(struct front_h1 *f, struct cv_buf *out)
{
    cv_http1_put_end(out);
    if (cv_buf_status(out, "the answer", NULL) != CV_OK) {
        die(f);
        return false;
    }
    (void)cv_leg_write(f->session.leg, out->data, out->len);
    return true;
}

/* How the client shall know where the answer ends. */
static void put_framing(struct front_h1 *f, struct cv_stream *s,
                        const struct cv_fields *fields, bool end,
                        struct cv_buf *out)
{
    bool has_length = cv_fields_find(fields, "content-length") >= 0;

    f->chunked = false;
    f->unframed = false;
    if (end) {
        if (!has_length && !s->is_head && s->status >= 200 &&
            s->status != 204 && s->status != 304) {
            cv_http1_put_length(out, 0);
        }
    } else if (!has_length && f->minor >= 1) {
        f->chunked = true;
        cv_http1_put_header(out, cv_slice_of("transfer-encoding"),
                            cv_slice_of("chunked"));
    } else if (!has_length) {
        f->unframed = true;
        f->keep = false;
    }
    if (!f->keep || !f->request_done || f->ending) {
        cv_http1_put_header(out, cv_slice_of("connection"),
                            cv_slice_of("close"));
        f->keep = false;
    } else if (f->minor == 0) {
        cv_http1_put_header(out, cv_slice_of("connection"),
                            cv_slice_of("keep-alive"));
    }
}

/* Sends of the answer what there is and the leg has room for. */
static void front_wake(struct cv_stream *s);

static void front_answer(struct cv_stream *s, unsigned status,
                         const struct cv_fields *fields, bool end)
{
    struct front_h1 *f = front_of(s->session);
    struct cv_buf *out = cv_session_scratch(s->world);

    if (f->dead) {
        return;
    }
    /* A client that waits to be told to go on will not send its body. */
    if (status >= 300 && s->expects && !f->request_done && !s->request_taken &&
        s->request.len == 0) {
        f->keep = false;
    }
    cv_http1_put_status(out, (int)status);
    put_fields(out, fields);
    put_framing(f, s, fields, end, out);
    if (!send_head(f, out)) {
        return;
    }
    if (end) {
        finish(f, s);
    } else if (s->answer.len > 0 || s->answer.ended) {
        front_wake(s);
    }
}

static void front_interim(struct cv_stream *s, unsigned status,
                          const struct cv_fields *fields)
{
    struct front_h1 *f = front_of(s->session);
    struct cv_buf *out = cv_session_scratch(s->world);

    if (f->dead || f->minor == 0) {
        return;
    }
    cv_http1_put_status(out, (int)status);
    put_fields(out, fields);
    (void)send_head(f, out);
}

static size_t front_direct(struct cv_stream *s, const void *data, size_t len)
{
    struct front_h1 *f = front_of(s->session);
    struct cv_leg *leg = f->session.leg;
    char line[CV_HTTP1_CHUNK_LINE];
    size_t room;

    if (f->dead) {
        return len;
    }
    room = cv_leg_room(leg);
    if (len > room) {
        len = room;
    }
    if (len == 0) {
        return 0;
    }
    if (f->chunked) {
        (void)cv_leg_write(leg, line, cv_http1_chunk_line(line, len));
    }
    (void)cv_leg_write(leg, data, len);
    if (f->chunked) {
        (void)cv_leg_write(leg, CV_HTTP1_CHUNK_END, 2);
    }
    return len;
}

static void front_wake(struct cv_stream *s)
{
    struct front_h1 *f = front_of(s->session);

    if (f->dead || !s->answering) {
        return;
    }
    while (s->answer.len > 0) {
        size_t n = front_direct(s, cv_pipe_data(&s->answer), s->answer.len);

        if (n == 0) {
            return; /* writable will come */
        }
        cv_stream_answer_took(s, n);
    }
    if (s->answer.ended) {
        if (f->chunked) {
            (void)cv_leg_write(f->session.leg, CV_HTTP1_LAST_CHUNK, 5);
        }
        finish(f, s);
    }
}

static void front_took(struct cv_stream *s, size_t n)
{
    (void)n;
    go_on_reading(front_of(s->session));
}

/* What was sent of the answer must not look like all of it. */
static void front_cut(struct cv_stream *s)
{
    struct front_h1 *f = front_of(s->session);

    cv_stream_front_gone(s);
    if (f->dead) {
        return;
    }
    if (f->unframed) {
        die(f);
    } else {
        hang_up(f);
    }
}

static void front_upgrade(struct cv_stream *s, const struct cv_fields *fields,
                          struct cv_leg *server, const void *first, size_t len)
{
    struct front_h1 *f = front_of(s->session);
    struct cv_buf *out = cv_session_scratch(s->world);
    struct cv_pool *pool = s->pool;
    struct cv_leg *leg = f->session.leg;

    cv_http1_put_status(out, 101);
    put_fields(out, fields);
    cv_http1_put_header(out, cv_slice_of("connection"), cv_slice_of("Upgrade"));
    cv_http1_put_header(out, cv_slice_of("upgrade"),
                        cv_stream_text(s, s->upgrade));
    if (f->dead || !send_head(f, out)) {
        cv_leg_free(server);
        cv_stream_front_gone(s);
        return;
    }
    cv_leg_hook(leg, NULL, NULL);
    f->session.leg = NULL;
    cv_splice_begin(pool, leg, server, first, len);
    cv_stream_front_gone(s);
    die(f);
}

/* ---- the request ---- */

static void copy_head(struct cv_stream *s, const struct cv_head *head)
{
    s->method = cv_stream_keep(s, head->method.at, head->method.len);
    s->target = cv_stream_keep(s, head->target.at, head->target.len);
    s->host = cv_stream_keep(s, head->host.at, head->host.len);
    if (head->upgrade.len > 0) {
        s->upgrade = cv_stream_keep(s, head->upgrade.at, head->upgrade.len);
    }
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct cv_header *h = &head->headers[i];

        cv_fields_add(&s->head, h->name.at, h->name.len, h->value.at,
                      h->value.len);
    }
    s->is_head = cv_slice_is(head->method, "HEAD");
    s->has_body = head->framing != CV_HTTP1_NONE;
    s->has_length = head->framing == CV_HTTP1_LENGTH;
    s->length = head->length;
    s->expects = head->expect_continue && s->has_body;
    s->begun = true;
}

static void refuse_bad(struct front_h1 *f, struct cv_stream *s, int code,
                       const struct cv_err *err)
{
    f->keep = false;
    f->request_done = true;
    s->request.ended = true;
    if (f->reader.state == CV_HTTP1_BAD) {
        f->minor = 1;
    }
    cv_stream_begin_bad(s, code, err);
}

/* A head is complete, or is none. */
static void begin_request(struct front_h1 *f, const struct cv_err *err)
{
    struct cv_head *head = &f->reader.head;
    struct cv_stream *s = cv_stream_new(&f->session);

    drop_timer(f);
    if (s == NULL) {
        die(f);
        return;
    }
    if (f->reader.state == CV_HTTP1_BAD) {
        refuse_bad(f, s, f->reader.answer, err);
        return;
    }
    copy_head(s, head);
    f->minor = head->minor;
    f->keep = head->keep_alive;
    f->request_done = !s->has_body;
    s->request.ended = !s->has_body;
    cv_http1_body_begin(&f->body, head);
    cv_http1_drop(&f->reader);
    if (s->head.failed) {
        struct cv_err long_head;

        cv_err_init(&long_head);
        (void)cv_fail(&long_head, CV_INVALID,
                      "the request's headers are too long");
        refuse_bad(f, s, 431, &long_head);
        return;
    }
    cv_stream_begin(s);
}

/* A body that breaks the rules of its framing: nothing behind it can be
 * understood. */
static void bad_body(struct front_h1 *f, struct cv_stream *s,
                     const struct cv_err *err)
{
    f->keep = false;
    cv_stream_refuse(s, 400, err->text, err->hint);
    if (!f->dead && f->session.streams == s) {
        f->request_done = true;
    }
}

/* Takes of the body what there is room for. False: no room. */
static bool take_body(struct front_h1 *f, const uint8_t *data, size_t len,
                      size_t *used)
{
    struct cv_stream *s = f->session.streams;
    size_t room = s->refused ? len : cv_stream_room(&s->request);
    struct cv_bytes piece = {NULL, 0};
    struct cv_err err;

    *used = 0;
    if (room == 0) {
        return false;
    }
    cv_err_init(&err);
    switch (cv_http1_body_take(&f->body, data, len < room ? len : room, used,
                               &piece, &err)) {
    case CV_HTTP1_PIECE:
        cv_stream_request_data(s, piece.data, piece.len);
        if (f->session.streams != s || !f->body.ended) {
            return true;
        }
        break;
    case CV_HTTP1_WAIT:
        return true;
    case CV_HTTP1_END:
        break;
    case CV_HTTP1_BROKEN:
        bad_body(f, s, &err);
        return true;
    }
    f->request_done = true;
    cv_stream_request_end(s);
    return true;
}

/* Takes bytes of a head. */
static void take_head(struct front_h1 *f, const uint8_t *data, size_t len,
                      size_t *used)
{
    struct cv_err err;

    cv_err_init(&err);
    if (cv_http1_feed(&f->reader, data, len, used, &err) != CV_HTTP1_MORE) {
        begin_request(f, &err);
    } else if (f->timer == NULL) {
        set_timer(f, CV_LIMIT_RELAY_HEAD_S * 1000);
    }
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
    struct front_h1 *f = ctx;
    size_t at = 0;

    while (at < len) {
        size_t used = 0;

        if (f->dead) {
            return len;
        }
        if (f->session.streams == NULL) {
            take_head(f, data + at, len - at, &used);
        } else if (f->request_done ||
                   !take_body(f, data + at, len - at, &used)) {
            f->paused = true; /* go_on_reading will be called */
            return at;
        }
        at += used;
    }
    return at;
}

static void on_writable(void *ctx)
{
    struct front_h1 *f = ctx;

    if (f->session.streams != NULL) {
        front_wake(f->session.streams);
    }
}

/* A client that says that it will send nothing more has gone, as far as
 * kube-apiserver and all its clients are concerned: that is how watches end. */
static void on_closed(void *ctx, bool clean)
{
    (void)clean;
    die(ctx);
}

/* ---- its life ---- */

static void on_turn(void *ctx)
{
    struct front_h1 *f = ctx;

    if (!f->dead) {
        return;
    }
    while (f->session.streams != NULL) {
        cv_stream_front_gone(f->session.streams);
    }
    cv_http1_drop(&f->reader);
    if (f->timer != NULL) {
        event_free(f->timer);
    }
    cv_session_leave(&f->session);
    free(f);
}

static void front_end(struct cv_session *session)
{
    struct front_h1 *f = front_of(session);

    if (f->dead || f->ending) {
        return;
    }
    if (session->streams == NULL) {
        hang_up(f);
        return;
    }
    f->keep = false;
    set_timer(f, END_MS);
    f->ending = true;
}

static void front_free(struct cv_session *session)
{
    die(front_of(session));
}

static const struct cv_leg_hooks leg_hooks = {on_read, on_writable, on_closed};

static const struct cv_session_ops front_ops = {
    .answer = front_answer,
    .interim = front_interim,
    .direct = front_direct,
    .wake = front_wake,
    .took = front_took,
    .cut = front_cut,
    .upgrade = front_upgrade,
    .end = front_end,
    .free = front_free,
};

struct cv_session *cv_front_h1_new(struct cv_session_world *w,
                                   struct cv_leg *leg, struct cv_pool *pool)
{
    struct front_h1 *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return NULL;
    }
    cv_http1_init(&f->reader, CV_HTTP1_REQUESTS);
    f->session.ops = &front_ops;
    f->session.world = w;
    f->session.leg = leg;
    f->session.turn.run = on_turn;
    f->session.turn.ctx = f;
    cv_session_join(&f->session, pool);
    cv_leg_hook(leg, &leg_hooks, f);
    return &f->session;
}
