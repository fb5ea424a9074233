/* The keyring: locked and open, which slot opens it, what it gives out. */
#include "tests/unit/seal_test.h"

#define FILE_A "0123456789abcdef0123456789abcdef"
#define FILE_B "fedcba9876543210fedcba9876543210"

struct fixture {
    struct cv_keyring *ring;
    struct cv_arena *arena;
    uint8_t vault_id[CV_BOX_ID_LEN];
    uint8_t public_key[CV_BOX_KEY_LEN];
    cJSON *slots;
};

static void begin(struct fixture *f)
{
    struct cv_err e;

    memset(f, 0, sizeof(*f));
    cv_err_init(&e);
    f->arena = new_arena();
    f->slots = cJSON_CreateArray();
    randombytes_buf(f->vault_id, sizeof(f->vault_id));
    assert_ok(cv_keyring_new(&f->ring, &e), &e);
    assert_false(cv_keyring_is_open(f->ring));
    assert_ok(cv_keyring_create(f->ring, f->vault_id, f->public_key, &e), &e);
    assert_true(cv_keyring_is_open(f->ring));
}

static void end(struct fixture *f)
{
    cv_keyring_free(f->ring);
    cv_arena_free(f->arena);
    cJSON_Delete(f->slots);
}

static void add_slot(struct fixture *f, const char *id, enum cv_slot_kind kind,
                     const char *secret)
{
    struct cv_slot_secret s = {kind, TEXT(secret)};
    struct cv_slot_head head = {.id = id, .cost = &cheap};
    cJSON *record = NULL;
    struct cv_err e;

    cv_err_init(&e);
    head.path = kind == CV_SLOT_FILE ? "/k" : NULL;
    assert_ok(cv_keyring_wrap(f->ring, &head, &s, &record, &e), &e);
    assert_true(cJSON_AddItemToArray(f->slots, record));
}

static enum cv_status open_ring(struct fixture *f, enum cv_slot_kind kind,
                                const char *secret, const char **id,
                                struct cv_err *e)
{
    struct cv_slot_secret s = {kind, TEXT(secret)};

    cv_err_init(e);
    return cv_keyring_open(f->ring, f->vault_id, f->public_key, f->slots, &s,
                           f->arena, id, e);
}

static void test_slots_in_turn(void **state)
{
    struct fixture f;
    const char *id;
    struct cv_err e;

    (void)state;
    begin(&f);
    add_slot(&f, "p1", CV_SLOT_PASSPHRASE, "one");
    add_slot(&f, "f1", CV_SLOT_FILE, FILE_A);
    add_slot(&f, "p2", CV_SLOT_PASSPHRASE, "two");
    add_slot(&f, "f2", CV_SLOT_FILE, FILE_B);
    cv_keyring_lock(f.ring);
    assert_false(cv_keyring_is_open(f.ring));
    assert_ok(open_ring(&f, CV_SLOT_PASSPHRASE, "two", &id, &e), &e);
    assert_string_equal(id, "p2");
    assert_true(cv_keyring_is_open(f.ring));
    assert_ok(open_ring(&f, CV_SLOT_FILE, FILE_B, &id, &e), &e);
    assert_string_equal(id, "f2");
    assert_ok(open_ring(&f, CV_SLOT_PASSPHRASE, "one", &id, &e), &e);
    assert_string_equal(id, "p1");
    end(&f);
}

static void test_wrong_passphrase(void **state)
{
    struct fixture f;
    const char *id = "left";
    struct cv_err e;

    (void)state;
    begin(&f);
    add_slot(&f, "p1", CV_SLOT_PASSPHRASE, "one");
    add_slot(&f, "f1", CV_SLOT_FILE, FILE_A);
    cv_keyring_lock(f.ring);
    assert_int_equal(open_ring(&f, CV_SLOT_PASSPHRASE, "two", &id, &e),
                     CV_AUTH);
    assert_string_equal(e.text, "the passphrase opens none of the vault's "
                                "slots");
    assert_true(e.hint[0] != '\0');
    assert_null(id);
    assert_false(cv_keyring_is_open(f.ring));
    assert_int_equal(open_ring(&f, CV_SLOT_CREDENTIAL, FILE_A, &id, &e),
                     CV_AUTH);
    assert_non_null(strstr(e.text, "no key slot of kind credential"));
    end(&f);
}

