/* Which algorithms there are, by key, digest and padding. */
#include "pkcs11/provider/provider_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#define RSA_BITS_MIN 2048

/* AlgorithmIdentifiers (RFC 5280 4.1.1.2), for X509_REQ_sign. */
#define OID_PKCS1(last)                                                     \
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, \
        (last), 0x05, 0x00
#define OID_ECDSA(last) \
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, (last)
/* RFC 4055 3.1: hash, MGF1 with the same, salt. */
#define HASH(last)                                                          \
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, \
        (last), 0x05, 0x00
#define OID_PSS(last, salt)                                                 \
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, \
        0x0a, 0x30, 0x34, 0xa0, 0x0f, HASH(last), 0xa1, 0x1c, 0x30, 0x1a,   \
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,   \
        HASH(last), 0xa2, 0x03, 0x02, 0x01, (salt)

static const uint8_t pkcs1_sha256[] = {OID_PKCS1(11)};
static const uint8_t pkcs1_sha384[] = {OID_PKCS1(12)};
static const uint8_t pkcs1_sha512[] = {OID_PKCS1(13)};
static const uint8_t pss_sha256[] = {OID_PSS(1, 32)};
static const uint8_t pss_sha384[] = {OID_PSS(2, 48)};
static const uint8_t pss_sha512[] = {OID_PSS(3, 64)};
static const uint8_t ecdsa_sha256[] = {OID_ECDSA(2)};
static const uint8_t ecdsa_sha384[] = {OID_ECDSA(3)};
static const uint8_t ecdsa_sha512[] = {OID_ECDSA(4)};
static const uint8_t ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};

#define DER(name)          \
    {                      \
        name, sizeof(name) \
    }

static const struct cv_provider_algorithm ALGORITHMS[] = {
    {"rsa_pkcs1_sha256", CV_PROVIDER_RSA, NULL, "SHA256", 32, false,
     DER(pkcs1_sha256)},
    {"rsa_pkcs1_sha384", CV_PROVIDER_RSA, NULL, "SHA384", 48, false,
     DER(pkcs1_sha384)},
    {"rsa_pkcs1_sha512", CV_PROVIDER_RSA, NULL, "SHA512", 64, false,
     DER(pkcs1_sha512)},
    {"rsa_pss_rsae_sha256", CV_PROVIDER_RSA, NULL, "SHA256", 32, true,
     DER(pss_sha256)},
    {"rsa_pss_rsae_sha384", CV_PROVIDER_RSA, NULL, "SHA384", 48, true,
     DER(pss_sha384)},
    {"rsa_pss_rsae_sha512", CV_PROVIDER_RSA, NULL, "SHA512", 64, true,
     DER(pss_sha512)},
    {"ecdsa_secp256r1_sha256", CV_PROVIDER_EC, "prime256v1", "SHA256", 32,
     false, DER(ecdsa_sha256)},
    {"ecdsa_secp384r1_sha384", CV_PROVIDER_EC, "secp384r1", "SHA384", 48, false,
     DER(ecdsa_sha384)},
    {"ecdsa_secp521r1_sha512", CV_PROVIDER_EC, "secp521r1", "SHA512", 64, false,
     DER(ecdsa_sha512)},
    {"ed25519", CV_PROVIDER_ED25519, NULL, NULL, 0, false, DER(ed25519)},
};
#define N_ALGORITHMS (sizeof(ALGORITHMS) / sizeof(ALGORITHMS[0]))

/* Is this an algorithm for keys like this one? */
static bool is_for(const struct cv_provider_algorithm *a, EVP_PKEY *public,
                   enum cv_provider_kind kind)
{
    char group[64] = "";

    if (a->kind != kind) {
        return false;
    }
    return a->group == NULL ||
           (EVP_PKEY_get_utf8_string_param(public, OSSL_PKEY_PARAM_GROUP_NAME,
                                           group, sizeof(group), NULL) == 1 &&
            strcmp(group, a->group) == 0);
}

static const struct cv_provider_algorithm *first_for(EVP_PKEY *public,
                                                     enum cv_provider_kind kind)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        if (is_for(&ALGORITHMS[i], public, kind)) {
            return &ALGORITHMS[i];
        }
    }
    return NULL;
}

bool cv_provider_is_used(EVP_PKEY *public, enum cv_provider_kind *kind)
{
    *kind = CV_PROVIDER_RSA;
    if (EVP_PKEY_is_a(public, "RSA")) {
        return EVP_PKEY_get_bits(public) >= RSA_BITS_MIN;
    }
    *kind = CV_PROVIDER_EC;
    if (EVP_PKEY_is_a(public, "EC")) {
        return first_for(public, *kind) != NULL;
    }
    *kind = CV_PROVIDER_ED25519;
    return EVP_PKEY_is_a(public, "ED25519");
}

bool cv_provider_fits(EVP_PKEY *key, const char *algorithm)
{
    enum cv_provider_kind kind;

    if (!cv_provider_is_used(key, &kind)) {
        return false;
    }
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        if (strcmp(ALGORITHMS[i].name, algorithm) == 0) {
            return is_for(&ALGORITHMS[i], key, kind);
        }
    }
    return false;
}

const char *cv_provider_own_digest(const struct cv_provider_data *key)
{
    const struct cv_provider_algorithm *a = first_for(key->public, key->kind);

    return a != NULL && a->digest != NULL ? a->digest : "";
}

/* Digests have several names ("SHA256", "SHA2-256", OIDs): libcrypto knows
 * them all. */
static bool is_digest(const struct cv_provider_data *key, const char *name,
                      const char *wanted)
{
    EVP_MD *digest;
    bool same;

    if (wanted == NULL) {
        return name[0] == '\0';
    }
    if (strcasecmp(name, wanted) == 0) {
        return true;
    }
    (void)ERR_set_mark();
    digest = EVP_MD_fetch(key->side->plain, name, NULL);
    same = digest != NULL && EVP_MD_is_a(digest, wanted);
    EVP_MD_free(digest);
    (void)ERR_pop_to_mark();
    return same;
}

const struct cv_provider_algorithm *
cv_provider_find_algorithm(const struct cv_provider_data *key,
                           const char *digest, bool pss)
{
    if (digest == NULL || digest[0] == '\0') {
        digest = cv_provider_own_digest(key);
    }
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        const struct cv_provider_algorithm *a = &ALGORITHMS[i];

        if (a->pss == pss && is_for(a, key->public, key->kind) &&
            is_digest(key, digest, a->digest)) {
            return a;
        }
    }
    return NULL;
}
