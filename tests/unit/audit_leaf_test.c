/* What a leaf may say, and what it must not. */
#include "audit_test.h"

#include "vault/audit/details.h"
#include "vault/audit/record_internal.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char op[] = "00112233445566778899aabbccddeeff";

static void fill(struct cv_leaf *l)
{
    cv_leaf_init(l);
    l->op = op;
    l->phase = CV_LEAF_DECISION;
    l->decision = CV_LEAF_DENY;
    l->mode = "service";
    l->host = "host.example";
    l->uid = 1000;
    l->action = "export";
}

static enum cv_status build(const struct cv_leaf *l)
{
    cJSON *leaf = NULL;
    enum cv_status status = cv_leaf_build(l, &leaf, NULL);

    assert_int_equal(status == CV_OK, leaf != NULL);
    cJSON_Delete(leaf);
    return status;
}

static const cJSON *at(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static void test_all_members(void **state)
{
    const char *const rules[] = {"a", "b"};
    const gid_t gids[] = {7, 8};
    struct cv_leaf l;
    struct cv_buf text;
    cJSON *leaf = NULL, *details = cJSON_CreateObject();

    (void)state;
    assert_true(cv_json_add_bool(details, "tty", true));
    fill(&l);
    l.phase = CV_LEAF_OUTCOME;
    l.decision = CV_LEAF_PERMIT;
    l.outcome = "failed";
    l.status = CV_IO;
    l.time_s = 1790000000;
    l.mono_ms = 5;
    l.boot = "b";
    l.version = "9";
    l.user = "alice";
    l.gids = gids;
    l.n_gids = 2;
    l.pid = 42;
    l.exe = "/bin/x\n";
    l.tty = "pts/1";
    l.loginuid = 1000;
    l.entry = "prod";
    l.entry_id = op;
    l.spki = "0000000000000000000000000000000000000000000000000000000000000000";
    l.context = "internal";
    l.reason = "why \"not\" \xc3\xa9";
    l.ticket = "OPS-1";
    l.policy_version = 7;
    l.policy_sha256 = l.spki;
    l.rules = rules;
    l.n_rules = 2;
    l.details = details;
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    cv_buf_init(&text, NULL, 4096);
    cv_json_write(leaf, CV_JSON_CANONICAL, &text);
    assert_string_equal(
        cv_buf_text(&text),
        "{\"action\":\"export\",\"actor\":{\"gids\":[7,8],\"hints\":{\"exe\":"
        "\"/bin/x?\",\"loginuid\":1000,\"tty\":\"pts/1\"},\"pid\":42,\"uid\":"
        "1000,\"user\":\"alice\"},\"boot\":\"b\",\"broker\":{\"host\":"
        "\"host.example\",\"mode\":\"service\",\"version\":\"9\"},\"context\":"
        "\"internal\",\"decision\":\"permit\",\"details\":{\"tty\":true},"
        "\"entry\":\"prod\",\"entry_id\":\"00112233445566778899aabbccddeeff\","
        "\"error\":\"io\",\"mono_ms\":5,\"op\":"
        "\"00112233445566778899aabbccddeeff\",\"outcome\":\"failed\","
        "\"phase\":\"outcome\",\"policy\":{\"sha256\":"
        "\"000000000000000000000000000000000000000000000000000000000000000"
        "0\",\"version\":7},\"reason\":\"why \\\"not\\\" \\u00e9\",\"rules\":"
        "[\"a\",\"b\"],\"spki\":\"0000000000000000000000000000000000000000000"
        "000000000000000000000\",\"ticket\":\"OPS-1\",\"time\":"
        "\"2026-09-21T14:13:20Z\"}");
    cv_buf_wipe(&text);
    cJSON_Delete(leaf);
    cJSON_Delete(details);
}

static void test_defaults(void **state)
{
    struct cv_leaf l;
    cJSON *leaf = NULL;

    (void)state;
    fill(&l);
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    assert_string_equal(at(at(leaf, "actor"), "user")->valuestring, "uid:1000");
    assert_null(at(leaf, "entry"));
    assert_null(at(leaf, "outcome"));
    assert_null(at(leaf, "error"));
    assert_null(at(leaf, "policy"));
    assert_null(at(at(leaf, "actor"), "pid"));
    assert_true(cJSON_IsArray(at(leaf, "rules")));
    assert_true(cJSON_IsObject(at(leaf, "details")));
    assert_true(at(leaf, "mono_ms")->valuedouble > 0);
    assert_int_equal(strlen(at(leaf, "time")->valuestring), 20);
    cJSON_Delete(leaf);
}

static void test_uid_max(void **state)
{
    struct cv_leaf l;
    cJSON *leaf = NULL;

    (void)state;
    fill(&l);
    l.uid = 4294967294U;
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    assert_true(at(at(leaf, "actor"), "uid")->valuedouble == 4294967294.0);
    cJSON_Delete(leaf);
}

static void test_missing(void **state)
{
    struct cv_leaf l;

    (void)state;
    fill(&l);
    assert_int_equal(build(&l), CV_OK);
    l.op = NULL;
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.op = "0011";
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.mode = NULL;
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.host = NULL;
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.action = NULL;
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.action = "no-such-action";
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.action = "export use";
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.decision = CV_LEAF_NONE;
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.phase = CV_LEAF_OUTCOME;
    l.decision = CV_LEAF_PERMIT;
    assert_int_equal(build(&l), CV_INVALID);
    l.outcome = "splendid";
    assert_int_equal(build(&l), CV_INVALID);
    l.outcome = "ok";
    assert_int_equal(build(&l), CV_OK);
    l.decision = CV_LEAF_DENY; /* what was denied has no outcome */
    assert_int_equal(build(&l), CV_INVALID);
    fill(&l);
    l.policy_version = 1;
    assert_int_equal(build(&l), CV_INVALID);
}

/* Control characters never get into a name; what is odd but harmless does, and
 * stays on one line. */
static void test_hostile_texts(void **state)
{
    static const char *const bad[] = {"a\nb",     "a\x1b[2Jb",   "\x7f",
                                      "a\rb",     "\x01",        "\xff",
                                      "\xc0\x80", "\xed\xa0\x80"};
    static const char *const fine[] = {"\xe2\x80\xa8", "\xc2\x85", "q\"\\",
                                       "\xf0\x9f\x98\x80"};
    struct cv_leaf l;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const rules[] = {bad[i]};

        fill(&l);
        l.entry = bad[i];
        assert_int_equal(build(&l), CV_INVALID);
        fill(&l);
        l.context = bad[i];
        assert_int_equal(build(&l), CV_INVALID);
        fill(&l);
        l.user = bad[i];
        assert_int_equal(build(&l), CV_INVALID);
        fill(&l);
        l.reason = bad[i];
        assert_int_equal(build(&l), CV_INVALID);
        fill(&l);
        l.rules = rules;
        l.n_rules = 1;
        assert_int_equal(build(&l), CV_INVALID);
        fill(&l);
        l.exe = bad[i]; /* a hint is cleaned instead */
        assert_int_equal(build(&l), CV_OK);
    }
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        cJSON *leaf = NULL, *back = NULL;
        struct cv_buf text;

        fill(&l);
        l.context = fine[i];
        assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
        cv_buf_init(&text, NULL, 4096);
        cv_json_write(leaf, CV_JSON_CANONICAL, &text);
        for (size_t j = 0; j < text.len; j++) {
            assert_in_range(text.data[j], 0x20, 0x7e);
        }
        assert_int_equal(cv_json_parse(NULL, cv_buf_bytes(&text), &back, NULL),
                         CV_OK);
        assert_string_equal(at(back, "context")->valuestring, fine[i]);
        cJSON_Delete(back);
        cJSON_Delete(leaf);
        cv_buf_wipe(&text);
    }
}

