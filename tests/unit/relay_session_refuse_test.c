/* What is not passed on: what a grant does not allow, what is no request, and
 * what the broker did not write down. */
#include "relay_rig.h"

#include "vault/relay/leg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define HOST "\r\nHost: " RIG_HOST
#define READ_ONLY "\"read_only\":true,\"record\":\"writes\","
#define RECORD_ALL "\"record\":\"all\","

static const char *last(const struct rig *rig, const char *key)
{
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItem(rig->last, key));

    return text != NULL ? text : "(none)";
}

static bool last_permits(const struct rig *rig)
{
    return cJSON_IsTrue(cJSON_GetObjectItem(rig->last, "permit"));
}

static bool was_asked(void *ctx)
{
    struct rig *rig = ctx;

    return rig->n_asks > 0;
}

static void test_denied_h1(void **state)
{
    struct rig *rig = rig_new(READ_ONLY);
    struct rig_end *c = rig_client(rig);
    const char *text;

    (void)state;
    rig_send(c, "DELETE /api/v1/namespaces/a/pods/b HTTP/1.1" HOST "\r\n\r\n");
    text = rig_until_text(c, "\"code\":403}");
    assert_non_null(strstr(text, "HTTP/1.1 403 Forbidden\r\n"));
    assert_non_null(strstr(text, "\"kind\":\"Status\""));
    assert_non_null(strstr(text, "audit-id: " RIG_ID "-1\r\n"));
    assert_null(strstr(text, "connection: close"));
    /* it is in the log */
    assert_int_equal(rig->n_asks, 1);
    assert_false(last_permits(rig));
    assert_string_equal(last(rig, "grant"), RIG_ID);
    assert_string_equal(last(rig, "audit_id"), RIG_ID "-1");
    assert_string_equal(last(rig, "verb"), "delete");
    assert_string_equal(last(rig, "resource"), "pods");
    assert_string_equal(last(rig, "namespace"), "a");
    assert_string_equal(last(rig, "name"), "b");
    assert_string_equal(last(rig, "path"), "/api/v1/namespaces/a/pods/b");
    assert_string_not_equal(last(rig, "why"), "(none)");
    /* with a body that nobody reads: the connection goes with it */
    (void)rig_until_text(c, "\n");
    rig_send(c, "PUT /api/v1/namespaces/a/pods/b HTTP/1.1" HOST
                "\r\nContent-Length: 100000\r\n\r\nabc");
    text = rig_until_text(c, "\"code\":403}");
    assert_non_null(strstr(text, "connection: close"));
    rig_until_closed(c);
    assert_false(rig_has_dialled(rig));
    rig_end_free(c);
    rig_free(rig);
}

static void test_denied_h2(void **state)
{
    struct rig *rig = rig_new(READ_ONLY);
    struct rig_h2 *c = rig_client_h2(rig);
    struct rig_stream *one =
        rig_h2_ask(c, "POST", "/api/v1/namespaces/a/pods", "body", NULL);
    struct rig_stream *big;
    struct rig_stream *two;

    (void)state;
    rig_h2_until_ended(c, one);
    assert_non_null(strstr(cv_buf_text(&one->head), ":status: 403\n"));
    assert_non_null(strstr(cv_buf_text(&one->body), "\"code\":403"));
    /* one whose body would never end is told not to go on */
    big = rig_h2_ask_big(c, "/api/v1/namespaces/a/pods", 1 << 20);
    rig_h2_until_closed(c, big);
    assert_true(big->ended);
    assert_int_equal(big->code, NGHTTP2_NO_ERROR);
    assert_false(rig_has_dialled(rig));
    two = rig_h2_ask(c, "GET", "/api/v1/pods", NULL, NULL);
    struct rig_end *s = rig_accept(rig);
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    rig_h2_until_closed(c, two);
    assert_int_equal(two->code, 0);
    rig_end_free(s);
    rig_h2_free(c);
    rig_free(rig);
}

