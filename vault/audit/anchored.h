/* What witnesses have signed of this log: audit/cosigned.
 *
 * Each file in it is a checkpoint of the log with the line of one witness (C2SP
 * tlog-cosignature) under the log's own, kept as it came. The files are derived
 * and anybody who can write the vault can write them: what is believed is what
 * the signatures say, by keys that come from elsewhere. Offline; blocks on
 * files. */
#ifndef CERTVAULT_AUDIT_ANCHORED_H
#define CERTVAULT_AUDIT_ANCHORED_H

#include "vault/audit/note.h"
#include "vault/audit/tree.h"

#define CV_ANCHORED_MOST 16

struct cv_anchored_one {
    char name[CV_NOTE_NAME + 1]; /* the witness */
    uint64_t size;
    uint8_t root[CV_TREE_HASH];
    int64_t time_s; /* when it signed, by its own clock */
};

struct cv_anchored {
    struct cv_anchored_one at[CV_ANCHORED_MOST]; /* the largest size first */
    size_t n;
};

/* Reads the checkpoint of each of `witnesses` (of which those beyond
 * CV_ANCHORED_MOST are passed over) beneath the vault's folder `vault`, if it
 * is there. CV_INTEGRITY: one of them is signed by neither the log nor that
 * witness, or it is no checkpoint of this log; CV_CONFIG, CV_IO. */
CV_MUST_USE enum cv_status cv_anchored_read(int vault,
                                            const struct cv_note_key *log_key,
                                            const struct cv_note_key *witnesses,
                                            size_t n, struct cv_anchored *out,
                                            struct cv_err *err);

/* Called for each file there is, in the order of their names (the id of a
 * witness' key), at most CV_ANCHORED_MOST of them, with its bytes: nothing of
 * it was looked at. What is no such file is passed over; anything but CV_OK
 * ends it. CV_IO, CV_CONFIG. */
typedef enum cv_status cv_anchored_fn(void *ctx, const char *name,
                                      struct cv_bytes note, struct cv_err *err);
CV_MUST_USE enum cv_status cv_anchored_each(int vault, cv_anchored_fn *fn,
                                            void *ctx, struct cv_err *err);

/* Appends to `note` those of `lines` that are of `witness`' key, not verified:
 * a witness may answer with lines of others, the log's own among them, that
 * nobody has looked at. */
void cv_anchored_pick(struct cv_bytes lines, const struct cv_note_key *witness,
                      struct cv_buf *note);

/* Called for each note in `text` that begins with `origin`: they lie one behind
 * the other, each with one empty line in it and one behind it, as file: anchors
 * have them; among them may be what a write that was cut off has left. Nothing
 * but the origin was looked at; `head` is the length of the note's text. */
typedef void cv_anchored_note_fn(void *ctx, struct cv_bytes note, size_t head);
void cv_anchored_notes(struct cv_bytes text, const char *origin,
                       cv_anchored_note_fn *fn, void *ctx);

/* Does `note` carry a line of `witness` that verifies? *time_s is the time that
 * it signed. CV_NOT_FOUND: no line of it; CV_INTEGRITY: one that does not
 * verify, or this is no note. */
CV_MUST_USE enum cv_status cv_anchored_time(struct cv_bytes note,
                                            const struct cv_note_key *witness,
                                            int64_t *time_s,
                                            struct cv_err *err);

#endif
