/* Upgrades: after a 101 bytes pass as they are, both ways, each as fast as the
 * other end takes them, and one way after the other way has ended. */
#include "relay_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "\r\nHost: " RIG_HOST
#define EXEC "/api/v1/namespaces/a/pods/b/exec?command=sh"
#define SPDY                                           \
    "POST " EXEC " HTTP/1.1" HOST                      \
    "\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" \
    "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" \
    "X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n"
#define WEBSOCKET                                       \
    "GET " EXEC " HTTP/1.1" HOST                        \
    "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"   \
    "Sec-WebSocket-Version: 13\r\n"                     \
    "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
#define AGREED                                                             \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " \
    "SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"

struct pair {
    struct rig *rig;
    struct rig_end *c;
    struct rig_end *s;
};

static struct pair upgraded(const char *limits)
{
    struct pair p;

    p.rig = rig_new(limits);
    p.rig->speaks_h2 = true; /* and is not asked to, for an upgrade */
    p.c = rig_client(p.rig);
    rig_send(p.c, SPDY);
    p.s = rig_accept(p.rig);
    assert_int_equal(p.rig->last_flags, CV_DIAL_H1_ONLY);
    rig_expect(p.s, "POST /k8s" EXEC " HTTP/1.1\r\n"
                    "Host: api.example:6443\r\n"
                    "x-stream-protocol-version: v4.channel.k8s.io\r\n"
                    "x-stream-protocol-version: v3.channel.k8s.io\r\n"
                    "audit-id: " RIG_ID "-1\r\n"
                    "Content-Length: 0\r\n"
                    "connection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n");
    rig_send(p.s, AGREED "\x80\x03");
    rig_expect(p.c, "HTTP/1.1 101 Switching Protocols\r\n"
                    "x-stream-protocol-version: v4.channel.k8s.io\r\n"
                    "connection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n"
                    "\x80\x03");
    return p;
}

static void free_pair(struct pair *p)
{
    rig_end_free(p->c);
    rig_end_free(p->s);
    rig_free(p->rig);
}

static bool nothing_left(void *ctx)
{
    struct cv_session_counts c = rig_counts(ctx);

    return c.clients == 0 && c.streams == 0 && c.upstreams == 0;
}

static void test_bytes(void **state)
{
    struct pair p = upgraded("\"record\":\"all\",");
    struct cv_session_counts counts = rig_counts(p.rig);

    (void)state;
    assert_int_equal(p.rig->n_asks, 1);
    assert_string_equal(
        cJSON_GetStringValue(cJSON_GetObjectItem(p.rig->last, "upgrade")),
        "SPDY/3.1");
    assert_int_equal(counts.clients, 1);
    assert_int_equal(counts.streams, 1);
    assert_int_equal(counts.upstreams, 1);
    rig_send(p.c, "to the server");
    rig_expect(p.s, "to the server");
    rig_send(p.s, "HTTP/1.1 200 not a head\r\n\r\n");
    rig_expect(p.c, "HTTP/1.1 200 not a head\r\n\r\n");
    /* one way ends, the other goes on */
    rig_send(p.c, "last");
    rig_shut(p.c);
    rig_expect(p.s, "last");
    rig_until_closed(p.s);
    rig_send(p.s, "still talking");
    rig_expect(p.c, "still talking");
    assert_false(p.c->closed);
    rig_shut(p.s);
    rig_until_closed(p.c);
    rig_until(p.rig, nothing_left, p.rig);
    free_pair(&p);
}

static void test_websocket(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;
    const char *text;

    (void)state;
    rig_send(c, WEBSOCKET);
    s = rig_accept(rig);
    text = rig_until_text(s, "\r\n\r\n");
    assert_non_null(strstr(text, "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ"));
    assert_non_null(strstr(text, "sec-websocket-protocol: v5.channel"));
    assert_non_null(strstr(text, "upgrade: websocket\r\n"));
    assert_null(strstr(text, "ontent-"));
    rig_send(s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
    text = rig_until_text(c, "\r\n\r\n");
    assert_non_null(strstr(text, "sec-websocket-accept: x\r\n"));
    rig_send(c, "\x81\x02hi");
    rig_expect(s, "\x81\x02hi");
    /* the server goes: so does the client's connection */
    rig_end_free(s);
    rig_until_closed(c);
    rig_end_free(c);
    rig_until(rig, nothing_left, rig);
    rig_free(rig);
}

/* A server that does not agree has answered, and both connections live on. */
static void test_not_agreed(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, SPDY);
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_send(s, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    rig_expect(c, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    rig_send(c, "GET /api HTTP/1.1" HOST "\r\n\r\n");
    (void)rig_until_text(s, "GET /k8s/api ");
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* Bytes that the client sends before it is told that it may are kept. */
static void test_early(void **state)
{
    struct rig *rig = rig_new("");
    struct rig_end *c = rig_client(rig);
    struct rig_end *s;

    (void)state;
    rig_send(c, SPDY "early");
    s = rig_accept(rig);
    (void)rig_until_text(s, "\r\n\r\n");
    rig_settle(rig);
    assert_int_equal(s->got.len, 0);
    rig_send(s, AGREED);
    rig_expect(s, "early");
    rig_end_free(c);
    rig_end_free(s);
    rig_free(rig);
}

/* Sends until nothing more is taken; how many bytes that were. */
static size_t stuff(struct rig *rig, struct rig_end *e, size_t from)
{
    static uint8_t block[65536];
    size_t at = from;

    for (int idle = 0; idle < 3 && at < from + (64 << 20);) {
        size_t n;

        for (size_t i = 0; i < sizeof(block); i++) {
            block[i] = rig_byte(at + i);
        }
        n = rig_send_some(e, block, sizeof(block));
        at += n;
        idle = n == 0 ? idle + 1 : 0;
        rig_settle(rig);
    }
    return at - from;
}

static void check_bytes(struct rig_end *e, size_t n)
{
    rig_skip(e, 0);
    while (n > 0 && e->got.len < n) {
        assert_int_not_equal(event_base_loop(e->rig->base, EVLOOP_ONCE), -1);
    }
    for (size_t i = 0; i < n; i++) {
        if (e->got.data[i] != rig_byte(i)) {
            fail_msg("byte %zu is another", i);
        }
    }
    cv_buf_drop(&e->got, n);
}

/* Whoever does not read stops the other, who is then not read from; each way
 * for itself. */
static void test_back_pressure(void **state)
{
    struct pair p = upgraded("");
    size_t down;
    size_t up;

    (void)state;
    rig_deaf(p.c, true);
    down = stuff(p.rig, p.s, 0);
    assert_true(down > 100000);
    assert_true(down < (2 << 20));
    rig_send(p.c, "the other way is open");
    rig_expect(p.s, "the other way is open");
    rig_deaf(p.s, true);
    up = stuff(p.rig, p.c, 0);
    assert_true(up < (2 << 20));
    rig_deaf(p.c, false);
    check_bytes(p.c, down);
    rig_deaf(p.s, false);
    check_bytes(p.s, up);
    free_pair(&p);
}

static void test_end(void **state)
{
    struct pair p = upgraded("");

    (void)state;
    cv_session_end_grant(p.rig->world, RIG_ID, "over", NULL);
    rig_until_closed(p.c);
    rig_until_closed(p.s);
    rig_until(p.rig, nothing_left, p.rig);
    free_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),         cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_not_agreed),    cmocka_unit_test(test_early),
        cmocka_unit_test(test_back_pressure), cmocka_unit_test(test_end),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
