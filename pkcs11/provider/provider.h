/* Keys that sign elsewhere, for libcrypto and libssl.
 *
 * An OpenSSL 3 provider of this process's own: it makes EVP_PKEYs that have a
 * public key and no private one, and whose signatures are made by a function
 * of the caller's. Such a key goes where any key goes: SSL_use_PrivateKey,
 * libcurl's CURLOPT_SSL_CTX_FUNCTION, X509_REQ_sign.
 *
 *   kinds        RSA (2,048 bits and up), EC on P-256, P-384, P-521, Ed25519
 *   signatures   named as in TLS (RFC 8446 4.2.3):
 *                rsa_pkcs1_sha256|384|512, rsa_pss_rsae_sha256|384|512 (salt as
 *                long as the digest), ecdsa_secp256r1_sha256,
 *                ecdsa_secp384r1_sha384, ecdsa_secp521r1_sha512, ed25519
 *
 * What is signed is handed over whole, never as a digest, together with what it
 * is for, told by its own form (vault/seal/purpose.h describes the forms, and
 * the signer's side checks them again):
 *   tls13-client   RFC 8446 4.4.3, the client's CertificateVerify
 *   tls12-client   RFC 5246 7.4.8, handshake messages from ClientHello on
 *   csr            RFC 2986 4.1, a DER CertificationRequestInfo
 * Anything else is refused before the signer is asked.
 *
 * Such a key cannot be taken out: i2d_PrivateKey, EVP_PKEY_dup and the like
 * fail. It does not verify either; that is for the certificate's own key.
 *
 * The keys live in an OSSL_LIB_CTX of their own. Nothing that others do in this
 * process, in the default context or any other, finds this provider; SSL_CTXs
 * and certificates may be of any context.
 *
 * Threads: a provider and its keys may be used by several at once, and the
 * signer is then called by several at once. Fork: not to be used by a child. */
#ifndef CERTVAULT_PKCS11_PROVIDER_PROVIDER_H
#define CERTVAULT_PKCS11_PROVIDER_PROVIDER_H

#include "vault/base/buf.h"

#include <openssl/types.h>

struct cv_provider;

/* Makes one signature of `data` (borrowed) and appends it to `signature`:
 * ECDSA's as DER, others raw. Called within SSL_do_handshake, X509_REQ_sign and
 * the like, on their thread, and may block. A failure makes the operation of
 * libssl or libcrypto fail; *err is the provider's own, its text goes into
 * libcrypto's error queue. */
typedef enum cv_status cv_provider_sign(void *context, const char *purpose,
                                        const char *algorithm,
                                        struct cv_bytes data,
                                        struct cv_buf *signature,
                                        struct cv_err *err);

/* *out is NULL on failure: CV_INTERNAL (libcrypto does not start). Reads no
 * openssl.cnf, and keeps libcrypto from reading one later on. */
CV_MUST_USE enum cv_status cv_provider_new(struct cv_provider **out,
                                           struct cv_err *err);

/* NULL is fine. All its keys must be gone: SSLs and SSL_CTXs that hold one. */
void cv_provider_free(struct cv_provider *p);

/* A key (to be freed with EVP_PKEY_free) for the DER SubjectPublicKeyInfo
 * `spki`, signing by `sign(context, ...)`; `context` must live as long as the
 * key. *out is NULL on failure: CV_INVALID (no public key, or of another kind),
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_provider_key(struct cv_provider *p,
                                           struct cv_bytes spki,
                                           cv_provider_sign *sign,
                                           void *context, EVP_PKEY **out,
                                           struct cv_err *err);

/* Is `algorithm` (TLS's name) one that a key like `key`, ours or any other
 * with this public half, signs by here? */
bool cv_provider_fits(EVP_PKEY *key, const char *algorithm);

#endif
