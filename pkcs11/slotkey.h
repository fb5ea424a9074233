/* A token's key opens the vault.
 *
 * A key slot on a token rests on 32 bytes that only the token's private key
 * gives back. Who makes the slot needs the public key alone: it draws the
 * bytes (RSA) or agrees on them (EC), keeps what the token needs in the slot's
 * record, and wraps the box key under them like under a key file's. The form
 * is in docs/formats.md, "Slots on a token". */
#ifndef CERTVAULT_PKCS11_SLOTKEY_H
#define CERTVAULT_PKCS11_SLOTKEY_H

#include "pkcs11/notes.h"
#include "pkcs11/object.h"

#define CV_SLOTKEY_SECRET_LEN 32
#define CV_SLOTKEY_DATA_MAX 512 /* RSA-4096 */

enum cv_slotkey_form {
    CV_SLOTKEY_OAEP_SHA256, /* "rsa-oaep-sha256": MGF1 with SHA-256 too */
    CV_SLOTKEY_OAEP_SHA1,   /* "rsa-oaep-sha1": for tokens that know no other */
    CV_SLOTKEY_ECDH,        /* "ecdh-hkdf-sha256": P-256 and P-384 */
    CV_SLOTKEY_FORMS
};

/* The word of a form, a literal; and back (CV_INVALID). */
const char *cv_slotkey_form_name(enum cv_slotkey_form form);
CV_MUST_USE enum cv_status cv_slotkey_form_read(const char *word,
                                                enum cv_slotkey_form *out,
                                                struct cv_err *err);

/* What the slot's record keeps; not secret. */
struct cv_slotkey_sealed {
    enum cv_slotkey_form form;
    size_t len;
    uint8_t data[CV_SLOTKEY_DATA_MAX]; /* RSA: the ciphertext; EC: the point
                                          (0x04, x, y) of a key used once */
};

/* The public half, without a token: a new secret (CV_SLOTKEY_SECRET_LEN bytes
 * in `arena`) and what gives it back. CV_INVALID: `spki` is not RSA of 2048 to
 * 4096 bits, P-256 or P-384, or does not go with `form`. */
CV_MUST_USE enum cv_status
cv_slotkey_seal(struct cv_bytes spki, enum cv_slotkey_form form,
                struct cv_arena *arena, struct cv_slotkey_sealed *out,
                struct cv_bytes *secret, struct cv_err *err);

/* The token's half: the secret, in `arena`. `key` is the private key whose
 * public key is `spki`. CV_INTEGRITY: the token says that the ciphertext is not
 * its own, or gives something of a wrong length; CV_INVALID: it has no such
 * mechanism, or `sealed` cannot be; CV_LOCKED; else as cv_rv_fail. That the
 * secret is the right one shows when it opens the slot. */
CV_MUST_USE enum cv_status
cv_slotkey_open(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                CK_OBJECT_HANDLE key, struct cv_bytes spki,
                const struct cv_slotkey_sealed *sealed, struct cv_arena *arena,
                struct cv_bytes *secret, struct cv_err *err);

/* Which form does this key do? Tried: a secret is sealed to `spki` and opened
 * by the token. CV_INVALID: none; the text says what was missing. */
CV_MUST_USE enum cv_status
cv_slotkey_choose(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                  CK_OBJECT_HANDLE key, struct cv_bytes spki,
                  struct cv_arena *arena, enum cv_slotkey_form *form,
                  struct cv_err *err);

/* Makes a key for this on the token (P-256 where it can derive, else RSA-2048,
 * else P-384), not extractable, which does this and nothing else, and sees
 * that it works; that the token lets it out is a note. Appends its DER
 * SubjectPublicKeyInfo to `spki`. On failure nothing of the id is left. As
 * cv_generate_key and cv_slotkey_choose. */
CV_MUST_USE enum cv_status
cv_slotkey_make(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                struct cv_bytes id, const char *label, struct cv_arena *arena,
                struct cv_buf *spki, enum cv_slotkey_form *form,
                struct cv_notes *notes, struct cv_err *err);

#endif
