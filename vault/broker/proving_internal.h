/* What a proof is made from: a checkpoint over all that is in the log now, and
 * the tiles up to it. */
#ifndef CERTVAULT_BROKER_PROVING_INTERNAL_H
#define CERTVAULT_BROKER_PROVING_INTERNAL_H

#include "vault/audit/checkpoint.h"
#include "vault/audit/tiles.h"
#include "vault/broker/broker_internal.h"

struct cv_proving {
    struct cv_checkpoint checkpoint;
    struct cv_buf note;
    struct cv_tiles_reader *reader;
    struct cv_proof_source source;
};

/* Not entered. Signs a checkpoint where leaves came since the last, waits until
 * it will stay, brings the tiles up. CV_IO, CV_INTEGRITY; cv_proving_free also
 * after a failure. */
CV_MUST_USE enum cv_status
cv_proving_begin(struct cv_broker *b, struct cv_proving *p, struct cv_err *err);
void cv_proving_free(struct cv_proving *p);

/* The last part of cv_proving_begin, for a checkpoint that was set by the
 * caller: opens the tiles, which must reach it. */
CV_MUST_USE enum cv_status
cv_proving_tiles(struct cv_broker *b, struct cv_proving *p, struct cv_err *err);

/* Appends the proof file of leaf `seq` under p->checkpoint, with the record in
 * its extra line where it is a receipt, and the record to `leaf`, unless it
 * is there already. Nothing is given that does not verify. CV_NOT_FOUND: the
 * record is archived; CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_proving_file(struct cv_broker *b,
                                           struct cv_proving *p, uint64_t seq,
                                           bool receipt, struct cv_buf *leaf,
                                           struct cv_buf *file,
                                           struct cv_err *err);

/* CV_INTEGRITY as what it is here: the tiles were changed. Returns `s`. */
enum cv_status cv_proving_distrust(enum cv_status s, struct cv_err *err);

/* Not entered. Adds "receipt" for the leaf of `ask`, which is durable, to
 * `out`. Fails as the above, and where no checkpoint covers the leaf (CV_IO);
 * the error has the leaf's number, and `state`. */
CV_MUST_USE enum cv_status cv_proving_receipt(const struct cv_ask *ask,
                                              const char *state, cJSON *out,
                                              struct cv_err *err);

#endif
