#include "vault/kubeconfig/ec_internal.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include <stdbool.h>
#include <string.h>

static const uint8_t p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t p521[] = {0x2b, 0x81, 0x04, 0x00, 0x23};

static const struct cv_ec_curve curves[] = {
    {{p256, sizeof(p256)}, NID_X9_62_prime256v1, 256, 32},
    {{p384, sizeof(p384)}, NID_secp384r1, 384, 48},
    {{p521, sizeof(p521)}, NID_secp521r1, 521, 66},
};

const struct cv_ec_curve *cv_ec_find(struct cv_bytes oid)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (oid.len == curves[i].oid.len &&
            memcmp(oid.data, curves[i].oid.data, oid.len) == 0) {
            return &curves[i];
        }
    }
    return NULL;
}

/* Making a group costs as much as using it. They stay with the process, and are
 * only read; so threads may share them. */
static CRYPTO_ONCE groups_once = CRYPTO_ONCE_STATIC_INIT;
static EC_GROUP *groups[sizeof(curves) / sizeof(curves[0])];

static void make_groups(void)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        groups[i] = EC_GROUP_new_by_curve_name(curves[i].nid);
    }
}

/* Where memory was gone when they were made: NULL. */
static const EC_GROUP *group_of(const struct cv_ec_curve *curve)
{
    return CRYPTO_THREAD_run_once(&groups_once, make_groups) == 1
               ? groups[curve - curves]
               : NULL;
}

struct work {
    BN_CTX *ctx;
    const EC_GROUP *group;
    EC_POINT *point;
    BIGNUM *d;
};

static enum cv_status multiply(struct work *w, size_t point_len, uint8_t *point,
                               struct cv_err *err)
{
    if (BN_is_zero(w->d) || BN_cmp(w->d, EC_GROUP_get0_order(w->group)) >= 0) {
        return cv_fail(err, CV_INVALID,
                       "the private number is not in its curve's range");
    }
    BN_set_flags(w->d, BN_FLG_CONSTTIME);
    if (EC_POINT_mul(w->group, w->point, w->d, NULL, NULL, w->ctx) != 1 ||
        EC_POINT_point2oct(w->group, w->point, POINT_CONVERSION_UNCOMPRESSED,
                           point, point_len, w->ctx) != point_len) {
        return cv_fail(err, CV_INTERNAL, "libcrypto cannot multiply a point");
    }
    return CV_OK;
}

enum cv_status cv_ec_public(const struct cv_ec_curve *curve,
                            struct cv_bytes scalar,
                            uint8_t point[CV_EC_POINT_MAX], struct cv_err *err)
{
    struct work w = {.ctx = BN_CTX_secure_new(),
                     .group = group_of(curve),
                     .d = BN_secure_new()};
    if (w.group != NULL) {
        w.point = EC_POINT_new(w.group);
    }
    enum cv_status st;
    if (w.ctx == NULL || w.point == NULL || w.d == NULL ||
        BN_bin2bn(scalar.data, (int)scalar.len, w.d) == NULL) {
        st = cv_fail(err, CV_INTERNAL, "out of memory");
    } else {
        st = multiply(&w, 1 + 2 * curve->scalar_len, point, err);
    }
    BN_clear_free(w.d);
    EC_POINT_free(w.point);
    BN_CTX_free(w.ctx);
    return st;
}

enum cv_status cv_ec_public_ed25519(const uint8_t seed[32], uint8_t out[32],
                                    struct cv_err *err)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
    size_t len = 32;
    bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, out, &len) == 1 &&
              len == 32;
    EVP_PKEY_free(key);
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "libcrypto has no Ed25519");
}
