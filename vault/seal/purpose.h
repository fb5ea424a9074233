/* What may be signed: not bytes of any kind, but the four things that a client
 * key is for, each told by its own form. A signature that was asked for one of
 * them is good for nothing else: their first bytes differ (0x20, 0x01, 0x30,
 * 'c'), and none of them is a digest.
 *
 *     tls13-client  RFC 8446 4.4.3: 64 spaces, "TLS 1.3, client
 *                   CertificateVerify", NUL, the transcript's hash (32 or 48
 *                   bytes)
 *     tls12-client  RFC 5246 7.4.8: the handshake messages so far, from
 *                   ClientHello to ClientKeyExchange
 *     csr           RFC 2986 4.1: a DER CertificationRequestInfo for this very
 *                   key
 *     challenge     "certvault challenge v1", NUL, 32 to 4,096 bytes
 *
 * Pure; used by both of the token program's faces. */
#ifndef CERTVAULT_SEAL_PURPOSE_H
#define CERTVAULT_SEAL_PURPOSE_H

#include "vault/seal/box.h"

#define CV_PURPOSE_CHALLENGE "certvault challenge v1"

/* Has `data` the form of `purpose`, and may `algorithm` (TLS's name,
 * "rsa_pss_rsae_sha256") sign it? `spki_sha256` is that of the key. CV_INVALID:
 * no, or one of the words is not known. */
CV_MUST_USE enum cv_status cv_purpose_check(
    const char *purpose, const char *algorithm, struct cv_bytes data,
    const uint8_t spki_sha256[CV_BOX_DIGEST_LEN], struct cv_err *err);

#endif