/* A failed opening leaves open what was. */
static void test_failure_keeps(void **state)
{
    struct fixture f;
    const char *id;
    struct cv_err e;

    (void)state;
    begin(&f);
    add_slot(&f, "f1", CV_SLOT_FILE, FILE_A);
    assert_int_equal(open_ring(&f, CV_SLOT_FILE, FILE_B, &id, &e), CV_AUTH);
    assert_true(cv_keyring_is_open(f.ring));
    end(&f);
}

/* A damaged slot does not keep another from opening; where none opens it is
 * what is told. */
static void test_damaged_slots(void **state)
{
    struct fixture f;
    const char *id;
    struct cv_err e;
    cJSON *first;

    (void)state;
    begin(&f);
    add_slot(&f, "f1", CV_SLOT_FILE, FILE_A);
    add_slot(&f, "f2", CV_SLOT_FILE, FILE_B);
    first = cJSON_GetArrayItem(f.slots, 0);
    assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
        first, "id", cJSON_CreateString("fx")));
    assert_ok(open_ring(&f, CV_SLOT_FILE, FILE_B, &id, &e), &e);
    assert_string_equal(id, "f2");
    assert_int_equal(open_ring(&f, CV_SLOT_FILE, FILE_A, &id, &e),
                     CV_INTEGRITY);
    assert_non_null(strstr(e.text, "fx is damaged"));
    cJSON_AddItemToArray(f.slots, cJSON_CreateString("no record"));
    assert_ok(open_ring(&f, CV_SLOT_FILE, FILE_B, &id, &e), &e);
    end(&f);
}

static void test_no_slots(void **state)
{
    struct fixture f;
    const char *id;
    struct cv_err e;

    (void)state;
    begin(&f);
    assert_int_equal(open_ring(&f, CV_SLOT_FILE, FILE_A, &id, &e), CV_AUTH);
    end(&f);
}

static void test_too_many_slots(void **state)
{
    struct fixture f;
    const char *id;
    struct cv_err e;
    int i;

    (void)state;
    begin(&f);
    for (i = 0; i < CV_LIMIT_SLOTS; i++) {
        add_slot(&f, "f", CV_SLOT_FILE, FILE_B);
    }
    add_slot(&f, "last", CV_SLOT_FILE, FILE_A);
    assert_int_equal(open_ring(&f, CV_SLOT_FILE, FILE_A, &id, &e),
                     CV_INTEGRITY);
    cJSON_DeleteItemFromArray(f.slots, 0);
    assert_ok(open_ring(&f, CV_SLOT_FILE, FILE_A, &id, &e), &e);
    assert_string_equal(id, "last");
    end(&f);
}

/* A secret that cannot be one of its kind is told at once. */
static void test_impossible_secret(void **state)
{
    struct fixture f;
    const char *id;
    struct cv_err e;

    (void)state;
    begin(&f);
    add_slot(&f, "f1", CV_SLOT_FILE, FILE_A);
    assert_int_equal(open_ring(&f, CV_SLOT_FILE, "short", &id, &e), CV_INVALID);
    assert_int_equal(open_ring(&f, CV_SLOT_RECOVERY, "short", &id, &e),
                     CV_AUTH);
    end(&f);
}

static void test_create_once(void **state)
{
    uint8_t other[CV_BOX_KEY_LEN] = {0};
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    cv_err_init(&e);
    assert_int_equal(cv_keyring_create(f.ring, f.vault_id, other, &e),
                     CV_EXISTS);
    cv_keyring_lock(f.ring);
    assert_ok(cv_keyring_create(f.ring, f.vault_id, other, &e), &e);
    assert_memory_not_equal(other, f.public_key, sizeof(other));
    end(&f);
}

