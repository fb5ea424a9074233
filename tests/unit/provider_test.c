/* A key that signs elsewhere, as libcrypto's own functions see it. What it
 * signs is checked with the certificate's key, by the default provider. */
#include "tests/unit/tls_rig.h"

#include "vault/base/limits.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cv_provider *provider;

static int begin(void **state)
{
    (void)state;
    return cv_arena_start(NULL) == CV_OK &&
                   cv_provider_new(&provider, NULL) == CV_OK
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    cv_provider_free(provider);
    return 0;
}

struct subject {
    struct tls_rig_id id, other;
    struct tls_rig_signer signer;
    EVP_PKEY *key; /* ours */
};

static void begin_subject(const char *kind, struct subject *s)
{
    struct tls_rig_wish wish = {.kind = kind};
    struct cv_err err;

    tls_rig_make(&wish, &s->id);
    wish.other = true;
    tls_rig_make(&wish, &s->other);
    tls_rig_signer(&s->id, &s->signer);
    cv_err_init(&err);
    if (cv_provider_key(provider, (struct cv_bytes){s->id.spki, s->id.spki_len},
                        tls_rig_sign, &s->signer, &s->key, &err) != CV_OK) {
        fail_msg("%s: %s", kind, err.text);
    }
}

static void end_subject(struct subject *s)
{
    EVP_PKEY_free(s->key);
    tls_rig_free(&s->id);
    tls_rig_free(&s->other);
}

/* What may be known of it is what the public key says; and nothing else is. */
static void looks(const char *kind)
{
    struct subject s;
    EVP_PKEY *public, *foreign, *copy;
    unsigned char *der = NULL;
    BIGNUM *secret = NULL;
    PKCS8_PRIV_KEY_INFO *info;
    BIO *sink = BIO_new(BIO_s_mem());
    char one[64] = "", two[64] = "";

    begin_subject(kind, &s);
    public = X509_get0_pubkey(s.id.certificate);
    foreign = X509_get0_pubkey(s.other.certificate);
    assert_int_equal(EVP_PKEY_eq(public, s.key), 1);
    assert_int_equal(EVP_PKEY_eq(s.key, public), 1);
    assert_int_equal(EVP_PKEY_eq(s.key, s.key), 1);
    assert_int_not_equal(EVP_PKEY_eq(foreign, s.key), 1);
    assert_int_not_equal(EVP_PKEY_eq(s.key, foreign), 1);
    assert_int_equal(EVP_PKEY_get_bits(s.key), EVP_PKEY_get_bits(public));
    assert_int_equal(EVP_PKEY_get_size(s.key), EVP_PKEY_get_size(public));
    assert_int_equal(EVP_PKEY_get_security_bits(s.key),
                     EVP_PKEY_get_security_bits(public));
    assert_int_equal(EVP_PKEY_get_group_name(s.key, one, sizeof(one), NULL),
                     EVP_PKEY_get_group_name(public, two, sizeof(two), NULL));
    assert_string_equal(one, two);
    assert_int_equal(i2d_PUBKEY(s.key, &der), (int)s.id.spki_len);
    assert_memory_equal(der, s.id.spki, s.id.spki_len);
    OPENSSL_free(der);
    assert_int_equal(PEM_write_bio_PUBKEY(sink, s.key), 1);
    BIO_reset(sink);

    der = NULL;
    assert_true(i2d_PrivateKey(s.key, &der) <= 0);
    assert_null(der);
    info = EVP_PKEY2PKCS8(s.key);
    assert_null(info);
    copy = EVP_PKEY_dup(s.key);
    assert_null(copy);
    assert_int_not_equal(EVP_PKEY_get_bn_param(s.key, "d", &secret), 1);
    assert_int_not_equal(EVP_PKEY_get_bn_param(s.key, "priv", &secret), 1);
    assert_null(secret);
    assert_int_equal(
        PEM_write_bio_PrivateKey(sink, s.key, NULL, NULL, 0, NULL, NULL), 0);
    assert_int_equal(BIO_pending(sink), 0);
    BIO_free(sink);
    ERR_clear_error();
    end_subject(&s);
}

