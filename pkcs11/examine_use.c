/* Attacks that use the key for what it is not for, and the use that it is
 * for. */
#include "pkcs11/create_internal.h"
#include "pkcs11/examine_internal.h"
#include "pkcs11/login.h"
#include "pkcs11/mechanism.h"

#include <openssl/ecdsa.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

#define SECRET_LEN 32
#define POINT_MAX 200
#define RSA_MAX 1024 /* bytes: 8192 bits */
#define DIGEST_LEN 32

/* What an answer of CKR_OK is worth to somebody who may not do this. */
static enum cv_examine_result misuse(const struct examine *e,
                                     enum cv_examine_flag flag)
{
    return e->out->flags[flag] == CV_EXAMINE_YES && (e->slot || !e->fresh)
               ? CV_EXAMINE_NOT_POSSIBLE
               : CV_EXAMINE_MISUSED;
}

static void secret_template(struct cv_attribute_template *t)
{
    cv_attribute_start(t);
    cv_attribute_add_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    cv_attribute_add_ulong(t, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    cv_attribute_add_bool(t, CKA_TOKEN, false);
    cv_attribute_add_bool(t, CKA_SENSITIVE, false);
    cv_attribute_add_bool(t, CKA_EXTRACTABLE, true);
    cv_attribute_add_ulong(t, CKA_VALUE_LEN, SECRET_LEN);
}

static CK_RV derive(struct examine *e, CK_MECHANISM *m, CK_OBJECT_HANDLE *out)
{
    struct cv_attribute_template t;

    *out = CK_INVALID_HANDLE;
    secret_template(&t);
    return e->f->C_DeriveKey(e->s, m, e->key, t.items, t.n, out);
}

/* By mechanisms that make a key out of another's bytes: what they give holds
 * the base key. */
static void derive_bytes(struct examine *e)
{
    static uint8_t data[SECRET_LEN];
    CK_KEY_DERIVATION_STRING_DATA string = {data, sizeof(data)};
    CK_MECHANISM tries[] = {
        {CKM_CONCATENATE_BASE_AND_DATA, &string, sizeof(string)},
        {CKM_CONCATENATE_DATA_AND_BASE, &string, sizeof(string)},
        {CKM_XOR_BASE_AND_DATA, &string, sizeof(string)},
    };
    size_t i;

    for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        CK_OBJECT_HANDLE derived;
        CK_RV rv = derive(e, &tries[i], &derived), read;

        if (rv != CKR_OK) {
            cv_examine_note(e, CV_EXAMINE_DERIVE, cv_examine_of(rv), rv);
            continue;
        }
        cv_examine_note(e, CV_EXAMINE_DERIVE,
                        cv_examine_reads(e, derived, CKA_VALUE, &read)
                            ? CV_EXAMINE_LEAKED
                            : CV_EXAMINE_MISUSED,
                        rv);
        cv_create_drop(e->f, e->s, derived);
    }
}

/* ECDH with a point of the same curve: the key's own will do. */
static void derive_ecdh(struct examine *e)
{
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, 0, NULL};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof(params)};
    uint8_t point[POINT_MAX];
    CK_OBJECT_HANDLE derived;
    size_t len = 0;
    CK_RV rv;

    if (!EVP_PKEY_get_octet_string_param(e->public_key, "encoded-pub-key",
                                         point, sizeof(point), &len)) {
        return;
    }
    params.pPublicData = point;
    params.ulPublicDataLen = len;
    rv = derive(e, &m, &derived);
    if (rv != CKR_OK) {
        cv_examine_note(e, CV_EXAMINE_DERIVE, cv_examine_of(rv), rv);
        return;
    }
    cv_examine_note(e, CV_EXAMINE_DERIVE, misuse(e, CV_EXAMINE_MAY_DERIVE), rv);
    cv_create_drop(e->f, e->s, derived);
}

/* A digest is not the key, and a private key has no business there (SoftHSM
 * digests the scalar of an EC key; of an RSA key, nothing). */
