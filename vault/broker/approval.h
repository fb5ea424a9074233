/* Requests for approval: filed, approved, denied, used once.
 *
 * A request stands for one exact call: its key is the SHA-256 of the canonical
 * JSON of who asks, the action, the entry, reason, ticket, context, duration
 * and whether it is read-only (docs/formats.md). It lives CV_LIMIT_REQUEST_S
 * seconds, by wall time and, within one boot, by CLOCK_BOOTTIME.
 *
 * Filed: a leaf (a denial that names it), then the row. Approved or denied: a
 * leaf, then the row. Used: the row, durably, then the leaf of what it was used
 * for. So a crash may lose a request or an approval; it doubles none. */
#ifndef CERTVAULT_BROKER_APPROVAL_H
#define CERTVAULT_BROKER_APPROVAL_H

#include "vault/broker/broker_internal.h"
#include "vault/store/store_request.h"

/* Entered. `ask` was decided: it lacks approvals (CV_DECIDE_APPROVALS). Names
 * its request, in *id, and in `err` (request_id, and words); *file: there is
 * none yet, and it is to be filed with cv_approval_file once its leaf is
 * durable. CV_BUSY where the caller has too many open ones. */
CV_MUST_USE enum cv_status cv_approval_find(struct cv_ask *ask,
                                            char id[CV_STORE_REQUEST_ID + 1],
                                            bool *file, struct cv_err *err);
CV_MUST_USE enum cv_status cv_approval_file(struct cv_ask *ask, const char *id,
                                            struct cv_err *err);

/* Entered. `ask` was permitted by the approvals of ask->request: marks that
 * used, durably. CV_DENIED: it is not there to be used any more. */
CV_MUST_USE enum cv_status cv_approval_use(struct cv_ask *ask,
                                           struct cv_err *err);

/* Requests whose time is not over and that nobody answered: for status. */
CV_MUST_USE enum cv_status
cv_approval_pending(struct cv_broker *b, uint64_t *out, struct cv_err *err);

#endif
