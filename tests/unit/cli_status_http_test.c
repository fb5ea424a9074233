/* The one HTTP request that the status answers: what is taken, and with what
 * code everything else is refused. */
#include "cli/status_http.h"
#include "cli/status_text.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int code_of(const char *text, struct cv_status_http *out)
{
    cv_status_http_parse((struct cv_bytes){(const uint8_t *)text, strlen(text)},
                         out);
    return out->code;
}

#define H "Host: x\r\n"

static const struct {
    const char *text;
    int code;
} requests[] = {
    {"GET /metrics HTTP/1.1\r\n" H "\r\n", 200},
    {"GET /status HTTP/1.1\r\n" H "\r\n", 200},
    {"HEAD /status HTTP/1.1\r\n" H "\r\n", 200},
    {"GET /status HTTP/1.0\r\n\r\n", 200},
    {"GET /status HTTP/1.1\r\nhOsT:\tx\r\nAccept: */*\r\n\r\n", 200},
    {"GET /status HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200},
    {"GET /status HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n", 200},
    {"GET /status HTTP/1.1\r\n" H "X: \x80\xff\r\n\r\n", 200},
    /* Its end is not there. */
    {"", 0},
    {"GET /metrics HTTP/1.1\r\n" H, 0},
    {"GET /metrics HTTP/1.1\r\n" H "\r", 0},
    {"GET /metrics HTTP/1.1\n"
     "Host: x\n\n",
     0},
    /* The request line. */
    {"GET /metrics HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET  /metrics HTTP/1.1\r\n" H "\r\n", 400},
    {" GET /metrics HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /metrics\r\n" H "\r\n", 400},
    {"GET\t/metrics HTTP/1.1\r\n" H "\r\n", 400},
    {"G(T /metrics HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /metr\x01cs HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /metr\xe9"
     "cs HTTP/1.1\r\n" H "\r\n",
     400},
    {"GET http://x/metrics HTTP/1.1\r\n" H "\r\n", 400},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /metrics http/1.1\r\n" H "\r\n", 400},
    {"GET /metrics HTTP/11\r\n" H "\r\n", 400},
    {"GET /metrics HTTP/1.1\r\r\n" H "\r\n", 400},
    {"GET /metrics HTTP/2.0\r\n" H "\r\n", 505},
    {"GET /metrics HTTP/1.2\r\n" H "\r\n", 505},
    {"POST /metrics HTTP/1.1\r\n" H "\r\n", 405},
    {"get /metrics HTTP/1.1\r\n" H "\r\n", 405},
    {"CONNECT x:1 HTTP/1.1\r\n" H "\r\n", 405},
    {"GET / HTTP/1.1\r\n" H "\r\n", 404},
    {"GET /metrics/ HTTP/1.1\r\n" H "\r\n", 404},
    {"GET /metrics?x=1 HTTP/1.1\r\n" H "\r\n", 404},
    {"GET /../metrics HTTP/1.1\r\n" H "\r\n", 404},
    {"GET /%6detrics HTTP/1.1\r\n" H "\r\n", 404},
    /* Fields. */
    {"GET /metrics HTTP/1.1\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET /metrics HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H " folded\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "No colon\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "Space : x\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H ": x\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "A: b\nC: d\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "A: b\rC: d\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx", 400},
    {"GET /metrics HTTP/1.1\r\n" H "Content-Length: 00\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", 417},
};

static void each_request(void **state)
{
    struct cv_status_http out;

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (code_of(requests[i].text, &out) != requests[i].code) {
            fail_msg("%zu: %d: %s", i, out.code, requests[i].text);
        }
    }
    assert_int_equal(code_of("HEAD /metrics HTTP/1.1\r\n" H "\r\n", &out), 200);
    assert_true(out.head && out.what == CV_STATUS_HTTP_METRICS);
    assert_int_equal(code_of("GET /status HTTP/1.1\r\n" H "\r\n", &out), 200);
    assert_true(!out.head && out.what == CV_STATUS_HTTP_STATUS);
}

/* Whatever is cut off its end is no request yet. */
static void every_beginning(void **state)
{
    const char *text = "GET /metrics HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    struct cv_status_http out;

    (void)state;
    for (size_t n = 0; n <= strlen(text); n++) {
        cv_status_http_parse((struct cv_bytes){(const uint8_t *)text, n}, &out);
        assert_int_equal(out.code, n == strlen(text) ? 200 : 0);
    }
}

