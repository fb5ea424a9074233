/* Sealed keys.
 *
 * A private key is sealed to the vault's public key (an X25519 box key) by
 * libsodium's crypto_box_seal, so that whoever takes a key in needs nothing
 * that opens one. What is sealed is not the key alone but a frame that names
 * the vault, the entry and the certificate's public key for which it was made:
 * sealed boxes do not say who sealed them, and a box moved to another entry or
 * another vault must not open there. The format is in docs/formats.md, "Sealed
 * key".
 *
 * The two halves are files of their own: a program that seals does not link
 * the code that opens. Nothing here blocks or keeps state. */
#ifndef CERTVAULT_SEAL_BOX_H
#define CERTVAULT_SEAL_BOX_H

#include "vault/base/arena.h"
#include "vault/base/buf.h"

#define CV_BOX_ID_LEN 16     /* a vault id, an entry id */
#define CV_BOX_KEY_LEN 32    /* an X25519 key, public or secret */
#define CV_BOX_DIGEST_LEN 32 /* SHA-256 */

/* What a sealed key belongs to. Nothing in it is secret. */
struct cv_box_binding {
    uint8_t vault_id[CV_BOX_ID_LEN];
    uint8_t entry_id[CV_BOX_ID_LEN];
    /* of the leaf certificate's DER SubjectPublicKeyInfo */
    uint8_t spki_sha256[CV_BOX_DIGEST_LEN];
};

/* A vault's box key pair. The secret half is borrowed: it lives in an arena. */
struct cv_box_pair {
    uint8_t public_key[CV_BOX_KEY_LEN];
    const uint8_t *secret_key; /* CV_BOX_KEY_LEN bytes */
};

/* Seals `key_der` (PKCS#8 PrivateKeyInfo, DER, at most CV_LIMIT_KEY_DER bytes)
 * and appends the sealed bytes (at most CV_LIMIT_SEALED) to `out`. The frame
 * is made in `scratch`, the arena that `key_der` is in. CV_INVALID: the key is
 * empty or too long, or the public key is none; else what arenas and buffers
 * fail with. On failure nothing is appended. */
CV_MUST_USE enum cv_status cv_box_seal(const uint8_t public_key[CV_BOX_KEY_LEN],
                                       const struct cv_box_binding *binding,
                                       struct cv_bytes key_der,
                                       struct cv_arena *scratch,
                                       struct cv_buf *out, struct cv_err *err);

/* Opens `sealed`, which must have been made for exactly `binding`. On success
 * *key_der is the PKCS#8 DER, in `arena`, as it was given to cv_box_seal; that
 * it is a key, and the certificate's, is for cv_match_key to say. On failure
 * *key_der is empty. CV_INTEGRITY: not a sealed key, sealed to another key,
 * changed, or made for another vault, entry or certificate; a version that is
 * not known: CV_INTEGRITY too, with a hint. */
CV_MUST_USE enum cv_status cv_box_open(const struct cv_box_pair *pair,
                                       const struct cv_box_binding *binding,
                                       struct cv_bytes sealed,
                                       struct cv_arena *arena,
                                       struct cv_bytes *key_der,
                                       struct cv_err *err);

/* SHA-256 of a key's PKCS#8 DER: by it the key that was read and the key that
 * a vault gives back are compared without either being shown. */
void cv_box_digest(struct cv_bytes key_der, uint8_t out[CV_BOX_DIGEST_LEN]);

#endif
