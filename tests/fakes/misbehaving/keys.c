#include "tests/fakes/misbehaving/module_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <string.h>

#define MAX_NUMBER 1024

static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *param;
    bool secret;
} rsa_numbers[] = {
    {CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N, false},
    {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E, false},
    {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D, true},
    {CKA_PRIME_1, OSSL_PKEY_PARAM_RSA_FACTOR1, true},
    {CKA_PRIME_2, OSSL_PKEY_PARAM_RSA_FACTOR2, true},
    {CKA_EXPONENT_1, OSSL_PKEY_PARAM_RSA_EXPONENT1, true},
    {CKA_EXPONENT_2, OSSL_PKEY_PARAM_RSA_EXPONENT2, true},
    {CKA_COEFFICIENT, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, true},
};
#define RSA_NUMBERS (sizeof(rsa_numbers) / sizeof(rsa_numbers[0]))

/* CKA_EC_PARAMS: the curve's object identifier in DER. */
static const struct {
    const char *group;
    int nid;
    size_t number; /* bytes of a coordinate */
    unsigned char params[12];
    size_t params_len;
} curves[] = {
    {SN_X9_62_prime256v1,
     NID_X9_62_prime256v1,
     32,
     {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
     10},
    {SN_secp384r1,
     NID_secp384r1,
     48,
     {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22},
     7},
};
#define CURVES (sizeof(curves) / sizeof(curves[0]))

/* PrintableString "edwards25519" (PKCS#11 v3.0, 2.3.10) and RFC 8410's OID. */
static const unsigned char ed25519_name[] = {
    0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};

void fake_key_free(EVP_PKEY *key)
{
    EVP_PKEY_free(key);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const struct fake_object *o)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *numbers[RSA_NUMBERS] = {NULL};
    EVP_PKEY *key = NULL;
    bool ok = builder != NULL;

    for (size_t i = 0; i < RSA_NUMBERS && ok; i++) {
        const struct fake_attribute *a = fake_get(o, rsa_numbers[i].type);
        if (a == NULL || a->len == 0 || a->len > MAX_NUMBER) {
            ok = false;
            break;
        }
        numbers[i] = BN_bin2bn(a->value, (int)a->len, NULL);
        ok = numbers[i] != NULL &&
             OSSL_PARAM_BLD_push_BN(builder, rsa_numbers[i].param,
                                    numbers[i]) == 1;
    }
    if (ok)
        key = from_params("RSA", builder);
    for (size_t i = 0; i < RSA_NUMBERS; i++)
        BN_clear_free(numbers[i]);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/* The uncompressed point of a private number; its length, 0 on failure. */
static size_t public_point(int nid, const BIGNUM *number, unsigned char *out,
                           size_t room)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(nid);
    EC_POINT *point = group != NULL ? EC_POINT_new(group) : NULL;
    size_t len = 0;

    if (point != NULL &&
        EC_POINT_mul(group, point, number, NULL, NULL, NULL) == 1)
        len = EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED,
                                 out, room, NULL);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return len;
}

static EVP_PKEY *ec_key(const struct fake_object *o)
{
    const struct fake_attribute *params = fake_get(o, CKA_EC_PARAMS);
    const struct fake_attribute *value = fake_get(o, CKA_VALUE);
    unsigned char point[128];
    EVP_PKEY *key = NULL;
    size_t c = 0;

    if (params == NULL || value == NULL || value->len > MAX_NUMBER)
        return NULL;
    while (c < CURVES &&
           (curves[c].params_len != params->len ||
            memcmp(curves[c].params, params->value, params->len) != 0))
        c++;
    if (c == CURVES)
        return NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *number = BN_bin2bn(value->value, (int)value->len, NULL);
    size_t len = number != NULL
                     ? public_point(curves[c].nid, number, point, sizeof(point))
                     : 0;
    if (builder != NULL && len > 0 &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
                                        curves[c].group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY,
                                         point, len) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1)
        key = from_params("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_clear_free(number);
    return key;
}

