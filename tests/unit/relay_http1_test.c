/* HTTP/1.1 as it may be sent, and as it must not be (H63): whole, byte by byte,
 * and cut anywhere. */
#include "tests/unit/full.h"
#include "vault/relay/http1.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define H "Host: 127.0.0.1:1\r\n"
#define END "\r\n"

static uint64_t seed;

/* xorshift: the test's own numbers, told and given back by CV_SEED. */
static size_t draw(size_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % below);
}

static int start(void **state)
{
    const char *given = getenv("CV_SEED");

    (void)state;
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    seed = seed != 0 ? seed : 1;
    print_message("CV_SEED=%" PRIu64 "\n", seed);
    return 0;
}

/* Feeds `text` in pieces of `step` bytes (0: drawn). Returns the state; *used
 * is how many bytes went into the head. */
static enum cv_http1_state feed(struct cv_http1 *r, const char *text,
                                size_t len, size_t step, size_t *used,
                                struct cv_err *err)
{
    enum cv_http1_state s = r->state;

    *used = 0;
    while (*used < len && s == CV_HTTP1_MORE) {
        size_t n = step > 0 ? step : 1 + draw(40);
        size_t taken = 0;

        n = n < len - *used ? n : len - *used;
        /* A copy of its own, so that a read behind it is seen. */
        char *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, text + *used, n);
        s = cv_http1_feed(r, copy, n, &taken, err);
        free(copy);
        assert_true(taken <= n);
        assert_true(s != CV_HTTP1_MORE || taken == n);
        *used += taken;
    }
    return s;
}

static const size_t steps[] = {0, 1, 2, 3, 7, 100000};
#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

static const struct {
    const char *text, *method, *target, *host, *upgrade;
    enum cv_http1_framing framing;
    uint64_t length;
    bool keep_alive;
    size_t n_headers;
} requests[] = {
    {"GET / HTTP/1.1\r\n" H END, "GET", "/", "127.0.0.1:1", "", CV_HTTP1_NONE,
     0, true, 1},
    {"GET /a?b=c HTTP/1.1\r\nhost:x\r\nA:\r\nB: \t v \t\r\n" END, "GET",
     "/a?b=c", "x", "", CV_HTTP1_NONE, 0, true, 3},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 12\r\n" END, "POST", "/",
     "127.0.0.1:1", "", CV_HTTP1_LENGTH, 12, true, 2},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n" END, "POST", "/",
     "127.0.0.1:1", "", CV_HTTP1_NONE, 0, true, 2},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 999999999999999999\r\n" END,
     "POST", "/", "127.0.0.1:1", "", CV_HTTP1_LENGTH, 999999999999999999, true,
     2},
    {"PUT / HTTP/1.1\r\n" H "transfer-encoding: Chunked\r\n" END, "PUT", "/",
     "127.0.0.1:1", "", CV_HTTP1_CHUNKED, 0, true, 2},
    {"GET / HTTP/1.1\r\n" H "Connection: close\r\n" END, "GET", "/",
     "127.0.0.1:1", "", CV_HTTP1_NONE, 0, false, 2},
    {"GET / HTTP/1.1\r\n" H
     "Connection: Keep-Alive , TE\r\nTE: trailers\r\n" END,
     "GET", "/", "127.0.0.1:1", "", CV_HTTP1_NONE, 0, true, 3},
    {"GET / HTTP/1.1\r\n" H "Connection: keep-alive, close\r\n" END, "GET", "/",
     "127.0.0.1:1", "", CV_HTTP1_NONE, 0, false, 2},
    {"GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n" END, "GET", "/",
     "127.0.0.1:1", "", CV_HTTP1_NONE, 0, false, 2},
    {"POST /x HTTP/1.1\r\n" H
     "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" END,
     "POST", "/x", "127.0.0.1:1", "SPDY/3.1", CV_HTTP1_NONE, 0, true, 3},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 0\r\nConnection: upgrade\r\n"
     "Upgrade: spdy/3.1\r\n" END,
     "POST", "/x", "127.0.0.1:1", "spdy/3.1", CV_HTTP1_NONE, 0, true, 4},
    {"GET /x HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: keep-alive\r\n"
     "Connection: Upgrade\r\n" END,
     "GET", "/x", "127.0.0.1:1", "websocket", CV_HTTP1_NONE, 0, true, 4},
    {"FOO!#$%&'*+-.^_`|~ / HTTP/1.1\r\n" H END, "FOO!#$%&'*+-.^_`|~", "/",
     "127.0.0.1:1", "", CV_HTTP1_NONE, 0, true, 1},
};

