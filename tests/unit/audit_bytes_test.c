/* Checksums, hashes, canonical form and frames, by themselves. */
#include "audit_test.h"
#include "full.h"

#include "vault/audit/canon_internal.h"
#include "vault/audit/crc32c_internal.h"
#include "vault/audit/ops_internal.h"
#include "vault/audit/sha256_internal.h"
#include "vault/base/encode.h"
#include "vault/base/json.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

/* RFC 3720 appendix B.4, and the usual check word. */
static void test_crc32c(void **state)
{
    uint8_t data[300];

    (void)state;
    assert_int_equal(cv_crc32c_of(bytes_of("123456789")), 0xe3069283);
    assert_int_equal(cv_crc32c_plain(bytes_of("123456789")), 0xe3069283);
    memset(data, 0, 32);
    assert_int_equal(cv_crc32c_of((struct cv_bytes){data, 32}), 0x8a9136aa);
    memset(data, 0xff, 32);
    assert_int_equal(cv_crc32c_of((struct cv_bytes){data, 32}), 0x62a8ab43);
    randombytes_buf(data, sizeof data);
    for (size_t len = 0; len < sizeof data; len++) {
        assert_int_equal(cv_crc32c_of((struct cv_bytes){data, len}),
                         cv_crc32c_plain((struct cv_bytes){data, len}));
    }
}

static void test_sha256(void **state)
{
    static const uint8_t leaf_of_nothing[32] = {
        0x6e, 0x34, 0x0b, 0x9c, 0xff, 0xb3, 0x7a, 0x98, 0x9c, 0xa5, 0x44,
        0xe6, 0xbb, 0x78, 0x0a, 0x2c, 0x78, 0x90, 0x1d, 0x3f, 0xb3, 0x37,
        0x38, 0x76, 0x85, 0x11, 0xa3, 0x06, 0x17, 0xaf, 0xa0, 0x1d};
    uint8_t a[32], b[32];

    (void)state;
    cv_sha256_plain(0, (struct cv_bytes){NULL, 0}, a);
    assert_memory_equal(a, leaf_of_nothing, 32);
    if (!cv_sha256_is_fast()) {
        skip();
    }
    cv_sha256_fast(0, (struct cv_bytes){NULL, 0}, a);
    assert_memory_equal(a, leaf_of_nothing, 32);
    for (size_t len = 0; len < 1200; len++) {
        /* Exactly as many bytes as there are, so that reads behind them are
         * seen. */
        uint8_t *data = malloc(len + 1);
        struct cv_bytes view = {data + 1, len};

        assert_non_null(data);
        randombytes_buf(data, len + 1);
        cv_sha256_plain((uint8_t)len, view, a);
        cv_sha256_fast((uint8_t)len, view, b);
        assert_memory_equal(a, b, 32);
        free(data);
    }
}

/* Two at once, of all lengths beside each other. */
static void test_two(void **state)
{
    uint8_t data[2][300], a[2][32], want[32];
    uint8_t *const out[2] = {a[0], a[1]};
    uint32_t crc[2];

    (void)state;
    randombytes_buf(data, sizeof data);
    for (size_t i = 0; i < 300; i++) {
        for (size_t k = 0; k < 300; k += 1 + i % 7) {
            const struct cv_bytes two[2] = {{data[0], i}, {data[1], k}};

            cv_sha256_prefixed_two(0, two, out);
            cv_crc32c_two(two, crc);
            for (int n = 0; n < 2; n++) {
                cv_sha256_plain(0, two[n], want);
                assert_memory_equal(a[n], want, 32);
                assert_int_equal(crc[n], cv_crc32c_plain(two[n]));
            }
        }
    }
}

static bool canonical(const char *text)
{
    struct cv_canon c;
    size_t len = strlen(text);
    uint8_t *tight = malloc(len + 1);
    bool yes;

    assert_non_null(tight);
    memcpy(tight, text, len);
    yes = cv_canon_scan((struct cv_bytes){tight, len}, &c);
    assert_int_equal(cv_canon_scan_plain((struct cv_bytes){tight, len}, &c),
                     yes);
    free(tight);
    return yes;
}