static void shows_the_public_half_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        looks(tls_rig_kinds[i]);
    }
}

/* A certificate request signed by it, for each digest and padding. */
static void sign_request(struct subject *s, const char *digest, bool pss,
                         const char *algorithm)
{
    X509_REQ *request = X509_REQ_new(), *plain = X509_REQ_new();
    X509_REQ *requests[2] = {request, plain};
    EVP_PKEY *keys[2] = {s->key, s->id.key};
    const X509_ALGOR *identifiers[2];
    int asked = s->signer.asked;

    for (size_t i = 0; i < 2; i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *how = NULL;

        X509_REQ_set_version(requests[i], X509_REQ_VERSION_1);
        assert_int_equal(X509_REQ_set_pubkey(requests[i], keys[i]), 1);
        assert_int_equal(
            EVP_DigestSignInit_ex(ctx, &how, digest, NULL, NULL, keys[i], NULL),
            1);
        if (pss) {
            assert_int_equal(
                EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING), 1);
            assert_int_equal(
                EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST),
                1);
        }
        if (X509_REQ_sign_ctx(requests[i], ctx) <= 0) {
            ERR_print_errors_fp(stderr);
            fail_msg("%s: no request is signed", algorithm);
        }
        EVP_MD_CTX_free(ctx);
        X509_REQ_get0_signature(requests[i], NULL, &identifiers[i]);
    }
    assert_string_equal(s->signer.purpose, "csr");
    assert_string_equal(s->signer.algorithm, algorithm);
    assert_int_equal(s->signer.asked, asked + 1);
    assert_int_equal(X509_REQ_verify(request, s->id.key), 1);
    assert_int_not_equal(X509_REQ_verify(request, s->other.key), 1);
    assert_int_equal(X509_ALGOR_cmp(identifiers[0], identifiers[1]), 0);
    X509_REQ_free(request);
    X509_REQ_free(plain);
    ERR_clear_error();
}

static const struct {
    const char *kind, *digest;
    bool pss;
    const char *algorithm;
} TABLE[] = {
    {"rsa2048", "SHA256", false, "rsa_pkcs1_sha256"},
    {"rsa2048", "SHA2-384", false, "rsa_pkcs1_sha384"},
    {"rsa2048", "SHA-512", false, "rsa_pkcs1_sha512"},
    {"rsa2048", "SHA2-256", true, "rsa_pss_rsae_sha256"},
    {"rsa2048", "SHA384", true, "rsa_pss_rsae_sha384"},
    {"rsa2048", "SHA512", true, "rsa_pss_rsae_sha512"},
    {"rsa4096", "SHA256", true, "rsa_pss_rsae_sha256"},
    {"p256", "SHA-256", false, "ecdsa_secp256r1_sha256"},
    {"p384", "SHA384", false, "ecdsa_secp384r1_sha384"},
    {"p521", "SHA2-512", false, "ecdsa_secp521r1_sha512"},
    {"ed25519", NULL, false, "ed25519"},
};
#define N_TABLE (sizeof(TABLE) / sizeof(TABLE[0]))

static void signs_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TABLE; i++) {
        struct subject s;

        begin_subject(TABLE[i].kind, &s);
        sign_request(&s, TABLE[i].digest, TABLE[i].pss, TABLE[i].algorithm);
        end_subject(&s);
    }
}

/* X509_REQ_sign without a digest takes the key's own. */
static void has_a_digest_of_its_own(void **state)
{
    static const char *const own[TLS_RIG_KINDS] = {
        "rsa_pkcs1_sha256",       "rsa_pkcs1_sha256",
        "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384",
        "ecdsa_secp521r1_sha512", "ed25519"};

    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        struct subject s;
        X509_REQ *request = X509_REQ_new();

        begin_subject(tls_rig_kinds[i], &s);
        assert_int_equal(X509_REQ_set_version(request, X509_REQ_VERSION_1), 1);
        assert_int_equal(X509_REQ_set_pubkey(request, s.key), 1);
        assert_true(X509_REQ_sign(request, s.key, NULL) > 0);
        assert_string_equal(s.signer.algorithm, own[i]);
        assert_int_equal(X509_REQ_verify(request, s.id.key), 1);
        X509_REQ_free(request);
        end_subject(&s);
    }
}

