/* Attacks find what is open and nothing else: on real tokens as they are known
 * to be, and on one that has each hole in turn. */
#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/create.h"
#include "pkcs11/examine.h"
#include "pkcs11/generate.h"

#include <stdio.h>
#include <string.h>

#define LABEL "certvault:0a1b2c3d:entry"

static struct scratch t;
static const uint8_t id_bytes[16] = {0xE2, 2, 3, 4, 5, 6, 7, 8};
static const struct cv_bytes id = {id_bytes, sizeof(id_bytes)};
static struct cv_err err;
static struct cv_findings found;

static CK_OBJECT_HANDLE take(const struct scratch_key *k)
{
    struct cv_create_key key = {k->der, id, LABEL};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    enum cv_create_way way;

    cv_err_init(&err);
    scratch_ok(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, NULL, &err),
        &err);
    return handle;
}

static void drop(void)
{
    size_t n;

    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &n, &err), &err);
    assert_int_equal(scratch_all(&t), 0);
}

static enum cv_status examine(CK_OBJECT_HANDLE key, struct cv_bytes spki,
                              enum cv_examine_mode mode)
{
    struct cv_examine_order order = {mode, spki, NULL};
    size_t before = scratch_all(&t);
    enum cv_status s;

    cv_err_init(&err);
    s = cv_examine_key(t.f, t.s, key, &order, &found, &err);
    assert_int_equal(scratch_all(&t), before); /* nothing is left behind */
    return s;
}

/* A letter an attack, the first of its result's word. */
static void results(const char *expected)
{
    int i;

    for (i = 0; i < CV_EXAMINE_ATTACKS; i++) {
        const char *word = cv_examine_result_name(found.attacks[i].result);

        if (word[0] != expected[i] && expected[i] != '*') {
            fail_msg("%s: %s (%s), not %c",
                     cv_examine_attack_name((enum cv_examine_attack)i), word,
                     cv_rv_name(found.attacks[i].rv), expected[i]);
        }
    }
}

#define R CV_EXAMINE_REFUSED
#define L CV_EXAMINE_LEAKED
#define M CV_EXAMINE_MISUSED
#define N CV_EXAMINE_NOT_POSSIBLE
#define E CV_EXAMINE_ERROR

static void is_closed(enum cv_examine_attack attack)
{
    if (found.attacks[attack].result != R &&
        found.attacks[attack].result != N) {
        fail_msg("%s: %s (%s)", cv_examine_attack_name(attack),
                 cv_examine_result_name(found.attacks[attack].result),
                 cv_rv_name(found.attacks[attack].rv));
    }
}

static void softhsm_gives_nothing_away(void **state)
{
    static const char *const kinds[] = {"rsa", "ec-p256", "ec-p384", "ed25519"};
    size_t i;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    for (i = 0; i < 4; i++) {
        struct scratch_key k = scratch_make_key(&t, kinds[i]);
        CK_OBJECT_HANDLE key = take(&k);
        size_t a;

        scratch_ok(examine(key, k.spki, CV_EXAMINE_FRESH), &err);
        assert_true(found.signature);
        assert_false(found.leaky);
        assert_int_equal(found.lies.n, i > 0); /* C_DigestKey */
        assert_int_equal(found.flags[CV_EXAMINE_EXTRACTABLE], CV_EXAMINE_NO);
        assert_int_equal(found.flags[CV_EXAMINE_LOCAL], CV_EXAMINE_NO);
        for (a = 0; a < CV_EXAMINE_ATTACKS; a++) {
            /* SoftHSM digests what has a CKA_VALUE, private or not */
            if (a == CV_EXAMINE_DIGEST && i > 0) {
                assert_int_equal(found.attacks[a].result, M);
            } else {
                is_closed((enum cv_examine_attack)a);
            }
        }
        /* what matters most was refused and not passed over */
        assert_int_equal(found.attacks[CV_EXAMINE_READ_SECRET].result, R);
        assert_int_equal(found.attacks[CV_EXAMINE_WRAP_KEY_WRAP].rv,
                         CKR_KEY_UNEXTRACTABLE);
        assert_int_equal(found.attacks[CV_EXAMINE_WRAP_KEY_WRAP_PAD].rv,
                         CKR_KEY_UNEXTRACTABLE);
        assert_int_equal(found.attacks[CV_EXAMINE_WRAP_RSA].result, R);
        assert_int_equal(found.attacks[CV_EXAMINE_WRAP_TWIN].result, R);
        assert_int_equal(found.attacks[CV_EXAMINE_COPY_EXTRACTABLE].result, R);
        assert_int_equal(found.attacks[CV_EXAMINE_COPY_PUBLIC].result, R);
        assert_int_equal(found.attacks[CV_EXAMINE_SET_PLAIN].result, R);

        /* somebody's key: nothing is written to it */
        scratch_ok(examine(key, k.spki, CV_EXAMINE_ADOPTED), &err);
        assert_int_equal(found.attacks[CV_EXAMINE_SET_EXTRACTABLE].result, N);
        assert_int_equal(found.attacks[CV_EXAMINE_COPY_PUBLIC].result, N);
        assert_int_equal(found.attacks[CV_EXAMINE_WRAP_KEY_WRAP].result, R);
        drop();
    }
}

