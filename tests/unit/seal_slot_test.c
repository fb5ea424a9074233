/* Key slots: what vectors cannot show (every byte changed, what wrapping
 * refuses, what comes out is strict JSON and opens again). */
#include "tests/unit/seal_test.h"

#include "vault/base/clock.h"

struct fixture {
    struct cv_arena *arena;
    struct cv_box_pair pair;
    struct cv_slot_head head;
    cJSON *token;
    uint8_t vault_id[CV_BOX_ID_LEN];
};

static cJSON *token_members(void)
{
    cJSON *t = cJSON_CreateObject();

    assert_true(cv_json_add_str(t, "uri", "pkcs11:token=t;id=%01") &&
                cv_json_add_str(t, "spki", "MFkw") &&
                cv_json_add_str(t, "form", "ecdh-hkdf-sha256") &&
                cv_json_add_str(t, "data", "BAAA"));
    return t;
}

static void begin(struct fixture *f)
{
    uint8_t *secret;

    memset(f, 0, sizeof(*f));
    f->arena = new_arena();
    secret = cv_arena_alloc(f->arena, CV_BOX_KEY_LEN, NULL);
    (void)crypto_box_keypair(f->pair.public_key, secret);
    f->pair.secret_key = secret;
    randombytes_buf(f->vault_id, sizeof(f->vault_id));
    memcpy(f->head.vault_id, f->vault_id, sizeof(f->vault_id));
    f->head.id = "s1";
    f->head.cost = &cheap;
    f->token = token_members();
}

static void end(struct fixture *f)
{
    cJSON_Delete(f->token);
    cv_arena_free(f->arena);
}

/* A secret of its kind, and what a head must say for it. */
static struct cv_slot_secret secret_of(struct fixture *f,
                                       enum cv_slot_kind kind)
{
    struct cv_slot_secret s = {kind, TEXT("some passphrase")};

    f->head.path = kind == CV_SLOT_FILE ? "/etc/key" : NULL;
    f->head.name = kind == CV_SLOT_CREDENTIAL ? "key.cred" : NULL;
    f->head.token = kind == CV_SLOT_TOKEN ? f->token : NULL;
    if (kind == CV_SLOT_RECOVERY) {
        assert_int_equal(cv_slot_code_make(f->arena, &s.bytes, NULL), CV_OK);
    } else if (kind != CV_SLOT_PASSPHRASE) {
        s.bytes = TEXT("0123456789abcdef0123456789abcdef");
    }
    return s;
}

static enum cv_status open_it(struct fixture *f, const cJSON *record,
                              const struct cv_slot_secret *secret,
                              struct cv_err *e)
{
    struct cv_arena *arena = new_arena();
    struct cv_box_pair pair;
    enum cv_status s;

    cv_err_init(e);
    s = cv_slot_open(record, f->vault_id, f->pair.public_key, secret, arena,
                     &pair, e);
    assert_true((s == CV_OK) == (pair.secret_key != NULL));
    if (s == CV_OK) {
        assert_memory_equal(pair.secret_key, f->pair.secret_key,
                            CV_BOX_KEY_LEN);
    }
    cv_arena_free(arena);
    return s;
}

static cJSON *wrap(struct fixture *f, const struct cv_slot_secret *secret)
{
    cJSON *record = NULL;
    struct cv_err e;

    cv_err_init(&e);
    assert_ok(cv_slot_wrap(&f->head, secret, &f->pair, &record, &e), &e);
    return record;
}

