/* A key that signs notes, as a file: for people who sign policies.
 *
 *     PRIVATE+KEY+<name>+<key id>+base64(0x01 || seed) LF
 *
 * the text form that Go's sumdb/note reads, as audit/log.key has it. Everything
 * here is secret and lives in arenas; nothing blocks. */
#ifndef CERTVAULT_AUDIT_NOTEKEY_H
#define CERTVAULT_AUDIT_NOTEKEY_H

#include "vault/audit/note.h"
#include "vault/base/arena.h"

#define CV_NOTEKEY_FILE 1024 /* bytes of such a file, at most */

/* Draws an Ed25519 key called `name`: *out is its public half, its file is
 * appended to `secret`, which lies in an arena. CV_INVALID (name). */
CV_MUST_USE enum cv_status cv_notekey_make(const char *name,
                                           struct cv_buf *secret,
                                           struct cv_note_key *out,
                                           struct cv_err *err);

/* Signs `text` with the key that `file` (such a file's bytes) holds and appends
 * the whole note to `out`; `key` (may be NULL) is the public half. What is
 * derived from the secret lies in `arena`. CV_INVALID: it is not such a file;
 * the text is none (note.h). */
CV_MUST_USE enum cv_status
cv_notekey_sign(struct cv_bytes file, struct cv_arena *arena,
                struct cv_bytes text, struct cv_buf *out,
                struct cv_note_key *key, struct cv_err *err);

/* The public half of such a file's key. CV_INVALID. */
CV_MUST_USE enum cv_status cv_notekey_public(struct cv_bytes file,
                                             struct cv_arena *arena,
                                             struct cv_note_key *out,
                                             struct cv_err *err);

#endif
