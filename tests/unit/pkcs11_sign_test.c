/* Signatures by real tokens, checked with libcrypto from outside; and by one
 * that answers what no token should. */
#include "tests/unit/pkcs11_rig.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ALGORITHMS[] = {
    "rsa_pkcs1_sha256",       "rsa_pkcs1_sha384",
    "rsa_pkcs1_sha512",       "rsa_pss_rsae_sha256",
    "rsa_pss_rsae_sha384",    "rsa_pss_rsae_sha512",
    "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384",
    "ecdsa_secp521r1_sha512", "ed25519"};
#define N_ALGORITHMS (sizeof(ALGORITHMS) / sizeof(ALGORITHMS[0]))

/* Which algorithms go with which key. */
static bool belongs(const char *kind, const char *algorithm)
{
    static const struct {
        const char *kind, *begins;
    } table[] = {{"rsa2048", "rsa_"},
                 {"p256", "ecdsa_secp256r1"},
                 {"p384", "ecdsa_secp384r1"},
                 {"p521", "ecdsa_secp521r1"},
                 {"ed25519", "ed25519"}};

    for (size_t i = 0; i < 5; i++) {
        if (strcmp(table[i].kind, kind) == 0) {
            return strncmp(algorithm, table[i].begins,
                           strlen(table[i].begins)) == 0;
        }
    }
    return false;
}

/* Libcrypto's word, by the default context and none of the library's code. */
static bool good(const char *algorithm, const struct cv_buf *spki,
                 struct cv_bytes data, const struct cv_buf *signature)
{
    const unsigned char *p = spki->data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki->len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *use = NULL;
    const char *md = strstr(algorithm, "sha256")   ? "SHA256"
                     : strstr(algorithm, "sha384") ? "SHA384"
                     : strstr(algorithm, "sha512") ? "SHA512"
                                                   : NULL;
    bool ok;

    assert_non_null(key);
    ok = EVP_DigestVerifyInit_ex(ctx, &use, md, NULL, NULL, key, NULL) == 1;
    if (ok && strncmp(algorithm, "rsa_pss", 7) == 0) {
        ok = EVP_PKEY_CTX_set_rsa_padding(use, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(use, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    ok = ok && EVP_DigestVerify(ctx, signature->data, signature->len, data.data,
                                data.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

static enum cv_status sign(struct rig *r, const char *id,
                           const struct cv_buf *spki, const char *algorithm,
                           struct cv_buf *signature)
{
    struct cv_sign_key key = {rig_bytes(id), cv_buf_bytes(spki)};

    cv_buf_init(signature, NULL, CV_LIMIT_SIGNATURE);
    cv_err_init(&r->err);
    return cv_sign(r->pool, &key, algorithm, rig_bytes("to be signed"),
                   signature, &r->err);
}

/* Every algorithm with one key: good ones verify, others are refused. */
static void try_all(struct rig *r, const char *kind, const char *id,
                    const struct cv_buf *spki)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        const char *a = ALGORITHMS[i];
        struct cv_buf signature;
        enum cv_status status = sign(r, id, spki, a, &signature);

        if (!belongs(kind, a)) {
            if (status != CV_INVALID) {
                fail_msg("%s with %s: %d %s", a, kind, status, r->err.text);
            }
            assert_int_equal(signature.len, 0);
        } else if (status != CV_OK) {
            fail_msg("%s with %s: %s", a, kind, r->err.text);
        } else {
            assert_true(good(a, spki, rig_bytes("to be signed"), &signature));
            signature.data[signature.len / 2] ^= 1;
            assert_false(good(a, spki, rig_bytes("to be signed"), &signature));
        }
        cv_buf_wipe(&signature);
    }
}

static void all_kinds(enum rig_kind kind, const char *more, size_t want)
{
    static const char *const kinds[] = {"rsa2048", "p256", "p384", "p521",
                                        "ed25519"};
    struct rig r;
    size_t n = 0;

    rig_begin_with(&r, kind, more);
    rig_login(&r);
    for (size_t i = 0; i < 5; i++) {
        struct cv_buf spki;

        if (kind == RIG_FAKE && strcmp(kinds[i], "p521") == 0) {
            continue; /* it would make another curve's key */
        }
        cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
        /* With and without the public key beside the private one. */
        if (rig_generate(&r, kinds[i], kinds[i], i % 2 == 0, &spki)) {
            try_all(&r, kinds[i], kinds[i], &spki);
            n++;
        }
        cv_buf_wipe(&spki);
    }
    assert_int_equal(n, want);
    rig_end(&r);
}

static void test_softhsm(void **state)
{
    (void)state;
    all_kinds(RIG_SOFTHSM, "", 5);
}

/* The ways that are left when a token has fewer mechanisms. */
static void test_softhsm_few_mechanisms(void **state)
{
    (void)state;
    all_kinds(RIG_SOFTHSM,
              "slots.mechanisms = -CKM_RSA_PKCS,CKM_RSA_PKCS_PSS\n", 5);
    all_kinds(RIG_SOFTHSM,
              "slots.mechanisms = -CKM_RSA_PKCS_PSS,CKM_SHA256_RSA_PKCS_PSS,"
              "CKM_SHA384_RSA_PKCS_PSS,CKM_SHA512_RSA_PKCS_PSS\n",
              5);
}

static void test_nss(void **state)
{
    (void)state;
    all_kinds(RIG_NSS, "", 4);
}

static void test_fake(void **state)
{
    (void)state;
    all_kinds(RIG_FAKE, "", 4);
}

/* No signature leaves that the certificate's key did not make. */
static void test_wrong_answers(void **state)
{
    static const char *const lies[] = {"wrong", "zero",  "short",
                                       "long",  "empty", "der"};
    struct rig r;
    struct cv_buf spki, signature;
    char control[64];

    (void)state;
    rig_begin(&r, RIG_FAKE);
    rig_login(&r);
    for (size_t k = 0; k < 2; k++) {
        const char *kind = k == 0 ? "p256" : "rsa2048";

        cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
        assert_true(rig_generate(&r, kind, kind, true, &spki));
        for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]) - k; i++) {
            (void)snprintf(control, sizeof(control), "sign=%s\n", lies[i]);
            rig_write(&r, "control", control);
            assert_int_equal(
                sign(&r, kind, &spki,
                     k == 0 ? "ecdsa_secp256r1_sha256" : "rsa_pss_rsae_sha256",
                     &signature),
                CV_INTEGRITY);
            assert_int_equal(signature.len, 0);
            assert_string_not_equal(r.err.state, "");
        }
        rig_write(&r, "control", "");
        cv_buf_wipe(&spki);
    }
    rig_end(&r);
}

