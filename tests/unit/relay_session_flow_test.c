/* Large bodies, slow readers, slow servers: every byte arrives in its order,
 * and the relay holds few of them. CV_FULL=1 sends more. */
#include "full.h"
#include "relay_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "\r\nHost: " RIG_HOST
#define GET "GET /api/v1/pods HTTP/1.1" HOST "\r\n\r\n"
/* What a socket pair and the relay's own queues may hold of a body that nobody
 * reads; less than any of the bodies here. */
#define HELD_MOST ((size_t)1536 * 1024)

static size_t body_len(void)
{
    return cv_full_run() ? (size_t)200 << 20 : (size_t)9 << 20;
}

/* Something that sends a body as the other end takes it. */
struct sender {
    struct rig_end *end;
    size_t at;
    size_t len;
};

static void send_some(struct sender *w)
{
    uint8_t block[16384];

    while (w->at < w->len) {
        size_t n =
            w->len - w->at < sizeof(block) ? w->len - w->at : sizeof(block);
        size_t sent;

        for (size_t i = 0; i < n; i++) {
            block[i] = rig_byte(w->at + i);
        }
        sent = rig_send_some(w->end, block, n);
        w->at += sent;
        if (sent < n) {
            return;
        }
    }
}

/* Takes what has come of a body. */
struct taker {
    struct rig_end *end;
    size_t got;
    uint64_t sum;
};

static void take_some(struct taker *t)
{
    for (size_t i = 0; i < t->end->got.len; i++) {
        t->sum += t->end->got.data[i] * (uint64_t)(t->got + i + 1);
    }
    t->got += t->end->got.len;
    cv_buf_wipe(&t->end->got);
}

struct h1_flow {
    struct sender *from;
    struct taker *to;
    size_t len;
};

static bool h1_done(void *ctx)
{
    struct h1_flow *f = ctx;

    send_some(f->from);
    take_some(f->to);
    return f->to->got >= f->len;
}

/* Runs until the sender cannot send more. */
static size_t until_stuck(struct rig *rig, struct sender *w)
{
    size_t before;
    int still = 0;

    do {
        before = w->at;
        send_some(w);
        rig_settle(rig);
        still = w->at == before ? still + 1 : 0;
    } while (still < 3);
    return w->at;
}

/* An h1 server to an h1 client that does not read, then does. */
static void test_down_h1_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;
    struct sender from = {NULL, 0, body_len()};
    struct taker to = {c, 0, 0};
    struct h1_flow flow = {&from, &to, body_len()};
    char head[128];

    (void)state;
    rig_send(c, GET);
    s = from.end = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   body_len());
    rig_send(s, head);
    (void)rig_until_text(c, "\r\n\r\n");
    rig_deaf(c, true);
    assert_true(until_stuck(rig, &from) < HELD_MOST);
    rig_deaf(c, false);
    rig_until(rig, h1_done, &flow);
    assert_true(to.sum == rig_sum(body_len()));
    rig_send(c, GET);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* An h1 client to an h1 server that does not read, then does. */
static void test_up_h1_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;
    struct sender from = {c, 0, body_len()};
    struct taker to = {NULL, 0, 0};
    struct h1_flow flow = {&from, &to, body_len()};
    char head[256];

    (void)state;
    (void)snprintf(head, sizeof(head),
                   "POST /api/v1/namespaces HTTP/1.1" HOST
                   "\r\nContent-Length: %zu\r\n\r\n",
                   body_len());
    rig_send(c, head);
    s = to.end = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_deaf(s, true);
    assert_true(until_stuck(rig, &from) < HELD_MOST);
    rig_deaf(s, false);
    rig_until(rig, h1_done, &flow);
    assert_true(to.sum == rig_sum(body_len()));
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)rig_until_text(c, "HTTP/1.1 200 OK");
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

struct up_flow {
    struct sender *from;
    struct rig_h2 *h;
    struct rig_stream *s;
};

