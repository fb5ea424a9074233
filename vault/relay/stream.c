#include "vault/relay/session_internal.h"

#include "vault/relay/refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cv_stream *cv_stream_new(struct cv_session *session)
{
    struct cv_stream *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->session = session;
    s->world = session->world;
    s->pool = session->pool;
    cv_pool_use(s->pool);
    s->next = session->streams;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    session->streams = s;
    s->world->n_streams++;
    return s;
}

/* Nothing that is under way for the stream comes back to it. */
static void drop_work(struct cv_stream *s)
{
    if (s->ask != 0) {
        cv_door_forget(s->world->config.door, s->ask);
        s->ask = 0;
    }
    cv_pool_forget(s->pool, s);
    if (s->back != NULL) {
        s->back->ops->drop(s);
    }
}

static void drop_request(struct cv_stream *s)
{
    cv_fields_wipe(&s->head);
    memset(&s->method, 0, sizeof(s->method));
    memset(&s->target, 0, sizeof(s->target));
    memset(&s->host, 0, sizeof(s->host));
    memset(&s->upgrade, 0, sizeof(s->upgrade));
}

static void unlink_stream(struct cv_stream *s)
{
    if (s->prev != NULL) {
        s->prev->next = s->next;
    } else {
        s->session->streams = s->next;
    }
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    s->session = NULL;
}

void cv_stream_front_gone(struct cv_stream *s)
{
    unlink_stream(s);
    drop_work(s);
    drop_request(s);
    cv_pipe_wipe(&s->request);
    cv_pipe_wipe(&s->answer);
    cv_fields_wipe(&s->answer_head);
    cv_fields_wipe(&s->answer_trailers);
    s->world->n_streams--;
    cv_pool_leave(s->pool);
    free(s->why);
    free(s);
}

void cv_stream_request_data(struct cv_stream *s, const void *data, size_t len)
{
    if (s->refused) {
        s->session->ops->took(s, len);
        return;
    }
    if (!cv_pipe_add(&s->request, data, len)) {
        cv_stream_refuse(s, 503, "out of memory", NULL);
        return;
    }
    if (s->back != NULL) {
        s->back->ops->wake(s);
    }
}

void cv_stream_request_end(struct cv_stream *s)
{
    s->request.ended = true;
    if (s->back != NULL) {
        s->back->ops->wake(s);
    }
}

void cv_stream_request_took(struct cv_stream *s, size_t n)
{
    cv_pipe_drop(&s->request, n);
    s->request_taken = true;
    s->session->ops->took(s, n);
}

void cv_stream_interim(struct cv_stream *s, unsigned status,
                       struct cv_fields *fields)
{
    cv_fields_drop_hop(fields);
    cv_fields_drop(fields, "content-length");
    s->session->ops->interim(s, status, fields);
}

void cv_stream_answer(struct cv_stream *s, unsigned status,
                      struct cv_fields *fields, bool end)
{
    cv_fields_drop_hop(fields);
    s->answering = true;
    s->status = status;
    drop_request(s);
    if (end) {
        s->answer.ended = true;
    }
    s->session->ops->answer(s, status, fields, end);
}

void cv_stream_answer_data(struct cv_stream *s, const void *data, size_t len)
{
    const struct cv_session_ops *ops = s->session->ops;
    size_t taken = s->answer.len == 0 ? ops->direct(s, data, len) : 0;

    if (taken > 0) {
        s->back->ops->took(s, taken);
    }
    if (taken == len) {
        return;
    }
    if (!cv_pipe_add(&s->answer, (const uint8_t *)data + taken, len - taken)) {
        ops->cut(s);
        return;
    }
    ops->wake(s);
}

void cv_stream_answer_took(struct cv_stream *s, size_t n)
{
    cv_pipe_drop(&s->answer, n);
    if (s->back != NULL) {
        s->back->ops->took(s, n);
    }
}

void cv_stream_answer_end(struct cv_stream *s)
{
    s->answer.ended = true;
    s->session->ops->wake(s);
}

void cv_stream_upgraded(struct cv_stream *s, struct cv_fields *fields,
                        struct cv_leg *server, const void *first, size_t len)
{
    s->answering = true;
    cv_fields_drop_hop(fields);
    s->session->ops->upgrade(s, fields, server, first, len);
}

/* The Status that a lost connection is told as. */
static void refuse_for(struct cv_stream *s, const struct cv_err *err)
{
    int code = cv_refusal_code(err->status);

    if (err->domain == CV_DOMAIN_ERRNO && err->native == ETIMEDOUT) {
        code = 504;
    }
    cv_stream_refuse(s, code, err->text, err->hint);
}

static bool is_safe(const struct cv_stream *s)
{
    struct cv_slice method = cv_stream_text(s, s->method);

    return cv_slice_is(method, "GET") || cv_slice_is(method, "HEAD") ||
           cv_slice_is(method, "OPTIONS");
}

void cv_stream_lost(struct cv_stream *s, enum cv_stream_loss how,
                    const struct cv_err *err)
{
    bool again = how == CV_STREAM_UNTOUCHED ||
                 (how == CV_STREAM_STALE && (is_safe(s) || !s->sent));

    if (again && !s->replayed && !s->answering && !s->request_taken) {
        s->replayed = true;
        s->sent = false;
        s->back_deferred = false;
        if (how == CV_STREAM_STALE) {
            cv_pool_distrust(s->pool);
        }
        cv_pool_want(s->pool, s);
        return;
    }
    refuse_for(s, err);
}

void cv_stream_connected(struct cv_stream *s, struct cv_back *back)
{
    back->ops->begin(back, s);
}

void cv_stream_unreachable(struct cv_stream *s, const struct cv_err *err)
{
    refuse_for(s, err);
}

static void refusal_fields(const struct cv_stream *s, size_t len,
                           struct cv_fields *fields)
{
    char number[24];

    (void)snprintf(number, sizeof(number), "%zu", len);
    cv_fields_add_text(fields, "content-type", "application/json");
    cv_fields_add_text(fields, "content-length", number);
    cv_fields_add_text(fields, "cache-control", "no-store");
    if (s->audit_id[0] != '\0') {
        cv_fields_add_text(fields, "audit-id", s->audit_id);
    }
}

void cv_stream_refuse(struct cv_stream *s, int code, const char *why,
                      const char *hint)
{
    struct cv_fields fields = {0};
    struct cv_buf body;

    drop_work(s);
    if (s->answering) {
        s->session->ops->cut(s);
        return;
    }
    s->refused = true;
    s->answering = true;
    s->status = (unsigned)code;
    if (s->request.len > 0) {
        size_t left = s->request.len;

        cv_pipe_wipe(&s->request);
        s->session->ops->took(s, left);
    }
    cv_buf_init(&body, NULL, CV_KIB(4));
    cv_refusal_body(code, why, hint, &body);
    refusal_fields(s, body.len, &fields);
    if (fields.failed || cv_buf_status(&body, "the answer", NULL) != CV_OK ||
        (!s->is_head && !cv_pipe_add(&s->answer, body.data, body.len))) {
        s->session->ops->cut(s);
    } else {
        s->answer.ended = true;
        drop_request(s);
        s->session->ops->answer(s, (unsigned)code, &fields, s->is_head);
    }
    cv_buf_wipe(&body);
    cv_fields_wipe(&fields);
}
