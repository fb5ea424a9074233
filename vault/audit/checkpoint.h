/* Checkpoints: signed statements (C2SP tlog-checkpoint) of the log's size and
 * root, the last one in audit/checkpoint.
 *
 *     <origin> LF <size> LF <base64 of root> LF      and signature lines
 *
 * Making one takes two steps, each while the vault's lock is held, with the
 * token process signing between them (without the lock):
 *
 *     cv_checkpoint_begin(log, &text)              what is to be signed
 *     token: SignNote(name, seed, text) -> line    (logkey.h)
 *     cv_checkpoint_finish(log, text, line)        checked and stored
 *
 * A broker that ends does it in one step, with the lock held throughout: the
 * leaves that are still queued are in the text, and cv_checkpoint_commit makes
 * them durable before the note has a name.
 *
 * The file is replaced whole (fsync, rename, fsync of the folder) before anyone
 * gets to see the note, and compared first with the one that is there: sizes
 * never go back, one size never has two roots. Beside it, as the log grows,
 * audit/state is written: frontiers from which a long log is opened. */
#ifndef CERTVAULT_AUDIT_CHECKPOINT_H
#define CERTVAULT_AUDIT_CHECKPOINT_H

#include "vault/audit/log.h"
#include "vault/audit/note.h"

struct cv_checkpoint {
    char origin[CV_NOTE_NAME + 1];
    uint64_t size;
    uint8_t root[CV_TREE_HASH];
};

/* Appends the text of a checkpoint. */
void cv_checkpoint_text(const struct cv_checkpoint *c, struct cv_buf *out);

/* Reads a text: exactly three lines, size without leading zero, root of 32
 * bytes. CV_INTEGRITY otherwise. */
CV_MUST_USE enum cv_status cv_checkpoint_parse(struct cv_bytes text,
                                               struct cv_checkpoint *out,
                                               struct cv_err *err);

/* Opens a note with the log's key and reads it; its origin must be the key's
 * name. CV_INTEGRITY otherwise. */
CV_MUST_USE enum cv_status cv_checkpoint_open(struct cv_bytes note,
                                              const struct cv_note_key *key,
                                              struct cv_checkpoint *out,
                                              struct cv_err *err);

/* Reads and opens audit/checkpoint beneath `vault`. `note` (may be NULL) gets
 * its bytes, *age_s (may be NULL) its age in seconds. CV_NOT_FOUND,
 * CV_INTEGRITY, CV_CONFIG, CV_IO. */
CV_MUST_USE enum cv_status
cv_checkpoint_read(int vault, const struct cv_note_key *key,
                   struct cv_checkpoint *out, struct cv_buf *note,
                   int64_t *age_s, struct cv_err *err);

/* Appends to `text` what is to be signed for the leaves, durable and queued;
 * nothing where the last checkpoint covers them all (text stays empty).
 * CV_INTEGRITY when the last one does not fit the log. */
CV_MUST_USE enum cv_status cv_checkpoint_begin(struct cv_log *log,
                                               struct cv_buf *text,
                                               struct cv_err *err);

/* Stores the text with its signature line. CV_OK also when another process
 * stored a later one meanwhile. CV_INTEGRITY: the signature is not the log
 * key's, the text is not this log's, or it contradicts the one stored; CV_IO.
 */
CV_MUST_USE enum cv_status cv_checkpoint_finish(struct cv_log *log,
                                                struct cv_bytes text,
                                                const char *line,
                                                struct cv_err *err);

/* cv_checkpoint_finish for a text that covers queued leaves: they are committed
 * (cv_log_commit, whose failures these are too) after the note was written to a
 * file without a name and before it gets one. So the disk syncs both at once,
 * and no note is ever found whose leaves are not in the log. The folder is not
 * synced: a power failure may bring back the checkpoint before, which the log
 * fits as well; cv_checkpoint_sync before the note is given to others. */
CV_MUST_USE enum cv_status cv_checkpoint_commit(struct cv_log *log,
                                                struct cv_bytes text,
                                                const char *line,
                                                struct cv_err *err);

/* Waits until what cv_checkpoint_commit put in place will stay there. CV_IO. */
CV_MUST_USE enum cv_status cv_checkpoint_sync(int vault, struct cv_err *err);

#endif