static void test_round_trip(void **state)
{
    struct fixture f;
    int k;

    (void)state;
    begin(&f);
    for (k = 0; k < CV_SLOT_KIND_COUNT; k++) {
        struct cv_slot_secret secret = secret_of(&f, (enum cv_slot_kind)k);
        cJSON *record = wrap(&f, &secret), *again = NULL;
        enum cv_slot_kind kind = CV_SLOT_KIND_COUNT, read;
        const char *id = NULL;
        struct cv_buf text;
        struct cv_err e;

        cv_err_init(&e);
        assert_ok(cv_slot_read(record, &kind, &id, &e), &e);
        assert_int_equal(kind, k);
        assert_string_equal(id, "s1");
        assert_ok(cv_slot_kind_read(cv_slot_kind_name(kind), &read, &e), &e);
        assert_int_equal(read, kind);
        /* as it comes back from the store */
        cv_buf_init(&text, NULL, CV_KIB(16));
        cv_json_write(record, CV_JSON_COMPACT, &text);
        assert_ok(cv_json_parse(NULL, cv_buf_bytes(&text), &again, &e), &e);
        assert_ok(open_it(&f, again, &secret, &e), &e);
        cJSON_Delete(record);
        cJSON_Delete(again);
        cv_buf_wipe(&text);
    }
    end(&f);
}

static void test_members(void **state)
{
    static const char *const members[] = {
        "v", "id", "kind", "created", "path", "kdf", "nonce", "box", "sum"};
    char now[CV_CLOCK_TEXT_LEN];
    struct cv_slot_secret secret;
    struct fixture f;
    const cJSON *m;
    cJSON *record;
    size_t i = 0;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_FILE);
    f.head.created_s = 1790000000;
    record = wrap(&f, &secret);
    cJSON_ArrayForEach(m, record)
    {
        assert_true(i < sizeof(members) / sizeof(members[0]));
        assert_string_equal(m->string, members[i++]);
    }
    assert_string_equal(member(record, "path"), "/etc/key");
    assert_string_equal(member(record, "created"),
                        cv_clock_format(1790000000, now));
    cJSON_Delete(record);
    end(&f);
}

/* No two records share a salt or nonce. */
static void test_fresh(void **state)
{
    struct cv_slot_secret secret;
    struct fixture f;
    cJSON *a, *b;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_FILE);
    a = wrap(&f, &secret);
    b = wrap(&f, &secret);
    assert_string_not_equal(member(a, "nonce"), member(b, "nonce"));
    assert_string_not_equal(member(cJSON_GetObjectItem(a, "kdf"), "salt"),
                            member(cJSON_GetObjectItem(b, "kdf"), "salt"));
    assert_string_not_equal(member(a, "box"), member(b, "box"));
    cJSON_Delete(a);
    cJSON_Delete(b);
    end(&f);
}

/* A bit of any byte of the record's text: refused, if it is JSON still, and
 * told as damage. */
static void test_every_byte(void **state)
{
    struct cv_slot_secret secret;
    struct cv_buf text;
    struct fixture f;
    struct cv_err e;
    cJSON *record;
    size_t i, bit, parsed = 0;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_FILE);
    record = wrap(&f, &secret);
    cv_buf_init(&text, NULL, CV_KIB(16));
    cv_json_write(record, CV_JSON_COMPACT, &text);
    cJSON_Delete(record);
    for (i = 0; i < text.len; i++) {
        for (bit = 0; bit < 8; bit++) {
            text.data[i] ^= (uint8_t)(1U << bit);
            if (cv_json_parse(NULL, cv_buf_bytes(&text), &record, &e) ==
                CV_OK) {
                parsed++;
                assert_int_equal(open_it(&f, record, &secret, &e),
                                 CV_INTEGRITY);
                cJSON_Delete(record);
            }
            text.data[i] ^= (uint8_t)(1U << bit);
        }
    }
    assert_true(parsed > text.len);
    cv_buf_wipe(&text);
    end(&f);
}