/* A handle that means another key when it is used: never that key's. */
static void test_stale_handles(void **state)
{
    struct rig r;
    struct cv_buf spki, other, signature;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    rig_login(&r);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&other, NULL, CV_LIMIT_ATTRIBUTE);
    assert_true(rig_generate(&r, "p256", "mine", true, &spki));
    assert_true(rig_generate(&r, "p256", "other", true, &other));
    assert_int_equal(
        sign(&r, "mine", &spki, "ecdsa_secp256r1_sha256", &signature), CV_OK);
    cv_buf_wipe(&signature);
    rig_write(&r, "control", "handles=stale\n");
    assert_int_equal(
        sign(&r, "mine", &spki, "ecdsa_secp256r1_sha256", &signature),
        CV_INTEGRITY);
    assert_int_equal(signature.len, 0);
    cv_buf_wipe(&spki);
    cv_buf_wipe(&other);
    rig_end(&r);
}

/* The id is there with another key behind it: that one is not used. */
static void test_other_key(void **state)
{
    static const struct {
        const char *kind, *algorithm;
    } table[] = {{"rsa2048", "rsa_pkcs1_sha256"},
                 {"p256", "ecdsa_secp256r1_sha256"}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct rig r;
        struct cv_buf spki, theirs, signature;
        EVP_PKEY *key;

        rig_begin(&r, RIG_SOFTHSM);
        rig_login(&r);
        cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
        cv_buf_init(&theirs, NULL, CV_LIMIT_ATTRIBUTE);
        key = rig_key(table[i % 2].kind, &spki);
        /* Without a public key object an EC key tells nothing: then only the
         * signature shows whose it is. */
        assert_true(rig_generate(&r, table[i % 2].kind, "id", i < 2, &theirs));
        assert_int_equal(
            sign(&r, "id", &spki, table[i % 2].algorithm, &signature),
            CV_INTEGRITY);
        assert_int_equal(signature.len, 0);
        EVP_PKEY_free(key);
        cv_buf_wipe(&spki);
        cv_buf_wipe(&theirs);
        rig_end(&r);
    }
}

/* Where the objects tell it beforehand, the other key does not sign at all. */
static void test_other_key_is_not_used(void **state)
{
    struct rig r;
    struct cv_buf spki, theirs, signature;
    EVP_PKEY *key;

    (void)state;
    rig_begin_with(&r, RIG_FAKE, "calls=1\n");
    rig_login(&r);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&theirs, NULL, CV_LIMIT_ATTRIBUTE);
    key = rig_key("p256", &spki);
    assert_true(rig_generate(&r, "p256", "id", true, &theirs));
    assert_int_equal(
        sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature),
        CV_INTEGRITY);
    assert_int_equal(rig_count(&r, "calls.log", "C_SignInit"), 0);
    assert_int_equal(
        sign(&r, "id", &theirs, "ecdsa_secp256r1_sha256", &signature), CV_OK);
    assert_int_equal(rig_count(&r, "calls.log", "C_SignInit"), 1);
    EVP_PKEY_free(key);
    cv_buf_wipe(&signature);
    cv_buf_wipe(&spki);
    cv_buf_wipe(&theirs);
    rig_end(&r);
}

