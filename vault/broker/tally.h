/* How often a rule permitted something to somebody: counted from committed
 * leaves, for policies with `limit`.
 *
 * The log is the truth: whoever starts anew counts the same. What this broker
 * has queued and not yet seen in the log counts too, so that several requests
 * of one commit stay within the limit.
 *
 * A leaf counts where its phase is `decision`, its decision `permit` and its
 * first rule is that rule, unless its details say `uncounted`: a signature
 * under a grant, or a grant that is given again, is what was counted already.
 *
 * A leaf's age is told by CLOCK_BOOTTIME where it is of this boot, by wall time
 * where it is not; one from the future is of now.
 *
 * Threads: the broker's one. */
#ifndef CERTVAULT_BROKER_TALLY_H
#define CERTVAULT_BROKER_TALLY_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

#include <stdbool.h>
#include <sys/types.h>

struct cv_tally;

/* NULL when memory is gone. */
struct cv_tally *cv_tally_new(void);
void cv_tally_free(struct cv_tally *t);

/* The vault was entered: what was queued and not committed is forgotten. */
void cv_tally_enter(struct cv_tally *t);

/* Reads what was committed since the last time; the first time the whole log
 * (its folder is `vault`), of which at most `back_s` seconds are kept. A longer
 * `back_s` than before reads it again. CV_IO, CV_INTEGRITY, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_tally_catch_up(struct cv_tally *t, int vault,
                                             int64_t back_s,
                                             struct cv_err *err);

/* A permit was queued as leaf `seq`. CV_INTERNAL: memory; then the leaf must
 * not be committed. */
CV_MUST_USE enum cv_status cv_tally_queued(struct cv_tally *t, uid_t uid,
                                           const char *rule, uint64_t seq,
                                           struct cv_err *err);

/* As if it had been permitted, until cv_tally_suppose_end. What memory does not
 * hold is not supposed: then the real one fails. */
void cv_tally_suppose(struct cv_tally *t, uid_t uid, const char *rule);
void cv_tally_suppose_end(struct cv_tally *t);

/* As it was when record `seq` was made: of the records before it, by their age
 * then, once cv_tally_read has read them. For explanations: nothing is queued
 * into such a tally, and it is not caught up; cv_tally_used is false where it
 * would count what was archived. *out is freed with cv_tally_free, NULL on
 * failure. CV_NOT_FOUND: no such record, or it was archived; CV_IO,
 * CV_INTEGRITY, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_tally_before(int vault, uint64_t seq,
                                           int64_t back_s,
                                           struct cv_tally **out,
                                           struct cv_err *err);

/* For one of cv_tally_before: reads the next CV_TALLY_STEP records or
 * CV_TALLY_STEP_BYTES, from the log's beginning on; *done: all are. CV_IO,
 * CV_INTEGRITY, CV_INTERNAL. */
#define CV_TALLY_STEP 8192
#define CV_TALLY_STEP_BYTES CV_MIB(4)
CV_MUST_USE enum cv_status cv_tally_read(struct cv_tally *t, int vault,
                                         bool *done, struct cv_err *err);

/* How many permits of `uid` by `rule` are at most `per_s` old. *free_in_s:
 * where that is `count` or more, when it is less again (at least 1), else 0.
 * False: not known (never caught up so far back). Pure: the same until one of
 * the functions above is called, but for the clock. */
bool cv_tally_used(const struct cv_tally *t, uid_t uid, const char *rule,
                   int64_t per_s, uint64_t count, uint64_t *used,
                   int64_t *free_in_s);

#endif
