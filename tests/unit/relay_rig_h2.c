#include "relay_rig.h"

#include "vault/base/limits.h"
#include "vault/relay/leg.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct rig_stream *stream_of(struct rig_h2 *h, int32_t id)
{
    for (unsigned i = 0; i < h->n_streams; i++) {
        if (h->streams[i].id == id) {
            return &h->streams[i];
        }
    }
    return NULL;
}

static struct rig_stream *add_stream(struct rig_h2 *h, int32_t id)
{
    struct rig_stream *s = &h->streams[h->n_streams];

    assert_true(h->n_streams < RIG_STREAMS);
    h->n_streams++;
    s->id = id;
    cv_buf_init(&s->head, NULL, CV_KIB(64));
    cv_buf_init(&s->interim, NULL, CV_KIB(64));
    cv_buf_init(&s->trailers, NULL, CV_KIB(64));
    cv_buf_init(&s->body, NULL, CV_KIB(64));
    return s;
}

static int on_begin(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct rig_h2 *h = user;

    (void)ng;
    if (h->server && stream_of(h, frame->hd.stream_id) == NULL) {
        (void)add_stream(h, frame->hd.stream_id);
    }
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *user)
{
    struct rig_h2 *h = user;
    struct rig_stream *s = stream_of(h, frame->hd.stream_id);
    struct cv_buf *into = s->has_head ? &s->trailers : &s->head;

    (void)ng;
    (void)flags;
    (void)name_len;
    (void)value_len;
    cv_buf_add_format(into, "%s: %s\n", (const char *)name,
                      (const char *)value);
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct rig_h2 *h = user;
    struct rig_stream *s = stream_of(h, frame->hd.stream_id);

    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h->goaway = true;
    }
    if (s == NULL) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        if (!h->server &&
            strncmp(cv_buf_text(&s->head), ":status: 1", 10) == 0) {
            cv_buf_add(&s->interim, s->head.data, s->head.len);
            cv_buf_wipe(&s->head);
        } else {
            s->has_head = true;
        }
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        s->ended = true;
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t len, void *user)
{
    struct rig_h2 *h = user;
    struct rig_stream *s = stream_of(h, id);

    (void)flags;
    for (size_t i = 0; i < len; i++) {
        s->sum += data[i] * (uint64_t)(s->got + i + 1);
    }
    s->got += len;
    if (s->body.len + len < CV_KIB(64)) {
        cv_buf_add(&s->body, data, len);
    }
    (void)nghttp2_session_consume_connection(ng, len);
    if (s->hold) {
        s->unread += len;
    } else {
        (void)nghttp2_session_consume_stream(ng, id, len);
    }
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct rig_stream *s = stream_of(user, id);

    (void)ng;
    if (s != NULL) {
        s->closed = true;
        s->code = code;
    }
    return 0;
}

static ssize_t give(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
                    uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct rig_stream *s = source->ptr;
    size_t left = s->to_send - s->sent;

    (void)user;
    if (left == 0 && s->more) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (len > left) {
        len = left;
    }
    for (size_t i = 0; i < len; i++) {
        buf[i] = s->text != NULL ? (uint8_t)s->text[s->sent + i]
                                 : rig_byte(s->sent + i);
    }
    s->sent += len;
    if (s->sent == s->to_send && !s->more) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->send_trailer != NULL) {
            char name[] = "x-end";
            char value[64];
            nghttp2_nv nv = {(uint8_t *)name, (uint8_t *)value, 5,
                             strlen(s->send_trailer), 0};

            (void)snprintf(value, sizeof(value), "%s", s->send_trailer);
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            (void)nghttp2_submit_trailer(ng, id, &nv, 1);
        }
    }
    return (ssize_t)len;
}

void rig_h2_flush(struct rig_h2 *h)
{
    for (;;) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->ng, &data);
        size_t at = 0;

        if (n <= 0) {
            return;
        }
        while (at < (size_t)n) {
            size_t sent = rig_send_some(h->end, data + at, (size_t)n - at);

            at += sent;
            if (sent == 0 && errno != EAGAIN) {
                h->dead = true;
                return;
            }
            if (at < (size_t)n) {
                (void)event_base_loop(h->end->rig->base, EVLOOP_NONBLOCK);
            }
        }
    }
}

