#include "pkcs11/crypto_internal.h"

#include "vault/base/limits.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* Keys that are kept parsed: a handful of entries are used at a time. */
#define KEPT 16

struct kept {
    uint8_t *der; /* as it came; NULL: free */
    size_t len;
    bool certificate;
    unsigned char *spki;
    struct cv_crypto_key key;
};

/* One thread, one process: what is kept belongs to it. */
static struct {
    OSSL_LIB_CTX *context;
    EVP_MD *digests[3];
    struct kept kept[KEPT];
    size_t next;
} state;

static const char *const DIGESTS[3] = {"SHA256", "SHA384", "SHA512"};

static const struct curve {
    const char *group, *kind;
    size_t scalar_len;
} CURVES[] = {
    {"prime256v1", "ec-p256", 32},
    {"secp384r1", "ec-p384", 48},
    {"secp521r1", "ec-p521", 66},
};

OSSL_LIB_CTX *cv_crypto_context(void)
{
    if (state.context == NULL) {
        /* Only the default context reads openssl.cnf by itself, and nobody
         * here touches it; a module may. */
        (void)OPENSSL_init_crypto(
            OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
        state.context = OSSL_LIB_CTX_new();
    }
    return state.context;
}

const EVP_MD *cv_crypto_digest(const char *name)
{
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(DIGESTS[i], name) != 0) {
            continue;
        }
        if (state.digests[i] == NULL && cv_crypto_context() != NULL) {
            state.digests[i] = EVP_MD_fetch(state.context, name, NULL);
        }
        return state.digests[i];
    }
    return NULL;
}

static enum cv_status not_used(struct cv_err *err)
{
    cv_fail(err, CV_INVALID, "this kind of public key is not used here");
    cv_err_hint(err, "RSA, EC on P-256, P-384 or P-521, or Ed25519");
    return CV_INVALID;
}

static enum cv_status name_curve(struct cv_crypto_key *k, struct cv_err *err)
{
    char group[64];
    size_t len = 0;

    if (EVP_PKEY_get_utf8_string_param(k->key, OSSL_PKEY_PARAM_GROUP_NAME,
                                       group, sizeof(group), &len) != 1) {
        return not_used(err);
    }
    for (size_t i = 0; i < sizeof(CURVES) / sizeof(CURVES[0]); i++) {
        if (strcmp(group, CURVES[i].group) == 0) {
            k->kind = CURVES[i].kind;
            k->scalar_len = CURVES[i].scalar_len;
            /* One spelling of a point; fails only where it is that already. */
            (void)EVP_PKEY_set_utf8_string_param(
                k->key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                "uncompressed");
            return CV_OK;
        }
    }
    return not_used(err);
}

static enum cv_status name_key(struct cv_crypto_key *k, struct cv_err *err)
{
    k->bits = (unsigned)EVP_PKEY_get_bits(k->key);
    if (EVP_PKEY_is_a(k->key, "RSA")) {
        k->kind = "rsa";
        return CV_OK;
    }
    if (EVP_PKEY_is_a(k->key, "ED25519")) {
        k->kind = "ed25519";
        return CV_OK;
    }
    return EVP_PKEY_is_a(k->key, "EC") ? name_curve(k, err) : not_used(err);
}

static EVP_PKEY *key_of_certificate(const uint8_t *der, size_t len)
{
    const unsigned char *p = der;
    X509 *x = X509_new_ex(state.context, NULL);
    EVP_PKEY *key = NULL;

    if (x != NULL && d2i_X509(&x, &p, (long)len) != NULL && p == der + len) {
        key = X509_get_pubkey(x);
    }
    X509_free(x);
    return key;
}

static EVP_PKEY *key_of_spki(const uint8_t *der, size_t len)
{
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_PUBKEY_ex(NULL, &p, (long)len, state.context, NULL);

    if (key != NULL && p != der + len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static void wipe_kept(struct kept *k)
{
    EVP_PKEY_free(k->key.key);
    OPENSSL_free(k->spki);
    free(k->der);
    memset(k, 0, sizeof(*k));
}

static enum cv_status parse(struct kept *k, struct cv_bytes der,
                            bool certificate, struct cv_err *err)
{
    enum cv_status status;
    int len;

    k->certificate = certificate;
    k->len = der.len;
    k->der = malloc(der.len);
    if (k->der == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    memcpy(k->der, der.data, der.len);
    k->key.key = certificate ? key_of_certificate(der.data, der.len)
                             : key_of_spki(der.data, der.len);
    if (k->key.key == NULL) {
        return cv_fail(err, CV_INTEGRITY, "%s cannot be read",
                       certificate ? "the certificate" : "the public key");
    }
    status = name_key(&k->key, err);
    if (status != CV_OK) {
        return status;
    }
    len = i2d_PUBKEY(k->key.key, &k->spki);
    if (len <= 0) {
        return cv_fail(err, CV_INTERNAL, "a public key cannot be written");
    }
    k->key.spki = (struct cv_bytes){k->spki, (size_t)len};
    return CV_OK;
}

static enum cv_status look_up(struct cv_bytes der, bool certificate,
                              const struct cv_crypto_key **out,
                              struct cv_err *err)
{
    struct kept *k;
    enum cv_status status;

    *out = NULL;
    for (size_t i = 0; i < KEPT; i++) {
        k = &state.kept[i];
        if (k->der != NULL && k->certificate == certificate &&
            k->len == der.len && memcmp(k->der, der.data, der.len) == 0) {
            *out = &k->key;
            return CV_OK;
        }
    }
    if (der.len == 0 || der.len > CV_LIMIT_CERT_DER) {
        return cv_fail(err, CV_INTEGRITY, "%s has %zu bytes",
                       certificate ? "a certificate" : "a public key", der.len);
    }
    if (cv_crypto_context() == NULL) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not start");
    }
    k = &state.kept[state.next];
    state.next = (state.next + 1) % KEPT;
    wipe_kept(k);
    status = parse(k, der, certificate, err);
    if (status != CV_OK) {
        wipe_kept(k);
        ERR_clear_error();
        return status;
    }
    *out = &k->key;
    return CV_OK;
}

enum cv_status cv_crypto_spki(struct cv_bytes der,
                              const struct cv_crypto_key **out,
                              struct cv_err *err)
{
    return look_up(der, false, out, err);
}

enum cv_status cv_crypto_certificate(struct cv_bytes der,
                                     const struct cv_crypto_key **out,
                                     struct cv_err *err)
{
    return look_up(der, true, out, err);
}
