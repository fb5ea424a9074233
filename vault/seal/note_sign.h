/* Signs notes in the form of C2SP signed-note (c2sp.org/signed-note), with
 * Ed25519 (signature type 0x01). */
#ifndef CERTVAULT_SEAL_NOTE_SIGN_H
#define CERTVAULT_SEAL_NOTE_SIGN_H

#include "vault/base/arena.h"
#include "vault/base/buf.h"

#define CV_NOTE_SIGN_SEED_LEN 32

/* Appends the signature line that belongs under `text`,
 *     "— " name " " base64(key id, 4 bytes || signature, 64 bytes) "\n"
 * where key id = SHA-256(name || 0x0A || 0x01 || public key)[:4]. `name` is not
 * empty, printable UTF-8 without blanks and '+'. `text` is at most
 * CV_LIMIT_NOTE bytes of UTF-8 without control characters other than line
 * feed, and ends with one; all of it is signed. `seed` (CV_NOTE_SIGN_SEED_LEN
 * bytes) is secret; what is made of it lives in an arena made here. CV_INVALID:
 * a name, seed or text that is not so. */
CV_MUST_USE enum cv_status
cv_note_sign_line(const char *name, struct cv_bytes seed, struct cv_bytes text,
                  struct cv_buf *out, struct cv_err *err);

/* May a token's key that signs the log sign this text? Only a checkpoint (three
 * lines: a name, a size, 32 bytes in base64), a change of the log's key (four
 * lines, the first one fixed) and what is archived (nine, the first one fixed)
 * are: a key that could sign anything else would be worth more than a log's.
 * CV_INVALID. */
CV_MUST_USE enum cv_status cv_note_sign_check(struct cv_bytes text,
                                              struct cv_err *err);

#endif
