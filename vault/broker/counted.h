/* What was used of limits, for explanations: now, or when a record was made.
 *
 * It is found out when a rule first asks for it. What is of now the broker
 * knows; for a record the log before it is read, which may be long. That is
 * not done in the middle of a decision: the first one finds it unknown,
 * cv_counted_wants tells so, cv_counted_read reads, and it is decided again. */
#ifndef CERTVAULT_BROKER_COUNTED_H
#define CERTVAULT_BROKER_COUNTED_H

#include "vault/broker/broker_internal.h"

struct cv_counted;

/* Of `user` (a name, or a number in digits), or, where that is NULL, of `uid`;
 * both are borrowed. As when record `seq` was made; -1: as it is now.
 * `unknown`: of a time that nobody can count for. NULL when memory is gone. */
struct cv_counted *cv_counted_new(struct cv_broker *b, const char *user,
                                  int64_t uid, int64_t seq, bool unknown);
void cv_counted_free(struct cv_counted *c);

/* For one decision by `policy` (borrowed as long). What nobody can tell is not
 * known then: of records that were archived, of a user whom nobody looks up. */
const struct cv_decide_counts *cv_counted_by(struct cv_counted *c,
                                             const struct cv_policy *policy);

/* How finding out went; not CV_OK: nothing may be explained. */
CV_MUST_USE enum cv_status cv_counted_status(const struct cv_counted *c,
                                             struct cv_err *err);

/* Did a rule ask for what the log must be read for? */
bool cv_counted_wants(const struct cv_counted *c);

/* Reads it, in steps. Not entered. A service serves others between two of them;
 * where it cannot, because another request's answer is waited for, one step is
 * all: CV_BUSY. CV_IO, CV_INTEGRITY, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_counted_read(struct cv_counted *c,
                                           struct cv_err *err);

#endif