/* An h1 client to an h2 server whose window stays shut for a while. */
static bool up_done(void *ctx)
{
    struct up_flow *f = ctx;

    send_some(f->from);
    if (f->h->end->got.len > 0) {
        (void)nghttp2_session_mem_recv(f->h->ng, f->h->end->got.data,
                                       f->h->end->got.len);
        cv_buf_wipe(&f->h->end->got);
    }
    rig_h2_flush(f->h);
    return f->s->ended;
}

static void test_up_h1_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct sender from = {c, 0, body_len()};
    struct up_flow flow = {&from, NULL, NULL};
    char head[256];

    (void)state;
    rig->speaks_h2 = true;
    (void)snprintf(head, sizeof(head),
                   "POST /api/v1/namespaces HTTP/1.1" HOST
                   "\r\nContent-Length: %zu\r\n\r\n",
                   body_len());
    rig_send(c, head);
    flow.h = rig_accept_h2(rig, 0);
    flow.s = rig_h2_next(flow.h);
    flow.s->hold = true;
    assert_true(until_stuck(rig, &from) < HELD_MOST);
    rig_h2_unhold(flow.h, flow.s);
    rig_until(rig, up_done, &flow);
    assert_int_equal(flow.s->got, body_len());
    assert_true(flow.s->sum == rig_sum(body_len()));
    rig_h2_answer(flow.h, flow.s, "200", "x");
    (void)rig_until_text(c, "1\r\nx\r\n0\r\n\r\n");
    rig_end_free(c);
    rig_h2_free(flow.h);
    rig_free(rig);
}

/* An h2 client to an h1 server that does not read, then does; another request
 * on the same connection is not held up. */
static void test_up_h2_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    size_t len = body_len();
    struct rig_stream *big = rig_h2_ask_big(c, "/api/v1/namespaces", len);
    struct rig_stream *small;
    struct rig_end *s = rig_accept(rig);
    struct rig_end *s2;
    struct taker to = {s, 0, 0};

    (void)state;
    (void)rig_until_text(s, "transfer-encoding: chunked\r\n\r\n");
    rig_deaf(s, true);
    small = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    s2 = rig_accept(rig);
    rig_send(s2, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    rig_h2_until_closed(c, small);
    assert_true(small->ended);
    assert_true(big->sent < HELD_MOST);
    assert_false(big->closed);
    rig_deaf(s, false);
    while (big->sent < len) {
        rig_h2_until_body(c, small, 0); /* moves its frames */
        assert_int_not_equal(event_base_loop(rig->base, EVLOOP_ONCE), -1);
        take_some(&to);
    }
    rig_settle(rig);
    take_some(&to);
    /* and its framing */
    assert_true(to.got > len);
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    rig_h2_until_closed(c, big);
    assert_true(big->ended);
    rig_h2_free(c);
    rig_end_free(s);
    rig_end_free(s2);
    rig_free(rig);
}

/* An h1 server to an h2 client whose window stays shut. */
static void test_down_h2_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *big = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    struct rig_end *s = rig_accept(rig);
    struct sender from = {s, 0, body_len()};
    struct up_flow flow = {&from, c, big};
    char head[128];

    (void)state;
    big->hold = true;
    (void)rig_until_text(s, "\r\n\r\n");
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   body_len());
    rig_send(s, head);
    rig_h2_until_head(c, big);
    assert_true(until_stuck(rig, &from) < HELD_MOST);
    rig_h2_unhold(c, big);
    rig_until(rig, up_done, &flow);
    assert_int_equal(big->got, body_len());
    assert_true(big->sum == rig_sum(body_len()));
    rig_h2_free(c);
    rig_end_free(s);
    rig_free(rig);
}

struct both {
    struct rig_h2 *c;
    struct rig_h2 *s;
    struct rig_stream *one;
    struct rig_stream *two;
};

