/* Does a private key belong to a certificate? Asked at every open of a sealed
 * key, because a sealed box does not say who made it.
 *
 * This is the one place of the token process that uses libcrypto. Its numbers
 * are on its own heap and wiped when they are freed; the process is undumpable
 * and ends when idle. */
#ifndef CERTVAULT_SEAL_MATCH_H
#define CERTVAULT_SEAL_MATCH_H

#include "vault/seal/box.h"

/* Starts libcrypto without reading its configuration file or registering what
 * is not used here. Call it once, before the sandbox is entered. CV_INTERNAL.
 */
CV_MUST_USE enum cv_status cv_match_start(struct cv_err *err);

/* Checks that `key_der` (PKCS#8 DER: RSA of two primes, EC on P-256, P-384 or
 * P-521, or Ed25519) is the private key of the first certificate in
 * `chain_pem`, and that this certificate's DER SubjectPublicKeyInfo has the
 * digest `spki`. The public key is worked out of the private one, and all
 * numbers of an RSA key are checked against each other: no part of a key can
 * be wrong and pass. CV_INTEGRITY: not so, or either cannot be read;
 * CV_INTERNAL: memory is gone. */
CV_MUST_USE enum cv_status cv_match_key(struct cv_bytes key_der,
                                        struct cv_bytes chain_pem,
                                        const uint8_t spki[CV_BOX_DIGEST_LEN],
                                        struct cv_err *err);

/* Appends the DER SubjectPublicKeyInfo of the first certificate of a PEM chain.
 * CV_INTEGRITY: it cannot be read. */
CV_MUST_USE enum cv_status cv_match_public(struct cv_bytes chain_pem,
                                           struct cv_buf *out,
                                           struct cv_err *err);

/* Writes `key_der` as PEM (RFC 7468, "PRIVATE KEY", lines of 64, a final line
 * feed) into `arena`; *pem is set. Libcrypto has no part in it. */
CV_MUST_USE enum cv_status cv_match_pem(struct cv_bytes key_der,
                                        struct cv_arena *arena,
                                        struct cv_bytes *pem,
                                        struct cv_err *err);

#endif