/* Two private keys with one id. */
static void test_ambiguous(void **state)
{
    struct rig r;
    struct cv_buf spki, other, signature;
    EVP_PKEY *rsa, *ec;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    rig_login(&r);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&other, NULL, CV_LIMIT_ATTRIBUTE);
    rsa = rig_key("rsa2048", &spki);
    rig_import(&r, rsa, "one");
    assert_int_equal(sign(&r, "one", &spki, "rsa_pkcs1_sha256", &signature),
                     CV_OK);
    cv_buf_wipe(&signature);
    /* Another key that says so is no danger... */
    assert_true(rig_generate(&r, "rsa2048", "one", false, &other));
    assert_int_equal(sign(&r, "one", &spki, "rsa_pkcs1_sha256", &signature),
                     CV_OK);
    cv_buf_wipe(&signature);
    /* ...but the same one twice is not ours alone. */
    rig_import(&r, rsa, "one");
    assert_int_equal(sign(&r, "one", &spki, "rsa_pkcs1_sha256", &signature),
                     CV_INTEGRITY);

    /* Two that do not say which they are. */
    cv_buf_wipe(&spki);
    ec = rig_key("p256", &spki);
    rig_import(&r, ec, "two");
    assert_int_equal(
        sign(&r, "two", &spki, "ecdsa_secp256r1_sha256", &signature), CV_OK);
    cv_buf_wipe(&signature);
    cv_buf_wipe(&other);
    assert_true(rig_generate(&r, "p256", "two", true, &other));
    assert_int_equal(
        sign(&r, "two", &spki, "ecdsa_secp256r1_sha256", &signature),
        CV_INTEGRITY);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    cv_buf_wipe(&spki);
    cv_buf_wipe(&other);
    rig_end(&r);
}

static void test_not_there(void **state)
{
    struct rig r;
    struct cv_buf spki, signature;
    EVP_PKEY *key;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    key = rig_key("p256", &spki);
    assert_int_equal(
        sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature), CV_LOCKED);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
    rig_login(&r);
    assert_int_equal(
        sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature),
        CV_NOT_FOUND);
    assert_int_equal(sign(&r, "id", &spki, "sha1", &signature), CV_INVALID);
    EVP_PKEY_free(key);
    cv_buf_wipe(&spki);
    rig_end(&r);
}

/* Keys that want the PIN at each use. */
static void test_always_authenticate(void **state)
{
    struct rig r;
    struct cv_buf spki, signature;

    (void)state;
    rig_begin_with(&r, RIG_FAKE, "always-authenticate=1\n");
    rig_login(&r);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    assert_true(rig_generate(&r, "p256", "id", true, &spki));
    /* Nothing was kept: asked for, and then the same login serves. */
    assert_int_equal(
        sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature), CV_LOCKED);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
    rig_login(&r);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature), CV_OK);
        cv_buf_wipe(&signature);
    }
    /* A failure on the way: not a second C_Login in the same breath. */
    {
        size_t before = rig_count(&r, "logins.log", "\n");

        rig_write(&r, "control",
                  "always-authenticate=1\n"
                  "once=C_Login rv-after:0x5\n");
        assert_int_equal(
            sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature),
            CV_UNAVAILABLE);
        assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOAD);
        assert_int_equal(rig_count(&r, "logins.log", "\n"), before + 1);
        assert_int_equal(
            sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature),
            CV_LOCKED);
        rig_login(&r);
        assert_int_equal(
            sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature), CV_OK);
        cv_buf_wipe(&signature);
    }
    /* The PIN is changed elsewhere: one try, then none. */
    rig_write(&r, "pin", "9999");
    assert_int_equal(
        sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature), CV_AUTH);
    assert_int_equal(rig_count(&r, "logins.log", "wrong"), 1);
    assert_int_equal(
        sign(&r, "id", &spki, "ecdsa_secp256r1_sha256", &signature), CV_LOCKED);
    assert_int_equal(rig_count(&r, "logins.log", "wrong"), 1);
    cv_buf_wipe(&spki);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softhsm),
        cmocka_unit_test(test_softhsm_few_mechanisms),
        cmocka_unit_test(test_nss),
        cmocka_unit_test(test_fake),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_stale_handles),
        cmocka_unit_test(test_other_key),
        cmocka_unit_test(test_other_key_is_not_used),
        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_always_authenticate),
    };

    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
