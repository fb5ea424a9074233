/* A connection to a server that speaks HTTP/2: many requests at a time. */
#include "vault/relay/h2_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_NV (CV_LIMIT_RELAY_HEADERS + 5)
/* What a server may be asked before its SETTINGS have come. */
#define FIRST_STREAMS 100
/* Nothing came for so long: is the server still there? Then how long it has to
 * say so. */
#define PING_AFTER_MS 30000
#define PING_WAIT_MS 15000
/* Taking a window's worth in less is quick. */
#define QUICK_MS 500

struct back_h2 {
    struct cv_back back;
    nghttp2_session *ng;
    struct event *ping_timer;
    int64_t heard_ms; /* CLOCK_BOOTTIME */
    bool pinged;
    bool settled; /* its SETTINGS have come */
};

static struct back_h2 *back_of(struct cv_back *back)
{
    return (struct back_h2 *)back;
}

/* The stream is not ours any more; what comes for it is thrown away. */
static void let_go(struct back_h2 *b, struct cv_stream *s)
{
    (void)nghttp2_session_set_stream_user_data(b->ng, s->back_id, NULL);
    cv_pool_detach(&b->back, s);
    cv_back_later(&b->back);
}

/* The answer is complete. A server may answer before it has heard all of the
 * request: the rest is not sent. */
static void let_go_answered(struct back_h2 *b, struct cv_stream *s)
{
    if (nghttp2_session_get_stream_local_close(b->ng, s->back_id) == 0) {
        (void)nghttp2_submit_rst_stream(b->ng, NGHTTP2_FLAG_NONE, s->back_id,
                                        NGHTTP2_CANCEL);
    }
    let_go(b, s);
}

/* ---- what the server says ---- */

static struct cv_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame,
                            void *user)
{
    struct cv_stream *s = stream_of(ng, frame->hd.stream_id);

    (void)user;
    if (s != NULL && !s->answering) {
        cv_fields_reset(&s->answer_head);
        s->head_len = 0;
        s->status = 0;
    }
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *user)
{
    struct cv_stream *s = stream_of(ng, frame->hd.stream_id);
    struct cv_fields *into;

    (void)flags;
    (void)user;
    if (s == NULL) {
        return 0;
    }
    s->head_len += name_len + value_len + 32;
    if (s->head_len > CV_LIMIT_RELAY_HEAD) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        s->status = (unsigned)strtoul((const char *)value, NULL, 10);
        return 0;
    }
    into = s->answering ? &s->answer_trailers : &s->answer_head;
    cv_fields_add(into, (const char *)name, name_len, (const char *)value,
                  value_len);
    return into->failed ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* An answer's head, or an interim one's. */
