/* Connections to servers: kept, shared, found dead, told to go; and the end of
 * a grant, which takes all of them. */
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
#define OK0 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

struct count_wait {
    struct rig *rig;
    size_t clients, streams, upstreams;
};

static bool counts_are(void *ctx)
{
    struct count_wait *w = ctx;
    struct cv_session_counts c = rig_counts(w->rig);

    return c.clients == w->clients && c.streams == w->streams &&
           c.upstreams == w->upstreams;
}

static void until_counts(struct rig *rig, size_t clients, size_t streams,
                         size_t upstreams)
{
    struct count_wait w = {rig, clients, streams, upstreams};

    rig_until(rig, counts_are, &w);
}

/* One request and its answer over a fresh connection to the server. */
static struct rig_end *warm(struct rig *rig, struct rig_end *c)
{
    struct rig_end *s;

    rig_send(c, GET);
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, OK0);
    (void)rig_until_text(c, "\r\n\r\n");
    return s;
}

/* A kept connection that the server closes is no error for anyone. */
static void test_closed_while_idle(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s = warm(rig, c);

    (void)state;
    assert_int_equal(rig_counts(rig).upstreams, 1);
    rig_end_free(s);
    until_counts(rig, 1, 0, 0);
    s = warm(rig, c);
    rig_end_free(s);
    rig_end_free(c);
    rig_free(rig);
}

/* One that is closed as the request arrives: sent again, once, if that cannot
 * do it twice. */
static void test_dead_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s = warm(rig, c);

    (void)state;
    rig_send(c, GET);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_end_free(s);
    s = rig_accept(rig);
    (void)rig_until_text(s, "audit-id: " RIG_ID "-2\r\n\r\n");
    rig_send(s, OK0);
    (void)rig_until_text(c, "HTTP/1.1 200 OK");
    (void)rig_until_text(c, "\r\n\r\n");
    /* not twice: a new connection that dies is the server's answer */
    rig_send(c, GET);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_end_free(s);
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_end_free(s);
    (void)rig_until_text(c, "\"code\":502}");
    (void)rig_until_text(c, "\n");
    assert_false(rig_has_dialled(rig));
    /* a POST may have been done */
    s = warm(rig, c);
    rig_send(c, "POST /api/v1/namespaces HTTP/1.1" HOST
                "\r\nContent-Length: 0\r\n\r\n");
    (void)rig_until_text(s, "\r\n\r\n");
    rig_end_free(s);
    (void)rig_until_text(c, "\"code\":502}");
    assert_false(rig_has_dialled(rig));
    /* an answer that has begun is not asked for again */
    (void)rig_until_text(c, "\n");
    s = warm(rig, c);
    rig_send(c, GET);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 2");
    rig_settle(rig);
    rig_end_free(s);
    (void)rig_until_text(c, "\"code\":502}");
    assert_false(rig_has_dialled(rig));
    rig_end_free(c);
    rig_free(rig);
}

/* When one kept connection is found dead, the others are not tried. */
static void test_all_dead(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *asked[3];
    struct rig_end *s[3];
    struct rig_end *fresh;

    (void)state;
    for (int i = 0; i < 3; i++) {
        asked[i] = rig_h2_ask(c, "GET", "/api", NULL, NULL);
        s[i] = rig_accept(rig);
    }
    for (int i = 0; i < 3; i++) {
        (void)rig_until_text(s[i], "\r\n\r\n");
        rig_send(s[i], OK0);
        rig_h2_until_closed(c, asked[i]);
    }
    assert_int_equal(rig_counts(rig).upstreams, 3);
    asked[0] = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    rig_settle(rig);
    for (int i = 0; i < 3; i++) {
        if (s[i]->got.len > 0) {
            rig_end_free(s[i]);
            s[i] = NULL;
        }
    }
    fresh = rig_accept(rig);
    (void)rig_until_text(fresh, "\r\n\r\n");
    rig_send(fresh, OK0);
    rig_h2_until_closed(c, asked[0]);
    assert_int_equal(rig_counts(rig).upstreams, 1);
    for (int i = 0; i < 3; i++) {
        if (s[i] != NULL) {
            rig_until_closed(s[i]);
            rig_end_free(s[i]);
        }
    }
    rig_end_free(fresh);
    rig_h2_free(c);
    rig_free(rig);
}

