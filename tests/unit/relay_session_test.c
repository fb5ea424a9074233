/* Requests and answers through the relay, in all four combinations of what a
 * client and a server speak. */
#include "relay_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GET_NS "GET /api/v1/namespaces?limit=1 HTTP/1.1\r\nHost: " RIG_HOST
#define POST_NS "POST /api/v1/namespaces HTTP/1.1\r\nHost: " RIG_HOST

/* ---- h1 to h1 ---- */

static void test_h1_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, GET_NS "\r\nAccept: application/json\r\n"
                       "Connection: keep-alive\r\nTE: trailers\r\n"
                       "Audit-ID: forged\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    s = rig_accept(rig);
    rig_expect(s, "GET /k8s/api/v1/namespaces?limit=1 HTTP/1.1\r\n"
                  "Host: api.example:6443\r\n"
                  "accept: application/json\r\n"
                  "audit-id: " RIG_ID "-1\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                "Connection: keep-alive\r\nKeep-Alive: 5\r\n"
                "Content-Length: 5\r\n\r\nhello");
    rig_expect(c, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                  "content-length: 5\r\n\r\nhello");
    /* both connections are used again */
    rig_send(c, GET_NS "\r\n\r\n");
    (void)rig_until_text(s, "audit-id: " RIG_ID "-2\r\n\r\n");
    rig_send(s, "HTTP/1.1 204 No Content\r\n\r\n");
    rig_expect(c, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_false(rig_has_dialled(rig));
    assert_int_equal(rig_counts(rig).upstreams, 1);
    assert_int_equal(rig_counts(rig).requests, 2);
    assert_int_equal(rig->n_asks, 0);
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* What an address has behind its port for kubectl's sake goes no further. */
static void test_own_path(void **state)
{
    static const struct {
        const char *sent;
        const char *passed;
    } cases[] = {
        {"/-/prod/api/v1/pods?limit=1", "/k8s/api/v1/pods?limit=1"},
        {"/-/prod/-/prod/x", "/k8s/-/prod/x"},
        {"/-/prod/", "/k8s/"},
        {"/-/prod", "/k8s/-/prod"},
        {"/-/produce/api", "/k8s/-/produce/api"},
        {"/-/pro/api", "/k8s/-/pro/api"},
        {"/-/prod/../api", NULL},
        {"/-/prod//api", NULL},
    };
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[160];

        (void)snprintf(text, sizeof(text),
                       "GET %s HTTP/1.1\r\nHost: " RIG_HOST "\r\n\r\n",
                       cases[i].sent);
        if (cases[i].passed == NULL) {
            struct rig_end *bad = rig_client(rig);

            rig_send(bad, text);
            (void)rig_until_text(bad, "HTTP/1.1 400 ");
            rig_end_free(bad);
            continue;
        }
        rig_send(c, text);
        s = s != NULL ? s : rig_accept(rig);
        (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n",
                       cases[i].passed);
        (void)rig_until_text(s, text);
        (void)rig_until_text(s, "\r\n\r\n");
        rig_send(s, "HTTP/1.1 204 No Content\r\n\r\n");
        rig_expect(c, "HTTP/1.1 204 No Content\r\n\r\n");
    }
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* An answer that comes in pieces is passed on piece by piece. */
static void test_h1_h1_streams(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, GET_NS "\r\n\r\n");
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    rig_expect(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    rig_send(s, "5\r\nfirst\r\n");
    rig_expect(c, "5\r\nfirst\r\n");
    rig_send(s, "6;x=y\r\nse");
    rig_expect(c, "2\r\nse\r\n");
    rig_send(s, "cond\r\n");
    rig_expect(c, "4\r\ncond\r\n");
    rig_send(s, "0\r\n\r\n");
    rig_expect(c, "0\r\n\r\n");
    assert_int_equal(rig_counts(rig).streams, 0);
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

static void test_h1_h1_bodies(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, POST_NS "\r\nContent-Length: 4\r\n\r\nab");
    s = rig_accept(rig);
    (void)rig_until_text(s, "Content-Length: 4\r\n\r\nab");
    rig_send(c, "cd");
    rig_expect(s, "cd");
    rig_send(s, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    rig_expect(c, "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
    rig_send(c, POST_NS "\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "3\r\nxyz\r\n0\r\n\r\n");
    (void)rig_until_text(s, "transfer-encoding: chunked\r\n\r\n"
                            "3\r\nxyz\r\n0\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    rig_expect(c, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    /* without a body */
    rig_send(c, POST_NS "\r\n\r\n");
    (void)rig_until_text(s, "Content-Length: 0\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    rig_expect(c, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* Requests that are sent ahead are answered one after the other. */
static void test_h1_pipelined(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, POST_NS "\r\nContent-Length: 3\r\n\r\none" POST_NS
                        "\r\nContent-Length: 3\r\n\r\ntwo" GET_NS "\r\n\r\n");
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\none");
    rig_settle(rig);
    assert_int_equal(s->got.len, 0);
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    (void)rig_until_text(s, "\r\n\r\ntwo");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
    (void)rig_until_text(s, "-3\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
    (void)rig_until_text(c, "\r\n\r\n1HTTP/1.1");
    (void)rig_until_text(c, "\r\n\r\n2HTTP/1.1");
    (void)rig_until_text(c, "\r\n\r\n3");
    assert_int_equal(rig_counts(rig).upstreams, 1);
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* HEAD has no body whatever its head says; 100 is passed on; an answer may end
 * with the connection. */
static void test_h1_forms(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, "HEAD /version HTTP/1.1\r\nHost: localhost:6443\r\n\r\n");
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
    rig_expect(c, "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n");
    rig_send(c, POST_NS "\r\nExpect: 100-continue\r\n"
                        "Content-Length: 3\r\n\r\n");
    (void)rig_until_text(s, "expect: 100-continue\r\n");
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 100 Continue\r\n\r\n");
    rig_expect(c, "HTTP/1.1 100 Continue\r\n\r\n");
    rig_send(c, "yes");
    rig_expect(s, "yes");
    rig_send(s, "HTTP/1.1 200 OK\r\n\r\nto the ");
    rig_expect(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                  "7\r\nto the \r\n");
    rig_send(s, "end");
    rig_end_free(s);
    rig_expect(c, "3\r\nend\r\n0\r\n\r\n");
    assert_int_equal(rig_counts(rig).upstreams, 0);
    /* and an old client's does */
    rig_send(c, "GET /version HTTP/1.0\r\nHost: " RIG_HOST "\r\n\r\n");
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nold\r\n0\r\n\r\n");
    rig_expect(c, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nold");
    rig_until_closed(c);
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* ---- h2 to h1 ---- */

static void test_h2_h1(void **state)
{
    static const char *const extra[] = {"cookie", "a=1", "cookie", "b=2",
                                        "accept", "*/*", NULL};
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *one = rig_h2_ask(c, "GET", "/api/v1/pods", NULL, extra);
    struct rig_end *s = rig_accept(rig);
    struct rig_stream *two;

    (void)state;
    rig_expect(s, "GET /k8s/api/v1/pods HTTP/1.1\r\n"
                  "Host: api.example:6443\r\naccept: */*\r\n"
                  "cookie: a=1; b=2\r\naudit-id: " RIG_ID "-1\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nX-Server: h1\r\nConnection: x-hop\r\n"
                "X-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    rig_h2_until_body(c, one, 3);
    assert_string_equal(cv_buf_text(&one->head),
                        ":status: 200\nx-server: h1\n");
    assert_false(one->ended);
    /* a second request at the same time has a connection of its own */
    two = rig_h2_ask(c, "POST", "/api/v1/namespaces/x/pods", "body", NULL);
    struct rig_end *s2 = rig_accept(rig);
    (void)rig_until_text(s2, "transfer-encoding: chunked\r\n\r\n");
    rig_expect(s2, "4\r\nbody\r\n0\r\n\r\n");
    rig_send(s2, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
    rig_h2_until_closed(c, two);
    assert_true(two->ended);
    assert_int_equal(two->code, 0);
    assert_memory_equal(two->body.data, "ok", 2);
    rig_send(s, "3\r\ndef\r\n0\r\n\r\n");
    rig_h2_until_closed(c, one);
    assert_true(one->ended);
    assert_memory_equal(one->body.data, "abcdef", 6);
    assert_int_equal(rig_counts(rig).streams, 0);
    rig_h2_free(c);
    rig_end_free(s);
    rig_end_free(s2);
    rig_free(rig);
}

/* ---- h1 to h2 ---- */

static void test_h1_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_h2 *s;
    struct rig_stream *one;

    (void)state;
    rig->speaks_h2 = true;
    rig_send(c, POST_NS "\r\nCookie: a=1\r\nContent-Length: 5\r\n\r\nhello");
    s = rig_accept_h2(rig, 0);
    one = rig_h2_next(s);
    rig_h2_until_ended(s, one);
    assert_string_equal(cv_buf_text(&one->head),
                        ":method: POST\n:scheme: https\n"
                        ":authority: api.example:6443\n"
                        ":path: /k8s/api/v1/namespaces\n"
                        "content-length: 5\ncookie: a=1\n"
                        "audit-id: " RIG_ID "-1\n");
    assert_memory_equal(one->body.data, "hello", 5);
    rig_h2_interim(s, one, "103");
    rig_expect(c, "HTTP/1.1 103 ");
    (void)rig_until_text(c, "\r\n\r\n");
    rig_h2_answer(s, one, "201", "made");
    rig_expect(c, "HTTP/1.1 201 Created\r\nx-server: h2\r\n"
                  "content-type: application/json\r\n"
                  "transfer-encoding: chunked\r\n\r\n"
                  "4\r\nmade\r\n0\r\n\r\n");
    rig_h2_free(s);
    rig_end_free(c);
    rig_free(rig);
}

/* ---- h2 to h2 ---- */

static void test_h2_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_h2 *s;
    struct rig_stream *one;
    struct rig_stream *two;
    struct rig_stream *a;
    struct rig_stream *b;

    (void)state;
    rig->speaks_h2 = true;
    one = rig_h2_ask(c, "GET", "/api/v1/pods?watch=true", NULL, NULL);
    two = rig_h2_ask(c, "PUT", "/api/v1/namespaces/a/pods/b", "pod", NULL);
    s = rig_accept_h2(rig, 0);
    a = rig_h2_next(s);
    b = rig_h2_next(s);
    assert_false(rig_has_dialled(rig)); /* one connection for both */
    assert_non_null(strstr(cv_buf_text(&a->head), ":method: GET\n"));
    assert_true(a->ended);
    rig_h2_answer_open(s, a, "200");
    rig_h2_until_head(c, one);
    rig_h2_say(s, a, "event 1\n");
    rig_h2_until_body(c, one, 8);
    rig_h2_until_ended(s, b);
    assert_memory_equal(b->body.data, "pod", 3);
    b->send_trailer = "fine";
    rig_h2_answer(s, b, "200", "done");
    rig_h2_until_closed(c, two);
    assert_true(two->ended);
    assert_string_equal(cv_buf_text(&two->trailers), "x-end: fine\n");
    rig_h2_say(s, a, "event 2\n");
    rig_h2_until_body(c, one, 16);
    rig_h2_finish(s, a);
    rig_h2_until_closed(c, one);
    assert_memory_equal(one->body.data, "event 1\nevent 2\n", 16);
    assert_int_equal(one->code, 0);
    rig_h2_free(c);
    rig_h2_free(s);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h1_h1),
        cmocka_unit_test(test_own_path),
        cmocka_unit_test(test_h1_h1_streams),
        cmocka_unit_test(test_h1_h1_bodies),
        cmocka_unit_test(test_h1_pipelined),
        cmocka_unit_test(test_h1_forms),
        cmocka_unit_test(test_h2_h1),
        cmocka_unit_test(test_h1_h2),
        cmocka_unit_test(test_h2_h2),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