static void too_much(void **state)
{
    struct cv_status_http out;
    struct cv_buf b;

    (void)state;
    cv_buf_init(&b, NULL, CV_KIB(64));
    cv_buf_add_str(&b, "GET /");
    for (int i = 0; i < 300; i++) {
        cv_buf_add_char(&b, 'a');
    }
    cv_buf_add_str(&b, " HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(code_of(cv_buf_text(&b), &out), 414);
    cv_buf_wipe(&b);
    cv_buf_add_str(&b, "GET /status HTTP/1.1\r\n" H);
    for (int i = 0; i < 64; i++) {
        cv_buf_add_str(&b, "a: b\r\n");
    }
    cv_buf_add_str(&b, "\r\n");
    assert_int_equal(code_of(cv_buf_text(&b), &out), 431);
    cv_buf_wipe(&b);
    cv_buf_add_str(&b, "GET /status HTTP/1.1\r\n" H "A: ");
    while (b.len < CV_STATUS_HTTP_HEAD) {
        cv_buf_add_char(&b, 'a');
    }
    assert_int_equal(code_of(cv_buf_text(&b), &out), 431);
    cv_buf_wipe(&b);
}

/* A NUL is no character of a head. */
static void with_nul(void **state)
{
    static const char text[] = "GET /status HTTP/1.1\r\n" H "A: \0\r\n\r\n";
    struct cv_status_http out;

    (void)state;
    cv_status_http_parse(
        (struct cv_bytes){(const uint8_t *)text, sizeof(text) - 1}, &out);
    assert_int_equal(out.code, 400);
}

static void in_pieces_and_too_slowly(void **state)
{
    static const char text[] = "GET /status HTTP/1.1\r\n" H "\r\n";
    struct cv_status_http out;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        assert_int_equal(write(pair[1], text + i, 1), 1);
    }
    assert_true(cv_status_http_read(pair[0], 5000, &out));
    assert_int_equal(out.code, 200);
    assert_int_equal(write(pair[1], text, 10), 10);
    assert_true(cv_status_http_read(pair[0], 1, &out));
    assert_int_equal(out.code, 408);
    assert_int_equal(write(pair[1], text, 10), 10);
    (void)close(pair[1]);
    assert_true(cv_status_http_read(pair[0], 5000, &out));
    assert_int_equal(out.code, 400);
    assert_false(cv_status_http_read(pair[0], 5000, &out));
    (void)close(pair[0]);
}

static void answers(void **state)
{
    struct cv_status_http request = {.code = 200, .head = true};
    struct cv_bytes body = {(const uint8_t *)"abc", 3};
    struct cv_buf out;

    (void)state;
    cv_buf_init(&out, NULL, CV_KIB(4));
    cv_status_http_answer(&request, body, &out);
    assert_non_null(strstr(cv_buf_text(&out), "Content-Length: 3\r\n"));
    assert_non_null(strstr(cv_buf_text(&out), "version=0.0.4"));
    assert_string_equal(cv_buf_text(&out) + out.len - 4, "\r\n\r\n");
    cv_buf_wipe(&out);
    request.code = 405;
    request.head = false;
    cv_status_http_answer(&request, body, &out);
    assert_non_null(strstr(cv_buf_text(&out), "\r\nAllow: GET, HEAD\r\n"));
    assert_null(strstr(cv_buf_text(&out), "abc"));
    cv_buf_wipe(&out);
}

/* Values of any kind, and labels with what must be escaped. */
static void numbers_as_text(void **state)
{
    static const char json[] =
        "{\"vault_id\":\"v\",\"version\":\"1\\\"\\\\\\n\",\"locked\":true,"
        "\"entries\":\"many\",\"grants\":12345678901,"
        "\"log\":{\"size\":3,\"checkpoint\":null,\"anchor\":{\"size\":2,"
        "\"age_s\":7},\"conflict\":true},"
        "\"decisions\":{\"deny\":{\"use\":2}},"
        "\"modules\":[{\"name\":\"a\",\"running\":false}],"
        "\"expiry\":[{\"name\":\"e\",\"location\":\"sealed\",\"state\":"
        "\"ready\",\"seconds\":-5},{\"name\":\"no seconds\"}]}";
    cJSON *metrics = cJSON_Parse(json);
    struct cv_buf out;

    (void)state;
    cv_buf_init(&out, NULL, CV_KIB(16));
    cv_status_text_add(metrics, &out);
#define HAS(line) assert_non_null(strstr(cv_buf_text(&out), line))
    HAS("certvault_info{vault_id=\"v\",version=\"1\\\"\\\\\\n\"} 1\n");
    HAS("certvault_locked 1\n");
    HAS("certvault_grants 12345678901\n");
    HAS("certvault_anchor_leaves 2\n");
    HAS("certvault_anchor_age_seconds 7\n");
    HAS("certvault_anchor_conflict 1\n");
    HAS("certvault_decisions_total{action=\"use\",outcome=\"deny\"} 2\n");
    HAS("certvault_module_running{module=\"a\"} 0\n");
    HAS("certvault_certificate_expiry_seconds{entry=\"e\",location=\"sealed\","
        "state=\"ready\"} -5\n");
    assert_null(strstr(cv_buf_text(&out), "certvault_entries"));
    assert_null(strstr(cv_buf_text(&out), "certvault_checkpoint"));
    assert_null(strstr(cv_buf_text(&out), "no seconds"));
    cv_buf_wipe(&out);
    cJSON_Delete(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request),
        cmocka_unit_test(every_beginning),
        cmocka_unit_test(too_much),
        cmocka_unit_test(with_nul),
        cmocka_unit_test(in_pieces_and_too_slowly),
        cmocka_unit_test(answers),
        cmocka_unit_test(numbers_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
