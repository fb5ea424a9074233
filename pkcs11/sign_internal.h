/* Shared by the parts of sign: algorithms, and the bytes that they sign. */
#ifndef CERTVAULT_PKCS11_SIGN_INTERNAL_H
#define CERTVAULT_PKCS11_SIGN_INTERNAL_H

#include "pkcs11/crypto_internal.h"
#include "pkcs11/sign.h"

enum cv_sign_scheme {
    CV_SIGN_PKCS1,
    CV_SIGN_PSS,
    CV_SIGN_ECDSA,
    CV_SIGN_EDDSA
};

struct cv_sign_algorithm {
    const char *name; /* in TLS */
    enum cv_sign_scheme scheme;
    const char *kind; /* of key, as cv_object_kind says */
    const char *digest;
    size_t digest_len;
    CK_MECHANISM_TYPE hash;  /* CKM_SHA256 and so on */
    CK_MECHANISM_TYPE whole; /* the one that makes the digest too; 0: none */
    CK_RSA_PKCS_MGF_TYPE mgf;
};

/* NULL: not known. */
const struct cv_sign_algorithm *cv_sign_find(const char *name);

/* The digest of `data`, digest_len bytes. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_sign_digest(const struct cv_sign_algorithm *a,
                                          struct cv_bytes data, uint8_t *out,
                                          struct cv_err *err);

/* Appends the DER DigestInfo around a digest (RFC 8017 9.2). */
void cv_sign_add_digest_info(const struct cv_sign_algorithm *a,
                             const uint8_t *digest, struct cv_buf *out);

/* Appends EMSA-PSS of a digest (RFC 8017 9.1.1) for a modulus of `bits`, as
 * long as the modulus, with a random salt as long as the digest. CV_INVALID
 * (the key is too small), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_sign_add_pss(const struct cv_sign_algorithm *a,
                                           const uint8_t *digest, unsigned bits,
                                           struct cv_buf *out,
                                           struct cv_err *err);

/* Appends the DER form of the raw r||s, each of half its length. CV_INTEGRITY:
 * a number is 0. */
CV_MUST_USE enum cv_status
cv_sign_add_ecdsa(struct cv_bytes raw, struct cv_buf *out, struct cv_err *err);

#endif