static void test_dead_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *one = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    struct rig_stream *two;
    struct rig_stream *three;
    struct rig_h2 *s;
    struct rig_h2 *s2;

    (void)state;
    rig->speaks_h2 = true;
    s = rig_accept_h2(rig, 0);
    rig_h2_answer(s, rig_h2_next(s), "200", "1");
    rig_h2_until_closed(c, one);
    two = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    three = rig_h2_ask(c, "POST", "/api/v1/namespaces", "x", NULL);
    (void)rig_h2_next(s);
    rig_h2_until_ended(s, rig_h2_next(s));
    rig_h2_free(s);
    s2 = rig_accept_h2(rig, 0);
    rig_h2_answer(s2, rig_h2_next(s2), "200", "2");
    rig_h2_until_closed(c, two);
    assert_memory_equal(two->body.data, "2", 1);
    rig_h2_until_ended(c, three);
    assert_non_null(strstr(cv_buf_text(&three->body), "\"code\":502"));
    rig_h2_free(s2);
    rig_h2_free(c);
    rig_free(rig);
}

/* GOAWAY: what the server took on is finished, the rest goes elsewhere. */
static void test_goaway(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *one = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    struct rig_stream *two =
        rig_h2_ask(c, "DELETE", "/api/v1/namespaces/x", NULL, NULL);
    struct rig_stream *three;
    struct rig_stream *a;
    struct rig_stream *b;
    struct rig_h2 *s;
    struct rig_h2 *s2;

    (void)state;
    rig->speaks_h2 = true;
    s = rig_accept_h2(rig, 0);
    a = rig_h2_next(s);
    (void)rig_h2_next(s);
    /* only the first was taken on: even a DELETE is sent again */
    assert_int_equal(
        nghttp2_submit_goaway(s->ng, 0, a->id, NGHTTP2_NO_ERROR, NULL, 0), 0);
    rig_h2_flush(s);
    s2 = rig_accept_h2(rig, 0);
    b = rig_h2_next(s2);
    assert_non_null(strstr(cv_buf_text(&b->head), ":method: DELETE\n"));
    rig_h2_answer(s2, b, "200", "gone");
    rig_h2_until_closed(c, two);
    assert_memory_equal(two->body.data, "gone", 4);
    rig_h2_answer(s, a, "200", "slow");
    rig_h2_until_closed(c, one);
    assert_memory_equal(one->body.data, "slow", 4);
    rig_until_closed(s->end);
    three = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    rig_h2_answer(s2, rig_h2_next(s2), "200", "new");
    rig_h2_until_closed(c, three);
    assert_int_equal(rig_counts(rig).upstreams, 1);
    rig_h2_free(s);
    rig_h2_free(s2);
    rig_h2_free(c);
    rig_free(rig);
}

static void test_refused_stream(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_h2 *s;
    struct rig_stream *a;

    (void)state;
    rig->speaks_h2 = true;
    rig_send(c, "DELETE /api/v1/namespaces/x HTTP/1.1" HOST "\r\n\r\n");
    s = rig_accept_h2(rig, 0);
    a = rig_h2_next(s);
    assert_int_equal(
        nghttp2_submit_rst_stream(s->ng, 0, a->id, NGHTTP2_REFUSED_STREAM), 0);
    rig_h2_flush(s);
    a = rig_h2_next(s);
    assert_int_equal(
        nghttp2_submit_rst_stream(s->ng, 0, a->id, NGHTTP2_REFUSED_STREAM), 0);
    rig_h2_flush(s);
    (void)rig_until_text(c, "\"code\":502}");
    rig_h2_free(s);
    rig_end_free(c);
    rig_free(rig);
}