static void test_canonical(void **state)
{
    static const char *const yes[] = {
        "{}",
        "{\"a\":1}",
        "{\"a\":0,\"b\":9007199254740991}",
        "{\"a\":[],\"b\":{},\"c\":[1,\"x\",true,false,{\"k\":[[]]}]}",
        "{\"a\":\"\\\"\\\\\\b\\f\\n\\r\\t/\"}",
        "{\"a\":\"\\u0001\\u001f\\u0080\\u00e9\\u2028\\uffff\"}",
        "{\"a\":\"\\ud83d\\ude00\"}",
        "{\"A\":1,\"a\":1,\"a.b\":1,\"ab\":1}",
    };
    static const char *const no[] = {
        "",
        "[]",
        "1",
        "{",
        "}",
        "{}x",
        "{} ",
        " {}",
        "{ }",
        "{\"a\": 1}",
        "{\"a\":1,}",
        "{\"a\":1 ,\"b\":1}",
        "{\"b\":1,\"a\":1}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"b\":1}}",
        "{\"a\":null}",
        "{\"a\":-1}",
        "{\"a\":1.0}",
        "{\"a\":1e3}",
        "{\"a\":01}",
        "{\"a\":9007199254740992}",
        "{\"a\":99999999999999999999}",
        "{\"a\":tru}",
        "{\"a\":\"\x7f\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\xc3\xa9\"}",
        "{\"a\":\"\\/\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\u000a\"}",
        "{\"a\":\"\\u0041\"}",
        "{\"a\":\"\\u007f\"}",
        "{\"a\":\"\\u00E9\"}",
        "{\"a\":\"\\ud83d\"}",
        "{\"a\":\"\\ud83dx\"}",
        "{\"a\":\"\\ud83d\\u0041\"}",
        "{\"a\":\"\\ude00\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\u12",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":[1",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"\\u0061\":1}",
        "{\"a\\\\\":1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!canonical(yes[i])) {
            fail_msg("refused: %s", yes[i]);
        }
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        if (canonical(no[i])) {
            fail_msg("taken: %s", no[i]);
        }
    }
}

/* What our writer writes is what the scanner takes, and the parser reads it
 * back the same. */
static void test_canonical_agrees(void **state)
{
    static const char text[] =
        "quote \" back \\ slash / nl \n esc \x1b nel \xc2\x85 ls \xe2\x80\xa8 "
        "bidi \xe2\x80\xae e \xc3\xa9 smile \xf0\x9f\x98\x80";
    cJSON *o = cJSON_CreateObject(), *back = NULL;
    struct cv_buf b;
    struct cv_canon c;

    (void)state;
    assert_true(cv_json_add_str(o, "z", text));
    assert_true(cv_json_add_int(o, "a", INT64_C(9007199254740991)));
    assert_true(cv_json_add_bool(o, "m", true));
    cv_buf_init(&b, NULL, 4096);
    cv_json_write(o, CV_JSON_CANONICAL, &b);
    assert_int_equal(b.status, CV_OK);
    assert_true(cv_canon_scan(cv_buf_bytes(&b), &c));
    assert_int_equal(c.n, 3);
    assert_int_equal(cv_canon_get(&c, "m").len, 4);
    assert_int_equal(cv_canon_get(&c, "nothing").len, 0);
    assert_null(memchr(b.data, '\n', b.len));
    assert_int_equal(cv_json_parse(NULL, cv_buf_bytes(&b), &back, NULL), CV_OK);
    assert_string_equal(
        cJSON_GetObjectItemCaseSensitive(back, "z")->valuestring, text);
    cJSON_Delete(back);
    cJSON_Delete(o);
    cv_buf_wipe(&b);
}

static uint64_t seed, drawn;

