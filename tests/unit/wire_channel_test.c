/* Frames over a real socket pair: whole, in pieces, joined, too long, cut. */
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/wire/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct ends {
    struct cv_channel *ch;
    int other;
};

static struct ends make(size_t ceiling)
{
    struct ends e = {NULL, -1};
    int pair[2];

    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    assert_int_equal(cv_channel_new(pair[0], ceiling, &e.ch, NULL), CV_OK);
    e.other = pair[1];
    return e;
}

static void done(struct ends *e)
{
    cv_channel_free(e->ch);
    (void)close(e->other);
}

static void put(const struct ends *e, const char *bytes, size_t len)
{
    assert_int_equal(write(e->other, bytes, len), (ssize_t)len);
}

#define PUT(e, literal) put((e), (literal), sizeof(literal) - 1)

static const char *word(const struct cv_message *m)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m->tree, "w"));
}

static void whole_message(void **state)
{
    struct ends e = make(1000);
    struct cv_message m;

    (void)state;
    put(&e, "{\"w\":\"a\"}", 10);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_OK);
    assert_string_equal(word(&m), "a");
    assert_non_null(m.arena);
    assert_true(cv_arena_owns(m.arena, m.tree));
    cv_message_free(&m);
    assert_null(m.tree);
    done(&e);
}

/* What is known to be public is read on the heap. */
static void public_message(void **state)
{
    struct ends e = make(1000);
    struct cv_message m;

    (void)state;
    put(&e, "{\"w\":\"a\"}", 10);
    assert_int_equal(cv_channel_recv(e.ch, false, 60000, &m, NULL), CV_OK);
    assert_null(m.arena);
    assert_string_equal(word(&m), "a");
    cv_message_free(&m);
    done(&e);
}

static void two_at_once(void **state)
{
    struct ends e = make(1000);
    struct cv_message m, n;

    (void)state;
    put(&e, "{\"w\":\"a\"}\0{\"w\":\"b\"}\0{\"w", 23);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_OK);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &n, NULL), CV_OK);
    assert_string_equal(word(&m), "a");
    assert_string_equal(word(&n), "b");
    assert_ptr_not_equal(m.arena, n.arena);
    cv_message_free(&m);
    assert_string_equal(word(&n), "b");
    cv_message_free(&n);
    done(&e);
}

static void in_pieces(void **state)
{
    static const char text[] = "{\"w\":\"abc\"}";
    struct ends e = make(1000);
    struct cv_message m = {0};
    bool closed = false;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        assert_null(m.tree);
        put(&e, text + i, 1);
        assert_int_equal(cv_channel_fill(e.ch, &closed, NULL), CV_OK);
        assert_false(closed);
        assert_int_equal(cv_channel_next(e.ch, &m, NULL), CV_OK);
    }
    assert_string_equal(word(&m), "abc");
    cv_message_free(&m);
    done(&e);
}

static void too_long(void **state)
{
    struct ends e = make(16);
    struct cv_message m;

    (void)state;
    PUT(&e, "{\"w\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_INVALID);
    assert_null(m.tree);
    done(&e);
}

static void longest_that_fits(void **state)
{
    struct ends e = make(9);
    struct cv_message m;

    (void)state;
    put(&e, "{\"w\":\"a\"}", 10);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_OK);
    cv_message_free(&m);
    done(&e);
}

static void refused(const char *bytes, size_t len)
{
    struct ends e = make(1000);
    struct cv_message m;

    put(&e, bytes, len);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_INVALID);
    assert_null(m.tree);
    assert_null(m.arena);
    done(&e);
}

static void not_messages(void **state)
{
    (void)state;
    refused("", 1);
    refused("[]", 3);
    refused("{\"a\":1,\"a\":2}", 14);
    refused("{\"a\":1}x", 9);
    refused("\"text\"", 7);
}

static void ends_between(void **state)
{
    struct ends e = make(1000);
    struct cv_message m;

    (void)state;
    (void)shutdown(e.other, SHUT_WR);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_OK);
    assert_null(m.tree);
    done(&e);
}

static void ends_within(void **state)
{
    struct ends e = make(1000);
    struct cv_message m;

    (void)state;
    PUT(&e, "{\"w\"");
    (void)shutdown(e.other, SHUT_WR);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL),
                     CV_UNAVAILABLE);
    done(&e);
}

static void nothing_comes(void **state)
{
    struct ends e = make(1000);
    struct cv_message m;

    (void)state;
    assert_int_equal(cv_channel_recv(e.ch, true, 10, &m, NULL), CV_BUSY);
    done(&e);
}

static void sends(void **state)
{
    struct ends e = make(1000);
    cJSON *object = cJSON_CreateObject();
    char got[64];

    (void)state;
    assert_true(cv_json_add_str(object, "w", "\xc3\xa4"));
    assert_int_equal(cv_channel_send(e.ch, object, true, 60000, NULL), CV_OK);
    assert_int_equal(read(e.other, got, sizeof(got)), 15);
    assert_memory_equal(got, "{\"w\":\"\\u00e4\"}", 15);
    cJSON_Delete(object);
    done(&e);
}

static void nobody_takes(void **state)
{
    struct ends e = make(1000);
    cJSON *object = cJSON_CreateObject();
    static char text[CV_MIB(4)];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    assert_true(cv_json_add_str(object, "w", text));
    assert_int_equal(cv_channel_send(e.ch, object, false, 10, NULL), CV_BUSY);
    cJSON_Delete(object);
    done(&e);
}