static void test_lengths(void **state)
{
    char text[1024];
    struct cv_leaf l;

    (void)state;
    memset(text, 'x', sizeof text);
    text[257] = '\0';
    fill(&l);
    l.reason = text;
    assert_int_equal(build(&l), CV_INVALID);
    text[256] = '\0';
    assert_int_equal(build(&l), CV_OK);
    text[65] = '\0';
    fill(&l);
    l.ticket = text;
    assert_int_equal(build(&l), CV_INVALID);
    text[64] = '\0';
    assert_int_equal(build(&l), CV_OK);
}

static enum cv_status check(const char *action, const char *json)
{
    cJSON *details = cJSON_Parse(json);
    enum cv_status status;

    assert_non_null(details);
    status = cv_details_check(action, details, NULL);
    cJSON_Delete(details);
    return status;
}

static void test_details(void **state)
{
    char text[2000];

    (void)state;
    assert_int_equal(check("export", "{}"), CV_OK);
    assert_int_equal(check("export", "{\"tty\":true,\"items\":3}"), CV_OK);
    assert_int_equal(check("export", "{\"tty\":1}"), CV_INVALID);
    assert_int_equal(check("export", "{\"free\":\"form\"}"), CV_INVALID);
    assert_int_equal(check("list", "{\"tty\":true}"), CV_INVALID);
    assert_int_equal(check("export", "{\"items\":-1}"), CV_INVALID);
    assert_int_equal(check("export", "{\"items\":1.5}"), CV_INVALID);
    assert_int_equal(check("export", "{\"items\":1e17}"), CV_INVALID);
    assert_int_equal(check("export", "{\"items\":null}"), CV_INVALID);
    assert_int_equal(check("export", "[]"), CV_INVALID);
    assert_int_equal(check("fetch", "{\"duration\":\"-1\"}"), CV_OK);
    assert_int_equal(check("fetch.service", "{\"duration\":\"-1\"}"), CV_OK);
    assert_int_equal(check("fetch", "{\"endpoint\":\"a\\nb\"}"), CV_INVALID);
    assert_int_equal(check("fetch", "{\"labels\":{\"a\":\"b\"}}"), CV_OK);
    assert_int_equal(check("fetch", "{\"labels\":{\"a\":1}}"), CV_INVALID);
    assert_int_equal(check("fetch", "{\"labels\":{\"a b\":\"1\"}}"),
                     CV_INVALID);
    assert_int_equal(check("fetch", "{\"notes\":[\"a\",\"b\"]}"), CV_OK);
    assert_int_equal(check("fetch", "{\"notes\":[\"a\",[]]}"), CV_INVALID);
    assert_int_equal(check("log", "{\"torn_bytes\":17}"), CV_OK);
    (void)snprintf(text, sizeof text, "{\"because\":\"%01025d\"}", 0);
    assert_int_equal(check("export", text), CV_INVALID);
    (void)snprintf(text, sizeof text, "{\"because\":\"%01024d\"}", 0);
    assert_int_equal(check("export", text), CV_OK);
    assert_true(cv_details_is_action("fetch"));
    assert_true(cv_details_is_action("clock"));
    assert_false(cv_details_is_action("fetc"));
    assert_false(cv_details_is_action(""));
}