static void test_wrong_secrets(void **state)
{
    struct fixture f;
    struct cv_err e;
    int k;

    (void)state;
    begin(&f);
    for (k = 0; k < CV_SLOT_KIND_COUNT; k++) {
        struct cv_slot_secret secret = secret_of(&f, (enum cv_slot_kind)k);
        cJSON *record = wrap(&f, &secret);
        struct cv_slot_secret other = secret;
        int j;

        other.bytes = k == CV_SLOT_TOKEN
                          ? TEXT("another one of just 32 bytes ...")
                          : TEXT("another, of more than 32 bytes .....");
        if (k == CV_SLOT_RECOVERY) {
            other = secret_of(&f, CV_SLOT_RECOVERY);
        }
        assert_int_equal(open_it(&f, record, &other, &e), CV_AUTH);
        for (j = 0; j < CV_SLOT_KIND_COUNT; j++) {
            other = secret;
            other.kind = (enum cv_slot_kind)j;
            assert_int_equal(open_it(&f, record, &other, &e),
                             j == k ? CV_OK : CV_INVALID);
        }
        cJSON_Delete(record);
    }
    end(&f);
}

static void test_other_vault(void **state)
{
    struct cv_slot_secret secret;
    struct fixture f;
    struct cv_err e;
    cJSON *record;
    size_t i;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_FILE);
    record = wrap(&f, &secret);
    for (i = 0; i < CV_BOX_ID_LEN; i++) {
        f.vault_id[i] ^= 1;
        assert_int_equal(open_it(&f, record, &secret, &e), CV_AUTH);
        f.vault_id[i] ^= 1;
    }
    for (i = 0; i < CV_BOX_KEY_LEN; i++) {
        f.pair.public_key[i] ^= 1;
        assert_int_equal(open_it(&f, record, &secret, &e), CV_AUTH);
        f.pair.public_key[i] ^= 1;
    }
    assert_ok(open_it(&f, record, &secret, &e), &e);
    cJSON_Delete(record);
    end(&f);
}

static enum cv_status try_wrap(struct fixture *f, enum cv_slot_kind kind,
                               struct cv_bytes bytes)
{
    struct cv_slot_secret secret = {kind, bytes};
    cJSON *record = NULL;
    struct cv_err e;
    enum cv_status s;

    cv_err_init(&e);
    s = cv_slot_wrap(&f->head, &secret, &f->pair, &record, &e);
    assert_true((s == CV_OK) == (record != NULL));
    assert_true(s == CV_OK || e.text[0] != '\0');
    cJSON_Delete(record);
    return s;
}

static void test_wrap_refuses_secrets(void **state)
{
    static const uint8_t bytes[CV_LIMIT_KEY_FILE + 1] = {1};
    struct cv_bytes b = {bytes, 0};
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, b), CV_INVALID);
    b.len = CV_LIMIT_PASSPHRASE + 1;
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, b), CV_INVALID);
    b.len = CV_LIMIT_PASSPHRASE;
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, b), CV_OK);
    assert_int_equal(try_wrap(&f, CV_SLOT_RECOVERY, b), CV_INVALID);
    f.head.path = "/k";
    b.len = CV_LIMIT_KEY_FILE_MIN - 1;
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, b), CV_INVALID);
    b.len = CV_LIMIT_KEY_FILE + 1;
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, b), CV_INVALID);
    b.len = CV_LIMIT_KEY_FILE;
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, b), CV_OK);
    b.len = CV_LIMIT_KEY_FILE_MIN;
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, b), CV_OK);
    end(&f);
}

/* Each member is wanted, as a text of its kind, and no other. */
static void test_wrap_refuses_tokens(void **state)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"uri", NULL},  {"uri", ""},        {"uri", "file:/x"},
        {"spki", NULL}, {"form", "a form"}, {"form", NULL},
        {"data", NULL}, {"more", "x"},      {"data", "\n"},
    };
    const struct cv_bytes secret = TEXT("0123456789abcdef0123456789abcdef");
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f);
    f.head.token = f.token;
    assert_int_equal(try_wrap(&f, CV_SLOT_TOKEN, secret), CV_OK);
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, secret), CV_INVALID);
    assert_int_equal(try_wrap(&f, CV_SLOT_TOKEN, TEXT("short")), CV_INVALID);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cJSON *t = token_members();

        cJSON_DeleteItemFromObject(t, bad[i].key);
        assert_true(cv_json_add_str(t, bad[i].key, bad[i].value));
        f.head.token = t;
        assert_int_equal(try_wrap(&f, CV_SLOT_TOKEN, secret), CV_INVALID);
        cJSON_Delete(t);
    }
    f.head.token = NULL;
    assert_int_equal(try_wrap(&f, CV_SLOT_TOKEN, secret), CV_INVALID);
    end(&f);
}