static void test_recovery(void **state)
{
    struct cv_slot_secret secret = {.kind = CV_SLOT_RECOVERY};
    struct fixture f;
    cJSON *record = NULL;
    const char *id;
    struct cv_err e;

    (void)state;
    begin(&f);
    cv_err_init(&e);
    assert_ok(
        cv_keyring_recovery(f.ring, "r1", f.arena, &record, &secret.bytes, &e),
        &e);
    assert_true(cv_arena_owns(f.arena, secret.bytes.data));
    cJSON_AddItemToArray(f.slots, record);
    cv_keyring_lock(f.ring);
    assert_ok(cv_keyring_open(f.ring, f.vault_id, f.public_key, f.slots,
                              &secret, f.arena, &id, &e),
              &e);
    assert_string_equal(id, "r1");
    end(&f);
}

/* A sealed key of this vault, of the kind that vectors.json calls `name`. */
static void seal_key(struct fixture *f, const char *name,
                     struct cv_keyring_sealed *out, struct test_key *key,
                     struct cv_buf *sealed)
{
    struct cv_err e;

    cv_err_init(&e);
    read_key(name, f->arena, key);
    memset(out, 0, sizeof(*out));
    memcpy(out->binding.vault_id, f->vault_id, CV_BOX_ID_LEN);
    memcpy(out->binding.spki_sha256, key->digest, CV_BOX_DIGEST_LEN);
    randombytes_buf(out->binding.entry_id, CV_BOX_ID_LEN);
    out->certificate = key->pem;
    cv_buf_init(sealed, NULL, CV_LIMIT_SEALED);
    assert_ok(cv_box_seal(f->public_key, &out->binding, key->der, f->arena,
                          sealed, &e),
              &e);
    out->sealed = cv_buf_bytes(sealed);
}

static void test_check_and_export(void **state)
{
    static const char *const names[] = {"rsa2048", "p256", "p384", "p521",
                                        "ed25519"};
    uint8_t digest[CV_BOX_DIGEST_LEN];
    struct cv_keyring_sealed sealed;
    struct cv_bytes pem, want;
    struct test_key key;
    struct fixture f;
    struct cv_buf buf;
    struct cv_err e;
    size_t i;

    (void)state;
    begin(&f);
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cv_err_init(&e);
        seal_key(&f, names[i], &sealed, &key, &buf);
        cv_box_digest(key.der, digest);
        assert_ok(cv_keyring_check(f.ring, &sealed, NULL, &e), &e);
        assert_ok(cv_keyring_check(f.ring, &sealed, digest, &e), &e);
        assert_ok(cv_match_pem(key.der, f.arena, &want, &e), &e);
        assert_ok(cv_keyring_export(f.ring, &sealed, f.arena, &pem, &e), &e);
        assert_true(cv_bytes_equal(pem, want));
        assert_true(cv_arena_owns(f.arena, pem.data));
        digest[31] ^= 1;
        assert_int_equal(cv_keyring_check(f.ring, &sealed, digest, &e),
                         CV_INTEGRITY);
        cv_buf_wipe(&buf);
    }
    end(&f);
}

/* Sealed by someone who has the public key, as it should be, but the key of
 * another certificate. */
