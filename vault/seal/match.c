/* The proof is in the numbers rather than in a signature: a signature needs
 * libcrypto's key decoders, its random generator and its fetched algorithms,
 * which cost a cold process several milliseconds, and would not notice wrong
 * CRT values (libcrypto mends those silently, other programs do not).
 *
 * RSA: p * q is the certificate's n, neither is 1, and d, dp, dq and qinv are
 * what they must be for p, q and the certificate's e: then exponentiating with
 * them inverts the certificate's public operation. EC: the scalar times the
 * generator is the certificate's point. Ed25519: the seed's public key is the
 * certificate's. */
#include "vault/seal/match.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/keyform_internal.h"
#include "vault/seal/seal_internal.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <sodium.h>
#include <string.h>

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"
/* A line of PEM: characters, and the bytes that they stand for. */
#define PEM_LINE 64
#define PEM_LINE_BYTES 48

#define POINT_UNCOMPRESSED 0x04

/* What came of a comparison. */
enum verdict { MATCHES, DIFFERS, NO_MEMORY };

enum cv_status cv_match_start(struct cv_err *err)
{
    if (OPENSSL_init_crypto(
            OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
                OPENSSL_INIT_NO_ADD_ALL_DIGESTS |
                OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_ATEXIT,
            NULL) != 1) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not start");
    }
    return CV_OK;
}

/* a * b mod (m - 1) is 1? */
static bool inverse_below(const BIGNUM *a, const BIGNUM *b, const BIGNUM *m,
                          BN_CTX *ctx, BIGNUM *t, BIGNUM *below)
{
    return BN_copy(below, m) != NULL && BN_sub_word(below, 1) &&
           BN_mod_mul(t, a, b, below, ctx) && BN_is_one(t);
}

/* x is d mod (m - 1)? */
static bool reduced_below(const BIGNUM *x, const BIGNUM *d, const BIGNUM *m,
                          BN_CTX *ctx, BIGNUM *t, BIGNUM *below)
{
    return BN_copy(below, m) != NULL && BN_sub_word(below, 1) &&
           BN_nnmod(t, d, below, ctx) && BN_cmp(t, x) == 0;
}

/* With all numbers read: do they make one key, of this n and e? */
static bool rsa_sound(BIGNUM *const v[KEYFORM_RSA_NUMBERS], BN_CTX *ctx,
                      BIGNUM *t, BIGNUM *below)
{
    const BIGNUM *p = v[KEYFORM_P], *q = v[KEYFORM_Q];
    const BIGNUM *d = v[KEYFORM_D], *e = v[KEYFORM_E];

    return BN_is_odd(p) && !BN_is_one(p) && BN_is_odd(q) && !BN_is_one(q) &&
           BN_cmp(p, q) != 0 && BN_cmp(d, v[KEYFORM_N]) < 0 &&
           BN_mul(t, p, q, ctx) && BN_cmp(t, v[KEYFORM_N]) == 0 &&
           inverse_below(e, d, p, ctx, t, below) &&
           inverse_below(e, d, q, ctx, t, below) &&
           reduced_below(v[KEYFORM_DP], d, p, ctx, t, below) &&
           reduced_below(v[KEYFORM_DQ], d, q, ctx, t, below) &&
           BN_cmp(v[KEYFORM_QINV], p) < 0 &&
           BN_mod_mul(t, v[KEYFORM_QINV], q, p, ctx) && BN_is_one(t);
}

static enum verdict match_rsa(const struct keyform_private *key,
                              const struct keyform_public *cert)
{
    BIGNUM *v[KEYFORM_RSA_NUMBERS] = {NULL};
    BIGNUM *t = BN_new(), *below = BN_new();
    BN_CTX *ctx = BN_CTX_new();
    enum verdict out = NO_MEMORY;
    size_t i;

    if (!cv_bytes_equal(key->rsa[KEYFORM_N], cert->n) ||
        !cv_bytes_equal(key->rsa[KEYFORM_E], cert->e)) {
        out = DIFFERS;
        goto done;
    }
    if (t == NULL || below == NULL || ctx == NULL) {
        goto done;
    }
    for (i = 0; i < KEYFORM_RSA_NUMBERS; i++) {
        v[i] = BN_bin2bn(key->rsa[i].data, (int)key->rsa[i].len, NULL);
        if (v[i] == NULL) {
            goto done;
        }
    }
    out = rsa_sound(v, ctx, t, below) ? MATCHES : DIFFERS;
done:
    for (i = 0; i < KEYFORM_RSA_NUMBERS; i++) {
        BN_clear_free(v[i]);
    }
    BN_clear_free(t);
    BN_clear_free(below);
    BN_CTX_free(ctx);
    return out;
}