static void test_wrap_refuses_heads(void **state)
{
    static const char *const bad_ids[] = {"", "a b", "a/b", "a\n", "\xc3\xa9"};
    static const char *const bad_names[] = {"", "a/b", "../x", "a b"};
    const struct cv_bytes key = TEXT("0123456789abcdef0123456789abcdef");
    char longest[CV_SLOT_PATH_MAX + 2];
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f);
    for (i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        f.head.id = bad_ids[i];
        assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, key), CV_INVALID);
    }
    f.head.id = NULL;
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, key), CV_INVALID);
    f.head.id = "x";
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, key), CV_INVALID);
    assert_int_equal(try_wrap(&f, CV_SLOT_CREDENTIAL, key), CV_INVALID);
    f.head.path = "relative";
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, key), CV_INVALID);
    memset(longest, '/', sizeof(longest));
    longest[CV_SLOT_PATH_MAX + 1] = '\0';
    f.head.path = longest;
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, key), CV_INVALID);
    longest[CV_SLOT_PATH_MAX] = '\0';
    assert_int_equal(try_wrap(&f, CV_SLOT_FILE, key), CV_OK);
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, key), CV_INVALID);
    f.head.path = NULL;
    for (i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        f.head.name = bad_names[i];
        /* "../x" is a path; ".." alone would be a name */
        assert_int_equal(try_wrap(&f, CV_SLOT_CREDENTIAL, key), CV_INVALID);
    }
    f.head.name = "vault.key";
    assert_int_equal(try_wrap(&f, CV_SLOT_CREDENTIAL, key), CV_OK);
    assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, key), CV_INVALID);
    end(&f);
}

static void test_costs(void **state)
{
    static const struct cv_slot_cost bad[] = {{0, 8192},
                                              {1, 8191},
                                              {17, 8192},
                                              {-1, 8192},
                                              {1, 1024 * 1024 + 1},
                                              {5, 1024 * 1024},
                                              {1, -8192},
                                              {INT64_MAX, 8192},
                                              {1, INT64_MAX}};
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        f.head.cost = &bad[i];
        assert_int_equal(try_wrap(&f, CV_SLOT_PASSPHRASE, TEXT("p")),
                         CV_INVALID);
    }
    end(&f);
}

/* What a passphrase costs when nobody says otherwise. */
static void test_default_cost(void **state)
{
    struct cv_slot_secret secret;
    const cJSON *kdf;
    struct fixture f;
    cJSON *record;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_PASSPHRASE);
    f.head.cost = NULL;
    record = wrap(&f, &secret);
    kdf = cJSON_GetObjectItem(record, "kdf");
    assert_string_equal(member(kdf, "alg"), "argon2id");
    assert_true(cJSON_GetObjectItem(kdf, "passes")->valuedouble == 3);
    assert_true(cJSON_GetObjectItem(kdf, "memory_kib")->valuedouble ==
                256 * 1024);
    cJSON_Delete(record);
    end(&f);
}