/* What came over the socket goes through nghttp2, and what it says back. */
static void digest(struct rig_h2 *h)
{
    if (h->end->got.len > 0 && !h->dead) {
        ssize_t n =
            nghttp2_session_mem_recv(h->ng, h->end->got.data, h->end->got.len);

        if (n < 0) {
            h->dead = true;
        }
        cv_buf_wipe(&h->end->got);
    }
    rig_h2_flush(h);
}

static struct rig_h2 *h2_new(struct rig_end *end, bool server, uint32_t max)
{
    struct rig_h2 *h = calloc(1, sizeof(*h));
    nghttp2_session_callbacks *c;
    nghttp2_option *option;
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                    max};

    assert_non_null(h);
    h->end = end;
    h->server = server;
    assert_int_equal(nghttp2_session_callbacks_new(&c), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    if (server) {
        assert_int_equal(nghttp2_session_server_new2(&h->ng, c, h, option), 0);
    } else {
        assert_int_equal(nghttp2_session_client_new2(&h->ng, c, h, option), 0);
    }
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(option);
    assert_int_equal(nghttp2_submit_settings(h->ng, 0, &entry, max > 0 ? 1 : 0),
                     0);
    rig_h2_flush(h);
    return h;
}

struct rig_h2 *rig_client_h2(struct rig *rig)
{
    return h2_new(rig_end_of(rig, rig_client_fd(rig, true)), false, 0);
}

struct rig_h2 *rig_accept_h2(struct rig *rig, uint32_t max_streams)
{
    return h2_new(rig_accept(rig), true, max_streams);
}

void rig_h2_free(struct rig_h2 *h)
{
    nghttp2_session_del(h->ng);
    rig_end_free(h->end);
    for (unsigned i = 0; i < h->n_streams; i++) {
        cv_buf_wipe(&h->streams[i].head);
        cv_buf_wipe(&h->streams[i].interim);
        cv_buf_wipe(&h->streams[i].trailers);
        cv_buf_wipe(&h->streams[i].body);
    }
    free(h);
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
    union {
        const char *in;
        uint8_t *out;
    } n = {name}, v = {value};
    nghttp2_nv nv = {n.out, v.out, strlen(name), strlen(value), 0};

    return nv;
}

static struct rig_stream *ask(struct rig_h2 *h, const char *method,
                              const char *path, const char *text, size_t len,
                              bool body, const char *const *extra)
{
    struct rig_stream *s = add_stream(h, 0);
    nghttp2_data_provider give_it = {.source.ptr = s, .read_callback = give};
    nghttp2_nv nv[32] = {nv_of(":method", method), nv_of(":scheme", "https"),
                         nv_of(":authority", RIG_HOST), nv_of(":path", path)};
    size_t n = 4;

    for (; extra != NULL && *extra != NULL; extra += 2) {
        nv[n++] = nv_of(extra[0], extra[1]);
    }
    s->text = text;
    s->to_send = len;
    s->id = nghttp2_submit_request(h->ng, NULL, nv, n, body ? &give_it : NULL,
                                   NULL);
    assert_true(s->id > 0);
    rig_h2_flush(h);
    return s;
}

struct rig_stream *rig_h2_ask(struct rig_h2 *h, const char *method,
                              const char *path, const char *body,
                              const char *const *extra)
{
    return ask(h, method, path, body, body != NULL ? strlen(body) : 0,
               body != NULL, extra);
}

struct rig_stream *rig_h2_ask_big(struct rig_h2 *h, const char *path, size_t n)
{
    return ask(h, "POST", path, NULL, n, true, NULL);
}