static int curve_of(enum keyform_type type)
{
    return type == KEYFORM_P256   ? NID_X9_62_prime256v1
           : type == KEYFORM_P384 ? NID_secp384r1
                                  : NID_secp521r1;
}

/* Does `encoded` stand for the point `ours`? `t` is for the work. The hybrid
 * form, which libcrypto would take, RFC 5480 2.2 forbids. */
static bool same_point(const EC_GROUP *group, const EC_POINT *ours,
                       struct cv_bytes encoded, EC_POINT *t, BN_CTX *ctx)
{
    return encoded.len > 0 && encoded.data[0] <= POINT_UNCOMPRESSED &&
           EC_POINT_oct2point(group, t, encoded.data, encoded.len, ctx) &&
           EC_POINT_cmp(group, ours, t, ctx) == 0;
}

static enum verdict match_ec(const struct keyform_private *key,
                             const struct keyform_public *cert)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(curve_of(cert->type));
    EC_POINT *t = NULL, *ours = NULL;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *d = BN_bin2bn(key->secret.data, (int)key->secret.len, NULL);
    enum verdict out = NO_MEMORY;

    if (group == NULL || ctx == NULL || d == NULL ||
        (t = EC_POINT_new(group)) == NULL ||
        (ours = EC_POINT_new(group)) == NULL) {
        goto done;
    }
    BN_set_flags(d, BN_FLG_CONSTTIME);
    if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0) {
        out = DIFFERS;
    } else if (EC_POINT_mul(group, ours, d, NULL, NULL, ctx)) {
        out = same_point(group, ours, cert->point, t, ctx) &&
                      (key->point.len == 0 ||
                       same_point(group, ours, key->point, t, ctx))
                  ? MATCHES
                  : DIFFERS;
    }
done:
    EC_POINT_clear_free(ours);
    EC_POINT_free(t);
    BN_clear_free(d);
    BN_CTX_free(ctx);
    EC_GROUP_free(group);
    return out;
}

static enum verdict match_ed25519(const struct keyform_private *key,
                                  const struct keyform_public *cert)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    struct cv_bytes ours = {public_key, sizeof(public_key)};
    struct cv_arena *scratch = NULL;
    enum verdict out = NO_MEMORY;
    uint8_t *secret;

    if (cv_arena_new(CV_KIB(4), &scratch, NULL) != CV_OK) {
        return out;
    }
    secret = cv_arena_alloc(scratch, crypto_sign_SECRETKEYBYTES, NULL);
    if (secret != NULL) {
        (void)crypto_sign_seed_keypair(public_key, secret, key->secret.data);
        out = cv_bytes_equal(ours, cert->point) ? MATCHES : DIFFERS;
    }
    cv_arena_free(scratch);
    return out;
}

static enum verdict match(const struct keyform_private *key,
                          const struct keyform_public *cert)
{
    if (key->type != cert->type) {
        return DIFFERS;
    }
    switch (cert->type) {
    case KEYFORM_RSA:
        return match_rsa(key, cert);
    case KEYFORM_ED25519:
        return match_ed25519(key, cert);
    default:
        return match_ec(key, cert);
    }
}

/* Appends the DER of the first certificate of a PEM chain to `der`. */
static enum cv_status leaf_of(struct cv_bytes pem, struct cv_buf *der,
                              struct cv_err *err)
{
    const size_t begin = strlen(PEM_BEGIN), end = strlen(PEM_END);
    const char *body, *stop;

    if (pem.len <= begin || pem.len > CV_LIMIT_PEM ||
        memcmp(pem.data, PEM_BEGIN, begin) != 0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the entry's certificate is not in PEM");
    }
    body = (const char *)pem.data + begin;
    stop = memmem(body, pem.len - begin, PEM_END, end);
    if (stop == NULL ||
        cv_decode_base64(body, (size_t)(stop - body), true, "the certificate",
                         der, NULL) != CV_OK) {
        return cv_fail(err, CV_INTEGRITY,
                       "the entry's certificate is broken PEM");
    }
    return CV_OK;
}

/* The first certificate's public key, borrowed from `der`, if its digest is
 * `digest`. */
