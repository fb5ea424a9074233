/* A client that speaks HTTP/2. */
#include "vault/relay/h2_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a client has, after its grant's end, to take what it was told. */
#define END_MS 2000
#define HEADERS_NV (CV_LIMIT_RELAY_HEADERS + 1)

struct front_h2 {
    struct cv_session session;
    nghttp2_session *ng;
    struct event *end_timer;
    bool dead; /* freed in its turn */
};

static struct front_h2 *front_of(struct cv_session *session)
{
    return (struct front_h2 *)session;
}

static void later(struct front_h2 *f)
{
    cv_session_turn(f->session.world, &f->session.turn);
}

static void die(struct front_h2 *f)
{
    f->dead = true;
    later(f);
}

/* ---- what the client says ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame,
                            void *user)
{
    struct front_h2 *f = user;
    struct cv_stream *s;

    if (frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    s = cv_stream_new(&f->session);
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    s->front_id = frame->hd.stream_id;
    (void)nghttp2_session_set_stream_user_data(ng, s->front_id, s);
    return 0;
}

static void take_pseudo(struct cv_stream *s, const char *name,
                        const char *value, size_t len)
{
    if (strcmp(name, ":method") == 0) {
        s->method = cv_stream_keep(s, value, len);
        s->is_head = strcmp(value, "HEAD") == 0;
    } else if (strcmp(name, ":path") == 0) {
        s->target = cv_stream_keep(s, value, len);
    } else if (strcmp(name, ":authority") == 0) {
        s->host = cv_stream_keep(s, value, len);
    }
}

static void take_field(struct cv_stream *s, const char *name, size_t name_len,
                       const char *value, size_t len)
{
    if (strcmp(name, "host") == 0 && s->host.len == 0) {
        s->host = cv_stream_keep(s, value, len);
    } else if (strcmp(name, "content-length") == 0) {
        /* nghttp2 has checked that it is a number, and holds the body to it */
        s->has_length = true;
        s->length = strtoull(value, NULL, 10);
        return;
    } else if (strcmp(name, "expect") == 0) {
        s->expects = cv_fields_has_word(value, len, "100-continue");
        return;
    }
    cv_fields_add(&s->head, name, name_len, value, len);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *user)
{
    struct cv_stream *s =
        nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    const char *n = (const char *)name;
    const char *v = (const char *)value;

    (void)flags;
    (void)user;
    if (s == NULL) {
        return 0;
    }
    s->head_len += name_len + value_len + 32; /* RFC 9113, 10.5.1 */
    if (s->head_len > CV_LIMIT_RELAY_HEAD) {
        s->head_too_long = true;
    } else if (s->begun) {
        /* Trailers go no further, as over HTTP/1.1: the request was decided
         * about without them, and some take them for headers. */
        return 0;
    } else if (name_len > 0 && n[0] == ':') {
        take_pseudo(s, n, v, value_len);
    } else {
        take_field(s, n, name_len, v, value_len);
    }
    return 0;
}

static void begin_request(struct cv_stream *s, bool end)
{
    s->begun = true;
    s->has_body = !end;
    s->request.ended = end;
    if (s->head_too_long || s->head.failed) {
        struct cv_err err;

        cv_err_init(&err);
        (void)cv_fail(&err, CV_INVALID, "the request's headers are too long");
        cv_stream_begin_bad(s, 431, &err);
        return;
    }
    cv_stream_begin(s);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct cv_stream *s;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && !s->begun) {
        begin_request(s, end);
    } else if (end) {
        cv_stream_request_end(s);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t len, void *user)
{
    struct cv_stream *s = nghttp2_session_get_stream_user_data(ng, id);

    (void)flags;
    (void)user;
    /* The connection's window is for all its streams: a slow one must not
     * stop the others. Each is held by its own. */
    (void)nghttp2_session_consume_connection(ng, len);
    if (s == NULL) {
        (void)nghttp2_session_consume_stream(ng, id, len);
        return 0;
    }
    cv_stream_request_data(s, data, len);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code,
                           void *user)
{
    struct cv_stream *s = nghttp2_session_get_stream_user_data(ng, id);

    (void)code;
    (void)user;
    if (s != NULL) {
        cv_stream_front_gone(s);
    }
    return 0;
}

