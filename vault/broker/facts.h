/* What policy looks at beside the request itself: who consented to it, and how
 * often its rules permitted the like before.
 *
 * A policy that has no `require` and no `limit` costs nothing here. For a
 * request under a live grant the facts are the grant's own: the approvals that
 * were used for it are still there, and what it took of a limit is not taken
 * again. */
#ifndef CERTVAULT_BROKER_FACTS_H
#define CERTVAULT_BROKER_FACTS_H

#include "vault/broker/broker_internal.h"

struct cv_facts;

/* Gathers for `ask` and puts it into `rq`, which then borrows from *out. *out
 * is freed with cv_facts_free, NULL on failure. `rq` must be filled otherwise.
 * CV_INTEGRITY, CV_IO, CV_INTERNAL: then nothing may be decided. */
CV_MUST_USE enum cv_status cv_facts_gather(const struct cv_ask *ask,
                                           struct cv_decide_request *rq,
                                           struct cv_facts **out,
                                           struct cv_err *err);
void cv_facts_free(struct cv_facts *facts);

/* For an explanation: what a decision about a request of `uid` would count now,
 * as *counts, which borrows from *out. Both are NULL where the policy in force
 * limits nothing. Errors as above. */
CV_MUST_USE enum cv_status cv_facts_of(struct cv_broker *b, uid_t uid,
                                       struct cv_facts **out,
                                       const struct cv_decide_counts **counts,
                                       struct cv_err *err);

/* The request for approval whose approvals these are; "": none. */
const char *cv_facts_request(const struct cv_facts *facts);

#endif