static enum cv_status read_leaf(struct cv_bytes pem, const uint8_t *digest,
                                struct cv_buf *der, struct keyform_public *out,
                                struct cv_err *err)
{
    enum cv_status s = leaf_of(pem, der, err);
    uint8_t found[CV_BOX_DIGEST_LEN];
    struct cv_bytes spki;

    if (s != CV_OK) {
        return s;
    }
    if (!cv_keyform_spki(cv_buf_bytes(der), &spki)) {
        return cv_fail(err, CV_INTEGRITY,
                       "the entry's certificate cannot be read");
    }
    (void)crypto_hash_sha256(found, spki.data, spki.len);
    if (sodium_memcmp(found, digest, sizeof(found)) != 0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the entry's certificate has another public key than "
                       "the entry says");
    }
    if (!cv_keyform_public(spki, out)) {
        return cv_fail(err, CV_INTEGRITY,
                       "the entry's certificate has a public key of a kind "
                       "that is not known here");
    }
    return CV_OK;
}

static enum cv_status verdict_status(enum verdict v, struct cv_err *err)
{
    if (v == NO_MEMORY) {
        return cv_fail(err, CV_INTERNAL,
                       "the key could not be compared: memory is gone");
    }
    if (v == DIFFERS) {
        (void)cv_fail(err, CV_INTEGRITY,
                      "the sealed key is not the key of the entry's "
                      "certificate");
        cv_err_hint(err, "restore the vault from a backup, or fetch the "
                         "certificate anew");
        return CV_INTEGRITY;
    }
    return CV_OK;
}

enum cv_status cv_match_key(struct cv_bytes key_der, struct cv_bytes chain_pem,
                            const uint8_t spki[CV_BOX_DIGEST_LEN],
                            struct cv_err *err)
{
    struct keyform_private key = {0};
    struct keyform_public cert = {0};
    struct cv_buf der;
    enum cv_status s;

    cv_buf_init(&der, NULL, CV_LIMIT_CERT_DER);
    s = read_leaf(chain_pem, spki, &der, &cert, err);
    if (s == CV_OK && (key_der.len > CV_LIMIT_KEY_DER ||
                       !cv_keyform_private(key_der, &key))) {
        s = cv_fail(err, CV_INTEGRITY,
                    "what was sealed is not a private key of a kind that is "
                    "known here");
    }
    if (s == CV_OK) {
        s = verdict_status(match(&key, &cert), err);
    }
    cv_buf_wipe(&der);
    sodium_memzero(&key, sizeof(key));
    return s;
}

enum cv_status cv_match_public(struct cv_bytes chain_pem, struct cv_buf *out,
                               struct cv_err *err)
{
    struct cv_bytes spki;
    struct cv_buf der;
    enum cv_status s;

    cv_buf_init(&der, NULL, CV_LIMIT_CERT_DER);
    s = leaf_of(chain_pem, &der, err);
    if (s == CV_OK && !cv_keyform_spki(cv_buf_bytes(&der), &spki)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the entry's certificate cannot be read");
    }
    if (s == CV_OK) {
        cv_buf_add(out, spki.data, spki.len);
        s = cv_buf_status(out, "the public key", err);
    }
    cv_buf_wipe(&der);
    return s;
}

enum cv_status cv_match_pem(struct cv_bytes key_der, struct cv_arena *arena,
                            struct cv_bytes *pem, struct cv_err *err)
{
    static const char begin[] = "-----BEGIN PRIVATE KEY-----\n";
    static const char end[] = "-----END PRIVATE KEY-----\n";
    size_t lines = key_der.len / PEM_LINE_BYTES + 1;
    struct cv_buf out;
    enum cv_status s;
    size_t at;

    pem->data = NULL;
    pem->len = 0;
    cv_buf_init(&out, arena, 2 * CV_LIMIT_KEY_DER);
    /* all the room at once, so that growing leaves no copies behind */
    (void)!cv_buf_room(&out,
                       sizeof(begin) + sizeof(end) + lines * (PEM_LINE + 1));
    cv_buf_add_str(&out, begin);
    for (at = 0; at < key_der.len; at += PEM_LINE_BYTES) {
        size_t left = key_der.len - at;
        struct cv_bytes line = {key_der.data + at,
                                left < PEM_LINE_BYTES ? left : PEM_LINE_BYTES};

        cv_encode_base64(line, &out);
        cv_buf_add_char(&out, '\n');
    }
    cv_buf_add_str(&out, end);
    s = cv_buf_status(&out, "the key", err);
    if (s == CV_OK) {
        *pem = cv_buf_bytes(&out);
    }
    return s;
}
