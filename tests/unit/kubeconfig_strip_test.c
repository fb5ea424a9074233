/* Taking keys out of a kubeconfig. */
#include "tests/unit/kubeconfig_template.h"

#include "vault/kubeconfig/strip.h"
#include "vault/yaml/yaml.h"

#define MANY                                                           \
    "# a comment\n"                                                    \
    "apiVersion: v1\n"                                                 \
    "kind: Config\n"                                                   \
    "preferences: {}\n"                                                \
    "odd: [no, 017, '1', \"\\e[2J\", ~, null, true, 12, -0, 1.50]\n"   \
    "text: |\n  two\n  lines\n"                                        \
    "folded: >-\n  two\n  lines\n"                                     \
    "empty: {a: , b: [~, null, '']}\nnothing:\n"                       \
    "escaped: \"\\u202e \\u2028 \\x7f\"\n"                             \
    "? long key\n: [{a: b}, {}, []]\n" GOOD_CLUSTER "users:\n"         \
    "- name: v\n"                                                      \
    "  user:\n"                                                        \
    "    client-key-data: @K4@\n"                                      \
    "    client-certificate-data: @C4@\n"                              \
    "- user:\n"                                                        \
    "    client-certificate-data: >-\n      @C1@\n"                    \
    "    unknown: {client-key-data: stays, user: x}\n"                 \
    "    client-key-data: '@K1@'\n"                                    \
    "  name: u\n"                                                      \
    "  more: {user: {client-key-data: stays}}\n"                       \
    "- name: again\n"                                                  \
    "  user: {client-key-data: @K1@, client-certificate-data: @C1@}\n" \
    "- name: t\n"                                                      \
    "  user: {token: \xd0\x96, client-key-data: ''}\n" GOOD_CONTEXT    \
    "current-context: x\n"

/* The SPKI digests of the identities of samples 1 and 4. */
static void digest_of(char number, uint8_t out[32])
{
    struct cv_err e;
    struct cv_kubeconfig *k = NULL;
    struct cv_arena *arena = new_arena();
    char text[] =
        GOOD_CLUSTER "users:\n- name: u\n  user: {client-key-data: @K1@, "
                     "client-certificate-data: @C1@}\n" GOOD_CONTEXT;
    *(strstr(text, "@K1@") + 2) = number;
    *(strstr(text, "@C1@") + 2) = number;
    assert_ok(read_template(arena, text, &k, &e), &e);
    memcpy(out, k->identities[0].key.spki_sha256, 32);
    cv_arena_free(arena);
}

/* `text` without the `n` first of 1, 4; into `out`, on the heap. */
static enum cv_status strip(struct cv_bytes text, size_t n, struct cv_buf *out,
                            struct cv_strip_result *result, struct cv_err *e)
{
    uint8_t digests[2][32];
    struct cv_arena *arena = new_arena();
    digest_of('1', digests[0]);
    digest_of('4', digests[1]);
    cv_err_init(e);
    cv_buf_init(out, NULL, CV_MIB(8));
    enum cv_status st = cv_strip_keys(
        arena, text, (const uint8_t(*)[32])digests, n, out, result, e);
    cv_arena_free(arena);
    return st;
}

/* A sample's base64, to look for. */
static bool holds(const struct cv_buf *text, char kind, char number)
{
    struct cv_buf sample;
    cv_buf_init(&sample, NULL, CV_MIB(1));
    add_sample(&sample, kind, number);
    bool found = strstr(cv_buf_text(text), cv_buf_text(&sample)) != NULL;
    cv_buf_wipe(&sample);
    return found;
}

static cJSON *parse(const struct cv_buf *text)
{
    struct cv_err e;
    cJSON *tree = NULL;
    cv_err_init(&e);
    assert_ok(cv_yaml_parse(NULL, cv_buf_bytes(text), &tree, NULL, NULL, &e),
              &e);
    return tree;
}

static void drop(cJSON *users, int i)
{
    cJSON *user = cJSON_GetObjectItem(cJSON_GetArrayItem(users, i), "user");
    cJSON_DeleteItemFromObject(user, "client-key-data");
    cJSON_DeleteItemFromObject(user, "client-certificate-data");
}

/* Both documents written the same way are the same bytes. */
static void assert_same(const cJSON *a, const cJSON *b)
{
    struct cv_buf x;
    struct cv_buf y;
    cv_buf_init(&x, NULL, CV_MIB(8));
    cv_buf_init(&y, NULL, CV_MIB(8));
    cv_json_write(a, CV_JSON_COMPACT, &x);
    cv_json_write(b, CV_JSON_COMPACT, &y);
    assert_string_equal(cv_buf_text(&x), cv_buf_text(&y));
    cv_buf_wipe(&x);
    cv_buf_wipe(&y);
}

static void try_strip(const struct cv_buf *text, size_t n, size_t removed,
                      size_t left)
{
    struct cv_err e;
    struct cv_buf out;
    struct cv_strip_result result;
    assert_ok(strip(cv_buf_bytes(text), n, &out, &result, &e), &e);
    assert_int_equal(result.removed, removed);
    assert_int_equal(result.left, left);
    assert_int_equal(holds(&out, 'K', '1'), n < 1);
    assert_int_equal(holds(&out, 'C', '1'), n < 1);
    assert_int_equal(holds(&out, 'K', '4'), n < 2);
    assert_true(holds(&out, 'A', '1'));

    cJSON *old = parse(text);
    cJSON *new = parse(&out);
    cJSON *users = cJSON_GetObjectItem(old, "users");
    if (n > 0) {
        drop(users, 1);
        drop(users, 2);
    }
    if (n > 1) {
        drop(users, 0);
    }
    assert_same(old, new);
    cJSON_Delete(old);
    cJSON_Delete(new);
    cv_buf_wipe(&out);
}

