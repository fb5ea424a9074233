/* Does a private key belong to a certificate? Asked at every open of a sealed
 * key, because a sealed box does not say who made it.
 *
 * This is the one place of the token process that uses libcrypto. The copies
 * that libcrypto makes of a key are its own (it wipes them when they are
 * freed); the process is undumpable and ends when idle. */
#ifndef CERTVAULT_SEAL_MATCH_H
#define CERTVAULT_SEAL_MATCH_H

#include "vault/seal/box.h"

/* Starts libcrypto without reading its configuration file or registering what
 * is not used. Call it once, before the sandbox is entered. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_match_start(struct cv_err *err);

/* Checks that `key_der` (PKCS#8 DER: RSA, EC on P-256, P-384 or P-521, or
 * Ed25519) is the private key of the first certificate in `chain_pem`, and
 * that this certificate's DER SubjectPublicKeyInfo has the digest `spki`: a
 * random challenge signed with the key must verify under the certificate's
 * public key. CV_INTEGRITY: not so, or either cannot be read; CV_INTERNAL:
 * libcrypto failed for want of memory or randomness. Takes up to a few
 * milliseconds. */
CV_MUST_USE enum cv_status cv_match_key(struct cv_bytes key_der,
                                        struct cv_bytes chain_pem,
                                        const uint8_t spki[CV_BOX_DIGEST_LEN],
                                        struct cv_err *err);

/* Writes `key_der` as PEM (RFC 7468, "PRIVATE KEY", lines of 64, a final line
 * feed) into `arena`; *pem is set. Libcrypto has no part in it. */
CV_MUST_USE enum cv_status cv_match_pem(struct cv_bytes key_der,
                                        struct cv_arena *arena,
                                        struct cv_bytes *pem,
                                        struct cv_err *err);

#endif