static void test_codes(void **state)
{
    struct cv_slot_secret secret;
    struct cv_bytes code;
    struct fixture f;
    struct cv_err e;
    cJSON *record;
    size_t i;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_RECOVERY);
    code = secret.bytes;
    assert_int_equal(code.len, 41);
    assert_true(cv_arena_owns(f.arena, code.data));
    for (i = 0; i < code.len; i++) {
        assert_true((i % 6 == 5) == (code.data[i] == '-'));
        assert_null(strchr("ILOU", code.data[i]));
    }
    record = wrap(&f, &secret);
    /* any one character mistyped is told as such, not as a wrong code */
    for (i = 0; i < code.len; i++) {
        uint8_t *typed =
            (uint8_t *)cv_arena_copy(f.arena, code.data, code.len, NULL);

        if (typed[i] == '-') {
            continue;
        }
        typed[i] = typed[i] == '7' ? 'W' : '7';
        secret.bytes.data = typed;
        assert_int_equal(open_it(&f, record, &secret, &e), CV_INVALID);
        assert_non_null(strstr(e.text, "check characters"));
        assert_true(e.hint[0] != '\0');
    }
    cJSON_Delete(record);
    end(&f);
}

/* One wrong symbol is always found, whichever it is and wherever; two
 * neighbours in the wrong order too. */
static void test_code_checks(void **state)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct cv_slot_secret secret;
    struct fixture f;
    struct cv_err e;
    uint8_t *typed;
    cJSON *record;
    size_t i;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_RECOVERY);
    record = wrap(&f, &secret);
    typed = (uint8_t *)cv_arena_copy(f.arena, secret.bytes.data,
                                     secret.bytes.len, NULL);
    secret.bytes.data = typed;
    for (i = 0; i < secret.bytes.len; i++) {
        const uint8_t was = typed[i];
        const char *c;

        for (c = alphabet; was != '-' && *c != '\0'; c++) {
            typed[i] = (uint8_t)*c;
            assert_int_equal(open_it(&f, record, &secret, &e),
                             typed[i] == was ? CV_OK : CV_INVALID);
        }
        typed[i] = was;
        if (i > 0 && typed[i - 1] != '-' && was != '-' && typed[i - 1] != was) {
            typed[i] = typed[i - 1];
            typed[i - 1] = was;
            assert_int_equal(open_it(&f, record, &secret, &e), CV_INVALID);
            typed[i - 1] = typed[i];
            typed[i] = was;
        }
    }
    cJSON_Delete(record);
    end(&f);
}

static void test_code_lengths(void **state)
{
    struct cv_slot_secret secret;
    struct fixture f;
    struct cv_err e;
    uint8_t *typed;
    cJSON *record;
    size_t n;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_RECOVERY);
    record = wrap(&f, &secret);
    typed = cv_arena_alloc(f.arena, 200, NULL);
    memset(typed, 'A', 200);
    secret.bytes.data = typed;
    for (n = 0; n <= 200; n++) {
        secret.bytes.len = n;
        assert_int_equal(open_it(&f, record, &secret, &e), CV_INVALID);
        assert_non_null(strstr(e.text, n < 35    ? "too short"
                                       : n == 35 ? "check characters"
                                                 : "too long"));
    }
    cJSON_Delete(record);
    end(&f);
}

static void test_not_objects(void **state)
{
    static const char *const texts[] = {"null", "[]", "\"x\"", "1", "{}"};
    struct cv_slot_secret secret;
    struct fixture f;
    struct cv_err e;
    size_t i;

    (void)state;
    begin(&f);
    secret = secret_of(&f, CV_SLOT_FILE);
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cJSON *json = cJSON_Parse(texts[i]);

        assert_non_null(json);
        assert_int_equal(open_it(&f, json, &secret, &e), CV_INTEGRITY);
        cJSON_Delete(json);
    }
    assert_int_equal(open_it(&f, NULL, &secret, &e), CV_INTEGRITY);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_wrong_secrets),
        cmocka_unit_test(test_other_vault),
        cmocka_unit_test(test_wrap_refuses_secrets),
        cmocka_unit_test(test_wrap_refuses_heads),
        cmocka_unit_test(test_wrap_refuses_tokens),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_default_cost),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_code_checks),
        cmocka_unit_test(test_code_lengths),
        cmocka_unit_test(test_not_objects),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
