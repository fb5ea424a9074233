/* Signatures with a key on a token.
 *
 * What is signed is given whole, never as a digest. Every signature is checked
 * with the certificate's public key before it leaves: a token that answers with
 * the wrong length, another key's signature or rubbish gives CV_INTEGRITY.
 *
 * Algorithms, by their names in TLS (RFC 8446 4.2.3):
 *   rsa_pkcs1_sha256|384|512       CKM_SHAxxx_RSA_PKCS, or CKM_RSA_PKCS over a
 *                                  DigestInfo made here
 *   rsa_pss_rsae_sha256|384|512    CKM_SHAxxx_RSA_PKCS_PSS or
 *                                  CKM_RSA_PKCS_PSS, or CKM_RSA_X_509 over
 *                                  EMSA-PSS made here (salt from getrandom)
 *   ecdsa_secp256r1_sha256,
 *   ecdsa_secp384r1_sha384,
 *   ecdsa_secp521r1_sha512         CKM_ECDSA over a digest made here; r||s
 *                                  becomes DER
 *   ed25519                        CKM_EDDSA
 * Which mechanism a token has is asked, and what it has but does not do is
 * passed over for the next way. */
#ifndef CERTVAULT_PKCS11_SIGN_H
#define CERTVAULT_PKCS11_SIGN_H

#include "pkcs11/login.h"
#include "pkcs11/object.h"

/* A key, as the store knows it. */
struct cv_sign_key {
    struct cv_bytes id;   /* CKA_ID */
    struct cv_bytes spki; /* DER SubjectPublicKeyInfo that it must have */
};

/* Starts the part of libcrypto that is used here, in a context of its own that
 * modules do not share. Call it once, before a sandbox. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_sign_start(struct cv_err *err);

/* Is `algorithm` known, and does it fit this public key? CV_INVALID says
 * which. */
CV_MUST_USE enum cv_status
cv_sign_fits(const char *algorithm, struct cv_bytes spki, struct cv_err *err);

/* Finds `key`, signs `data` with it, checks the signature and appends it to
 * `out` (DER for ECDSA, raw otherwise). Recovers as cv_session_do does. Logs in
 * for keys that want it with each use (cv_login_for_use). CV_INVALID (algorithm
 * does not fit, or the token has no mechanism for it), CV_NOT_FOUND (no such
 * key), CV_LOCKED, CV_INTEGRITY (key ambiguous or another; signature wrong),
 * CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_sign(struct cv_session_pool *pool,
                                   const struct cv_sign_key *key,
                                   const char *algorithm, struct cv_bytes data,
                                   struct cv_buf *out, struct cv_err *err);

/* The same with a handle in a session that the caller has, once. */
CV_MUST_USE enum cv_status
cv_sign_data(struct cv_session_pool *pool, CK_SESSION_HANDLE session,
             CK_OBJECT_HANDLE object, struct cv_bytes spki,
             const char *algorithm, struct cv_bytes data, struct cv_buf *out,
             struct cv_err *err);

/* Is `signature` (as cv_sign gives it) good? CV_INTEGRITY: no. */
CV_MUST_USE enum cv_status cv_sign_verify(const char *algorithm,
                                          struct cv_bytes spki,
                                          struct cv_bytes data,
                                          struct cv_bytes signature,
                                          struct cv_err *err);

#endif
