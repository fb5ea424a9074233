/* Keys in the form that libcrypto reads, in the form that PKCS#11 takes. */
#include "pkcs11/create_internal.h"

#include <openssl/core_names.h>
#include <openssl/x509.h>
#include <string.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define ED25519_LEN 32
#define POINT_MAX 200 /* an encoded point, generously */

#define OCTET_STRING 0x04
#define DER_LONG 0x81

/* Named curves as DER OIDs: RFC 5480 2.1.1.1, RFC 8410 3. */
static const uint8_t p256_oid[] = {0x06, 0x08, 0x2A, 0x86, 0x48,
                                   0xCE, 0x3D, 0x03, 0x01, 0x07};
static const uint8_t p384_oid[] = {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22};
static const uint8_t ed25519_oid[] = {0x06, 0x03, 0x2B, 0x65, 0x70};

static const struct kind {
    const char *name;
    const char *group; /* libcrypto's name of the curve */
    unsigned bits;
    CK_KEY_TYPE key_type;
    CK_MECHANISM_TYPE sign;
    struct cv_bytes oid;
} kinds[] = {
    {"rsa", NULL, 0, CKK_RSA, CKM_RSA_PKCS, {NULL, 0}},
    {"ec-p256",
     "prime256v1",
     256,
     CKK_EC,
     CKM_ECDSA,
     {p256_oid, sizeof(p256_oid)}},
    {"ec-p384",
     "secp384r1",
     384,
     CKK_EC,
     CKM_ECDSA,
     {p384_oid, sizeof(p384_oid)}},
    {"ed25519",
     NULL,
     256,
     CKK_EC_EDWARDS,
     CKM_EDDSA,
     {ed25519_oid, sizeof(ed25519_oid)}},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind *kind_named(const char *name)
{
    size_t i;

    for (i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

struct cv_bytes cv_create_parts_curve(const char *kind)
{
    const struct kind *k = kind_named(kind);

    return k != NULL ? k->oid : (struct cv_bytes){NULL, 0};
}

static enum cv_status failed(const struct cv_err *err)
{
    return err != NULL ? err->status : CV_INTERNAL;
}

/* The kind of a libcrypto key; NULL: none that is used here. */
static const struct kind *kind_of(const EVP_PKEY *key)
{
    char group[64] = "";
    size_t len = 0, i;

    if (EVP_PKEY_is_a(key, "RSA")) {
        int bits = EVP_PKEY_get_bits(key);

        return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX ? &kinds[0] : NULL;
    }
    if (EVP_PKEY_is_a(key, "ED25519")) {
        return kind_named("ed25519");
    }
    if (!EVP_PKEY_is_a(key, "EC") ||
        !EVP_PKEY_get_group_name(key, group, sizeof(group), &len)) {
        return NULL;
    }
    for (i = 0; i < KINDS; i++) {
        if (kinds[i].group != NULL && strcmp(kinds[i].group, group) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* One number of a key, `len` bytes long (0: as long as it is). */
static enum cv_status number(const EVP_PKEY *key, const char *name, size_t len,
                             struct cv_arena *arena, struct cv_bytes *out,
                             struct cv_err *err)
{
    BIGNUM *value = NULL;
    enum cv_status s = CV_OK;
    uint8_t *bytes;

    if (!EVP_PKEY_get_bn_param(key, name, &value)) {
        return cv_fail(err, CV_INVALID, "the key has no %s", name);
    }
    if (len == 0) {
        len = (size_t)BN_num_bytes(value);
    }
    bytes = cv_arena_alloc(arena, len > 0 ? len : 1, err);
    if (bytes == NULL) {
        s = failed(err);
    } else if (BN_bn2binpad(value, bytes, (int)len) < 0) {
        s = cv_fail(err, CV_INVALID, "the key's %s is too long", name);
    }
    BN_clear_free(value);
    if (s == CV_OK) {
        *out = (struct cv_bytes){bytes, len};
    }
    return s;
}

static enum cv_status rsa_parts(const EVP_PKEY *key, bool private,
                                struct cv_arena *arena,
                                struct create_parts *out, struct cv_err *err)
{
    static const char *const names[CREATE_NUMBERS] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    enum cv_status s = CV_OK;
    size_t i, n = private ? CREATE_NUMBERS : CREATE_D;

    for (i = 0; s == CV_OK && i < n; i++) {
        s = number(key, names[i], 0, arena, &out->number[i], err);
    }
    return s;
}

/* The point as it is and in an OCTET STRING. */
static enum cv_status set_point(struct create_parts *out, const uint8_t *raw,
                                size_t len, struct cv_arena *arena,
                                struct cv_err *err)
{
    uint8_t *der = cv_arena_alloc(arena, len + 3, err);
    size_t head = len < 0x80 ? 2 : 3;

    if (der == NULL) {
        return failed(err);
    }
    der[0] = OCTET_STRING;
    der[1] = DER_LONG;
    der[head - 1] = (uint8_t)len;
    memcpy(der + head, raw, len);
    out->point = (struct cv_bytes){der, len + head};
    out->raw = (struct cv_bytes){der + head, len};
    return CV_OK;
}

static enum cv_status ec_parts(const EVP_PKEY *key, bool private,
                               struct cv_arena *arena, struct create_parts *out,
                               struct cv_err *err)
{
    uint8_t point[POINT_MAX];
    size_t len = 0;
    enum cv_status s;

    if (!EVP_PKEY_get_octet_string_param(key,
                                         OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                         point, sizeof(point), &len) ||
        len != 1 + out->bits / 4) {
        return cv_fail(err, CV_INVALID, "the key has no public point");
    }
    s = set_point(out, point, len, arena, err);
    if (s == CV_OK && private) {
        s = number(key, OSSL_PKEY_PARAM_PRIV_KEY, out->bits / 8, arena,
                   &out->secret, err);
    }
    return s;
}

static enum cv_status ed25519_parts(const EVP_PKEY *key, bool private,
                                    struct cv_arena *arena,
                                    struct create_parts *out,
                                    struct cv_err *err)
{
    size_t len = ED25519_LEN;
    uint8_t point[ED25519_LEN];
    uint8_t *seed;
    enum cv_status s;

    if (!EVP_PKEY_get_raw_public_key(key, point, &len) || len != ED25519_LEN) {
        return cv_fail(err, CV_INVALID, "the key has no public point");
    }
    s = set_point(out, point, len, arena, err);
    if (s != CV_OK || !private) {
        return s;
    }
    seed = cv_arena_alloc(arena, ED25519_LEN, err);
    if (seed == NULL) {
        return failed(err);
    }
    if (!EVP_PKEY_get_raw_private_key(key, seed, &len) || len != ED25519_LEN) {
        return cv_fail(err, CV_INVALID, "the key has no seed");
    }
    out->secret = (struct cv_bytes){seed, len};
    return CV_OK;
}

static enum cv_status parts_of(const EVP_PKEY *key, bool private,
                               struct cv_arena *arena, struct create_parts *out,
                               struct cv_err *err)
{
    const struct kind *kind = kind_of(key);

    if (kind == NULL) {
        return cv_fail(err, CV_INVALID,
                       "the key is not RSA of %d to %d bits, P-256, P-384 or "
                       "Ed25519",
                       RSA_BITS_MIN, RSA_BITS_MAX);
    }
    out->kind = kind->name;
    out->bits = kind->bits != 0 ? kind->bits : (unsigned)EVP_PKEY_get_bits(key);
    out->key_type = kind->key_type;
    out->sign = kind->sign;
    out->params = kind->oid;
    if (kind->key_type == CKK_RSA) {
        return rsa_parts(key, private, arena, out, err);
    }
    return kind->key_type == CKK_EC
               ? ec_parts(key, private, arena, out, err)
               : ed25519_parts(key, private, arena, out, err);
}

/* A PKCS#8 key as libcrypto's; NULL: it is none. */
static EVP_PKEY *read_private(struct cv_bytes der)
{
    const unsigned char *at = der.data;
    PKCS8_PRIV_KEY_INFO *p8 = NULL;
    EVP_PKEY *key = NULL;

    if (der.len == 0 || der.len > CV_LIMIT_KEY_DER) {
        return NULL;
    }
    p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    if (p8 != NULL && at == der.data + der.len) {
        key = EVP_PKCS82PKEY(p8);
    }
    PKCS8_PRIV_KEY_INFO_free(p8);
    return key;
}

enum cv_status cv_create_parts_private(struct cv_bytes key_der,
                                       struct cv_arena *arena,
                                       struct create_parts *out,
                                       struct cv_err *err)
{
    EVP_PKEY *key = read_private(key_der);
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (key == NULL) {
        return cv_fail(err, CV_INVALID, "it is not a private key in PKCS#8");
    }
    s = parts_of(key, true, arena, out, err);
    EVP_PKEY_free(key);
    return s;
}

enum cv_status cv_create_parts_public(struct cv_bytes spki,
                                      struct cv_arena *arena,
                                      struct create_parts *out,
                                      struct cv_err *err)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *key = NULL;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (spki.len > 0 && spki.len <= CV_LIMIT_KEY_DER) {
        key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    }
    if (key == NULL || at != spki.data + spki.len) {
        s = cv_fail(err, CV_INVALID, "it is not a public key");
    } else {
        s = parts_of(key, false, arena, out, err);
    }
    EVP_PKEY_free(key);
    return s;
}

enum cv_status cv_create_spki(struct cv_bytes key_der, struct cv_buf *out,
                              struct cv_err *err)
{
    EVP_PKEY *key = read_private(key_der);
    unsigned char *der = NULL;
    int len;

    if (key == NULL) {
        return cv_fail(err, CV_INVALID, "it is not a private key in PKCS#8");
    }
    len = i2d_PUBKEY(key, &der);
    EVP_PKEY_free(key);
    if (len <= 0) {
        return cv_fail(err, CV_INVALID, "the key has no public half");
    }
    cv_buf_add(out, der, (size_t)len);
    OPENSSL_free(der);
    return cv_buf_status(out, "the public key", err);
}

static EVP_PKEY *make(const struct kind *kind, unsigned bits)
{
    if (kind->key_type == CKK_RSA) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    }
    return kind->group != NULL
               ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind->group)
               : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

enum cv_status cv_create_parts_make(const char *kind, unsigned bits,
                                    struct cv_arena *arena,
                                    struct cv_bytes *key_der,
                                    struct cv_err *err)
{
    const struct kind *k = kind_named(kind);
    PKCS8_PRIV_KEY_INFO *p8 = NULL;
    unsigned char *der = NULL;
    EVP_PKEY *key;
    int len = 0;

    *key_der = (struct cv_bytes){NULL, 0};
    if (k == NULL || (k->key_type == CKK_RSA &&
                      (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))) {
        return cv_fail(err, CV_INVALID, "no such kind of key: %s", kind);
    }
    key = make(k, bits);
    p8 = key != NULL ? EVP_PKEY2PKCS8(key) : NULL;
    len = p8 != NULL ? i2d_PKCS8_PRIV_KEY_INFO(p8, &der) : 0;
    PKCS8_PRIV_KEY_INFO_free(p8);
    EVP_PKEY_free(key);
    if (len <= 0) {
        return cv_fail(err, CV_INTERNAL, "libcrypto makes no %s key", kind);
    }
    key_der->data = (uint8_t *)cv_arena_copy(arena, der, (size_t)len, err);
    key_der->len = (size_t)len;
    OPENSSL_clear_free(der, (size_t)len);
    return key_der->data != NULL ? CV_OK : failed(err);
}
