/* The key that signs checkpoints: an Ed25519 seed of its own, not under the
 * vault's key, so that a locked vault records too.
 *
 *     audit/log.key   PRIVATE+KEY+<name>+<key id>+base64(0x01 || seed) LF,
 * 0600: the text form that Go's sumdb/note signers read audit/key.pub   the
 * verifier key (note.h) and LF: derived, public; all that `audit verify` reads
 *
 * The name is the log's origin. A key on a token: logkey_token.h. Blocking:
 * files. */
#ifndef CERTVAULT_AUDIT_LOGKEY_H
#define CERTVAULT_AUDIT_LOGKEY_H

#include "vault/audit/note.h"

#define CV_LOGKEY_SEED 32

/* Makes audit/ (0700) beneath the vault's folder, draws a key and writes both
 * files. CV_INVALID (origin), CV_EXISTS (there is a key), CV_IO. */
CV_MUST_USE enum cv_status cv_logkey_create(int vault, const char *origin,
                                            struct cv_note_key *out,
                                            struct cv_err *err);

/* Reads audit/key.pub. CV_NOT_FOUND, CV_INTEGRITY (form), CV_CONFIG (owner,
 * mode), CV_IO. */
CV_MUST_USE enum cv_status cv_logkey_read(int vault, struct cv_note_key *out,
                                          struct cv_err *err);

/* Reads the seed out of audit/log.key into `arena`, to be handed to the token
 * process with the name. *seed lives as long as the arena. CV_INTEGRITY when
 * it is not the private half of `key`; else as above. */
CV_MUST_USE enum cv_status cv_logkey_read_seed(int vault,
                                               const struct cv_note_key *key,
                                               struct cv_arena *arena,
                                               struct cv_bytes *seed,
                                               struct cv_err *err);

/* Is there an audit/log.key? Without one nothing signs. */
bool cv_logkey_is_there(int vault);

/* Another key of the same log, for rotation.h: draws it; the bytes that its
 * file will have are in `arena`. */
CV_MUST_USE enum cv_status cv_logkey_next_draw(const char *origin,
                                               struct cv_arena *arena,
                                               struct cv_buf *file,
                                               struct cv_note_key *out,
                                               struct cv_err *err);

/* Writes audit/log.key.next, in place of what is there. CV_IO. */
CV_MUST_USE enum cv_status
cv_logkey_next_write(int vault, const struct cv_buf *file, struct cv_err *err);

/* The key that is in audit/log.key.next. CV_NOT_FOUND: there is none.
 * CV_INTEGRITY, CV_CONFIG, CV_IO. */
CV_MUST_USE enum cv_status
cv_logkey_next_read(int vault, struct cv_note_key *out, struct cv_err *err);

/* Is there such a file? */
bool cv_logkey_next_is_there(int vault);

/* As cv_logkey_read_seed, of audit/log.key.next. */
CV_MUST_USE enum cv_status cv_logkey_next_seed(int vault,
                                               const struct cv_note_key *key,
                                               struct cv_arena *arena,
                                               struct cv_bytes *seed,
                                               struct cv_err *err);

/* Makes it the log's key: both files. May be done again when it was killed.
 * CV_IO. */
CV_MUST_USE enum cv_status cv_logkey_next_take(int vault,
                                               const struct cv_note_key *key,
                                               struct cv_err *err);

/* Removes audit/log.key.next, overwritten first as far as that goes. */
void cv_logkey_next_drop(int vault);

/* Writes audit/log.key again, from a seed that came out of a backup.
 * CV_INTEGRITY when it is not the private half of `key`; CV_EXISTS, CV_IO. */
CV_MUST_USE enum cv_status cv_logkey_restore(int vault,
                                             const struct cv_note_key *key,
                                             struct cv_bytes seed,
                                             struct cv_err *err);

#endif