static bool is(struct cv_slice s, const char *text)
{
    return cv_slice_is(s, text);
}

static void takes_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        print_message("%s\n", requests[i].text);
        for (size_t k = 0; k < N_STEPS; k++) {
            char text[512];
            struct cv_http1 r;
            size_t used;
            /* What follows is not taken. */
            (void)snprintf(text, sizeof(text), "%sGET", requests[i].text);
            cv_http1_init(&r, CV_HTTP1_REQUESTS);
            assert_true(cv_http1_is_idle(&r));
            assert_int_equal(
                feed(&r, text, strlen(text), steps[k], &used, NULL),
                CV_HTTP1_HEAD);
            assert_false(cv_http1_is_idle(&r));
            assert_int_equal(used, strlen(requests[i].text));
            assert_true(is(r.head.method, requests[i].method));
            assert_true(is(r.head.target, requests[i].target));
            assert_true(is(r.head.host, requests[i].host));
            assert_true(is(r.head.upgrade, requests[i].upgrade));
            assert_int_equal(r.head.framing, requests[i].framing);
            assert_int_equal(r.head.length, requests[i].length);
            assert_int_equal(r.head.keep_alive, requests[i].keep_alive);
            assert_int_equal(r.head.n_headers, requests[i].n_headers);
            assert_int_equal(cv_http1_feed(&r, "x", 1, &used, NULL),
                             CV_HTTP1_HEAD);
            assert_int_equal(used, 0);
            cv_http1_drop(&r);
            assert_true(cv_http1_is_idle(&r));
        }
    }
}

static void knows_headers(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\n" H "Expect: 100-Continue\r\n"
                               "X-A: 1\r\nx-a: 2\r\nB:  a b\t\r\n" END;
    struct cv_http1 r;
    size_t used;

    (void)state;
    cv_http1_init(&r, CV_HTTP1_REQUESTS);
    assert_int_equal(feed(&r, text, sizeof(text) - 1, 5, &used, NULL),
                     CV_HTTP1_HEAD);
    assert_true(r.head.expect_continue);
    assert_true(is(cv_http1_find(&r.head, "x-A")->value, "1"));
    assert_true(is(cv_http1_find(&r.head, "b")->value, "a b"));
    assert_true(is(r.head.headers[3].name, "x-a"));
    assert_null(cv_http1_find(&r.head, "x"));
    cv_http1_drop(&r);
}

/* `text` with its length: a NUL may be in it. */
#define T(text) (text), sizeof(text) - 1

