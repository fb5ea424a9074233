/* Libcrypto, as this folder uses it: public keys alone, in a context of its
 * own. A module that brings libcrypto along shares this process's, and what it
 * sets up there (engines, providers, a FIPS property) must not decide whether
 * one of our checks succeeds. */
#ifndef CERTVAULT_PKCS11_CRYPTO_INTERNAL_H
#define CERTVAULT_PKCS11_CRYPTO_INTERNAL_H

#include "vault/base/arena.h"

#include <openssl/evp.h>

/* A public key that was parsed. */
struct cv_crypto_key {
    EVP_PKEY *key;
    struct cv_bytes spki; /* written anew: equal keys, equal bytes */
    const char *kind; /* "rsa", "ec-p256", "ec-p384", "ec-p521", "ed25519" */
    unsigned bits;
    size_t scalar_len; /* EC: bytes of r and of s; else 0 */
};

/* The context; NULL when libcrypto does not start. Made at the first call. */
OSSL_LIB_CTX *cv_crypto_context(void);

/* A digest by name ("SHA256"); NULL when there is none. Borrowed. */
const EVP_MD *cv_crypto_digest(const char *name);

/* Parses a DER SubjectPublicKeyInfo, or takes the key out of a DER certificate;
 * the whole of `der` must be one. The last few are kept, so that a key that is
 * used again is not parsed again: *out is borrowed until some more were asked
 * for (use it at once). CV_INTEGRITY (neither), CV_INVALID (a kind of key that
 * is not used here), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_crypto_spki(struct cv_bytes der,
                                          const struct cv_crypto_key **out,
                                          struct cv_err *err);
CV_MUST_USE enum cv_status
cv_crypto_certificate(struct cv_bytes der, const struct cv_crypto_key **out,
                      struct cv_err *err);

#endif
