/* Secrets that a token's key gives back, and nobody else's. */
#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/create.h"
#include "pkcs11/generate.h"
#include "pkcs11/slotkey.h"

#include <string.h>

#define LABEL "certvault:0a1b2c3d:slot"

static struct scratch t;
static const uint8_t id_bytes[16] = {0xE5, 2, 3, 4, 5, 6, 7, 8};
static const struct cv_bytes id = {id_bytes, sizeof(id_bytes)};
static struct cv_err err;

static CK_OBJECT_HANDLE make(const char *algorithm, struct cv_buf *spki)
{
    struct cv_generate_order order = {algorithm, CV_GENERATE_SLOT, id, LABEL};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;

    cv_err_init(&err);
    cv_buf_init(spki, NULL, CV_LIMIT_KEY_DER);
    scratch_ok(cv_generate_key(t.f, t.s, &order, spki, &key, NULL, &err), &err);
    return key;
}

static void drop(struct cv_buf *spki)
{
    size_t n;

    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &n, &err), &err);
    assert_int_equal(scratch_all(&t), 0);
    cv_buf_wipe(spki);
}

/* Seals, opens, and sees that what was changed does not open to the same. */
static void there_and_back(CK_OBJECT_HANDLE key, struct cv_bytes spki,
                           enum cv_slotkey_form form)
{
    struct cv_slotkey_sealed sealed, bent;
    struct cv_bytes ours, again, theirs;
    enum cv_status s;
    size_t i;

    scratch_ok(cv_slotkey_seal(spki, form, t.arena, &sealed, &ours, &err),
               &err);
    assert_int_equal(ours.len, CV_SLOTKEY_SECRET_LEN);
    assert_int_equal(sealed.form, form);
    scratch_ok(
        cv_slotkey_open(t.f, t.s, key, spki, &sealed, t.arena, &theirs, &err),
        &err);
    assert_true(cv_bytes_equal(ours, theirs));
    scratch_ok(cv_slotkey_seal(spki, form, t.arena, &bent, &again, &err), &err);
    assert_false(cv_bytes_equal(ours, again));

    for (i = 0; i < sealed.len; i += 7) {
        bent = sealed;
        bent.data[i] ^= 0x10;
        s = cv_slotkey_open(t.f, t.s, key, spki, &bent, t.arena, &theirs, &err);
        assert_true(s != CV_OK || !cv_bytes_equal(ours, theirs));
    }
    bent = sealed;
    bent.len--;
    assert_int_not_equal(
        cv_slotkey_open(t.f, t.s, key, spki, &bent, t.arena, &theirs, &err),
        CV_OK);
    assert_null(theirs.data);
}

static void softhsm(void **state)
{
    enum cv_slotkey_form form;
    struct cv_buf spki;
    CK_OBJECT_HANDLE key;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    key = make("rsa2048", &spki);
    /* SoftHSM knows OAEP with SHA-1 alone */
    scratch_ok(cv_slotkey_choose(t.f, t.s, key, cv_buf_bytes(&spki), t.arena,
                                 &form, &err),
               &err);
    assert_int_equal(form, CV_SLOTKEY_OAEP_SHA1);
    there_and_back(key, cv_buf_bytes(&spki), form);
    drop(&spki);
    key = make("p256", &spki);
    scratch_ok(cv_slotkey_choose(t.f, t.s, key, cv_buf_bytes(&spki), t.arena,
                                 &form, &err),
               &err);
    assert_int_equal(form, CV_SLOTKEY_ECDH);
    there_and_back(key, cv_buf_bytes(&spki), form);
    drop(&spki);
    key = make("p384", &spki);
    there_and_back(key, cv_buf_bytes(&spki), CV_SLOTKEY_ECDH);
    drop(&spki);
}

static void nss(void **state)
{
    enum cv_slotkey_form form;
    struct cv_buf spki;
    CK_OBJECT_HANDLE key;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    key = make("rsa2048", &spki);
    scratch_ok(cv_slotkey_choose(t.f, t.s, key, cv_buf_bytes(&spki), t.arena,
                                 &form, &err),
               &err);
    assert_int_equal(form, CV_SLOTKEY_OAEP_SHA256);
    there_and_back(key, cv_buf_bytes(&spki), CV_SLOTKEY_OAEP_SHA256);
    there_and_back(key, cv_buf_bytes(&spki), CV_SLOTKEY_OAEP_SHA1);
    drop(&spki);
    key = make("p256", &spki);
    there_and_back(key, cv_buf_bytes(&spki), CV_SLOTKEY_ECDH);
    drop(&spki);
}