static const struct {
    const char *text;
    size_t len;
} smuggled[] = {
    /* one message to one, two to the other */
    {T("POST / HTTP/1.1\r\n" H
       "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H
       "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H
       "Content-Length: 4\r\nContent-Length: 4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H
       "Content-Length: 4\r\ncontent-length: 5\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: +4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: 04\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: 0x4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: 4 4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length:\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Content-Length: 1000000000000000000\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
       "Transfer-Encoding: chunked\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n" END)},
    {T("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" END)},
    /* lines */
    {T("GET / HTTP/1.1\n" H END)},
    {T("GET / HTTP/1.1\r\nHost: x\n\n")},
    {T("GET / HTTP/1.1\r\nHost: x\r\n\n")},
    {T("GET / HTTP/1.1\r\n" H "A: b\rC: d\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: b\r\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n" END)},
    {T("GET / HTTP/1.1\r\n Host: x\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A : b\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Content-Length\t: 5\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H ": b\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A(b): c\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: b\0c\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A\0: b\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: b\x01\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: b\x7f\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "A: \xc3\xa4\r\n" END)},
    {T("GET /\xc3\xa4 HTTP/1.1\r\n" H END)},
    {T("GET /\0 HTTP/1.1\r\n" H END)},
    {T("\r\nGET / HTTP/1.1\r\n" H END)},
    {T("\r\n")},
    /* request lines */
    {T("GET /\r\n" H END)},
    {T("GET\r\n" H END)},
    {T("GET  / HTTP/1.1\r\n" H END)},
    {T("GET / x HTTP/1.1\r\n" H END)},
    {T("GET /\tHTTP/1.1\r\n" H END)},
    {T("GET\t/ HTTP/1.1\r\n" H END)},
    {T("GET /\ta HTTP/1.1\r\n" H END)},
    {T("GET / HTTP/1.1 \r\n" H END)},
    {T(" GET / HTTP/1.1\r\n" H END)},
    {T("G(T / HTTP/1.1\r\n" H END)},
    {T("GET / HTTP/2.0\r\n" H END)},
    {T("GET / HTTP/1.2\r\n" H END)},
    {T("GET / http/1.1\r\n" H END)},
    {T("GET / HTTP/11\r\n" H END)},
    {T("PRI * HTTP/2.0\r\n\r\n")},
    {T("GET * HTTP/1.1\r\n" H END)},
    {T("OPTIONS * HTTP/1.1\r\n" H END)},
    {T("GET https://127.0.0.1:1/ HTTP/1.1\r\n" H END)},
    {T("GET http://evil.com/ HTTP/1.1\r\n" H END)},
    {T("GET evil HTTP/1.1\r\n" H END)},
    {T("CONNECT evil.com:443 HTTP/1.1\r\n" H END)},
    {T("CONNECT / HTTP/1.1\r\n" H END)},
    {T("connect / HTTP/1.1\r\n" H END)},
    {T("TRACE / HTTP/1.1\r\n" H END)},
    /* hosts */
    {T("GET / HTTP/1.1\r\n" END)},
    {T("GET / HTTP/1.0\r\n" END)},
    {T("GET / HTTP/1.1\r\nHost:\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Host: evil.com\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H H END)},
    {T("GET / HTTP/1.1\r\nHost: a, b\r\n" END)},
    {T("GET / HTTP/1.1\r\nHost: a b\r\n" END)},
    {T("GET / HTTP/1.1\r\nHost: a@b\r\n" END)},
    {T("GET / HTTP/1.1\r\nHost: a/b\r\n" END)},
    /* what Connection names */
    {T("GET / HTTP/1.1\r\n" H "Connection: Content-Length\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: close, Host\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: X-A\r\nX-A: b\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\n"
       "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" END)},
    /* upgrades */
    {T("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: h2c\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade:\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H
       "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
       "Upgrade: websocket\r\n" END)},
    {T("GET / HTTP/1.0\r\n" H
       "Connection: upgrade\r\nUpgrade: websocket\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
       "Content-Length: 4\r\n" END)},
    {T("POST / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
       "Transfer-Encoding: chunked\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: upgrade, close\r\n"
       "Upgrade: websocket\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
       "Expect: 100-continue\r\n" END)},
    /* expectations */
    {T("GET / HTTP/1.1\r\n" H "Expect: more\r\n" END)},
    {T("GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
       "Expect: 100-continue\r\n" END)},
    {T("GET / HTTP/1.0\r\n" H "Expect: 100-continue\r\n" END)},
    /* other protocols */
    {T("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
    {T("SSH-2.0-x\r\n\r\n")},
    {T("HTTP/1.1 200 OK\r\n" H END)},
};

static void refuses_what_two_could_read_differently(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(smuggled) / sizeof(smuggled[0]); i++) {
        char first[CV_ERR_TEXT_LEN] = "";

        print_message("%zu: %s\n", i, smuggled[i].text);
        for (size_t k = 0; k < N_STEPS; k++) {
            struct cv_http1 r;
            struct cv_err err;
            size_t used;

            cv_err_init(&err);
            cv_http1_init(&r, CV_HTTP1_REQUESTS);
            assert_int_equal(feed(&r, smuggled[i].text, smuggled[i].len,
                                  steps[k], &used, &err),
                             CV_HTTP1_BAD);
            assert_int_equal(r.answer, 400);
            assert_int_equal(err.status, CV_INVALID);
            if (k == 0) {
                memcpy(first, err.text, sizeof(first));
            }
            assert_string_equal(err.text, first);
            cv_http1_drop(&r);
        }
    }
}

/* A head of exactly `len` bytes, with `lines` headers after Host. */
static char *head_of(size_t len, size_t lines)
{
    static const char first[] = "GET / HTTP/1.1\r\n" H;
    char *text = malloc(len + 1);
    size_t n = sizeof(first) - 1;

    assert_non_null(text);
    memcpy(text, first, n);
    for (size_t i = 0; i + 1 < lines; i++) {
        memcpy(text + n, "a: b\r\n", 6);
        n += 6;
    }
    assert_true(n + 8 <= len);
    memset(text + n, 'x', len - n);
    text[n + 1] = ':';
    memcpy(text + len - 4, "\r\n\r\n", 5);
    return text;
}

static void has_ceilings(void **state)
{
    static const struct {
        size_t len, lines;
        enum cv_http1_state state;
    } rows[] = {
        {CV_LIMIT_RELAY_HEAD, 3, CV_HTTP1_HEAD},
        {CV_LIMIT_RELAY_HEAD + 1, 3, CV_HTTP1_BAD},
        {CV_LIMIT_RELAY_HEAD * 3, 3, CV_HTTP1_BAD},
        {CV_KIB(4), CV_LIMIT_RELAY_HEADERS - 1, CV_HTTP1_HEAD},
        {CV_KIB(4), CV_LIMIT_RELAY_HEADERS, CV_HTTP1_BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = head_of(rows[i].len, rows[i].lines);

        for (size_t k = 0; k < N_STEPS; k++) {
            struct cv_http1 r;
            size_t used;

            cv_http1_init(&r, CV_HTTP1_REQUESTS);
            assert_int_equal(feed(&r, text, rows[i].len, steps[k], &used, NULL),
                             rows[i].state);
            assert_int_equal(r.answer, rows[i].state == CV_HTTP1_BAD ? 431 : 0);
            cv_http1_drop(&r);
        }
        free(text);
    }
}

static const struct {
    bool head; /* the request was HEAD */
    const char *text, *upgrade;
    int status;
    enum cv_http1_framing framing;
    bool keep_alive;
} answers[] = {
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END, "", 200,
     CV_HTTP1_LENGTH, true},
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" END, "", 200,
     CV_HTTP1_NONE, true},
    {true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END, "", 200,
     CV_HTTP1_NONE, true},
    {true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END, "", 200,
     CV_HTTP1_NONE, true},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END, "", 200,
     CV_HTTP1_CHUNKED, true},
    {false, "HTTP/1.1 200\r\n" END, "", 200, CV_HTTP1_TO_END, false},
    {false, "HTTP/1.1 200 \r\n" END, "", 200, CV_HTTP1_TO_END, false},
    {false, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n" END, "", 200,
     CV_HTTP1_LENGTH, false},
    {false,
     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
     "Content-Length: 5\r\n" END,
     "", 200, CV_HTTP1_LENGTH, true},
    {false,
     "HTTP/1.1 404 nicht da \xc3\xa4\r\nContent-Length: 1\r\n"
     "Warning: 299 - \"\xc3\xa4\"\r\n" END,
     "", 404, CV_HTTP1_LENGTH, true},
    {false, "HTTP/1.1 204 No Content\r\n" END, "", 204, CV_HTTP1_NONE, true},
    {false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n" END, "", 304,
     CV_HTTP1_NONE, true},
    {false, "HTTP/1.1 100 Continue\r\n" END, "", 100, CV_HTTP1_NONE, true},
    {false,
     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
     "Upgrade: SPDY/3.1\r\n" END,
     "SPDY/3.1", 101, CV_HTTP1_NONE, true},
    {false,
     "HTTP/1.1 200 OK\r\nConnection: Upgrade, close\r\n"
     "Upgrade: h2,h2c\r\nContent-Length: 1\r\n" END,
     "", 200, CV_HTTP1_LENGTH, false},
};

static void takes_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        print_message("%s\n", answers[i].text);
        for (size_t k = 0; k < N_STEPS; k++) {
            struct cv_http1 r;
            size_t used;

            cv_http1_init(&r, CV_HTTP1_ANSWERS);
            r.answers_head = answers[i].head;
            assert_int_equal(feed(&r, answers[i].text, strlen(answers[i].text),
                                  steps[k], &used, NULL),
                             CV_HTTP1_HEAD);
            assert_int_equal(r.head.status, answers[i].status);
            assert_int_equal(r.head.framing, answers[i].framing);
            assert_int_equal(r.head.keep_alive, answers[i].keep_alive);
            assert_true(is(r.head.upgrade, answers[i].upgrade));
            cv_http1_drop(&r);
        }
    }
}

