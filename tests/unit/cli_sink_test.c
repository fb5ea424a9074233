/* What a sink's text says, and a record as a message of its protocol. */
#include "cli/sink_format.h"
#include "cli/sink_target.h"
#include "vault/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    enum cv_sink_target_kind kind;
    const char *name, *origin, *path, *ca;
    uint64_t behind;
} good[] = {
    {"syslog+udp://h", CV_SINK_TARGET_UDP, "syslog+udp://h", "h:514", "", "",
     CV_LIMIT_SINK_BEHIND},
    {"syslog+tcp://[2001:db8::1]:601?behind=7", CV_SINK_TARGET_TCP,
     "syslog+tcp://[2001:db8::1]:601", "[2001:db8::1]:601", "", "", 7},
    {"syslog+tls://a.b-c?ca=/x/ca.pem&behind=1000000", CV_SINK_TARGET_TLS,
     "syslog+tls://a.b-c", "a.b-c:6514", "", "/x/ca.pem", CV_LIMIT_SINK_BEHIND},
    {"syslog+unix:/dev/log", CV_SINK_TARGET_UNIX, "syslog+unix:/dev/log", "",
     "/dev/log", "", CV_LIMIT_SINK_BEHIND},
    {"journald:", CV_SINK_TARGET_JOURNAL, "journald:", "",
     "/run/systemd/journal/socket", "", CV_LIMIT_SINK_BEHIND},
    {"command:/usr/bin/x?behind=2", CV_SINK_TARGET_COMMAND,
     "command:/usr/bin/x", "", "/usr/bin/x", "", 2},
    {"https://h:8088/a/b?c=d#ca=/x", CV_SINK_TARGET_HTTPS,
     "https://h:8088/a/b?c=d", "h:8088", "/a/b?c=d", "/x",
     CV_LIMIT_SINK_BEHIND},
    {"http://h", CV_SINK_TARGET_HTTP, "http://h", "h:80", "/", "",
     CV_LIMIT_SINK_BEHIND},
    {"http://h?x=y", CV_SINK_TARGET_HTTP, "http://h?x=y", "h:80", "/?x=y", "",
     CV_LIMIT_SINK_BEHIND},
};

static void test_texts(void **state)
{
    static struct cv_sink_target t;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(cv_sink_target_parse(good[i].text, &t, NULL), CV_OK);
        assert_int_equal(t.kind, good[i].kind);
        assert_string_equal(t.name, good[i].name);
        assert_string_equal(t.origin, good[i].origin);
        assert_string_equal(t.path, good[i].path);
        assert_string_equal(t.ca, good[i].ca);
        assert_int_equal(t.behind, good[i].behind);
    }
}

/* Any beginning of a text, and any byte in it that no text has, is refused or
 * taken, and never read past. */
static void test_pieces(void **state)
{
    static struct cv_sink_target t;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        size_t len = strlen(good[i].text);

        for (size_t n = 0; n <= len; n++) {
            char *copy = strndup(good[i].text, n);

            assert_non_null(copy);
            (void)!cv_sink_target_parse(copy, &t, NULL);
            if (n > 0) {
                copy[n - 1] = '\n';
                assert_int_equal(cv_sink_target_parse(copy, &t, NULL),
                                 CV_CONFIG);
                copy[n - 1] = '@';
                (void)!cv_sink_target_parse(copy, &t, NULL);
            }
            free(copy);
        }
    }
}

#define LEAF                                                         \
    "{\"action\":\"use\",\"actor\":{\"user\":\"a\\u0085\\\"]b\"},"   \
    "\"broker\":{\"host\":\"h x\"},\"decision\":\"deny\",\"phase\":" \
    "\"decision\",\"seq\":7,\"time\":\"2026-11-22T05:31:00Z\"}"

static const struct cv_sink_format_record leaf = {
    7, {(const uint8_t *)LEAF, sizeof(LEAF) - 1}, false};

#define HEAD "<108>1 2026-11-22T05:31:00Z h?x certvault - use "

static void test_syslog(void **state)
{
    struct cv_buf out;

    (void)state;
    cv_buf_init(&out, NULL, 4096);
    cv_sink_format_syslog(&leaf, 0, &out);
    assert_string_equal(cv_buf_text(&out),
                        HEAD "[certvault@32473 seq=\"7\"] " LEAF);
    cv_buf_wipe(&out);
}

/* It is as long as it may be, and says so where something is missing. */
static void test_cut(void **state)
{
    const size_t whole =
        strlen(HEAD "[certvault@32473 seq=\"7\"] ") + sizeof(LEAF) - 1;

    (void)state;
    for (size_t ceiling = 1; ceiling <= whole + 1; ceiling++) {
        const char *text;
        struct cv_buf out;

        cv_buf_init(&out, NULL, 4096);
        cv_sink_format_syslog(&leaf, ceiling, &out);
        text = cv_buf_text(&out);
        if (ceiling >= whole) {
            assert_int_equal(out.len, whole);
            assert_null(strstr(text, "truncated"));
        } else {
            const char *rest = strstr(text, "\"] ");

            assert_non_null(strstr(text, " truncated=\"true\" bytes=\""));
            assert_non_null(rest);
            assert_true(out.len == ceiling || rest[3] == '\0');
            assert_memory_equal(rest + 3, LEAF, strlen(rest + 3));
        }
        cv_buf_wipe(&out);
    }
}

static void test_journal(void **state)
{
    static const char gap[] = "{\"gap\":{}}";
    const struct cv_sink_format_record one = {
        3, {(const uint8_t *)gap, sizeof(gap) - 1}, true};
    struct cv_buf out;

    (void)state;
    cv_buf_init(&out, NULL, 4096);
    cv_sink_format_journal(&leaf, &out);
    assert_non_null(
        strstr(cv_buf_text(&out), "MESSAGE=" LEAF "\nPRIORITY=4\n"));
    assert_non_null(
        strstr(cv_buf_text(&out), "\nCERTVAULT_USER=a\\u0085\"]b\n"));
    assert_non_null(strstr(cv_buf_text(&out), "\nCERTVAULT_SEQ=7\n"));
    assert_null(strstr(cv_buf_text(&out), "CERTVAULT_ENTRY"));
    cv_buf_wipe(&out);
    cv_buf_init(&out, NULL, 4096);
    cv_sink_format_journal(&one, &out);
    assert_non_null(strstr(cv_buf_text(&out), "\nCERTVAULT_GAP=3\n"));
    cv_buf_wipe(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_syslog),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_journal),
    };

    if (cv_arena_start(NULL) != CV_OK) {
        return 1;
    }
    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