/* A server that takes two requests at a time gets a second connection. */
static void test_most_streams(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *asked[5];
    struct rig_h2 *s;
    struct rig_h2 *s2;

    (void)state;
    rig->speaks_h2 = true;
    asked[0] = rig_h2_ask(c, "GET", "/api?0", NULL, NULL);
    s = rig_accept_h2(rig, 2);
    rig_h2_answer(s, rig_h2_next(s), "200", "0");
    rig_h2_until_closed(c, asked[0]);
    for (int i = 1; i < 5; i++) {
        asked[i] = rig_h2_ask(c, "GET", "/api?x", NULL, NULL);
    }
    struct rig_stream *first = rig_h2_next(s);
    struct rig_stream *second = rig_h2_next(s);
    s2 = rig_accept_h2(rig, 2);
    struct rig_stream *third = rig_h2_next(s2);
    struct rig_stream *fourth = rig_h2_next(s2);
    assert_false(rig_has_dialled(rig));
    rig_h2_answer(s2, fourth, "200", "4");
    rig_h2_answer(s, first, "200", "1");
    rig_h2_answer(s, second, "200", "2");
    rig_h2_answer(s2, third, "200", "3");
    for (int i = 1; i < 5; i++) {
        rig_h2_until_closed(c, asked[i]);
        assert_int_equal(asked[i]->code, 0);
    }
    rig_h2_free(s);
    rig_h2_free(s2);
    rig_h2_free(c);
    rig_free(rig);
}

/* Idle connections go after a while, and those over the number at once. */
static void test_idle(void **state)
{
    struct rig *rig = rig_new("");
    struct cv_session_config config = {.port = 6443, .idle_s = 1, .pool = 2};
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *asked[4];
    struct rig_end *s[4];

    (void)state;
    cv_session_world_tune(rig->world, &config);
    for (int i = 0; i < 4; i++) {
        asked[i] = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    }
    for (int i = 0; i < 4; i++) {
        s[i] = rig_accept(rig);
        (void)rig_until_text(s[i], "\r\n\r\n");
    }
    assert_int_equal(rig_counts(rig).upstreams, 4);
    for (int i = 0; i < 4; i++) {
        rig_send(s[i], OK0);
    }
    for (int i = 0; i < 4; i++) {
        rig_h2_until_closed(c, asked[i]);
    }
    until_counts(rig, 1, 0, 2);
    until_counts(rig, 1, 0, 0); /* a second later */
    for (int i = 0; i < 4; i++) {
        rig_end_free(s[i]);
    }
    rig_h2_free(c);
    rig_free(rig);
}

/* Two clients of one grant share its connections; of two grants they do not. */
static void test_grants_apart(void **state)
{
    static const char other[] = "ffffffffffffffffffffffffffffffff";
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *c2 = rig_client(rig);
    struct rig_end *s = warm(rig, c);
    struct cv_grant *mine = rig->grant;
    struct rig_end *c3;
    struct rig_end *s3;

    (void)state;
    rig_send(c2, GET);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, OK0);
    (void)rig_until_text(c2, "\r\n\r\n");
    rig->grant = rig_grant(other, "");
    c3 = rig_client(rig);
    cv_grant_unref(rig->grant);
    rig->grant = mine;
    s3 = warm(rig, c3);
    assert_int_equal(rig_counts(rig).upstreams, 2);
    /* the other's end is nothing to these */
    cv_session_end_grant(rig->world, other, "over", NULL);
    rig_until_closed(s3);
    rig_until_closed(c3);
    assert_false(c->closed);
    assert_false(s->closed);
    rig_end_free(c);
    rig_end_free(c2);
    rig_end_free(c3);
    rig_end_free(s);
    rig_end_free(s3);
    rig_free(rig);
}

/* A replaced grant: its old connections serve nothing new. */
static void test_replaced(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s = warm(rig, c);
    struct rig_end *s2;
    struct cv_grant *newer =
        rig_grant(RIG_ID, "\"read_only\":true,\"record\":\"off\",");

    (void)state;
    cv_session_replace_grant(rig->world, newer);
    rig_until_closed(s);
    s2 = warm(rig, c);
    rig_send(c, "DELETE /api/v1/namespaces/x HTTP/1.1" HOST "\r\n\r\n");
    (void)rig_until_text(c, "\"code\":403}");
    cv_grant_unref(newer);
    rig_end_free(c);
    rig_end_free(s);
    rig_end_free(s2);
    rig_free(rig);
}