static void refuses_wrong_answers(void **state)
{
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n" END,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n" END,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n" END,
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END,
        "HTTP/1.1 200 OK\nA: b\n\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n" END,
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n" END,
        "HTTP/1.1 200OK\r\n" END,
        "HTTP/1.1 20 OK\r\n" END,
        "HTTP/1.1 099 OK\r\n" END,
        "HTTP/1.1 600 OK\r\n" END,
        "HTTP/1.1  200 OK\r\n" END,
        "HTTP/2 200 OK\r\n" END,
        "HTTP/1.1\r\n" END,
        "ICY 200 OK\r\n" END,
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n" END,
        "HTTP/1.1 101 Switching Protocols\r\n" END,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" END,
        "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: a\r\n"
        "Upgrade: b\r\n" END,
        "\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("%s\n", rows[i]);
        for (size_t k = 0; k < N_STEPS; k++) {
            struct cv_http1 r;
            struct cv_err err;
            size_t used;

            cv_err_init(&err);
            cv_http1_init(&r, CV_HTTP1_ANSWERS);
            assert_int_equal(
                feed(&r, rows[i], strlen(rows[i]), steps[k], &used, &err),
                CV_HTTP1_BAD);
            assert_int_equal(r.answer, 502);
            assert_int_equal(err.status, CV_REMOTE);
            cv_http1_drop(&r);
        }
    }
}