/* ---- what it is told ---- */

/* Whoever was answered before its request was complete need not send the
 * rest. */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame,
                         void *user)
{
    int32_t id = frame->hd.stream_id;

    (void)user;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        nghttp2_session_get_stream_remote_close(ng, id) == 0) {
        (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id,
                                        NGHTTP2_NO_ERROR);
    }
    return 0;
}

static ssize_t read_answer(nghttp2_session *ng, int32_t id, uint8_t *buf,
                           size_t len, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct cv_stream *s = source->ptr;

    (void)buf;
    (void)user;
    return cv_h2_read_pipe(ng, id, &s->answer, &s->answer_trailers, len, flags,
                           &s->front_deferred);
}

static int send_answer(nghttp2_session *ng, nghttp2_frame *frame,
                       const uint8_t *head, size_t len,
                       nghttp2_data_source *source, void *user)
{
    struct front_h2 *f = user;
    struct cv_stream *s = source->ptr;
    int rc = cv_h2_send_pipe(f->session.leg, frame, head, &s->answer, len);

    (void)ng;
    if (rc != NGHTTP2_ERR_CALLBACK_FAILURE && len > 0) {
        cv_stream_answer_took(s, len);
    }
    return rc;
}

static size_t status_nv(unsigned status, const struct cv_fields *fields,
                        char text[8], nghttp2_nv *nv)
{
    (void)snprintf(text, 8, "%u", status);
    nv[0] = cv_h2_nv(":status", 7, text, strlen(text));
    return 1 + cv_h2_nv_fields(fields, nv + 1, CV_LIMIT_RELAY_HEADERS);
}

static void front_answer(struct cv_stream *s, unsigned status,
                         const struct cv_fields *fields, bool end)
{
    struct front_h2 *f = front_of(s->session);
    nghttp2_nv nv[HEADERS_NV];
    char text[8];
    size_t n = status_nv(status, fields, text, nv);
    nghttp2_data_provider body = {.source.ptr = s,
                                  .read_callback = read_answer};

    if (nghttp2_submit_response(f->ng, s->front_id, nv, n,
                                end ? NULL : &body) != 0) {
        die(f);
    }
    later(f);
}

static void front_interim(struct cv_stream *s, unsigned status,
                          const struct cv_fields *fields)
{
    struct front_h2 *f = front_of(s->session);
    nghttp2_nv nv[HEADERS_NV];
    char text[8];
    size_t n = status_nv(status, fields, text, nv);

    (void)nghttp2_submit_headers(f->ng, NGHTTP2_FLAG_NONE, s->front_id, NULL,
                                 nv, n, NULL);
    later(f);
}

static size_t front_direct(struct cv_stream *s, const void *data, size_t len)
{
    (void)s;
    (void)data;
    (void)len;
    return 0;
}

static void front_wake(struct cv_stream *s)
{
    struct front_h2 *f = front_of(s->session);

    if (s->front_deferred) {
        s->front_deferred = false;
        (void)nghttp2_session_resume_data(f->ng, s->front_id);
    }
    later(f);
}

static void front_took(struct cv_stream *s, size_t n)
{
    struct front_h2 *f = front_of(s->session);

    (void)nghttp2_session_consume_stream(f->ng, s->front_id, n);
    later(f);
}

static void front_cut(struct cv_stream *s)
{
    struct front_h2 *f = front_of(s->session);

    (void)nghttp2_submit_rst_stream(f->ng, NGHTTP2_FLAG_NONE, s->front_id,
                                    NGHTTP2_INTERNAL_ERROR);
    (void)nghttp2_session_set_stream_user_data(f->ng, s->front_id, NULL);
    cv_stream_front_gone(s);
    later(f);
}