static bool signs(EVP_PKEY *key, const char *digest, const void *data,
                  size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[CV_LIMIT_SIGNATURE];
    size_t signature_len = sizeof(signature);
    bool ok =
        EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1 &&
        EVP_DigestSign(ctx, signature, &signature_len, data, len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

/* Neither a digest, nor bytes that are none of the three. */
static void signs_nothing_else(void **state)
{
    static const char blanks[] = "                                "
                                 "                                ";
    uint8_t data[200];
    size_t len = 64;

    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        const char *text = "";
        int flags = 0;
        struct subject s;
        EVP_PKEY_CTX *ctx;

        begin_subject(tls_rig_kinds[i], &s);
        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s.key, NULL);
        assert_non_null(ctx);
        assert_int_not_equal(EVP_PKEY_sign_init(ctx), 1);
        EVP_PKEY_CTX_free(ctx);

        ERR_clear_error();
        memset(data, 7, sizeof(data));
        assert_false(signs(s.key, NULL, data, 32));
        assert_false(signs(s.key, NULL, data, 0));
        memset(data, 0, sizeof(data));
        data[0] = 1; /* a digest that begins as a ClientHello does */
        data[2] = 0xff;
        assert_false(signs(s.key, NULL, data, 32));
        /* a server's CertificateVerify, and a client's without a hash */
        memcpy(data, blanks, len);
        memcpy(data + len, "TLS 1.3, server CertificateVerify", 34);
        assert_false(signs(s.key, NULL, data, len + 34 + 32));
        memcpy(data + len, "TLS 1.3, client CertificateVerify", 34);
        assert_false(signs(s.key, NULL, data, len + 34));
        assert_int_equal(s.signer.asked, 0);
        (void)ERR_get_error_all(NULL, NULL, NULL, &text, &flags);
        assert_non_null(strstr(text, "neither a TLS handshake nor"));
        ERR_clear_error();
        end_subject(&s);
    }
}

static void takes_no_other_algorithm(void **state)
{
    static const struct {
        const char *kind, *digest;
    } bad[] = {
        {"p256", "SHA384"},    {"p384", "SHA256"},  {"p521", "SHA256"},
        {"p256", "SHA1"},      {"rsa2048", "SHA1"}, {"rsa2048", "MD5"},
        {"rsa2048", "SHA224"}, {"rsa2048", "none"}, {"ed25519", "SHA512"}};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        struct subject s;

        begin_subject(bad[i].kind, &s);
        if (EVP_DigestSignInit_ex(ctx, NULL, bad[i].digest, NULL, NULL, s.key,
                                  NULL) == 1) {
            fail_msg("%s with %s", bad[i].kind, bad[i].digest);
        }
        EVP_MD_CTX_free(ctx);
        ERR_clear_error();
        end_subject(&s);
    }
}

static void takes_no_other_salt(void **state)
{
    static const struct {
        int salt;
        bool good;
    } salts[] = {{RSA_PSS_SALTLEN_DIGEST, true},
                 {32, true},
                 {RSA_PSS_SALTLEN_MAX, false},
                 {RSA_PSS_SALTLEN_AUTO, false},
                 {0, false},
                 {20, false},
                 {48, false}};
    struct subject s;

    (void)state;
    begin_subject("rsa2048", &s);
    for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *how = NULL;

        assert_int_equal(
            EVP_DigestSignInit_ex(ctx, &how, "SHA256", NULL, NULL, s.key, NULL),
            1);
        assert_int_equal(
            EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, salts[i].salt) ==
                             1,
                         salts[i].good);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(how, EVP_sha256()), 1);
        assert_int_not_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(how, EVP_sha1()), 1);
        assert_int_not_equal(EVP_PKEY_CTX_set_rsa_padding(how, RSA_NO_PADDING),
                             1);
        EVP_MD_CTX_free(ctx);
    }
    ERR_clear_error();
    end_subject(&s);
}