static void drops_what_is_of_one_connection(void **state)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        "Content-Length: 0\r\nX-Kept: 1\r\nAlt-Svc: x\r\n" END;
    struct cv_http1 r;
    size_t used;

    (void)state;
    cv_http1_init(&r, CV_HTTP1_ANSWERS);
    assert_int_equal(feed(&r, text, sizeof(text) - 1, 9, &used, NULL),
                     CV_HTTP1_HEAD);
    assert_true(cv_http1_is_hop(&r.head, cv_slice_of("x-hop")));
    assert_true(cv_http1_is_hop(&r.head, cv_slice_of("CONTENT-LENGTH")));
    assert_true(cv_http1_is_hop(&r.head, cv_slice_of("Keep-Alive")));
    assert_true(cv_http1_is_hop(&r.head, cv_slice_of("Alt-Svc")));
    assert_false(cv_http1_is_hop(&r.head, cv_slice_of("X-Kept")));
    cv_http1_drop(&r);
}

static void knows_its_own_names(void **state)
{
    static const struct {
        const char *host;
        bool own;
    } rows[] = {
        {"127.0.0.1:20443", true},
        {"localhost:20443", true},
        {"LOCALHOST:20443", true},
        {"127.0.0.1", false},
        {"localhost", false},
        {"127.0.0.1:443", false},
        {"evil.com:20443", false},
        {"evil.com", false},
        {"127.0.0.1:020443", false},
        {"127.0.0.1:20443x", false},
        {"127.1:20443", false},
        {"[::1]:20443", false},
        {"localhost.:20443", false},
        {"127.0.0.1.evil.com:20443", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(cv_http1_is_host(cv_slice_of(rows[i].host), 20443),
                         rows[i].own);
    }
}

/* Takes a body in pieces; what it says is gathered in `out`. Returns the last
 * state; *used: how many bytes belonged to the body. */
static enum cv_http1_piece take(enum cv_http1_framing framing, uint64_t length,
                                const char *text, size_t len, size_t step,
                                char *out, size_t *used)
{
    struct cv_head head = {.framing = framing, .length = length};
    struct cv_http1_body b;
    enum cv_http1_piece s = CV_HTTP1_WAIT;
    size_t n_out = 0;

    *used = 0;
    cv_http1_body_begin(&b, &head);
    while (*used < len && !b.ended && s != CV_HTTP1_BROKEN) {
        size_t n = step > 0 ? step : 1 + draw(20);
        size_t at = 0;

        n = n < len - *used ? n : len - *used;
        char *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, text + *used, n);
        while (at < n && !b.ended && s != CV_HTTP1_BROKEN) {
            struct cv_bytes piece;
            size_t taken = 0;

            s = cv_http1_body_take(&b, copy + at, n - at, &taken, &piece, NULL);
            assert_int_equal(s == CV_HTTP1_PIECE, piece.len > 0);
            assert_true(taken <= n - at);
            assert_true(s != CV_HTTP1_WAIT || taken == n - at);
            if (piece.len > 0) {
                memcpy(out + n_out, piece.data, piece.len);
                n_out += piece.len;
            }
            at += taken;
        }
        *used += at;
        free(copy);
    }
    out[n_out] = '\0';
    return s == CV_HTTP1_BROKEN ? s : b.ended ? CV_HTTP1_END : CV_HTTP1_WAIT;
}