static void answer(struct rig_h2 *h, struct rig_stream *s, const char *status,
                   bool body)
{
    nghttp2_data_provider give_it = {.source.ptr = s, .read_callback = give};
    nghttp2_nv nv[] = {nv_of(":status", status), nv_of("x-server", "h2"),
                       nv_of("content-type", "application/json")};

    assert_int_equal(
        nghttp2_submit_response(h->ng, s->id, nv, 3, body ? &give_it : NULL),
        0);
    rig_h2_flush(h);
}

void rig_h2_answer(struct rig_h2 *h, struct rig_stream *s, const char *status,
                   const char *body)
{
    s->text = body;
    s->to_send = body != NULL ? strlen(body) : 0;
    answer(h, s, status, body != NULL);
}

void rig_h2_answer_big(struct rig_h2 *h, struct rig_stream *s, size_t n)
{
    s->text = NULL;
    s->to_send = n;
    answer(h, s, "200", true);
}

void rig_h2_answer_open(struct rig_h2 *h, struct rig_stream *s,
                        const char *status)
{
    s->more = true;
    s->text = "";
    answer(h, s, status, true);
}

void rig_h2_say(struct rig_h2 *h, struct rig_stream *s, const char *text)
{
    s->text = text;
    s->sent = 0;
    s->to_send = strlen(text);
    (void)nghttp2_session_resume_data(h->ng, s->id);
    rig_h2_flush(h);
}

void rig_h2_finish(struct rig_h2 *h, struct rig_stream *s)
{
    s->more = false;
    (void)nghttp2_session_resume_data(h->ng, s->id);
    rig_h2_flush(h);
}

void rig_h2_interim(struct rig_h2 *h, struct rig_stream *s, const char *status)
{
    nghttp2_nv nv = nv_of(":status", status);

    assert_int_equal(
        nghttp2_submit_headers(h->ng, 0, s->id, NULL, &nv, 1, NULL), 0);
    rig_h2_flush(h);
}

/* ---- waiting ---- */

struct h2_waits {
    struct rig_h2 *h;
    struct rig_stream *s;
    size_t n;
};

static bool has_next(void *ctx)
{
    struct h2_waits *w = ctx;

    digest(w->h);
    return w->h->n_streams > w->n && w->h->streams[w->n].has_head;
}

struct rig_stream *rig_h2_next(struct rig_h2 *h)
{
    struct h2_waits w = {h, NULL, 0};

    while (w.n < h->n_streams && h->streams[w.n].given) {
        w.n++;
    }
    rig_until(h->end->rig, has_next, &w);
    h->streams[w.n].given = true;
    return &h->streams[w.n];
}

static bool has_head(void *ctx)
{
    struct h2_waits *w = ctx;

    digest(w->h);
    return w->s->has_head;
}

static bool has_ended(void *ctx)
{
    struct h2_waits *w = ctx;

    digest(w->h);
    return w->s->ended;
}

static bool has_closed(void *ctx)
{
    struct h2_waits *w = ctx;

    digest(w->h);
    return w->s->closed || w->h->end->closed;
}

static bool has_body(void *ctx)
{
    struct h2_waits *w = ctx;

    digest(w->h);
    return w->s->got >= w->n;
}

void rig_h2_until_head(struct rig_h2 *h, struct rig_stream *s)
{
    struct h2_waits w = {h, s, 0};

    rig_until(h->end->rig, has_head, &w);
}

void rig_h2_until_ended(struct rig_h2 *h, struct rig_stream *s)
{
    struct h2_waits w = {h, s, 0};

    rig_until(h->end->rig, has_ended, &w);
}

void rig_h2_until_closed(struct rig_h2 *h, struct rig_stream *s)
{
    struct h2_waits w = {h, s, 0};

    rig_until(h->end->rig, has_closed, &w);
}

void rig_h2_until_body(struct rig_h2 *h, struct rig_stream *s, size_t n)
{
    struct h2_waits w = {h, s, n};

    rig_until(h->end->rig, has_body, &w);
}

void rig_h2_unhold(struct rig_h2 *h, struct rig_stream *s)
{
    s->hold = false;
    (void)nghttp2_session_consume_stream(h->ng, s->id, s->unread);
    s->unread = 0;
    rig_h2_flush(h);
}
