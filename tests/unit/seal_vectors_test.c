/* tests/data/seal/vectors.json: made by another program from docs/formats.md.
 * What must open opens to the bytes it holds; what must not fails with the
 * status it names. */
#include "tests/unit/seal_test.h"

#define AT_LEAST_REFUSED 30

static void each(const char *list, size_t fewest,
                 void (*run)(const cJSON *vectors, const cJSON *one))
{
    cJSON *json = read_data("vectors.json");
    const cJSON *one;
    size_t n = 0, refused = 0;

    cJSON_ArrayForEach(one, cJSON_GetObjectItem(json, list))
    {
        run(json, one);
        n++;
        refused += strcmp(member(one, "expect"), "ok") != 0;
    }
    assert_true(n >= fewest && refused >= AT_LEAST_REFUSED);
    cJSON_Delete(json);
}

/* Is it what the vector expects? Says which it was when not. */
static void expect(const cJSON *one, enum cv_status s, const struct cv_err *e)
{
    const char *want = member(one, "expect");

    if (strcmp(want, cv_err_code_name(s)) != 0) {
        print_error("%s: expected %s, got %s (%s)\n", member(one, "name"), want,
                    cv_err_code_name(s), s == CV_OK ? "" : e->text);
        fail();
    }
    if (s != CV_OK) {
        assert_int_equal(e->status, s);
        assert_true(e->text[0] != '\0');
    }
}

static void box(const cJSON *vectors, const cJSON *one)
{
    const cJSON *key = cJSON_GetObjectItem(vectors, "box_key");
    struct cv_arena *arena = new_arena();
    struct cv_box_binding b;
    struct cv_box_pair pair;
    struct cv_bytes der;
    struct cv_err e;
    enum cv_status s;

    cv_err_init(&e);
    pair.secret_key = member_base64(key, "secret", arena).data;
    memcpy(pair.public_key, member_base64(key, "public", arena).data,
           CV_BOX_KEY_LEN);
    member_hex(one, "vault_id", b.vault_id, sizeof(b.vault_id));
    member_hex(one, "entry_id", b.entry_id, sizeof(b.entry_id));
    member_hex(one, "spki_sha256", b.spki_sha256, sizeof(b.spki_sha256));
    s = cv_box_open(&pair, &b, member_base64(one, "sealed", arena), arena, &der,
                    &e);
    expect(one, s, &e);
    if (s == CV_OK) {
        assert_true(cv_bytes_equal(der, member_base64(one, "key_der", arena)));
        assert_true(cv_arena_owns(arena, der.data));
    } else {
        assert_true(der.data == NULL && der.len == 0);
    }
    cv_arena_free(arena);
}

static void match(const cJSON *vectors, const cJSON *one)
{
    struct cv_arena *arena = new_arena();
    uint8_t digest[CV_BOX_DIGEST_LEN];
    struct cv_err e;

    (void)vectors;
    cv_err_init(&e);
    member_hex(one, "spki_sha256", digest, sizeof(digest));
    expect(one,
           cv_match_key(member_base64(one, "key_der", arena),
                        TEXT(member(one, "certificate")), digest, &e),
           &e);
    cv_arena_free(arena);
}

static void slot(const cJSON *vectors, const cJSON *one)
{
    const cJSON *key = cJSON_GetObjectItem(vectors, "box_key");
    const cJSON *record = cJSON_GetObjectItem(one, "record");
    uint8_t vault_id[CV_BOX_ID_LEN];
    struct cv_arena *arena = new_arena();
    struct cv_slot_secret secret;
    struct cv_box_pair pair;
    struct cv_err e;
    enum cv_status s;

    cv_err_init(&e);
    member_hex(one, "vault_id", vault_id, sizeof(vault_id));
    assert_ok(cv_slot_kind_read(member(one, "kind"), &secret.kind, &e), &e);
    secret.bytes = member_base64(one, "secret", arena);
    s = cv_slot_open(record, vault_id,
                     member_base64(one, "public_key", arena).data, &secret,
                     arena, &pair, &e);
    expect(one, s, &e);
    if (s == CV_OK) {
        assert_memory_equal(pair.secret_key,
                            member_base64(key, "secret", arena).data,
                            CV_BOX_KEY_LEN);
        assert_true(cv_arena_owns(arena, pair.secret_key));
    } else {
        assert_null(pair.secret_key);
    }
    cv_arena_free(arena);
}

static void test_boxes(void **state)
{
    (void)state;
    each("boxes", 50, box);
}

static void test_matches(void **state)
{
    (void)state;
    each("matches", 80, match);
}

static void test_slots(void **state)
{
    (void)state;
    each("slots", 100, slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_slots),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
