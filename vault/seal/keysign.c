#include "vault/seal/keysign.h"

#include "vault/base/limits.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

/* RSA of 16,384 bits, the longest of all. */
#define SIGNATURE_MAX 2048

static const struct algorithm {
    const char *name;
    int key;
    int bits; /* of an EC key; 0: any */
    const char *digest;
    bool pss;
} algorithms[] = {
    {"rsa_pkcs1_sha256", EVP_PKEY_RSA, 0, "SHA256", false},
    {"rsa_pkcs1_sha384", EVP_PKEY_RSA, 0, "SHA384", false},
    {"rsa_pkcs1_sha512", EVP_PKEY_RSA, 0, "SHA512", false},
    {"rsa_pss_rsae_sha256", EVP_PKEY_RSA, 0, "SHA256", true},
    {"rsa_pss_rsae_sha384", EVP_PKEY_RSA, 0, "SHA384", true},
    {"rsa_pss_rsae_sha512", EVP_PKEY_RSA, 0, "SHA512", true},
    {"ecdsa_secp256r1_sha256", EVP_PKEY_EC, 256, "SHA256", false},
    {"ecdsa_secp384r1_sha384", EVP_PKEY_EC, 384, "SHA384", false},
    {"ecdsa_secp521r1_sha512", EVP_PKEY_EC, 521, "SHA512", false},
    {"ed25519", EVP_PKEY_ED25519, 0, NULL, false},
};

static const struct algorithm *find(const char *name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

static EVP_PKEY *read_key(struct cv_bytes der)
{
    const unsigned char *p = der.data;
    PKCS8_PRIV_KEY_INFO *info =
        d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.len);
    EVP_PKEY *key = info != NULL ? EVP_PKCS82PKEY(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static bool begin(EVP_MD_CTX *ctx, const struct algorithm *a, EVP_PKEY *key,
                  bool sign)
{
    EVP_PKEY_CTX *how = NULL;
    int ok = sign ? EVP_DigestSignInit_ex(ctx, &how, a->digest, NULL, NULL, key,
                                          NULL)
                  : EVP_DigestVerifyInit_ex(ctx, &how, a->digest, NULL, NULL,
                                            key, NULL);

    return ok == 1 &&
           (!a->pss ||
            (EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) ==
                 1));
}

static bool sign(const struct algorithm *a, EVP_PKEY *key, struct cv_bytes data,
                 uint8_t *out, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && begin(ctx, a, key, true) &&
              EVP_DigestSign(ctx, out, len, data.data, data.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool verify(const struct algorithm *a, EVP_PKEY *key,
                   struct cv_bytes data, struct cv_bytes signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && begin(ctx, a, key, false) &&
              EVP_DigestVerify(ctx, signature.data, signature.len, data.data,
                               data.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static enum cv_status run(const struct algorithm *a, EVP_PKEY *key,
                          struct cv_bytes data, struct cv_buf *out,
                          struct cv_err *err)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t len = sizeof(signature);

    if (EVP_PKEY_get_base_id(key) != a->key ||
        (a->bits != 0 && EVP_PKEY_get_bits(key) != a->bits)) {
        return cv_fail(err, CV_INVALID,
                       "this key does not sign by that algorithm");
    }
    if (!sign(a, key, data, signature, &len)) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not sign");
    }
    if (!verify(a, key, data, (struct cv_bytes){signature, len})) {
        return cv_fail(err, CV_INTEGRITY,
                       "the signature that was made does not verify");
    }
    cv_buf_add(out, signature, len);
    return cv_buf_status(out, "the signature", err);
}

enum cv_status cv_keysign_data(struct cv_bytes key_der, const char *algorithm,
                               struct cv_bytes data, struct cv_buf *out,
                               struct cv_err *err)
{
    const struct algorithm *a = find(algorithm);
    EVP_PKEY *key;
    enum cv_status s;

    if (a == NULL) {
        return cv_fail(err, CV_INVALID, "no such signature algorithm");
    }
    key = read_key(key_der);
    s = key != NULL ? run(a, key, data, out, err)
                    : cv_fail(err, CV_INTEGRITY,
                              "libcrypto does not read the sealed key");
    EVP_PKEY_free(key);
    ERR_clear_error();
    return s;
}