static void digest(struct rig_h2 *h)
{
    if (h->end->got.len > 0) {
        (void)nghttp2_session_mem_recv(h->ng, h->end->got.data,
                                       h->end->got.len);
        cv_buf_wipe(&h->end->got);
    }
    rig_h2_flush(h);
}

static bool one_ended(void *ctx)
{
    struct both *b = ctx;

    digest(b->c);
    digest(b->s);
    return b->one->ended;
}

static bool two_ended(void *ctx)
{
    struct both *b = ctx;

    digest(b->c);
    digest(b->s);
    return b->two->ended;
}

/* Two large answers on one connection each way: the client takes one and not
 * the other, which does not hold the first up. */
static void test_down_h2_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct both b = {rig_client_h2(rig), NULL, NULL, NULL};
    size_t len = body_len();
    struct rig_stream *slow;

    (void)state;
    rig->speaks_h2 = true;
    b.one = rig_h2_ask(b.c, "GET", "/api/1", NULL, NULL);
    b.two = rig_h2_ask(b.c, "GET", "/api/2", NULL, NULL);
    b.two->hold = true;
    b.s = rig_accept_h2(rig, 0);
    struct rig_stream *first = rig_h2_next(b.s);
    slow = rig_h2_next(b.s);
    rig_h2_answer_big(b.s, slow, len);
    rig_h2_answer_big(b.s, first, len);
    rig_until(rig, one_ended, &b);
    assert_true(b.one->sum == rig_sum(len));
    assert_true(slow->sent < HELD_MOST);
    assert_false(b.two->ended);
    rig_h2_unhold(b.c, b.two);
    rig_until(rig, two_ended, &b);
    assert_int_equal(b.two->got, len);
    assert_true(b.two->sum == rig_sum(len));
    rig_h2_free(b.c);
    rig_h2_free(b.s);
    rig_free(rig);
}

static bool one_has_much(void *ctx)
{
    struct both *b = ctx;

    digest(b->c);
    digest(b->s);
    return b->one->got > body_len();
}

static void move_both(struct rig *rig, struct both *b)
{
    for (int i = 0; i < 200; i++) {
        digest(b->c);
        digest(b->s);
        (void)event_base_loop(rig->base, EVLOOP_NONBLOCK);
    }
}

/* A client whose windows are wide open, that was quick and then stops reading
 * its socket: what has piled up by then goes out as it reads again. */
static void test_pile_h2_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct both b = {rig_client_h2(rig), NULL, NULL, NULL};
    size_t len = 3 * body_len();
    struct rig_stream *a;
    size_t sent;

    (void)state;
    rig->speaks_h2 = true;
    b.one = rig_h2_ask(b.c, "GET", "/api/1", NULL, NULL);
    assert_int_equal(
        nghttp2_session_set_local_window_size(b.c->ng, 0, 0, 64 << 20), 0);
    assert_int_equal(
        nghttp2_session_set_local_window_size(b.c->ng, 0, b.one->id, 64 << 20),
        0);
    rig_h2_flush(b.c);
    b.s = rig_accept_h2(rig, 0);
    a = rig_h2_next(b.s);
    rig_h2_answer_big(b.s, a, len);
    rig_until(rig, one_has_much, &b);
    rig_deaf(b.c->end, true);
    move_both(rig, &b);
    sent = a->sent;
    move_both(rig, &b);
    assert_int_equal(a->sent, sent);
    /* at most its widest window, and what sockets hold */
    assert_true(sent < b.one->got + ((size_t)8 << 20));
    assert_true(sent > b.one->got + ((size_t)1 << 20));
    rig_deaf(b.c->end, false);
    rig_until(rig, one_ended, &b);
    assert_int_equal(b.one->got, len);
    assert_true(b.one->sum == rig_sum(len));
    rig_h2_free(b.c);
    rig_h2_free(b.s);
    rig_free(rig);
}