/* The form of a TLS 1.3 client's CertificateVerify. */
static size_t verify_bytes(uint8_t out[130])
{
    memset(out, ' ', 64);
    memcpy(out + 64, "TLS 1.3, client CertificateVerify", 34);
    memset(out + 98, 0x5a, 32);
    return 130;
}

/* In pieces, and with a context that was copied half way. */
static void collects_pieces(void **state)
{
    struct subject s;
    uint8_t data[130], one[256], two[256];
    size_t len = verify_bytes(data), one_len = sizeof(one),
           two_len = sizeof(two), longest = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    EVP_MD_CTX *check = EVP_MD_CTX_new();

    (void)state;
    begin_subject("p256", &s);
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, s.key, NULL), 1);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(EVP_DigestSignUpdate(ctx, data + i, 1), 1);
    }
    assert_int_equal(EVP_MD_CTX_copy_ex(copy, ctx), 1);
    assert_int_equal(EVP_DigestSignUpdate(ctx, data + 100, len - 100), 1);
    assert_int_equal(EVP_DigestSignUpdate(copy, data + 100, len - 100), 1);
    assert_int_equal(EVP_DigestSignFinal(ctx, NULL, &longest), 1);
    assert_int_equal(longest, 72);
    assert_int_equal(s.signer.asked, 0);
    assert_int_equal(EVP_DigestSignFinal(ctx, one, &one_len), 1);
    assert_int_equal(EVP_DigestSignFinal(copy, two, &two_len), 1);
    assert_int_equal(s.signer.asked, 2);
    assert_int_equal(EVP_DigestVerifyInit_ex(check, NULL, "SHA256", NULL, NULL,
                                             s.id.key, NULL),
                     1);
    assert_int_equal(EVP_DigestVerify(check, one, one_len, data, len), 1);
    EVP_MD_CTX_reset(check);
    assert_int_equal(EVP_DigestVerifyInit_ex(check, NULL, "SHA256", NULL, NULL,
                                             s.id.key, NULL),
                     1);
    assert_int_equal(EVP_DigestVerify(check, two, two_len, data, len), 1);
    EVP_MD_CTX_free(ctx);
    EVP_MD_CTX_free(copy);
    EVP_MD_CTX_free(check);
    end_subject(&s);
}

static void keeps_to_the_ceiling(void **state)
{
    struct subject s;
    size_t len = CV_LIMIT_SIGN_DATA + 1;
    uint8_t *data = calloc(1, len);
    uint8_t out[256];
    size_t out_len = sizeof(out);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    (void)state;
    begin_subject("p256", &s);
    data[0] = 0x30;
    assert_false(signs(s.key, "SHA256", data, len));
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, s.key, NULL), 1);
    assert_int_equal(EVP_DigestSignUpdate(ctx, data, len - 1), 1);
    assert_int_not_equal(EVP_DigestSignUpdate(ctx, data, 2), 1);
    assert_int_not_equal(EVP_DigestSignFinal(ctx, out, &out_len), 1);
    assert_int_equal(s.signer.asked, 0);
    EVP_MD_CTX_free(ctx);
    free(data);
    ERR_clear_error();
    end_subject(&s);
}

/* What the signer says is told, and a signature of another length is none. */
static void tells_what_the_signer_says(void **state)
{
    uint8_t data[130];
    size_t len = verify_bytes(data);
    const char *text = NULL;
    int flags = 0;

    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        struct subject s;

        begin_subject(tls_rig_kinds[i], &s);
        ERR_clear_error();
        s.signer.fail = CV_DENIED;
        assert_false(signs(s.key, NULL, data, len));
        assert_int_equal(s.signer.asked, 1);
        (void)ERR_get_error_all(NULL, NULL, NULL, &text, &flags);
        assert_string_equal(text, "the signer says no");
        s.signer.fail = CV_OK;
        s.signer.trim =
            s.id.spki[0] == 0x30 && tls_rig_kinds[i][0] == 'p' ? 70 : 1;
        ERR_clear_error();
        assert_false(signs(s.key, NULL, data, len));
        assert_int_equal(s.signer.asked, 2);
        ERR_clear_error();
        end_subject(&s);
    }
}