/* Nothing goes out before the broker has written it down. */
static void test_waits_for_the_record(void **state)
{
    struct rig *rig = rig_new(RECORD_ALL);
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig->answers = RIG_HOLD;
    rig_send(c, "GET /api/v1/pods HTTP/1.1" HOST "\r\n\r\n");
    rig_until(rig, was_asked, rig);
    rig_settle(rig);
    assert_false(rig_has_dialled(rig));
    assert_true(last_permits(rig));
    assert_int_equal(c->got.len, 0);
    rig_release(rig, true);
    s = rig_accept(rig);
    (void)rig_until_text(s, "audit-id: " RIG_ID "-1\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)rig_until_text(c, "\r\n\r\n");
    /* a client that goes while it waits */
    rig->n_asks = 0;
    rig_send(c, "GET /api/v1/pods HTTP/1.1" HOST "\r\n\r\n");
    rig_until(rig, was_asked, rig);
    rig_end_free(c);
    rig_settle(rig);
    rig_release(rig, true);
    rig_settle(rig);
    assert_int_equal(rig_counts(rig).streams, 0);
    assert_int_equal(s->got.len, 0);
    rig_end_free(s);
    rig_free(rig);
}

static void test_broker_denies(void **state)
{
    struct rig *rig = rig_new(RECORD_ALL);
    struct rig_end *c = rig_client(rig);
    const char *text;

    (void)state;
    rig->answers = RIG_DENY;
    rig_send(c, "GET /api/v1/pods HTTP/1.1" HOST "\r\n\r\n");
    text = rig_until_text(c, "\"code\":403}");
    assert_non_null(strstr(text, "the grant has ended"));
    assert_false(rig_has_dialled(rig));
    rig_end_free(c);
    rig_free(rig);
}

/* Each of these is answered with `code`, written down, and ends the
 * connection. */
static void test_not_requests(void **state)
{
    static const struct {
        const char *text;
        const char *code;
    } cases[] = {
        {"GET /api HTTP/1.1\r\nHost: evil.com\r\n\r\n", "403"},
        {"GET /api HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", "403"},
        {"GET /api HTTP/1.1\r\n\r\n", "400"},
        {"GET https://evil.com/ HTTP/1.1" HOST "\r\n\r\n", "400"},
        {"CONNECT evil.com:443 HTTP/1.1" HOST "\r\n\r\n", "400"},
        {"GET /api/../x HTTP/1.1" HOST "\r\n\r\n", "400"},
        {"POST /api HTTP/1.1" HOST "\r\nContent-Length: 3\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400"},
        {"POST /api HTTP/1.1" HOST "\r\nContent-Length: 3\r\n"
         "Content-Length: 4\r\n\r\nabcd",
         "400"},
        {"GET /api HTTP/1.1" HOST "\r\nConnection: Upgrade\r\n\r\n", "400"},
        {"GET /api HTTP/1.1" HOST "\r\nConnection: Upgrade\r\n"
         "Upgrade: h2c\r\n\r\n",
         "400"},
        {"GET /api HTTP/1.1" HOST "\nX: y\r\n\r\n", "400"},
        {"GET /api HTTP/1.1" HOST "\r\nAuthorization: Bearer x\r\n\r\n", "403"},
        {"GET /api HTTP/1.1" HOST "\r\nImpersonate-User: root\r\n\r\n", "403"},
        {"GET /api HTTP/1.1" HOST "\r\nX-Remote-User: root\r\n\r\n", "403"},
        {"\x16\x03\x01\x02", "400"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *rig = rig_new("");
        struct rig_end *c = rig_client(rig);
        char want[32];
        const char *text;

        rig_send(c, cases[i].text);
        (void)snprintf(want, sizeof(want), "\"code\":%s}", cases[i].code);
        text = rig_until_text(c, want);
        assert_memory_equal(text + 9, cases[i].code, 3);
        assert_int_equal(rig->n_asks, 1);
        assert_false(last_permits(rig));
        assert_false(rig_has_dialled(rig));
        assert_int_equal(rig_counts(rig).requests, 1);
        rig_end_free(c);
        rig_free(rig);
    }
}

/* A second request that hides in the body of the first is body. */
static void test_smuggled(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, "POST /api/v1/namespaces HTTP/1.1" HOST
                "\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n");
    s = rig_accept(rig);
    (void)rig_until_text(s, "3\r\nabc\r\n");
    rig_send(c, "GET /api HTTP/1.1\r\n\r\n");
    rig_until_closed(s);
    assert_int_equal(s->got.len, 0);
    (void)rig_until_text(c, "HTTP/1.1 400 ");
    rig_until_closed(c);
    assert_int_equal(rig_counts(rig).requests, 1);
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* An answer that nobody asked for is not the answer to what comes next. */
static void test_unasked_answer(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;
    struct rig_end *s2;

    (void)state;
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    (void)rig_until_text(c, "\r\n\r\n1");
    rig_until_closed(s);
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    s2 = rig_accept(rig);
    (void)rig_until_text(s2, "\r\n\r\n");
    rig_send(s2, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
    (void)rig_until_text(c, "\r\n\r\n2");
    rig_end_free(c);
    rig_end_free(s);
    rig_end_free(s2);
    rig_free(rig);
}

static void test_unreachable(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_h2 *c2 = rig_client_h2(rig);
    struct rig_stream *one;
    const char *text;

    (void)state;
    rig->unreachable = true;
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    text = rig_until_text(c, "\"code\":502}");
    assert_non_null(strstr(text, "cannot connect to the server"));
    one = rig_h2_ask(c2, "GET", "/api", NULL, NULL);
    rig_h2_until_ended(c2, one);
    assert_non_null(strstr(cv_buf_text(&one->body), "\"code\":502"));
    /* and both go on when it is there */
    rig->unreachable = false;
    (void)rig_until_text(c, "\n");
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    struct rig_end *s = rig_accept(rig);
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)rig_until_text(c, "HTTP/1.1 200 OK");
    rig_end_free(c);
    rig_end_free(s);
    rig_h2_free(c2);
    rig_free(rig);
}

/* What a server says that is no answer. */
static void test_bad_answers(void **state)
{
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
         "Upgrade: SPDY/3.1\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct rig *rig = rig_new("");
        struct rig_end *c = rig_client(rig);
        struct rig_end *s;

        rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
        s = rig_accept(rig);
        (void)rig_until_text(s, "\r\n\r\n");
        rig_send(s, answers[i]);
        rig_shut(s);
        (void)rig_until_text(c, "\"code\":502}");
        rig_end_free(c);
        rig_end_free(s);
        rig_free(rig);
    }
}

/* An answer that breaks off must not look complete. */
static void test_broken_off(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_h2 *c2 = rig_client_h2(rig);
    struct rig_end *s;
    struct rig_stream *one;

    (void)state;
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    s = rig_accept(rig);
    rig_send(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nhello\r\n");
    (void)rig_until_text(c, "5\r\nhello\r\n");
    rig_end_free(s);
    rig_until_closed(c);
    assert_int_equal(c->got.len, 0);
    one = rig_h2_ask(c2, "GET", "/api", NULL, NULL);
    s = rig_accept(rig);
    rig_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    rig_h2_until_body(c2, one, 5);
    rig_end_free(s);
    rig_h2_until_closed(c2, one);
    assert_false(one->ended);
    assert_int_not_equal(one->code, NGHTTP2_NO_ERROR);
    rig_end_free(c);
    rig_h2_free(c2);
    rig_free(rig);
}

static void test_ended_session(void **state)
{
    struct rig *rig = rig_new("");
    int fd[2];
    struct rig_end *c;
    const char *text;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(cv_session_new_ended(
                         rig->world, cv_leg_new(rig->base, fd[0], NULL), false,
                         401, "the grant has ended", "log in again", NULL),
                     CV_OK);
    c = rig_end_of(rig, fd[1]);
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    text = rig_until_text(c, "\"code\":401}");
    assert_non_null(strstr(text, "the grant has ended; log in again"));
    assert_int_equal(rig->n_asks, 0);
    rig_end_free(c);
    rig_free(rig);
}

static void test_time_over(void **state)
{
    struct rig *rig = rig_new("\"ends_ms\":1,");
    struct rig_end *c = rig_client(rig);

    (void)state;
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    (void)rig_until_text(c, "\"code\":403}");
    assert_false(rig_has_dialled(rig));
    rig_end_free(c);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_denied_h1),
        cmocka_unit_test(test_denied_h2),
        cmocka_unit_test(test_waits_for_the_record),
        cmocka_unit_test(test_broker_denies),
        cmocka_unit_test(test_not_requests),
        cmocka_unit_test(test_smuggled),
        cmocka_unit_test(test_unasked_answer),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_broken_off),
        cmocka_unit_test(test_ended_session),
        cmocka_unit_test(test_time_over),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
