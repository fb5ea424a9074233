/* What a token is given to sign when it does not do it all by itself. */
#include "pkcs11/sign_internal.h"
#include "vault/base/limits.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/random.h>

#define DIGEST_MAX 64
#define PSS_TRAILER 0xbc

/* clang-format off */
#define PKCS1(n) \
    {"rsa_pkcs1_sha" #n, CV_SIGN_PKCS1, "rsa", "SHA" #n, (n) / 8, \
     CKM_SHA##n, CKM_SHA##n##_RSA_PKCS, 0}
#define PSS(n) \
    {"rsa_pss_rsae_sha" #n, CV_SIGN_PSS, "rsa", "SHA" #n, (n) / 8, \
     CKM_SHA##n, CKM_SHA##n##_RSA_PKCS_PSS, CKG_MGF1_SHA##n}
#define ECDSA(curve, kind, n) \
    {"ecdsa_" curve "_sha" #n, CV_SIGN_ECDSA, kind, "SHA" #n, (n) / 8, 0, 0, 0}

static const struct cv_sign_algorithm ALGORITHMS[] = {
    PKCS1(256), PKCS1(384), PKCS1(512),
    PSS(256), PSS(384), PSS(512),
    ECDSA("secp256r1", "ec-p256", 256),
    ECDSA("secp384r1", "ec-p384", 384),
    ECDSA("secp521r1", "ec-p521", 512),
    {"ed25519", CV_SIGN_EDDSA, "ed25519", NULL, 0, 0, 0, 0},
};
/* clang-format on */

const struct cv_sign_algorithm *cv_sign_find(const char *name)
{
    for (size_t i = 0; i < sizeof(ALGORITHMS) / sizeof(ALGORITHMS[0]); i++) {
        if (strcmp(ALGORITHMS[i].name, name) == 0) {
            return &ALGORITHMS[i];
        }
    }
    return NULL;
}

static enum cv_status crypto_failed(struct cv_err *err)
{
    ERR_clear_error();
    return cv_fail(err, CV_INTERNAL, "libcrypto does not make a digest");
}

enum cv_status cv_sign_digest(const struct cv_sign_algorithm *a,
                              struct cv_bytes data, uint8_t *out,
                              struct cv_err *err)
{
    const EVP_MD *md = cv_crypto_digest(a->digest);
    unsigned len = 0;

    if (md == NULL ||
        EVP_Digest(data.data, data.len, out, &len, md, NULL) != 1 ||
        len != a->digest_len) {
        return crypto_failed(err);
    }
    return CV_OK;
}

void cv_sign_add_digest_info(const struct cv_sign_algorithm *a,
                             const uint8_t *digest, struct cv_buf *out)
{
    /* SHA-256, -384, -512 are 2.16.840.1.101.3.4.2.1, .2, .3. */
    uint8_t head[] = {0x30, 0x11, 0x30, 0x0d, 0x06, 0x09, 0x60,
                      0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                      0x01, 0x05, 0x00, 0x04, 0x00};

    head[1] = (uint8_t)(0x11 + a->digest_len);
    head[14] = (uint8_t)(a->digest_len / 16 - 1);
    head[18] = (uint8_t)a->digest_len;
    cv_buf_add(out, head, sizeof(head));
    cv_buf_add(out, digest, a->digest_len);
}

/* The digest of up to three pieces. */
static bool digest_of(const EVP_MD *md, const struct cv_bytes *pieces, size_t n,
                      uint8_t *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1;

    for (size_t i = 0; ok && i < n; i++) {
        ok = EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* MGF1 (RFC 8017 B.2.1) over `seed`, XORed into `mask`. */
static bool mask_with(const EVP_MD *md, size_t digest_len, const uint8_t *seed,
                      uint8_t *mask, size_t len)
{
    uint8_t block[DIGEST_MAX];

    for (size_t done = 0, counter = 0; done < len; counter++) {
        uint8_t number[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
                             (uint8_t)(counter >> 8), (uint8_t)counter};
        struct cv_bytes pieces[] = {{seed, digest_len}, {number, 4}};

        if (!digest_of(md, pieces, 2, block)) {
            return false;
        }
        for (size_t i = 0; i < digest_len && done < len; i++) {
            mask[done++] ^= block[i];
        }
    }
    return true;
}

enum cv_status cv_sign_add_pss(const struct cv_sign_algorithm *a,
                               const uint8_t *digest, unsigned bits,
                               struct cv_buf *out, struct cv_err *err)
{
    static const uint8_t zeros[8];
    const EVP_MD *md = cv_crypto_digest(a->digest);
    size_t hash = a->digest_len;
    /* emBits is one less than the modulus has; a byte more than emLen is left
     * when that is a multiple of 8. */
    size_t whole = (bits + 7) / 8, em = (bits - 1 + 7) / 8;
    size_t db = em - hash - 1;
    uint8_t salt[DIGEST_MAX];
    uint8_t *room, *h;
    struct cv_bytes pieces[] = {{zeros, 8}, {digest, hash}, {salt, hash}};

    if (bits < 512 || em < 2 * hash + 2) {
        return cv_fail(err, CV_INVALID, "an RSA key of %u bits is too small",
                       bits);
    }
    room = cv_buf_room(out, whole);
    if (room == NULL) {
        return cv_buf_status(out, "a padded digest", err);
    }
    memset(room, 0, whole);
    if (md == NULL || getrandom(salt, hash, 0) != (ssize_t)hash) {
        return crypto_failed(err);
    }
    cv_buf_took(out, whole);
    room += whole - em;
    h = room + db;
    room[db - hash - 1] = 1;
    memcpy(room + db - hash, salt, hash);
    if (!digest_of(md, pieces, 3, h) || !mask_with(md, hash, h, room, db)) {
        return crypto_failed(err);
    }
    room[0] &= (uint8_t)(0xff >> (8 * em - (bits - 1)));
    room[em - 1] = PSS_TRAILER;
    return CV_OK;
}

enum cv_status cv_sign_add_ecdsa(struct cv_bytes raw, struct cv_buf *out,
                                 struct cv_err *err)
{
    size_t half = raw.len / 2;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.data, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(raw.data + half, (int)half, NULL);
    unsigned char *der = NULL;
    enum cv_status status = CV_OK;
    int len = 0;

    if (signature == NULL || r == NULL || s == NULL) {
        status = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else if (BN_is_zero(r) || BN_is_zero(s)) {
        status = cv_fail(err, CV_INTEGRITY, "the token's signature is zero");
        cv_err_state(err, "it was thrown away");
    } else if (ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        len = i2d_ECDSA_SIG(signature, &der);
        cv_buf_add(out, der, len > 0 ? (size_t)len : 0);
        status = cv_buf_status(out, "a signature", err);
    }
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return status;
}