static void attack_digest(struct examine *e)
{
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    uint8_t digest[DIGEST_LEN] = {0}, nothing[DIGEST_LEN];
    enum cv_examine_result result;
    CK_ULONG len = sizeof(digest);
    CK_RV rv = e->f->C_DigestInit(e->s, &m);

    if (rv == CKR_OK) {
        rv = e->f->C_DigestKey(e->s, e->key);
        /* ends the operation, where the refusal did not */
        (void)e->f->C_DigestFinal(e->s, digest, &len);
    }
    if (rv != CKR_OK) {
        result = cv_examine_of(rv);
    } else if (EVP_Digest("", 0, nothing, NULL, EVP_sha256(), NULL) == 1 &&
               memcmp(nothing, digest, sizeof(digest)) == 0) {
        result = CV_EXAMINE_REFUSED;
    } else {
        result = CV_EXAMINE_MISUSED;
        cv_examine_lie(e, "C_DigestKey takes the private key");
    }
    cv_examine_note(e, CV_EXAMINE_DIGEST, result, rv);
}

/* Encrypts to the key by PKCS #1 v1.5; 0 when that cannot be. */
static size_t encrypt_to(const struct examine *e, const uint8_t *secret,
                         uint8_t *out, size_t room)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, e->public_key, NULL);
    size_t len = room;
    bool ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
              EVP_PKEY_encrypt(ctx, out, &len, secret, SECRET_LEN) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok ? len : 0;
}

static void decrypt(struct examine *e, uint8_t *sealed, size_t len,
                    const uint8_t *secret)
{
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    uint8_t plain[RSA_MAX];
    CK_ULONG plain_len = sizeof(plain);
    CK_RV rv = e->f->C_DecryptInit(e->s, &m, e->key);

    if (rv == CKR_OK) {
        rv = e->f->C_Decrypt(e->s, sealed, len, plain, &plain_len);
        if (rv != CKR_OK) {
            /* tpm2-pkcs11 leaves it active where the TPM refuses. */
            plain_len = sizeof(plain);
            (void)e->f->C_DecryptFinal(e->s, plain, &plain_len);
        }
    }
    cv_examine_note(e, CV_EXAMINE_DECRYPT,
                    rv != CKR_OK ? cv_examine_of(rv)
                    : plain_len == SECRET_LEN &&
                            memcmp(plain, secret, SECRET_LEN) == 0
                        ? misuse(e, CV_EXAMINE_MAY_DECRYPT)
                        : CV_EXAMINE_ERROR,
                    rv);
    OPENSSL_cleanse(plain, sizeof(plain));
}

static void unwrap(struct examine *e, uint8_t *sealed, size_t len)
{
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    struct cv_attribute_template t;
    CK_RV rv;

    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    cv_attribute_add_ulong(&t, CKA_KEY_TYPE, CKK_AES);
    cv_attribute_add_bool(&t, CKA_TOKEN, false);
    rv = e->f->C_UnwrapKey(e->s, &m, e->key, sealed, len, t.items, t.n, &aes);
    if (rv == CKR_OK) {
        cv_create_drop(e->f, e->s, aes);
    }
    cv_examine_note(e, CV_EXAMINE_DECRYPT,
                    rv == CKR_OK ? misuse(e, CV_EXAMINE_MAY_UNWRAP)
                                 : cv_examine_of(rv),
                    rv);
}

static void attack_decrypt(struct examine *e)
{
    uint8_t sealed[RSA_MAX], secret[SECRET_LEN];
    size_t len;

    if (e->type != CKK_RSA || RAND_bytes(secret, sizeof(secret)) != 1) {
        return; /* nothing decrypts with an EC key itself */
    }
    len = encrypt_to(e, secret, sealed, sizeof(sealed));
    if (len > 0) {
        decrypt(e, sealed, len, secret);
        unwrap(e, sealed, len);
    }
}

/* Usages that are off, can they be turned on? */
static void attack_usage(struct examine *e, enum cv_examine_attack attack,
                         enum cv_examine_flag flag, CK_ATTRIBUTE_TYPE type)
{
    bool came_out;
    CK_RV rv;

    if (e->out->flags[flag] != CV_EXAMINE_NO) {
        return;
    }
    rv = cv_examine_set(e, type, true, NULL, &came_out);
    cv_examine_note(e, attack,
                    rv == CKR_OK ? CV_EXAMINE_MISUSED : cv_examine_of(rv), rv);
}

void cv_examine_attack_use(struct examine *e)
{
    bool asks = e->out->flags[CV_EXAMINE_ALWAYS_AUTHENTICATE] == CV_EXAMINE_YES;

    attack_digest(e);
    derive_bytes(e);
    if (e->fresh || !asks) {
        /* A card might count these as uses that want a PIN. */
        if (e->type == CKK_EC) {
            derive_ecdh(e);
        }
        attack_decrypt(e);
    }
    if (e->fresh) {
        attack_usage(e, CV_EXAMINE_DERIVE, CV_EXAMINE_MAY_DERIVE, CKA_DERIVE);
        attack_usage(e, CV_EXAMINE_DECRYPT, CV_EXAMINE_MAY_DECRYPT,
                     CKA_DECRYPT);
    }
}