static void nss_gives_keys_away(void **state)
{
    struct scratch_key k;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    k = scratch_make_key(&t, "rsa");
    scratch_ok(examine(take(&k), k.spki, CV_EXAMINE_FRESH), &err);
    assert_true(found.leaky);
    assert_true(found.signature);
    assert_int_equal(found.flags[CV_EXAMINE_EXTRACTABLE], CV_EXAMINE_NO);
    assert_true(cv_notes_has(&found.lies, "wrap-cbc-pad"));
    /* *: PKCS#8 is a multiple of 8 bytes long, or not; what is too long for RSA
     * is CKR_DATA_LEN_RANGE or CKR_DEVICE_ERROR */
    results("rrl*ll*llrlrrrrr");
    drop();
    k = scratch_make_key(&t, "ec-p256");
    scratch_ok(examine(take(&k), k.spki, CV_EXAMINE_FRESH), &err);
    assert_true(found.leaky);
    assert_int_equal(found.attacks[CV_EXAMINE_WRAP_CBC_PAD].result, L);
    assert_int_equal(found.attacks[CV_EXAMINE_WRAP_KWP].result, L);
    drop();
}

/* One hole at a time: the attack of that name finds it, the others do not. */
static void each_hole_is_found(void **state)
{
    /* what each is found to be: the key came out, or was only misused */
    static const char expected[] = "lllllllllmmlmlmm";
    struct scratch_key k;
    CK_OBJECT_HANDLE key;
    int hole, i;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    k = scratch_make_key(&t, "rsa");
    key = take(&k);
    scratch_ok(examine(key, k.spki, CV_EXAMINE_FRESH), &err);
    assert_false(found.leaky);
    assert_int_equal(found.lies.n, 0);
    for (i = 0; i < CV_EXAMINE_ATTACKS; i++) {
        is_closed((enum cv_examine_attack)i);
    }
    for (hole = 0; hole < CV_EXAMINE_ATTACKS; hole++) {
        const char *name = cv_examine_attack_name((enum cv_examine_attack)hole);
        char control[64];

        (void)snprintf(control, sizeof(control), "leak=%s\n", name);
        scratch_misbehave(&t, control);
        scratch_ok(examine(key, k.spki, CV_EXAMINE_FRESH), &err);
        for (i = 0; i < CV_EXAMINE_ATTACKS; i++) {
            const char *word = cv_examine_result_name(found.attacks[i].result);

            if (i != hole) {
                is_closed((enum cv_examine_attack)i);
            } else if (word[0] != expected[i]) {
                fail_msg("%s: %s", name, word);
            }
        }
        assert_int_equal(found.leaky, expected[hole] == 'l');
    }
    scratch_misbehave(&t, "");
    drop();
}

static void lies_are_told(void **state)
{
    struct scratch_key k;
    CK_OBJECT_HANDLE key;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    k = scratch_make_key(&t, "ec-p256");
    key = take(&k);

    /* says that it set what it did not */
    scratch_misbehave(&t, "set=says\n");
    scratch_ok(examine(key, k.spki, CV_EXAMINE_FRESH), &err);
    assert_int_equal(found.attacks[CV_EXAMINE_SET_EXTRACTABLE].result, M);
    assert_false(found.leaky);
    assert_true(cv_notes_has(&found.lies, "nothing changed"));

    /* says that the key is extractable, whatever it was told */
    scratch_misbehave(&t, "extractable=1\n");
    assert_int_equal(examine(key, k.spki, CV_EXAMINE_FRESH), CV_INTEGRITY);
    assert_non_null(strstr(err.text, "CKA_EXTRACTABLE=FALSE"));
    scratch_ok(examine(key, k.spki, CV_EXAMINE_ADOPTED), &err);
    assert_true(found.leaky);

    /* lengths that cannot be */
    scratch_misbehave(&t, "length=max\n");
    (void)examine(key, k.spki, CV_EXAMINE_FRESH);
    scratch_misbehave(&t, "length=grow\n");
    (void)examine(key, k.spki, CV_EXAMINE_FRESH);
    scratch_misbehave(&t, "");
    drop();
}

static void a_signature_must_verify(void **state)
{
    static const char *const lies[] = {"wrong", "zero",  "short",
                                       "long",  "empty", "der"};
    static const char *const kinds[] = {"rsa", "ec-p256"};
    size_t i, kind;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    for (kind = 0; kind < 2; kind++) {
        struct scratch_key k = scratch_make_key(&t, kinds[kind]);
        struct scratch_key other = scratch_make_key(&t, kinds[kind]);
        CK_OBJECT_HANDLE key = take(&k);

        for (i = 0; i < 5 + kind; i++) {
            char control[32];

            (void)snprintf(control, sizeof(control), "sign=%s\n", lies[i]);
            scratch_misbehave(&t, control);
            assert_int_equal(examine(key, k.spki, CV_EXAMINE_FRESH),
                             CV_INTEGRITY);
            assert_false(found.signature);
        }
        scratch_misbehave(&t, "");
        scratch_ok(examine(key, k.spki, CV_EXAMINE_FRESH), &err);
        assert_int_equal(examine(key, other.spki, CV_EXAMINE_FRESH),
                         CV_INTEGRITY);
        drop();
    }
}