static void take_head(struct back_h2 *b, struct cv_stream *s, bool end)
{
    struct cv_fields fields = s->answer_head;

    if (s->status < 200) {
        cv_stream_interim(s, s->status, &s->answer_head);
        return;
    }
    /* The stream may be gone with its answer: the fields are ours meanwhile. */
    memset(&s->answer_head, 0, sizeof(s->answer_head));
    b->back.used = true;
    if (end) {
        let_go_answered(b, s);
    }
    cv_stream_answer(s, s->status, &fields, end);
    cv_fields_wipe(&fields);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct back_h2 *b = user;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct cv_stream *s;

    if (frame->hd.type == NGHTTP2_GOAWAY) {
        b->back.retiring = true;
        cv_back_later(&b->back);
    } else if (frame->hd.type == NGHTTP2_SETTINGS) {
        b->settled = true;
        cv_back_later(&b->back);
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    s = stream_of(ng, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && !s->answering) {
        take_head(b, s, end);
    } else if (end) {
        let_go_answered(b, s);
        cv_stream_answer_end(s);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t len, void *user)
{
    struct cv_stream *s = stream_of(ng, id);

    (void)flags;
    (void)user;
    (void)nghttp2_session_consume_connection(ng, len);
    if (s == NULL) {
        (void)nghttp2_session_consume_stream(ng, id, len);
        return 0;
    }
    cv_stream_answer_data(s, data, len);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code,
                           void *user)
{
    struct back_h2 *b = user;
    struct cv_stream *s = stream_of(ng, id);
    struct cv_err err;

    if (s == NULL) {
        return 0;
    }
    let_go(b, s);
    cv_err_init(&err);
    (void)cv_fail(&err, CV_REMOTE, "the server broke the answer off: %s",
                  nghttp2_http2_strerror(code));
    cv_stream_lost(s,
                   code == NGHTTP2_REFUSED_STREAM ? CV_STREAM_UNTOUCHED
                                                  : CV_STREAM_LOST,
                   &err);
    return 0;
}

/* A request that was queued and cannot be sent any more (GOAWAY). */
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame,
                       int code, void *user)
{
    struct back_h2 *b = user;
    struct cv_stream *s = b->back.streams;
    struct cv_err err;

    (void)ng;
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    while (s != NULL && s->back_id != frame->hd.stream_id) {
        s = s->back_next;
    }
    if (s != NULL) {
        b->back.retiring = true;
        let_go(b, s);
        cv_err_init(&err);
        (void)cv_fail(&err, CV_REMOTE, "the request could not be sent: %s",
                      nghttp2_strerror(code));
        cv_stream_lost(s, CV_STREAM_UNTOUCHED, &err);
    }
    return 0;
}

/* ---- what it is asked ---- */

static ssize_t read_request(nghttp2_session *ng, int32_t id, uint8_t *buf,
                            size_t len, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    struct cv_stream *s = stream_of(ng, id);

    (void)buf;
    (void)source;
    (void)user;
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return cv_h2_read_pipe(ng, id, &s->request, NULL, len, flags,
                           &s->back_deferred);
}

static int send_request(nghttp2_session *ng, nghttp2_frame *frame,
                        const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user)
{
    struct back_h2 *b = user;
    struct cv_stream *s = stream_of(ng, frame->hd.stream_id);
    int rc;

    (void)source;
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    rc = cv_h2_send_pipe(b->back.leg, frame, head, &s->request, len);
    if (rc != NGHTTP2_ERR_CALLBACK_FAILURE && len > 0) {
        cv_stream_request_took(s, len);
    }
    return rc;
}

static bool has_room(const struct cv_back *back)
{
    const struct back_h2 *b = (const struct back_h2 *)back;
    size_t most = FIRST_STREAMS;

    if (b->back.dead || back->retiring ||
        nghttp2_session_check_request_allowed(b->ng) == 0) {
        return false;
    }
    if (b->settled) {
        most = nghttp2_session_get_remote_settings(
            b->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    }
    return back->n_streams < most && back->n_streams < CV_LIMIT_RELAY_SHARED;
}

/* Where the server has a path of its own, it comes first. */
static struct cv_piece full_path(struct cv_stream *s)
{
    const char *prefix = s->pool->grant->upstream.path;
    struct cv_piece path = s->target;
    char *joined;

    if (prefix[0] == '\0') {
        return path;
    }
    joined = malloc(strlen(prefix) + s->target.len);
    if (joined == NULL) {
        s->head.failed = true;
        return path;
    }
    memcpy(joined, prefix, strlen(prefix));
    memcpy(joined + strlen(prefix), cv_stream_text(s, s->target).at,
           s->target.len);
    path = cv_stream_keep(s, joined, strlen(prefix) + s->target.len);
    free(joined);
    return path;
}

static size_t request_nv(struct cv_stream *s, struct cv_piece path_at,
                         char length[24], nghttp2_nv *nv)
{
    const char *host = s->pool->grant->upstream.authority;
    struct cv_slice method = cv_stream_text(s, s->method);
    struct cv_slice path = cv_stream_text(s, path_at);
    size_t n = 4;

    nv[0] = cv_h2_nv(":method", 7, method.at, method.len);
    nv[1] = cv_h2_nv(":scheme", 7, "https", 5);
    nv[2] = cv_h2_nv(":authority", 10, host, strlen(host));
    nv[3] = cv_h2_nv(":path", 5, path.at, path.len);
    if (s->has_length) {
        (void)snprintf(length, 24, "%llu", (unsigned long long)s->length);
        nv[n++] = cv_h2_nv("content-length", 14, length, strlen(length));
    }
    return n + cv_h2_nv_fields(&s->head, nv + n, CV_LIMIT_RELAY_HEADERS);
}

static void begin(struct cv_back *back, struct cv_stream *s)
{
    struct back_h2 *b = back_of(back);
    nghttp2_nv nv[HEADERS_NV];
    char length[24];
    struct cv_piece path = full_path(s);
    nghttp2_data_provider body = {.source.ptr = NULL,
                                  .read_callback = read_request};
    bool bodiless = !s->has_body || (s->request.ended && s->request.len == 0);

    cv_pool_attach(back, s);
    s->sent = true;
    s->window = CV_LIMIT_RELAY_WINDOW;
    s->passed = 0;
    s->passed_since_ms = cv_clock_boot_ms();
    s->back_deferred = false;
    s->back_id = s->head.failed
                     ? -1
                     : nghttp2_submit_request(b->ng, NULL, nv,
                                              request_nv(s, path, length, nv),
                                              bodiless ? NULL : &body, s);
    if (s->back_id < 0) {
        struct cv_err err;

        cv_err_init(&err);
        (void)cv_fail(&err, CV_INTERNAL, "the request cannot be sent");
        cv_pool_detach(back, s);
        cv_stream_lost(s, CV_STREAM_LOST, &err);
        return;
    }
    cv_back_later(&b->back);
}

static void wake(struct cv_stream *s)
{
    struct back_h2 *b = back_of(s->back);

    if (s->back_deferred) {
        s->back_deferred = false;
        (void)nghttp2_session_resume_data(b->ng, s->back_id);
    }
    cv_back_later(&b->back);
}

/* Whoever takes a whole window's worth within a round trip or two is quick: a
 * wider window lets the server send as fast over a long way. Whoever is slow
 * keeps the narrow one, which is what may have to be held for him. */
static void widen_window(struct back_h2 *b, struct cv_stream *s, size_t n)
{
    int64_t now;

    s->passed += n;
    if (s->passed < s->window || s->window >= CV_LIMIT_RELAY_WINDOW_MOST) {
        return;
    }
    now = cv_clock_boot_ms();
    if (now - s->passed_since_ms < QUICK_MS) {
        s->window *= 2;
        (void)nghttp2_session_set_local_window_size(
            b->ng, NGHTTP2_FLAG_NONE, s->back_id, (int32_t)s->window);
    }
    s->passed = 0;
    s->passed_since_ms = now;
}

static void took(struct cv_stream *s, size_t n)
{
    struct back_h2 *b = back_of(s->back);

    widen_window(b, s, n);
    (void)nghttp2_session_consume_stream(b->ng, s->back_id, n);
    cv_back_later(&b->back);
}

static void drop(struct cv_stream *s)
{
    struct back_h2 *b = back_of(s->back);

    (void)nghttp2_submit_rst_stream(b->ng, NGHTTP2_FLAG_NONE, s->back_id,
                                    NGHTTP2_CANCEL);
    let_go(b, s);
}

/* ---- its life ---- */

static void free_now(struct back_h2 *b)
{
    struct cv_pool *pool = b->back.pool;

    nghttp2_session_del(b->ng);
    if (b->ping_timer != NULL) {
        event_free(b->ping_timer);
    }
    cv_leg_free(b->back.leg);
    cv_pool_lost(pool, &b->back);
    free(b);
}

static void lose_streams(struct back_h2 *b)
{
    struct cv_stream *s;

    while ((s = b->back.streams) != NULL) {
        enum cv_stream_loss how = CV_STREAM_LOST;

        if (b->back.used && !s->answering) {
            how = CV_STREAM_STALE;
        }
        let_go(b, s);
        cv_stream_lost(s, how, &b->back.why);
    }
}

static void on_turn(void *ctx)
{
    struct back_h2 *b = ctx;

    if (!b->back.dead && !cv_h2_send(b->ng, b->back.leg)) {
        cv_back_die(&b->back);
    }
    if (!b->back.dead && b->back.n_streams == 0 &&
        (b->back.retiring || (nghttp2_session_want_read(b->ng) == 0 &&
                              nghttp2_session_want_write(b->ng) == 0))) {
        b->back.dead = true;
    }
    if (b->back.dead) {
        lose_streams(b);
        free_now(b);
        return;
    }
    cv_pool_freed(b->back.pool, &b->back);
}

static void back_retire(struct cv_back *back)
{
    back->retiring = true;
    cv_back_later(back);
}

static void back_free(struct cv_back *back)
{
    cv_back_die(back);
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
    struct back_h2 *b = ctx;
    ssize_t n;

    if (b->back.dead) {
        return len;
    }
    b->heard_ms = cv_clock_boot_ms();
    b->pinged = false;
    n = nghttp2_session_mem_recv(b->ng, data, len);
    if (n < 0) {
        (void)cv_fail(&b->back.why, CV_REMOTE,
                      "the server does not speak HTTP/2 as agreed: %s",
                      nghttp2_strerror((int)n));
        cv_back_die(&b->back);
    }
    cv_back_later(&b->back);
    return len;
}

static void on_writable(void *ctx)
{
    cv_back_later(ctx);
}

static void on_closed(void *ctx, bool clean)
{
    (void)clean;
    cv_back_die(ctx);
}

static void set_ping_timer(struct back_h2 *b, int64_t ms)
{
    struct timeval time = {ms / 1000, (ms % 1000) * 1000};

    (void)event_add(b->ping_timer, &time);
}

static void on_ping_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct back_h2 *b = ctx;
    int64_t quiet = cv_clock_boot_ms() - b->heard_ms;

    (void)fd;
    (void)what;
    if (b->back.dead) {
        return;
    }
    if (b->pinged) {
        (void)cv_fail(&b->back.why, CV_REMOTE,
                      "the server has not been heard of for %lld s",
                      (long long)(quiet / 1000));
        cv_back_die(&b->back);
    } else if (quiet >= PING_AFTER_MS) {
        b->pinged = true;
        (void)nghttp2_submit_ping(b->ng, NGHTTP2_FLAG_NONE, NULL);
        cv_back_later(&b->back);
        set_ping_timer(b, PING_WAIT_MS);
    } else {
        set_ping_timer(b, PING_AFTER_MS - quiet);
    }
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
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(c, send_request);
    return c;
}

static bool start(struct back_h2 *b)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CV_LIMIT_RELAY_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CV_LIMIT_RELAY_HEAD},
    };
    const struct cv_h2_end end = {
        .server = false,
        .callbacks = make_callbacks(),
        .ctx = b,
        .settings = settings,
        .n_settings = sizeof(settings) / sizeof(settings[0]),
        .window = (int32_t)CV_LIMIT_RELAY_WINDOW_BACK,
    };

    return cv_h2_start(&b->ng, &end);
}

struct cv_back *cv_back_h2_new(struct cv_pool *pool, struct cv_leg *leg)
{
    struct back_h2 *b = calloc(1, sizeof(*b));

    if (b == NULL || !start(b)) {
        free(b);
        return NULL;
    }
    b->ping_timer =
        event_new(pool->world->config.base, -1, 0, on_ping_timer, b);
    if (b->ping_timer == NULL) {
        nghttp2_session_del(b->ng);
        free(b);
        return NULL;
    }
    cv_err_init(&b->back.why);
    b->back.ops = &back_ops;
    b->back.world = pool->world;
    b->back.pool = pool;
    b->back.leg = leg;
    b->back.turn.run = on_turn;
    b->back.turn.ctx = b;
    b->heard_ms = cv_clock_boot_ms();
    set_ping_timer(b, PING_AFTER_MS);
    cv_leg_hook(leg, &leg_hooks, b);
    cv_back_later(&b->back);
    return &b->back;
}