static void end_it(struct rig *rig)
{
    cv_session_end_grant(rig->world, RIG_ID, "the grant was revoked",
                         "ask for a new one");
}

/* The end of a grant, from an h1 client: with an answer under way, with one
 * that has not begun, with none. */
static void test_end_h1(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *watch = rig_client(rig);
    struct rig_end *waits = rig_client(rig);
    struct rig_end *idle = rig_client(rig);
    struct rig_end *s;
    struct rig_end *s2;
    const char *text;

    (void)state;
    rig_send(watch, GET);
    s = rig_accept(rig);
    rig_send(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nevent\r\n");
    (void)rig_until_text(watch, "5\r\nevent\r\n");
    rig_send(waits, GET);
    s2 = rig_accept(rig);
    (void)rig_until_text(s2, "\r\n\r\n");
    end_it(rig);
    rig_until_closed(s);
    rig_until_closed(s2);
    rig_until_closed(idle);
    rig_until_closed(watch);
    assert_int_equal(watch->got.len, 0); /* no last chunk */
    text = rig_until_text(waits, "\"code\":403}");
    assert_non_null(strstr(text, "the grant was revoked; ask for a new one"));
    rig_until_closed(waits);
    until_counts(rig, 0, 0, 0);
    rig_end_free(watch);
    rig_end_free(waits);
    rig_end_free(idle);
    rig_end_free(s);
    rig_end_free(s2);
    rig_free(rig);
}

static void test_end_h2(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *watch =
        rig_h2_ask(c, "GET", "/api/v1/pods?watch=1", NULL, NULL);
    struct rig_stream *waits = rig_h2_ask(c, "GET", "/api", NULL, NULL);
    struct rig_stream *a;
    struct rig_h2 *s;

    (void)state;
    rig->speaks_h2 = true;
    s = rig_accept_h2(rig, 0);
    a = rig_h2_next(s);
    (void)rig_h2_next(s);
    rig_h2_answer_open(s, a, "200");
    rig_h2_say(s, a, "event");
    rig_h2_until_body(c, watch, 5);
    end_it(rig);
    rig_until_closed(s->end);
    rig_h2_until_closed(c, watch);
    assert_false(watch->ended);
    assert_int_not_equal(watch->code, NGHTTP2_NO_ERROR);
    rig_h2_until_ended(c, waits);
    assert_non_null(strstr(cv_buf_text(&waits->body), "was revoked"));
    rig_until_closed(c->end);
    assert_true(c->goaway);
    until_counts(rig, 0, 0, 0);
    rig_h2_free(c);
    rig_h2_free(s);
    rig_free(rig);
}

/* The end of a grant while a connection is made, and while the broker is
 * asked. */
static void test_end_early(void **state)
{
    struct rig *rig = rig_new("\"record\":\"all\",");
    struct rig_end *c = rig_client(rig);
    struct rig_end *c2 = rig_client(rig);

    (void)state;
    rig->answers = RIG_HOLD;
    rig_send(c, GET);
    rig_settle(rig);
    assert_int_equal(rig->held, 1);
    rig_release(rig, true);
    rig_send(c2, GET);
    rig_settle(rig);
    end_it(rig);
    (void)rig_until_text(c2, "\"code\":403}");
    rig_until_closed(c2);
    rig_until_closed(c);
    rig_release(rig, true);
    until_counts(rig, 0, 0, 0);
    rig_end_free(c);
    rig_end_free(c2);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_while_idle),
        cmocka_unit_test(test_dead_h1),
        cmocka_unit_test(test_all_dead),
        cmocka_unit_test(test_dead_h2),
        cmocka_unit_test(test_goaway),
        cmocka_unit_test(test_refused_stream),
        cmocka_unit_test(test_most_streams),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_grants_apart),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_end_h1),
        cmocka_unit_test(test_end_h2),
        cmocka_unit_test(test_end_early),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