/* tpm2-pkcs11: CKR_OK, and the attribute says so from then on; the key stays
 * where it is. It is set back. */
static int sets;
static CK_BBOOL pretended;

static CK_RV pretend_set(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o,
                         CK_ATTRIBUTE *list, CK_ULONG n)
{
    if (n == 1 && list[0].type == CKA_EXTRACTABLE) {
        memcpy(&pretended, list[0].pValue, 1);
        sets++;
        return CKR_OK;
    }
    return t.real->C_SetAttributeValue(s, o, list, n);
}

static CK_RV pretend_get(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o,
                         CK_ATTRIBUTE *list, CK_ULONG n)
{
    CK_RV rv = t.real->C_GetAttributeValue(s, o, list, n);

    if (rv == CKR_OK && n == 1 && list[0].type == CKA_EXTRACTABLE &&
        list[0].pValue != NULL) {
        memcpy(list[0].pValue, &pretended, 1);
    }
    return rv;
}

static void what_was_set_is_set_back(void **state)
{
    struct scratch_key k;
    CK_OBJECT_HANDLE key;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    k = scratch_make_key(&t, "ec-p256");
    key = take(&k);
    pretended = CK_FALSE;
    sets = 0;
    t.patched.C_SetAttributeValue = pretend_set;
    t.patched.C_GetAttributeValue = pretend_get;
    scratch_ok(examine(key, k.spki, CV_EXAMINE_FRESH), &err);
    assert_int_equal(found.attacks[CV_EXAMINE_SET_EXTRACTABLE].result, M);
    assert_true(cv_notes_has(&found.lies, "did not come out"));
    assert_int_equal(sets, 2);
    assert_int_equal(pretended, CK_FALSE);
    assert_false(found.leaky);
}

static CK_RV sticky_set(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o,
                        CK_ATTRIBUTE *list, CK_ULONG n)
{
    (void)s, (void)o;
    if (n == 1 && list[0].type == CKA_EXTRACTABLE) {
        pretended = CK_TRUE;
    }
    return CKR_OK;
}

static void what_cannot_be_set_back_is_refused(void **state)
{
    struct scratch_key k;
    CK_OBJECT_HANDLE key;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    k = scratch_make_key(&t, "ec-p256");
    key = take(&k);
    pretended = CK_FALSE;
    t.patched.C_SetAttributeValue = sticky_set;
    t.patched.C_GetAttributeValue = pretend_get;
    assert_int_equal(examine(key, k.spki, CV_EXAMINE_FRESH), CV_INTEGRITY);
    assert_non_null(strstr(err.text, "changed back"));
}

/* CKR_OK from C_WrapKey with rubbish is not a leak, but it is told. */
static CK_RV rubbish_wrap(CK_SESSION_HANDLE s, CK_MECHANISM *m,
                          CK_OBJECT_HANDLE w, CK_OBJECT_HANDLE k, CK_BYTE *out,
                          CK_ULONG *len)
{
    (void)s, (void)m, (void)w, (void)k;
    if (out != NULL) {
        memset(out, 0xA5, 40);
    }
    *len = 40;
    return CKR_OK;
}

static void rubbish_is_no_leak(void **state)
{
    struct scratch_key k;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    k = scratch_make_key(&t, "ec-p256");
    t.patched.C_WrapKey = rubbish_wrap;
    scratch_ok(examine(take(&k), k.spki, CV_EXAMINE_FRESH), &err);
    assert_false(found.leaky);
    assert_int_equal(found.attacks[CV_EXAMINE_WRAP_KEY_WRAP].result, E);
    assert_int_equal(found.attacks[CV_EXAMINE_WRAP_RSA].result, E);
    assert_true(cv_notes_has(&found.lies, "does not open"));
}

static void the_report_says_it_all(void **state)
{
    struct scratch_key k;
    cJSON *json;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    k = scratch_make_key(&t, "ec-p256");
    scratch_ok(examine(take(&k), k.spki, CV_EXAMINE_FRESH), &err);
    json = cv_examine_json(&found);
    assert_non_null(json);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "leaky")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "signature")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "sensitive")));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(json, "extractable")));
    assert_null(cJSON_GetObjectItem(json, "copyable")); /* NSS does not tell */
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "attacks")),
                     CV_EXAMINE_ATTACKS);
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(json, "lies")) > 3);
    cJSON_Delete(json);
}

static int end(void **state)
{
    (void)state;
    scratch_end(&t);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(softhsm_gives_nothing_away),
        TEST(nss_gives_keys_away),
        TEST(each_hole_is_found),
        TEST(lies_are_told),
        TEST(a_signature_must_verify),
        TEST(what_was_set_is_set_back),
        TEST(what_cannot_be_set_back_is_refused),
        TEST(rubbish_is_no_leak),
        TEST(the_report_says_it_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