/* How a key of each type signs 32 bytes, and how that is verified. */
struct signing {
    CK_MECHANISM_TYPE mechanism;
    uint8_t input[128]; /* what the token gets */
    size_t input_len;
    uint8_t message[SECRET_LEN];
};

/* DigestInfo of SHA-256: RFC 8017 9.2, note 1. */
static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60,
                                      0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                      0x01, 0x05, 0x00, 0x04, 0x20};

/* A TPM's key that may sign and not decrypt signs by the mechanisms that hash:
 * by CKM_RSA_PKCS it would have to decrypt. */
static bool hashes(const struct examine *e)
{
    CK_MECHANISM_INFO info;

    return e->type == CKK_RSA &&
           cv_mechanism_has(e->f, e->s, CKM_SHA256_RSA_PKCS, CKF_SIGN, &info);
}

static bool prepare(const struct examine *e, struct signing *s)
{
    size_t head = e->type == CKK_RSA ? sizeof(digest_info) : 0;
    bool whole = hashes(e);
    unsigned len = 0;

    if (RAND_bytes(s->message, sizeof(s->message)) != 1) {
        return false;
    }
    if (whole || e->type == CKK_EC_EDWARDS) {
        s->mechanism = whole ? CKM_SHA256_RSA_PKCS : CKM_EDDSA;
        memcpy(s->input, s->message, sizeof(s->message));
        s->input_len = sizeof(s->message);
        return true;
    }
    s->mechanism = e->type == CKK_RSA ? CKM_RSA_PKCS : CKM_ECDSA;
    memcpy(s->input, digest_info, head);
    s->input_len = head + DIGEST_LEN;
    return EVP_Digest(s->message, sizeof(s->message), s->input + head, &len,
                      EVP_sha256(), NULL) == 1 &&
           len == DIGEST_LEN;
}

/* r || s as DER; the length, 0 when it is not that. */
static int to_der(const struct examine *e, const uint8_t *raw, size_t len,
                  unsigned char **der)
{
    size_t half = ((size_t)EVP_PKEY_get_bits(e->public_key) + 7) / 8;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(raw + half, (int)half, NULL);
    int n = 0;

    if (len == 2 * half && sig != NULL && r != NULL && s != NULL &&
        ECDSA_SIG_set0(sig, r, s)) {
        r = s = NULL;
        n = i2d_ECDSA_SIG(sig, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 ? n : 0;
}

static bool verifies(const struct examine *e, const struct signing *s,
                     const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = e->type == CKK_EC_EDWARDS ? NULL : EVP_sha256();
    unsigned char *der = NULL;
    bool good;

    if (e->type == CKK_EC) {
        len = (size_t)to_der(e, signature, len, &der);
        signature = der;
    }
    good = ctx != NULL && len > 0 &&
           EVP_DigestVerifyInit(ctx, NULL, md, NULL, e->public_key) > 0 &&
           EVP_DigestVerify(ctx, signature, len, s->message,
                            sizeof(s->message)) == 1;
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    return good;
}

enum cv_status cv_examine_sign(struct examine *e, struct cv_err *err)
{
    struct signing s = {0};
    uint8_t signature[RSA_MAX] = {0};
    CK_ULONG len = sizeof(signature);
    CK_MECHANISM m = {0, NULL, 0};
    enum cv_status st;
    CK_RV rv;

    if (!prepare(e, &s)) {
        return cv_fail(err, CV_INTERNAL, "libcrypto makes no challenge");
    }
    m.mechanism = s.mechanism;
    rv = e->f->C_SignInit(e->s, &m, e->key);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_SignInit");
    }
    if (e->out->flags[CV_EXAMINE_ALWAYS_AUTHENTICATE] == CV_EXAMINE_YES &&
        e->order->pool != NULL) {
        st = cv_login_for_use(e->order->pool, e->s, err);
        if (st != CV_OK) {
            return st;
        }
    }
    rv = e->f->C_Sign(e->s, s.input, s.input_len, signature, &len);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_Sign");
    }
    if (len > sizeof(signature) || !verifies(e, &s, signature, len)) {
        return cv_fail(err, CV_INTEGRITY,
                       "the key's signature does not verify with its public "
                       "key");
    }
    e->out->signature = true;
    return CV_OK;
}