static const struct {
    enum cv_http1_framing framing;
    uint64_t length;
    const char *text, *content;
    enum cv_http1_piece state;
    const char *rest; /* what is behind the body */
} bodies[] = {
    {CV_HTTP1_NONE, 0, "GET", "", CV_HTTP1_END, "GET"},
    {CV_HTTP1_LENGTH, 3, "abcGET", "abc", CV_HTTP1_END, "GET"},
    {CV_HTTP1_LENGTH, 9, "abc", "abc", CV_HTTP1_WAIT, ""},
    {CV_HTTP1_TO_END, 0, "abc", "abc", CV_HTTP1_WAIT, ""},
    {CV_HTTP1_CHUNKED, 0, "0\r\n\r\nGET", "", CV_HTTP1_END, "GET"},
    {CV_HTTP1_CHUNKED, 0, "3\r\nabc\r\n0\r\n\r\nGET", "abc", CV_HTTP1_END,
     "GET"},
    {CV_HTTP1_CHUNKED, 0, "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
     "abc0123456789", CV_HTTP1_END, ""},
    {CV_HTTP1_CHUNKED, 0, "00a;x=y; z=\"q\"\r\n0123456789\r\n000\r\n\r\n",
     "0123456789", CV_HTTP1_END, ""},
    {CV_HTTP1_CHUNKED, 0, "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", CV_HTTP1_END, ""},
    {CV_HTTP1_CHUNKED, 0, "1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\nGET", "a",
     CV_HTTP1_END, "GET"},
    {CV_HTTP1_CHUNKED, 0, "3\r\nab", "ab", CV_HTTP1_WAIT, ""},
    {CV_HTTP1_CHUNKED, 0, "1\r\na\r\n0\r\n", "a", CV_HTTP1_WAIT, ""},
    /* wrong */
    {CV_HTTP1_CHUNKED, 0, "\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, ";x\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "g\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0x1\r\na\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "-1\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, " 1\r\na", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1 \r\na", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1\na\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1\r\nab\r\n", "a", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1\r\na\n", "a", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1\r\na\r\r\n", "a", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1;a\nb\r\na\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "1;\x80\r\na\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "ffffffffffffffff\r\na", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0000000000000001\r\na", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0\r\n A: b\r\n\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0\r\nA : b\r\n\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0\r\n: b\r\n\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0\r\nA\r\n\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0\r\nA: b\nC: d\r\n\r\n", "", CV_HTTP1_BROKEN, NULL},
    {CV_HTTP1_CHUNKED, 0, "0\r\n\rx", "", CV_HTTP1_BROKEN, NULL},
};

static void takes_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        size_t len = strlen(bodies[i].text);

        print_message("%s\n", bodies[i].text);
        for (size_t k = 0; k < N_STEPS; k++) {
            char out[128];
            size_t used;

            assert_int_equal(take(bodies[i].framing, bodies[i].length,
                                  bodies[i].text, len, steps[k], out, &used),
                             bodies[i].state);
            assert_string_equal(out, bodies[i].content);
            if (bodies[i].rest != NULL) {
                assert_string_equal(bodies[i].text + used, bodies[i].rest);
            }
        }
    }
}