static void test_substituted(void **state)
{
    struct cv_keyring_sealed good, bad;
    struct test_key rsa, ec;
    struct cv_buf a, b;
    struct cv_bytes pem;
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    cv_err_init(&e);
    seal_key(&f, "rsa2048", &good, &rsa, &a);
    read_key("p256", f.arena, &ec);
    cv_buf_init(&b, NULL, CV_LIMIT_SEALED);
    bad = good;
    assert_ok(cv_box_seal(f.public_key, &bad.binding, ec.der, f.arena, &b, &e),
              &e);
    bad.sealed = cv_buf_bytes(&b);
    assert_int_equal(cv_keyring_check(f.ring, &bad, NULL, &e), CV_INTEGRITY);
    assert_int_equal(cv_keyring_export(f.ring, &bad, f.arena, &pem, &e),
                     CV_INTEGRITY);
    assert_null(pem.data);
    /* the same box under another's certificate, entry, vault */
    bad = good;
    bad.certificate = ec.pem;
    assert_int_equal(cv_keyring_check(f.ring, &bad, NULL, &e), CV_INTEGRITY);
    bad = good;
    bad.certificate = ec.pem;
    memcpy(bad.binding.spki_sha256, ec.digest, CV_BOX_DIGEST_LEN);
    assert_int_equal(cv_keyring_check(f.ring, &bad, NULL, &e), CV_INTEGRITY);
    bad = good;
    bad.binding.entry_id[3] ^= 1;
    assert_int_equal(cv_keyring_check(f.ring, &bad, NULL, &e), CV_INTEGRITY);
    bad = good;
    bad.binding.vault_id[3] ^= 1;
    assert_int_equal(cv_keyring_check(f.ring, &bad, NULL, &e), CV_INTEGRITY);
    assert_ok(cv_keyring_check(f.ring, &good, NULL, &e), &e);
    cv_buf_wipe(&a);
    cv_buf_wipe(&b);
    end(&f);
}

/* Another vault's box, rightly made, that happens to be sealed to this vault's
 * key. */
static void test_another_vault(void **state)
{
    struct cv_keyring_sealed sealed;
    struct test_key key;
    struct fixture f;
    struct cv_buf a, b;
    struct cv_err e;

    (void)state;
    begin(&f);
    cv_err_init(&e);
    seal_key(&f, "p256", &sealed, &key, &a);
    sealed.binding.vault_id[0] ^= 1;
    cv_buf_init(&b, NULL, CV_LIMIT_SEALED);
    assert_ok(
        cv_box_seal(f.public_key, &sealed.binding, key.der, f.arena, &b, &e),
        &e);
    sealed.sealed = cv_buf_bytes(&b);
    assert_int_equal(cv_keyring_check(f.ring, &sealed, NULL, &e), CV_INTEGRITY);
    assert_non_null(strstr(e.text, "another vault than the open one"));
    cv_buf_wipe(&a);
    cv_buf_wipe(&b);
    end(&f);
}

static void test_locked(void **state)
{
    struct cv_slot_secret secret = {CV_SLOT_FILE, TEXT(FILE_A)};
    struct cv_slot_head head = {.id = "x", .path = "/k"};
    struct cv_keyring_sealed sealed;
    struct cv_bytes out;
    struct test_key key;
    cJSON *record = NULL;
    struct fixture f;
    struct cv_buf buf;
    struct cv_err e;

    (void)state;
    begin(&f);
    seal_key(&f, "p256", &sealed, &key, &buf);
    cv_keyring_lock(f.ring);
    cv_keyring_lock(f.ring);
    cv_err_init(&e);
    assert_int_equal(cv_keyring_wrap(f.ring, &head, &secret, &record, &e),
                     CV_LOCKED);
    assert_null(record);
    assert_true(e.hint[0] != '\0');
    assert_int_equal(
        cv_keyring_recovery(f.ring, "r", f.arena, &record, &out, &e),
        CV_LOCKED);
    assert_null(out.data);
    assert_int_equal(cv_keyring_check(f.ring, &sealed, NULL, &e), CV_LOCKED);
    assert_int_equal(cv_keyring_export(f.ring, &sealed, f.arena, &out, &e),
                     CV_LOCKED);
    assert_null(out.data);
    cv_buf_wipe(&buf);
    end(&f);
    cv_keyring_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_in_turn),
        cmocka_unit_test(test_wrong_passphrase),
        cmocka_unit_test(test_failure_keeps),
        cmocka_unit_test(test_damaged_slots),
        cmocka_unit_test(test_no_slots),
        cmocka_unit_test(test_too_many_slots),
        cmocka_unit_test(test_impossible_secret),
        cmocka_unit_test(test_create_once),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_check_and_export),
        cmocka_unit_test(test_substituted),
        cmocka_unit_test(test_another_vault),
        cmocka_unit_test(test_locked),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