static void a_key_is_made_that_does_nothing_else(void **state)
{
    struct cv_object_filter filter = {.by_class = true,
                                      .class = CKO_PRIVATE_KEY,
                                      .id = id,
                                      .token_only = true};
    struct cv_notes notes = {0};
    enum cv_slotkey_form form;
    CK_OBJECT_HANDLE key;
    struct cv_buf spki;
    size_t n;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    cv_err_init(&err);
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    scratch_ok(cv_slotkey_make(t.f, t.s, id, LABEL, t.arena, &spki, &form,
                               &notes, &err),
               &err);
    assert_int_equal(form, CV_SLOTKEY_ECDH);
    scratch_ok(cv_object_find(t.f, t.s, &filter, &key, 1, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(scratch_flag(&t, key, CKA_SIGN), 0);
    assert_int_equal(scratch_flag(&t, key, CKA_DERIVE), 1);
    assert_int_equal(scratch_flag(&t, key, CKA_EXTRACTABLE), 0);
    assert_int_equal(scratch_flag(&t, key, CKA_SENSITIVE), 1);
    assert_int_equal(notes.n, 0);
    there_and_back(key, cv_buf_bytes(&spki), form);
    drop(&spki);
}

static void a_leaky_token_is_told(void **state)
{
    struct cv_notes notes = {0};
    enum cv_slotkey_form form;
    struct cv_buf spki;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    cv_err_init(&err);
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    scratch_ok(cv_slotkey_make(t.f, t.s, id, LABEL, t.arena, &spki, &form,
                               &notes, &err),
               &err);
    assert_true(cv_notes_has(&notes, "lets this key out"));
    drop(&spki);
}

/* A token without ECDH gets an RSA key; without both, nothing is left. */
static CK_RV no_derive(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k,
                       CK_ATTRIBUTE *list, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    (void)s, (void)m, (void)k, (void)list, (void)n, (void)out;
    return CKR_MECHANISM_INVALID;
}

static CK_RV no_decrypt(CK_SESSION_HANDLE s, CK_MECHANISM *m,
                        CK_OBJECT_HANDLE k)
{
    (void)s, (void)m, (void)k;
    return CKR_FUNCTION_NOT_SUPPORTED;
}

static void the_next_best_is_taken(void **state)
{
    enum cv_slotkey_form form;
    struct cv_buf spki;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    cv_err_init(&err);
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    t.patched.C_DeriveKey = no_derive;
    scratch_ok(
        cv_slotkey_make(t.f, t.s, id, LABEL, t.arena, &spki, &form, NULL, &err),
        &err);
    assert_int_equal(form, CV_SLOTKEY_OAEP_SHA1);
    drop(&spki);
    t.patched.C_DecryptInit = no_decrypt;
    assert_int_equal(
        cv_slotkey_make(t.f, t.s, id, LABEL, t.arena, &spki, &form, NULL, &err),
        CV_INVALID);
    assert_non_null(strstr(err.text, "no key that opens a vault"));
    assert_int_equal(scratch_all(&t), 0);
    assert_int_equal(spki.len, 0);
}

static void words_and_wrong_keys(void **state)
{
    struct cv_slotkey_sealed sealed;
    enum cv_slotkey_form form;
    struct scratch_key ed, rsa;
    struct cv_bytes secret;
    int i;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    cv_err_init(&err);
    for (i = 0; i < CV_SLOTKEY_FORMS; i++) {
        scratch_ok(
            cv_slotkey_form_read(cv_slotkey_form_name((enum cv_slotkey_form)i),
                                 &form, &err),
            &err);
        assert_int_equal(form, i);
    }
    assert_int_equal(cv_slotkey_form_read("rsa", &form, &err), CV_INVALID);
    ed = scratch_make_key(&t, "ed25519");
    rsa = scratch_make_key(&t, "rsa");
    assert_int_equal(cv_slotkey_seal(ed.spki, CV_SLOTKEY_ECDH, t.arena, &sealed,
                                     &secret, &err),
                     CV_INVALID);
    assert_int_equal(cv_slotkey_seal(rsa.spki, CV_SLOTKEY_ECDH, t.arena,
                                     &sealed, &secret, &err),
                     CV_INVALID);
    assert_int_equal(cv_slotkey_seal((struct cv_bytes){rsa.spki.data, 20},
                                     CV_SLOTKEY_OAEP_SHA1, t.arena, &sealed,
                                     &secret, &err),
                     CV_INVALID);
    assert_null(secret.data);
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
        TEST(softhsm),
        TEST(nss),
        TEST(a_key_is_made_that_does_nothing_else),
        TEST(a_leaky_token_is_told),
        TEST(the_next_best_is_taken),
        TEST(words_and_wrong_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