static void is_found_by_nobody_else(void **state)
{
    EVP_KEYMGMT *type = EVP_KEYMGMT_fetch(NULL, "RSA", "provider=certvault");
    struct subject s;
    EVP_PKEY *fresh;

    (void)state;
    assert_null(type);
    assert_int_equal(OSSL_PROVIDER_available(NULL, "certvault"), 0);
    begin_subject("p256", &s);
    fresh = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_non_null(fresh);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(fresh)),
                        "default");
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(s.key)),
                        "certvault");
    EVP_PKEY_free(fresh);
    ERR_clear_error();
    end_subject(&s);
}

static void refuses_other_keys(void **state)
{
    static const char *const kinds[] = {"P-224", "secp256k1", "X25519",
                                        "ED448", "RSA1024",   "DSA"};
    struct subject s;
    EVP_PKEY *key = NULL;
    uint8_t more[600];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        EVP_PKEY *odd = strncmp(kinds[i], "RSA", 3) == 0
                            ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024)
                        : kinds[i][0] == 'P' || kinds[i][0] == 's'
                            ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[i])
                            : EVP_PKEY_Q_keygen(NULL, NULL, kinds[i]);
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(odd, &der);

        assert_true(len > 0);
        assert_int_equal(cv_provider_key(provider,
                                         (struct cv_bytes){der, (size_t)len},
                                         tls_rig_sign, NULL, &key, NULL),
                         CV_INVALID);
        assert_null(key);
        OPENSSL_free(der);
        EVP_PKEY_free(odd);
    }
    begin_subject("p256", &s);
    memcpy(more, s.id.spki, s.id.spki_len);
    more[s.id.spki_len] = 0;
    for (size_t len = 0; len <= s.id.spki_len + 1; len++) {
        assert_int_equal(cv_provider_key(provider, (struct cv_bytes){more, len},
                                         tls_rig_sign, NULL, &key, NULL),
                         len == s.id.spki_len ? CV_OK : CV_INVALID);
        EVP_PKEY_free(key);
    }
    end_subject(&s);
}

static void *sign_often(void *v)
{
    EVP_PKEY *key = v;
    uint8_t data[130];
    size_t len = verify_bytes(data);
    intptr_t good = 0;

    for (size_t i = 0; i < 50; i++) {
        good += signs(key, "SHA256", data, len);
    }
    return (void *)good;
}

static enum cv_status sign_quietly(void *context, const char *purpose,
                                   const char *algorithm, struct cv_bytes data,
                                   struct cv_buf *signature, struct cv_err *err)
{
    (void)purpose;
    (void)err;
    return tls_rig_sign_with(context, algorithm, data, signature) ? CV_OK
                                                                  : CV_FAILED;
}

static void may_be_used_by_several(void **state)
{
    struct subject s;
    pthread_t threads[4];
    EVP_PKEY *key = NULL;

    (void)state;
    begin_subject("p256", &s);
    assert_int_equal(
        cv_provider_key(provider, (struct cv_bytes){s.id.spki, s.id.spki_len},
                        sign_quietly, s.id.key, &key, NULL),
        CV_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, key), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *good = NULL;

        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 50);
    }
    EVP_PKEY_free(key);
    end_subject(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_public_half_alone),
        cmocka_unit_test(signs_requests),
        cmocka_unit_test(has_a_digest_of_its_own),
        cmocka_unit_test(signs_nothing_else),
        cmocka_unit_test(takes_no_other_algorithm),
        cmocka_unit_test(takes_no_other_salt),
        cmocka_unit_test(collects_pieces),
        cmocka_unit_test(keeps_to_the_ceiling),
        cmocka_unit_test(tells_what_the_signer_says),
        cmocka_unit_test(is_found_by_nobody_else),
        cmocka_unit_test(refuses_other_keys),
        cmocka_unit_test(may_be_used_by_several),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