static void other_end_gone(void **state)
{
    struct ends e = make(1000);
    cJSON *object = cJSON_CreateObject();

    (void)state;
    (void)close(e.other);
    assert_int_equal(cv_channel_send(e.ch, object, false, 10, NULL),
                     CV_UNAVAILABLE);
    cJSON_Delete(object);
    cv_channel_free(e.ch);
}

/* Whoever waits on behalf of somebody stops when that one hangs up. */
static void who_asked_is_gone(void **state)
{
    struct ends e = make(1000);
    struct cv_message m;
    int asking[2];

    (void)state;
    assert_int_equal(cv_process_pair(asking, NULL), CV_OK);
    cv_channel_watch(e.ch, asking[0]);
    assert_int_equal(cv_channel_recv(e.ch, true, 10, &m, NULL), CV_BUSY);
    put(&e, "{\"w\":\"a\"}", 10);
    assert_int_equal(cv_channel_recv(e.ch, true, 60000, &m, NULL), CV_OK);
    cv_message_free(&m);
    (void)close(asking[1]);
    assert_int_equal(cv_channel_recv(e.ch, true, -1, &m, NULL), CV_UNAVAILABLE);
    (void)close(asking[0]);
    done(&e);
}

/* A message of `n` bytes of text. */
static enum cv_status send_long(struct cv_channel *ch, size_t n, int timeout_ms)
{
    cJSON *object = cJSON_CreateObject();
    char *text = calloc(1, n + 1);
    enum cv_status s;

    memset(text, 'a', n);
    assert_true(cv_json_add_str(object, "w", text));
    s = cv_channel_send(ch, object, false, timeout_ms, NULL);
    cJSON_Delete(object);
    free(text);
    return s;
}

/* Takes all that is there, and what comes of it; returns how much it was. */
static size_t take_all(struct ends *e)
{
    static char got[CV_MIB(1)];
    size_t all = 0;
    ssize_t n;

    do {
        n = recv(e->other, got, sizeof(got), MSG_DONTWAIT);
        all += n > 0 ? (size_t)n : 0;
        assert_int_equal(cv_channel_flush(e->ch, NULL), CV_OK);
    } while (n > 0);
    return all;
}

/* A queue waits for nobody, keeps what is not taken, and sends it in order. */
static void a_queue(void **state)
{
    struct ends e = make(CV_MIB(9));
    const size_t one = CV_MIB(4) + sizeof("{\"w\":\"\"}");

    (void)state;
    cv_channel_queue(e.ch, NULL);
    assert_int_equal(cv_channel_unsent(e.ch), 0);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(send_long(e.ch, CV_MIB(4), -1), CV_OK);
        assert_in_range(cv_channel_unsent(e.ch), (i - 1) * CV_MIB(4), i * one);
        assert_int_equal(cv_channel_held(e.ch), cv_channel_unsent(e.ch));
    }
    assert_int_equal(take_all(&e), 3 * one);
    assert_int_equal(cv_channel_unsent(e.ch), 0);
    done(&e);
}

/* Fills what is kept of a channel to its last byte but a few. */
static void fill(const struct ends *e)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_long(e->ch, CV_MIB(5), -1), CV_OK);
    }
}

/* Beyond what is kept there is one wait, of those who share it too; who took
 * all begins anew where he counts for himself. */
static void a_queue_that_is_full(void **state)
{
    struct ends a = make(CV_MIB(9)), b = make(CV_MIB(9)), c = make(CV_MIB(9));
    int shared = CV_LIMIT_STALL_MS - 50, before;

    (void)state;
    cv_channel_queue(a.ch, &shared);
    cv_channel_queue(b.ch, &shared);
    cv_channel_queue(c.ch, NULL);
    fill(&a);
    fill(&b);
    assert_int_equal(send_long(a.ch, CV_MIB(5), -1), CV_BUSY);
    assert_int_equal(shared, CV_LIMIT_STALL_MS);
    /* With all time left it would wait for ever. */
    assert_int_equal(send_long(b.ch, CV_MIB(5), -1), CV_BUSY);
    assert_int_equal(shared, CV_LIMIT_STALL_MS);
    before = shared;
    assert_true(take_all(&a) > 0);
    assert_int_equal(shared, before); /* its owner's to take down */
    fill(&c);
    assert_int_equal(send_long(c.ch, CV_MIB(5), 10), CV_BUSY);
    assert_true(take_all(&c) > 0);
    fill(&c);
    assert_int_equal(send_long(c.ch, CV_MIB(5), 10), CV_BUSY);
    done(&a);
    done(&b);
    done(&c);
}

/* Who went is noticed when something is to be sent to him. */
static void a_queue_to_nobody(void **state)
{
    struct ends e = make(CV_MIB(9));

    (void)state;
    cv_channel_queue(e.ch, NULL);
    assert_int_equal(send_long(e.ch, CV_MIB(4), -1), CV_OK);
    (void)close(e.other);
    e.other = -1;
    assert_int_equal(cv_channel_flush(e.ch, NULL), CV_UNAVAILABLE);
    done(&e);
}

static int start(void **state)
{
    (void)state;
    cv_json_start();
    return cv_arena_start(NULL) == CV_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_message),
        cmocka_unit_test(public_message),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(too_long),
        cmocka_unit_test(longest_that_fits),
        cmocka_unit_test(not_messages),
        cmocka_unit_test(ends_between),
        cmocka_unit_test(ends_within),
        cmocka_unit_test(nothing_comes),
        cmocka_unit_test(sends),
        cmocka_unit_test(nobody_takes),
        cmocka_unit_test(other_end_gone),
        cmocka_unit_test(who_asked_is_gone),
        cmocka_unit_test(a_queue),
        cmocka_unit_test(a_queue_that_is_full),
        cmocka_unit_test(a_queue_to_nobody),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