static uint64_t draw(uint64_t below)
{
    uint64_t z = drawn += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

static void start(void)
{
    const char *given = getenv("CV_SEED");

    randombytes_buf(&seed, sizeof seed);
    seed = given == NULL ? seed & 0xffffffff : strtoull(given, NULL, 10);
    drawn = seed;
    print_message("CV_SEED=%llu\n", (unsigned long long)seed);
}

/* Does the scan that knows the quotes find what the other one finds? */
static void both_ways(const uint8_t *text, size_t len)
{
    static struct cv_canon a, b;
    uint8_t *tight = malloc(len + 1); /* a byte behind it would be noticed */
    const struct cv_bytes bytes = {tight, len};
    bool yes;

    assert_non_null(tight);
    memcpy(tight, text, len);
    yes = cv_canon_scan(bytes, &a);
    if (cv_canon_scan_plain(bytes, &b) != yes ||
        (yes && (a.n != b.n ||
                 memcmp(a.members, b.members, a.n * sizeof a.members[0])))) {
        fail_msg("seed %llu, they differ (%d): %.*s", (unsigned long long)seed,
                 yes, (int)len, text);
    }
    free(tight);
}

/* Records with one to three bytes changed, put in or taken out. */
static void test_two_scans(void **state)
{
    static const char record[] =
        "{\"action\":\"export\",\"actor\":{\"gids\":[1,2],\"hints\":{},\"uid\""
        ":1000,\"user\":\"alice\"},\"details\":{\"a\":[{\"b\":[]},\"c\",true,"
        "false]},\"decision\":\"permit\",\"decisions\":0,\"entry\":\"prod-0\","
        "\"mono_ms\":59896804,\"op\":\"09143f611652cfb3\",\"r\":[],\"v\":1}";
    static const char odd[] = "\"\\{}[]:,0192azt\x7f\x1f\x80\xff nu";
    const int rounds = cv_full_run() ? 2000000 : 100000;
    uint8_t text[sizeof record + 4];

    (void)state;
    start();
    both_ways((const uint8_t *)record, sizeof record - 1);
    for (int i = 0; i < rounds; i++) {
        size_t len = sizeof record - 1;

        memcpy(text, record, len);
        for (uint64_t n = draw(3) + 1; n > 0; n--) {
            size_t at = (size_t)draw(len);
            uint8_t c = (uint8_t)odd[draw(sizeof odd - 1)];
            uint64_t how = draw(4);

            if (how == 0) {
                memmove(text + at + 1, text + at, len++ - at);
            } else if (how == 1) {
                memmove(text + at, text + at + 1, --len - at);
                continue;
            }
            text[at] = c;
        }
        both_ways(text, len);
    }
}

/* More strings than quotes are looked for beforehand; the last block whole, and
 * with one byte. */
static void test_many_strings(void **state)
{
    struct cv_buf b;

    (void)state;
    for (int n = 0; n < 300; n++) {
        cv_buf_init(&b, NULL, 4096);
        cv_buf_add_str(&b, "{\"a\":[\"\"");
        for (int i = 0; i < n; i++) {
            cv_buf_add_str(&b, i % 7 == 0 ? ",\"x\"" : ",\"\"");
        }
        cv_buf_add_str(&b, "]}");
        assert_true(canonical(cv_buf_text(&b)));
        both_ways(b.data, b.len);
        both_ways(b.data, b.len - 1);
        cv_buf_wipe(&b);
    }
}

static void test_depth(void **state)
{
    struct cv_buf b;
    struct cv_canon c;

    (void)state;
    for (int depth = 63; depth <= 65; depth++) {
        cv_buf_init(&b, NULL, 4096);
        cv_buf_add_str(&b, "{\"a\":");
        for (int i = 1; i < depth; i++) {
            cv_buf_add_char(&b, '[');
        }
        for (int i = 1; i < depth; i++) {
            cv_buf_add_char(&b, ']');
        }
        cv_buf_add_char(&b, '}');
        assert_int_equal(cv_canon_scan(cv_buf_bytes(&b), &c), depth <= 64);
        cv_buf_wipe(&b);
    }
}

static void test_ops(void **state)
{
    struct cv_ops ops;
    char op[CV_LEAF_OP + 1];
    uint64_t first = 0;

    (void)state;
    cv_ops_init(&ops);
    assert_false(cv_ops_outcome(&ops, cv_ops_hash(bytes_of("x"))));
    for (int i = 0; i < 5000; i++) {
        uint64_t h;

        cv_leaf_new_op(op);
        h = cv_ops_hash(bytes_of(op));
        first = i == 0 ? h : first;
        assert_false(cv_ops_outcome(&ops, h));
        assert_true(cv_ops_permit(&ops, h));
        assert_true(cv_ops_permit(&ops, h));
        if (i % 2 == 1) {
            assert_true(cv_ops_outcome(&ops, h));
            assert_true(cv_ops_outcome(&ops, h));
        }
    }
    assert_int_equal(ops.permits, 5000);
    assert_int_equal(ops.open, 2500);
    assert_true(cv_ops_outcome(&ops, first));
    assert_int_equal(ops.open, 2499);
    cv_ops_wipe(&ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_canonical_agrees),
        cmocka_unit_test(test_two_scans),
        cmocka_unit_test(test_many_strings),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_ops),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
