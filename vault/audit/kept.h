/* Checkpoints of earlier times, in audit/checkpoints: one an hour at most, so
 * that whoever proves what happened in a period can show what the log was
 * before it and after it, as it was signed then.
 *
 *     {"note":"<the signed note>","time":"2026-11-22T05:31:00Z"} LF   ...
 *
 * Written beside the log and never needed by it: not there, cut short or lost
 * is no fault, and a proof is then made under a later checkpoint. Nothing of it
 * is believed but notes whose signature is the log's. Blocking: files. */
#ifndef CERTVAULT_AUDIT_KEPT_H
#define CERTVAULT_AUDIT_KEPT_H

#include "vault/audit/checkpoint.h"

#define CV_KEPT_PATH "audit/checkpoints"
#define CV_KEPT_EVERY_S 3600

/* Keeps `note`, a checkpoint that was just stored, unless one was kept within
 * the last hour. What cannot be written is not kept. */
void cv_kept_add(int vault, struct cv_bytes note);

/* Called for each that is kept, in the order of the file, with what it says;
 * its signature was not looked at. Anything but CV_OK ends it. */
typedef enum cv_status cv_kept_fn(void *ctx, const struct cv_checkpoint *c,
                                  struct cv_bytes note, struct cv_err *err);
CV_MUST_USE enum cv_status cv_kept_each(int vault, cv_kept_fn *fn, void *ctx,
                                        struct cv_err *err);

/* The same; *damaged is how many lines are no checkpoint at all: the rest of a
 * write that was cut off, or somebody's. */
CV_MUST_USE enum cv_status cv_kept_look(int vault, cv_kept_fn *fn, void *ctx,
                                        uint64_t *damaged, struct cv_err *err);

/* The last one of at most `below` leaves, signed by one of the keys that the
 * log had (oldest first), and the first one of at least `above` leaves, signed
 * by the last of them; an empty note where there is none. */
struct cv_kept_pair {
    struct cv_checkpoint before, after;
    struct cv_buf before_note, after_note;
};
CV_MUST_USE enum cv_status
cv_kept_around(int vault, const struct cv_note_key *keys, size_t n,
               uint64_t below, uint64_t above, struct cv_kept_pair *out,
               struct cv_err *err);
void cv_kept_pair_wipe(struct cv_kept_pair *pair);

#endif
