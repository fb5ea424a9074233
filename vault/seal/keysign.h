/* Signing with an opened key. */
#ifndef CERTVAULT_SEAL_KEYSIGN_H
#define CERTVAULT_SEAL_KEYSIGN_H

#include "vault/seal/box.h"

/* Signs `data` (the bytes themselves, never a digest) with `key_der` (PKCS#8)
 * by `algorithm` (TLS's name, RFC 8446 4.2.3: "rsa_pss_rsae_sha256",
 * "ecdsa_secp256r1_sha256", "ed25519"; for TLS 1.2 and requests also
 * "rsa_pkcs1_sha256") and appends the signature to `out`; ECDSA's as DER. The
 * signature is verified before it is given out: one that was made wrong tells
 * the key. CV_INVALID: the algorithm is not this key's; CV_INTEGRITY: it does
 * not verify; CV_INTERNAL. libcrypto's copy of the key is on its own heap and
 * wiped at the end. */
CV_MUST_USE enum cv_status
cv_keysign_data(struct cv_bytes key_der, const char *algorithm,
                struct cv_bytes data, struct cv_buf *out, struct cv_err *err);

#endif