/* What the log goes by is refused when it is not there. */
static void test_record_members(void **state)
{
    static const char *const keys[] = {"v",    "seq",    "prev", "op",
                                       "time", "action", "phase"};
    struct audit_vault v;
    struct cv_log *log = NULL;
    struct cv_record record;
    uint8_t *bytes;
    size_t len;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    audit_test_fill(log, 1);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    assert_null(cv_record_read((struct cv_bytes){bytes + 8, len - 8}, &record));
    assert_null(cv_record_follow((struct cv_bytes){bytes + 8, len - 8}, 0, NULL,
                                 &record));
    assert_non_null(cv_record_follow((struct cv_bytes){bytes + 8, len - 8}, 1,
                                     NULL, &record));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cJSON *tree = NULL;
        struct cv_buf text;

        assert_int_equal(cv_json_parse(NULL,
                                       (struct cv_bytes){bytes + 8, len - 8},
                                       &tree, NULL),
                         CV_OK);
        cJSON_DeleteItemFromObjectCaseSensitive(tree, keys[i]);
        cv_buf_init(&text, NULL, 65536);
        cv_json_write(tree, CV_JSON_CANONICAL, &text);
        assert_non_null(cv_record_read(cv_buf_bytes(&text), &record));
        cv_buf_wipe(&text);
        cJSON_Delete(tree);
    }
    free(bytes);
    audit_test_remove(&v);
}

/* `text` with the byte at `at` behind `key` changed: is it refused? */
static bool refuses(const char *text, const char *key, size_t at, char c)
{
    static struct cv_record record;
    char changed[512];
    char *p;

    (void)snprintf(changed, sizeof changed, "%s", text);
    p = strstr(changed, key);
    assert_non_null(p);
    p[strlen(key) + at] = c;
    return cv_record_read(
               (struct cv_bytes){(uint8_t *)changed, strlen(changed)},
               &record) != NULL;
}

/* Each byte of a time and of a hash has its form; keys that begin like those
 * that are read are others. */
static void test_record_forms(void **state)
{
    static const char text[] =
        "{\"action\":\"use\",\"actionable\":\"x\",\"decision\":\"permit\","
        "\"decisions\":\"deny\",\"op\":\"a\",\"opx\":1,\"phase\":\"decision\","
        "\"prev\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"seq\":7,"
        "\"time\":\"2026-11-22T05:31:00Z\",\"v\":1}";
    static const char time[] = "2026-11-22T05:31:00Z";
    static struct cv_record record;

    (void)state;
    assert_null(cv_record_read(
        (struct cv_bytes){(const uint8_t *)text, sizeof text - 1}, &record));
    assert_true(cv_record_is(record.decision, "permit"));
    assert_true(cv_record_is(record.action, "use"));
    assert_int_equal(record.seq, 7);
    assert_int_equal(record.outcome.len, 0);
    for (size_t i = 0; i < sizeof time - 1; i++) {
        bool digit = time[i] >= '0' && time[i] <= '9';

        for (int c = 0x20; c < 0x7f; c++) {
            bool good = digit ? c >= '0' && c <= '9' : c == time[i];

            if (c != '"' && c != '\\') {
                assert_int_equal(refuses(text, "\"time\":\"", i, (char)c),
                                 !good);
            }
        }
    }
    for (size_t i = 0; i < 43; i++) {
        for (int c = 0x20; c < 0x7f; c++) {
            /* Of the last digit only four of the six bits are the hash's. */
            bool good = i < 42 ? strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
                                        "mnopqrstuvwxyz0123456789+/",
                                        c) != NULL
                               : strchr("AEIMQUYcgkosw048", c) != NULL;

            if (c != '"' && c != '\\') {
                assert_int_equal(refuses(text, "\"prev\":\"", i, (char)c),
                                 !good);
            }
        }
    }
    assert_true(refuses(text, "\"prev\":\"", 43, 'A'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_members),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_uid_max),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_record_members),
        cmocka_unit_test(test_record_forms),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