EVP_PKEY *fake_key(const struct fake_object *o)
{
    const struct fake_attribute *value = fake_get(o, CKA_VALUE);

    switch (fake_get_ulong(o, CKA_KEY_TYPE)) {
    case CKK_RSA:
        return rsa_key(o);
    case CKK_EC:
        return ec_key(o);
    case CKK_EC_EDWARDS:
        return value != NULL
                   ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
                                                  value->value, value->len)
                   : NULL;
    default:
        return NULL;
    }
}

static bool set_both(struct fake_object *priv, struct fake_object *pub,
                     CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    return (priv == NULL || fake_set(priv, type, value, len)) &&
           (pub == NULL || fake_set(pub, type, value, len));
}

static bool rsa_attributes(EVP_PKEY *key, struct fake_object *priv,
                           struct fake_object *pub)
{
    bool ok = true;

    for (size_t i = 0; i < RSA_NUMBERS && ok; i++) {
        BIGNUM *n = NULL;
        unsigned char bytes[MAX_NUMBER];
        ok = EVP_PKEY_get_bn_param(key, rsa_numbers[i].param, &n) == 1 &&
             BN_num_bytes(n) <= MAX_NUMBER;
        if (ok)
            ok = set_both(priv, rsa_numbers[i].secret ? NULL : pub,
                          rsa_numbers[i].type, bytes,
                          (size_t)BN_bn2bin(n, bytes));
        BN_clear_free(n);
    }
    CK_ULONG bits = (CK_ULONG)EVP_PKEY_get_bits(key);
    return ok && (pub == NULL || fake_set_ulong(pub, CKA_MODULUS_BITS, bits));
}

static bool ec_attributes(EVP_PKEY *key, struct fake_object *priv,
                          struct fake_object *pub)
{
    char group[32];
    unsigned char point[130], number[64];
    BIGNUM *n = NULL;
    size_t c = 0;

    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group,
                                       sizeof(group), NULL) != 1)
        return false;
    while (c < CURVES && strcmp(curves[c].group, group) != 0)
        c++;
    if (c == CURVES ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &n) != 1)
        return false;
    size_t len = curves[c].number;
    size_t point_len =
        public_point(curves[c].nid, n, point + 2, sizeof(point) - 2);
    point[0] = 0x04; /* OCTET STRING; lengths here are under 128 */
    point[1] = (unsigned char)point_len;
    bool ok = BN_bn2binpad(n, number, (int)len) == (int)len && point_len > 0 &&
              set_both(priv, pub, CKA_EC_PARAMS, curves[c].params,
                       curves[c].params_len) &&
              set_both(NULL, pub, CKA_EC_POINT, point, point_len + 2) &&
              set_both(priv, NULL, CKA_VALUE, number, len);
    BN_clear_free(n);
    return ok;
}

static bool ed_attributes(EVP_PKEY *key, struct fake_object *priv,
                          struct fake_object *pub)
{
    unsigned char seed[32], point[34] = {0x04, 32};
    size_t seed_len = sizeof(seed), point_len = 32;

    return EVP_PKEY_get_raw_private_key(key, seed, &seed_len) == 1 &&
           EVP_PKEY_get_raw_public_key(key, point + 2, &point_len) == 1 &&
           set_both(priv, pub, CKA_EC_PARAMS, ed25519_name,
                    sizeof(ed25519_name)) &&
           set_both(NULL, pub, CKA_EC_POINT, point, sizeof(point)) &&
           set_both(priv, NULL, CKA_VALUE, seed, seed_len);
}

bool fake_key_attributes(EVP_PKEY *key, struct fake_object *priv,
                         struct fake_object *pub)
{
    CK_ULONG type;
    bool ok;

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        type = CKK_RSA;
        ok = rsa_attributes(key, priv, pub);
        break;
    case EVP_PKEY_EC:
        type = CKK_EC;
        ok = ec_attributes(key, priv, pub);
        break;
    case EVP_PKEY_ED25519:
        type = CKK_EC_EDWARDS;
        ok = ed_attributes(key, priv, pub);
        break;
    default:
        return false;
    }
    return ok && set_both(priv, pub, CKA_KEY_TYPE, &type, sizeof(type));
}