static void test_up_h2_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct both b = {rig_client_h2(rig), NULL, NULL, NULL};
    size_t len = body_len();
    struct rig_stream *big;

    (void)state;
    rig->speaks_h2 = true;
    big = rig_h2_ask_big(b.c, "/api/v1/namespaces", len);
    b.s = rig_accept_h2(rig, 0);
    b.one = rig_h2_next(b.s);
    rig_until(rig, one_ended, &b);
    assert_true(b.one->sum == rig_sum(len));
    rig_h2_answer(b.s, b.one, "200", "ok");
    rig_h2_until_closed(b.c, big);
    assert_int_equal(big->code, 0);
    rig_h2_free(b.c);
    rig_h2_free(b.s);
    rig_free(rig);
}

/* A client that goes in the middle takes its request with it. */
static void test_client_goes(void **state)
{
    struct rig *rig = rig_new("");
    struct both b = {rig_client_h2(rig), NULL, NULL, NULL};
    struct rig_stream *a;
    struct rig_end *c1 = rig_client(rig);

    (void)state;
    rig->speaks_h2 = true;
    b.one = rig_h2_ask(b.c, "GET", "/api/v1/pods?watch=1", NULL, NULL);
    b.s = rig_accept_h2(rig, 0);
    a = rig_h2_next(b.s);
    rig_h2_answer_open(b.s, a, "200");
    rig_h2_until_head(b.c, b.one);
    assert_int_equal(
        nghttp2_submit_rst_stream(b.c->ng, 0, b.one->id, NGHTTP2_CANCEL), 0);
    rig_h2_flush(b.c);
    rig_h2_until_closed(b.s, a);
    assert_int_equal(a->code, NGHTTP2_CANCEL);
    /* an h1 client just hangs up */
    rig_send(c1, GET);
    a = rig_h2_next(b.s);
    rig_h2_answer_open(b.s, a, "200");
    (void)rig_until_text(c1, "\r\n\r\n");
    rig_end_free(c1);
    rig_h2_until_closed(b.s, a);
    assert_int_equal(a->code, NGHTTP2_CANCEL);
    assert_int_equal(rig_counts(rig).streams, 0);
    assert_int_equal(rig_counts(rig).upstreams, 1);
    rig_h2_free(b.c);
    rig_h2_free(b.s);
    rig_free(rig);
}

/* A server that answers before it has heard all of the request. */
static void test_early_answer(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *big =
        rig_h2_ask_big(c, "/api/v1/namespaces", (size_t)4 << 20);
    struct rig_end *s = rig_accept(rig);
    struct rig_h2 *s2;
    struct rig_stream *a;

    (void)state;
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    rig_h2_until_closed(c, big);
    assert_true(big->ended);
    assert_int_equal(big->code, NGHTTP2_NO_ERROR);
    rig_until_closed(s); /* it cannot be used again */
    rig_end_free(s);
    rig->speaks_h2 = true;
    big = rig_h2_ask_big(c, "/api/v1/namespaces", (size_t)4 << 20);
    s2 = rig_accept_h2(rig, 0);
    a = rig_h2_next(s2);
    a->hold = true;
    rig_h2_answer(s2, a, "413", "big");
    rig_h2_until_closed(c, big);
    assert_true(big->ended);
    rig_h2_until_closed(s2, a);
    assert_int_equal(rig_counts(rig).streams, 0);
    rig_h2_free(c);
    rig_h2_free(s2);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_down_h1_h1),  cmocka_unit_test(test_up_h1_h1),
        cmocka_unit_test(test_up_h1_h2),    cmocka_unit_test(test_up_h2_h1),
        cmocka_unit_test(test_down_h2_h1),  cmocka_unit_test(test_down_h2_h2),
        cmocka_unit_test(test_pile_h2_h2),  cmocka_unit_test(test_up_h2_h2),
        cmocka_unit_test(test_client_goes), cmocka_unit_test(test_early_answer),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
