/* A key that was born elsewhere goes into a token.
 *
 * Two ways, the better first:
 *   unwrapped  the token opens a key that was wrapped (AES key wrap, RFC 5649
 *              or RFC 3394) under an AES key which was made here for this one
 *              key and is destroyed after it; the AES key itself goes in
 *              encrypted to an RSA key that the token makes for the purpose,
 *              or, where a token cannot do that, as a value. So the private key
 *              never passes the module's door in the clear.
 *   imported   C_CreateObject with the key's numbers.
 * Either way with the safe template: on the token, private, sensitive, not
 * extractable, for signing alone, neither modifiable nor copyable. A member of
 * it that a token does not know is left out, with a note, but for those that
 * make it a guarded key at all.
 *
 * CKR_OK proves nothing: the key is looked for afterwards, and who uses this
 * examines it (examine.h, or import.h, which does all of it). What failed
 * leaves no object of its id behind; where even that cannot be had, the error's
 * state says so. What a half-made object without an id leaves, debris.h finds.
 */
#ifndef CERTVAULT_PKCS11_CREATE_H
#define CERTVAULT_PKCS11_CREATE_H

#include "pkcs11/notes.h"
#include "pkcs11/object.h"

enum cv_create_way { CV_CREATE_UNWRAPPED, CV_CREATE_IMPORTED };

/* "unwrapped", "imported": the entry's provenance. */
const char *cv_create_way_name(enum cv_create_way way);

/* Can the session's token take a private key of this kind ("rsa", "ec-p256",
 * "ec-p384", "ed25519"; `bits` of an RSA modulus, else ignored), and which way?
 * Tried with a key made for it, as a session object, destroyed again; a token
 * that only takes keys to stay is found out when one is created.
 * CV_INVALID: no; the text names the mechanism or call that is missing. */
CV_MUST_USE enum cv_status cv_create_accepts(CK_FUNCTION_LIST *functions,
                                             CK_SESSION_HANDLE session,
                                             const char *kind, unsigned bits,
                                             enum cv_create_way *way,
                                             struct cv_err *err);

struct cv_create_key {
    struct cv_bytes key_der; /* PKCS#8 PrivateKeyInfo, in an arena */
    struct cv_bytes id;      /* CKA_ID */
    const char *label;       /* CKA_LABEL */
};

/* Puts the key on the token (read/write session, logged in). `arena` is where
 * its numbers are meanwhile: best the one of key_der. On success *handle is the
 * one private key with this id, *way how it came there. CV_EXISTS: the token
 * has an object with this id already (nothing was done); CV_INVALID: not a key
 * of a kind used here, or the token takes none such; CV_INTEGRITY: the token
 * said yes and has no such key, or several; else as cv_rv_fail. */
CV_MUST_USE enum cv_status
cv_create_key(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
              const struct cv_create_key *key, struct cv_arena *arena,
              enum cv_create_way *way, CK_OBJECT_HANDLE *handle,
              struct cv_notes *notes, struct cv_err *err);

/* The DER SubjectPublicKeyInfo of a PKCS#8 key, appended to `out`. CV_INVALID.
 */
CV_MUST_USE enum cv_status
cv_create_spki(struct cv_bytes key_der, struct cv_buf *out, struct cv_err *err);

/* Puts the public key beside a private one (CKO_PUBLIC_KEY, same id and label,
 * for verifying). What the token does not take becomes a note. */
void cv_create_public(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                      struct cv_bytes spki, struct cv_bytes id,
                      const char *label, struct cv_notes *notes);

/* Puts certificates beside the key: the first of `chain` (PEM) with the key's
 * id and label, the rest of it and those of `ca` (PEM, may be empty) with the
 * label "LABEL ca" and the id followed by one byte that counts from 1, so that
 * nobody takes them for the key's. One that the token has already stays as it
 * is. What the token does not take becomes a note. CV_INVALID: not PEM, or no
 * certificates. */
CV_MUST_USE enum cv_status
cv_create_certificates(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                       struct cv_bytes id, const char *label,
                       struct cv_bytes chain, struct cv_bytes ca,
                       struct cv_notes *notes, struct cv_err *err);

/* Destroys what cv_create_* and cv_generate_key made for this id: every object
 * with the id, or the id and one byte, whose label is LABEL or "LABEL ca".
 * *destroyed counts them; none is fine. CV_INTEGRITY: one is still there, or
 * one with the id has another label (it is left). Else as cv_rv_fail. */
CV_MUST_USE enum cv_status
cv_create_destroy(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                  struct cv_bytes id, const char *label, size_t *destroyed,
                  struct cv_err *err);

#endif
