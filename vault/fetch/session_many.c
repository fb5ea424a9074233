#include "vault/fetch/session_internal.h"

#include <stdlib.h>
#include <string.h>

enum state { TO_SEND, UNDER_WAY, OVER };

struct item {
    struct cv_retry retry;
    int64_t ready_ms;
    enum state state;
};

struct batch {
    struct cv_session *s;
    const struct cv_session_many *many;
    struct call call;
    struct item *items;
    size_t fresh; /* items before it were sent at least once */
    size_t over;
    int64_t pause_ms; /* nobody sends before */
    size_t waiting;   /* items that are to be repeated */
    struct call_request request;
};

static void finish(struct batch *b, size_t i, enum cv_status status,
                   const struct cv_session_answer *a, const struct cv_err *err)
{
    b->items[i].state = OVER;
    b->over++;
    b->many->done(b->many->context, i, status, a, err);
}

/* The item to send next; false where none is ready, with when one will be. */
static bool pick(struct batch *b, int64_t now, size_t *out, int64_t *wait_ms)
{
    *wait_ms = b->pause_ms > now ? b->pause_ms - now : 1000;
    if (b->pause_ms > now) {
        return false;
    }
    for (size_t i = 0; b->waiting > 0 && i < b->fresh; i++) {
        struct item *it = &b->items[i];

        if (it->state == TO_SEND && it->ready_ms <= now) {
            b->waiting--;
            *out = i;
            return true;
        }
        if (it->state == TO_SEND && it->ready_ms - now < *wait_ms) {
            *wait_ms = it->ready_ms - now;
        }
    }
    if (b->fresh < b->many->n) {
        *out = b->fresh++;
        cv_retry_begin(&b->items[*out].retry, now,
                       (int64_t)CV_LIMIT_RETRY_TOTAL_S * 1000);
        return true;
    }
    return false;
}

static enum cv_status next(void *context, struct cv_http_request *out,
                           size_t *tag, int64_t *wait_ms)
{
    struct batch *b = context;
    struct cv_err why;

    while (b->over < b->many->n) {
        enum cv_status st;

        if (!pick(b, cv_session_clock_now_ms(b->s), tag, wait_ms)) {
            return CV_BUSY;
        }
        cv_err_init(&why);
        st =
            cv_call_build(b->s, &b->call, b->many->path(b->many->context, *tag),
                          &b->request, &why);
        if (st == CV_OK) {
            b->items[*tag].state = UNDER_WAY;
            *out = b->request.http;
            return CV_OK;
        }
        finish(b, *tag, st, NULL, &why);
    }
    return CV_NOT_FOUND;
}

static bool repeat(struct batch *b, struct item *it,
                   const struct cv_http_answer *a)
{
    int64_t now = cv_session_clock_now_ms(b->s);
    int64_t wait_ms = 0;

    if ((a->end == CV_HTTP_ANSWERED && a->status < 400) ||
        !cv_retry_next(&it->retry, cv_call_end(a), a->status,
                       cv_call_retry_after(b->s, a), now,
                       cv_session_clock_chance(b->s), &wait_ms)) {
        return false;
    }
    it->state = TO_SEND;
    it->ready_ms = now + wait_ms;
    b->waiting++;
    if (a->status == 429 && it->ready_ms > b->pause_ms) {
        b->pause_ms = it->ready_ms;
    }
    return true;
}

static bool done(void *context, size_t tag, const struct cv_http_answer *a)
{
    struct batch *b = context;
    struct cv_session_answer answer;
    struct cv_err why;
    enum cv_status st;

    if (repeat(b, &b->items[tag], a)) {
        return true;
    }
    cv_err_init(&why);
    st = cv_call_check(b->s, &b->call, a, &answer, NULL, &why);
    finish(b, tag, st, st == CV_OK ? &answer : NULL, &why);
    return true;
}

/* With a network of a test's: one after the other. */
static enum cv_status one_by_one(struct batch *b)
{
    for (size_t i = 0; i < b->many->n; i++) {
        struct cv_session_call is = *b->many->call;
        const struct call c = {.is = &is};
        struct cv_session_answer answer;
        struct cv_err why;
        enum cv_status st;

        cv_err_init(&why);
        is.path = b->many->path(b->many->context, i);
        st = cv_call_run(b->s, &c, &answer, NULL, &why);
        finish(b, i, st, st == CV_OK ? &answer : NULL, &why);
    }
    return CV_OK;
}

enum cv_status cv_session_many_send(struct cv_session *s,
                                    const struct cv_session_many *many,
                                    struct cv_err *err)
{
    struct batch b = {.s = s, .many = many, .call = {.is = many->call}};
    const struct cv_http_batch http_batch = {
        .next = next, .done = done, .context = &b, .parallel = many->parallel};
    struct cv_http *http = NULL;
    enum cv_status st = cv_session_prepare(s, many->call, err);

    if (st == CV_OK && many->n > 0) {
        b.items = calloc(many->n, sizeof(*b.items));
        st = b.items == NULL ? cv_fail(err, CV_INTERNAL, "out of memory")
                             : CV_OK;
    }
    if (st == CV_OK && s->hooks.send != NULL) {
        st = one_by_one(&b);
    } else if (st == CV_OK) {
        st = cv_session_http(s, many->call->service, &http, err);
        if (st == CV_OK) {
            st = cv_http_run(http, &http_batch, err);
        }
    }
    free(b.items);
    return st;
}