static void test_yaml(void **state)
{
    (void)state;
    struct cv_buf text = expand(MANY);
    try_strip(&text, 0, 0, 3);
    try_strip(&text, 1, 2, 1);
    try_strip(&text, 2, 3, 0);
    cv_buf_wipe(&text);
}

static void test_json(void **state)
{
    (void)state;
    struct cv_buf text = expand(MANY);
    cJSON *tree = parse(&text);
    struct cv_buf json;
    cv_buf_init(&json, NULL, CV_MIB(1));
    cJSON *fraction = cJSON_CreateNumber(2.5);
    assert_true(cJSON_AddItemToObject(tree, "fraction", fraction));
    cv_json_write(tree, CV_JSON_COMPACT, &json);
    try_strip(&json, 0, 0, 3);
    try_strip(&json, 1, 2, 1);
    try_strip(&json, 2, 3, 0);
    cJSON_Delete(tree);
    cv_buf_wipe(&text);
    cv_buf_wipe(&json);
}

/* What is left reads as a kubeconfig whose users hold nothing. */
static void test_left(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_buf out;
    struct cv_strip_result result;
    struct cv_buf text = expand(GOOD_CLUSTER GOOD_USER GOOD_CONTEXT);
    assert_ok(strip(cv_buf_bytes(&text), 1, &out, &result, &e), &e);
    assert_non_null(strstr(cv_buf_text(&out), "user: {}\n"));
    struct cv_kubeconfig_want want = {.now_s = test_now()};
    struct cv_kubeconfig *k = NULL;
    struct cv_arena *arena = new_arena();
    assert_refused(cv_kubeconfig_read(arena, cv_buf_bytes(&out), &want, &k, &e),
                   CV_INVALID, &e, "no credentials");
    cv_arena_free(arena);
    cv_buf_wipe(&text);
    cv_buf_wipe(&out);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cv_status wanted;
        const char *part;
    } tries[] = {
        {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT, CV_NOT_FOUND, "key 2 of 2"},
        {GOOD_CLUSTER GOOD_CONTEXT, CV_NOT_FOUND, "key 1 of 2"},
        {"users: [", CV_INVALID, "line "},
        {"users: &a []", CV_INVALID, "anchor"},
        {"", CV_INVALID, "no document"},
        {"users:\n- name: u\n  user: {client-key-data: '*'}\n", CV_INVALID,
         "users[0].user.client-key-data: "},
        {"users:\n- name: u\n  user: {client-key-data: aGVsbG8=}\n", CV_INVALID,
         "users[0].user.client-key-data: "},
    };
    for (size_t i = 0; i < COUNT(tries); i++) {
        struct cv_err e;
        struct cv_buf out;
        struct cv_strip_result result = {9, 9};
        struct cv_buf text = expand(tries[i].text);
        assert_refused(strip(cv_buf_bytes(&text), 2, &out, &result, &e),
                       tries[i].wanted, &e, tries[i].part);
        assert_int_equal(result.removed, 0);
        assert_int_equal(out.len, 0);
        cv_buf_wipe(&text);
        cv_buf_wipe(&out);
    }
}

/* Before anything of it is parsed, in either form. */
static void test_large(void **state)
{
    (void)state;
    static const char *const heads[] = {"{\"a\": \"", "a: "};
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct cv_err e;
        struct cv_buf out;
        struct cv_strip_result result;
        struct cv_buf text = expand(heads[i]);
        for (size_t n = 0; n < CV_LIMIT_KUBECONFIG; n += 4) {
            cv_buf_add_str(&text, "QUFB");
        }
        cv_buf_add_str(&text, i == 0 ? "\"}" : "");
        assert_refused(strip(cv_buf_bytes(&text), 1, &out, &result, &e),
                       CV_INVALID, &e, "the kubeconfig is larger than");
        cv_buf_wipe(&text);
        cv_buf_wipe(&out);
    }
}

/* A buffer that is too small is an error, not half a file. */
static void test_small_buffer(void **state)
{
    (void)state;
    struct cv_err e;
    uint8_t digest[1][32];
    struct cv_strip_result result;
    digest_of('1', digest[0]);
    static const char *const texts[] = {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT,
                                        "{\"users\": [{\"name\": \"u\", "
                                        "\"user\": {\"client-key-data\": "
                                        "\"@K1@\"}}], \"x\": \"@A1@\"}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cv_buf out;
        struct cv_buf text = expand(texts[i]);
        struct cv_arena *arena = new_arena();
        cv_err_init(&e);
        cv_buf_init(&out, NULL, 100);
        assert_int_equal(cv_strip_keys(arena, cv_buf_bytes(&text),
                                       (const uint8_t(*)[32])digest, 1, &out,
                                       &result, &e),
                         CV_INVALID);
        cv_arena_free(arena);
        cv_buf_wipe(&out);
        cv_buf_wipe(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),  cmocka_unit_test(test_json),
        cmocka_unit_test(test_left),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_large), cmocka_unit_test(test_small_buffer),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