/* Lines that never end are cut off by their ceilings. */
static void bodies_have_ceilings(void **state)
{
    static const struct {
        const char *start;
        size_t room;
    } rows[] = {
        {"1;", CV_LIMIT_RELAY_CHUNK_LINE},
        {"0\r\nA:", CV_LIMIT_RELAY_TRAILERS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].start) + rows[i].room + 10;
        char *text = malloc(len);
        size_t used;
        char out[8];

        assert_non_null(text);
        memset(text, 'x', len);
        memcpy(text, rows[i].start, strlen(rows[i].start));
        assert_int_equal(take(CV_HTTP1_CHUNKED, 0, text, len, 100, out, &used),
                         CV_HTTP1_BROKEN);
        assert_true(used > rows[i].room / 2);
        free(text);
    }
}

/* A stream of requests with bodies, cut anywhere, is the same stream. */
static void cuts_make_no_difference(void **state)
{
    static const char text[] =
        "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
        "5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nT: v\r\n\r\n"
        "PUT /b?c HTTP/1.1\r\n" H "Content-Length: 7\r\n\r\nGET / H"
        "GET /d HTTP/1.1\r\n" H "\r\n";
    static const char *const want[] = {"/a|hello0123456789abcdef",
                                       "/b?c|GET / H", "/d|"};
    int rounds = cv_full_run() ? 20000 : 1000;

    (void)state;
    for (int round = 0; round < rounds; round++) {
        size_t at = 0;

        for (size_t m = 0; m < 3; m++) {
            struct cv_http1 r;
            char got[64];
            char content[64];
            size_t used;

            cv_http1_init(&r, CV_HTTP1_REQUESTS);
            assert_int_equal(
                feed(&r, text + at, sizeof(text) - 1 - at, 0, &used, NULL),
                CV_HTTP1_HEAD);
            at += used;
            assert_int_equal(take(r.head.framing, r.head.length, text + at,
                                  sizeof(text) - 1 - at, 0, content,
                                  &used) == CV_HTTP1_BROKEN,
                             false);
            at += used;
            (void)snprintf(got, sizeof(got), "%.*s|%s", (int)r.head.target.len,
                           r.head.target.at, content);
            assert_string_equal(got, want[m]);
            cv_http1_drop(&r);
        }
        assert_int_equal(at, sizeof(text) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_requests),
        cmocka_unit_test(knows_headers),
        cmocka_unit_test(refuses_what_two_could_read_differently),
        cmocka_unit_test(has_ceilings),
        cmocka_unit_test(takes_answers),
        cmocka_unit_test(refuses_wrong_answers),
        cmocka_unit_test(drops_what_is_of_one_connection),
        cmocka_unit_test(knows_its_own_names),
        cmocka_unit_test(takes_bodies),
        cmocka_unit_test(bodies_have_ceilings),
        cmocka_unit_test(cuts_make_no_difference),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