/* Over HTTP/2 nothing is upgraded: never called. */
static void front_upgrade(struct cv_stream *s, const struct cv_fields *fields,
                          struct cv_leg *server, const void *first, size_t len)
{
    (void)fields;
    (void)first;
    (void)len;
    cv_leg_free(server);
    front_cut(s);
}

/* ---- its life ---- */

static void front_free(struct cv_session *session)
{
    struct front_h2 *f = front_of(session);

    f->dead = true;
    while (session->streams != NULL) {
        cv_stream_front_gone(session->streams);
    }
    later(f);
}

static void free_now(struct front_h2 *f)
{
    while (f->session.streams != NULL) {
        cv_stream_front_gone(f->session.streams);
    }
    nghttp2_session_del(f->ng);
    if (f->end_timer != NULL) {
        event_free(f->end_timer);
    }
    cv_session_leave(&f->session);
    free(f);
}

static void on_end_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    die(ctx);
}

static void front_end(struct cv_session *session)
{
    struct front_h2 *f = front_of(session);
    struct timeval time = {END_MS / 1000, (END_MS % 1000) * 1000};

    if (f->end_timer != NULL || f->dead) {
        return;
    }
    (void)nghttp2_submit_goaway(f->ng, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(f->ng),
                                NGHTTP2_NO_ERROR, NULL, 0);
    f->end_timer =
        event_new(session->world->config.base, -1, 0, on_end_timer, f);
    if (f->end_timer == NULL || event_add(f->end_timer, &time) != 0) {
        die(f);
    }
    later(f);
}

static void on_turn(void *ctx)
{
    struct front_h2 *f = ctx;

    if (!f->dead && !cv_h2_send(f->ng, f->session.leg)) {
        f->dead = true;
    }
    if (!f->dead && nghttp2_session_want_read(f->ng) == 0 &&
        nghttp2_session_want_write(f->ng) == 0) {
        /* All was said; what is queued shall still arrive. */
        cv_leg_linger(f->session.leg, END_MS);
        f->session.leg = NULL;
        f->dead = true;
    }
    if (f->dead) {
        free_now(f);
    }
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
    struct front_h2 *f = ctx;

    if (f->dead) {
        return len;
    }
    if (nghttp2_session_mem_recv(f->ng, data, len) < 0) {
        f->dead = true;
    }
    later(f);
    return len;
}

static void on_writable(void *ctx)
{
    later(ctx);
}

static void on_closed(void *ctx, bool clean)
{
    (void)clean; /* a client that has gone wants no answers */
    die(ctx);
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

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *c = NULL;

    if (nghttp2_session_callbacks_new(&c) != 0) {
        return NULL;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(c,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(c, send_answer);
    return c;
}

static bool start(struct front_h2 *f)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, CV_LIMIT_RELAY_STREAMS},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CV_LIMIT_RELAY_HEAD},
    };
    const struct cv_h2_end end = {
        .server = true,
        .callbacks = make_callbacks(),
        .ctx = f,
        .settings = settings,
        .n_settings = sizeof(settings) / sizeof(settings[0]),
        .window = (int32_t)CV_LIMIT_RELAY_WINDOW_ALL,
    };

    return cv_h2_start(&f->ng, &end);
}

struct cv_session *cv_front_h2_new(struct cv_session_world *w,
                                   struct cv_leg *leg, struct cv_pool *pool)
{
    struct front_h2 *f = calloc(1, sizeof(*f));

    if (f == NULL || !start(f)) {
        free(f);
        return NULL;
    }
    f->session.ops = &front_ops;
    f->session.world = w;
    f->session.leg = leg;
    f->session.turn.run = on_turn;
    f->session.turn.ctx = f;
    cv_session_join(&f->session, pool);
    cv_leg_hook(leg, &leg_hooks, f);
    later(f);
    return &f->session;
}
