/* Requests for approval: filed, approved, denied, used once.
 *
 * A request stands for one exact call: its key is the SHA-256 of the canonical
 * JSON of who asks, the action, the entry, reason, ticket, context, duration
 * and whether it is read-only; and of what else decides what is done
 * (approval_call.h). It lives CV_LIMIT_REQUEST_S seconds, by wall time and,
 * within one boot, by CLOCK_BOOTTIME.
 *
 * Filed: a leaf (a denial that names it), then the row. Approved or denied: a
 * leaf, then the row. Used: the row, durably, then the leaf of what it was used
 * for. So a crash may lose a request or an approval; it doubles none. */
#ifndef CERTVAULT_BROKER_APPROVAL_H
#define CERTVAULT_BROKER_APPROVAL_H

#include "vault/broker/broker_internal.h"
#include "vault/store/store_request.h"

/* The key of what `ask` asks: 64 hex digits. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_approval_key(const struct cv_ask *ask,
                                           char out[CV_STORE_REQUEST_KEY + 1],
                                           struct cv_err *err);

/* The request that stands for `ask` and may be used by it: open or approved,
 * its time not over. *row NULL: there is none; else both are the caller's. */
CV_MUST_USE enum cv_status cv_approval_of(const struct cv_ask *ask,
                                          struct cv_store_request **row,
                                          cJSON **doc, struct cv_err *err);

/* Its document; CV_INTEGRITY where it is none. */
CV_MUST_USE enum cv_status cv_approval_doc(const struct cv_store_request *row,
                                           cJSON **out, struct cv_err *err);

/* Is its time over? Then nobody can approve or use it any more. */
bool cv_approval_is_over(const struct cv_store_request *row, const cJSON *doc);

/* Entered or in a transaction: writes `doc` and `state` over `row`, if that is
 * still as it was (CV_NOT_FOUND). */
CV_MUST_USE enum cv_status cv_approval_put(struct cv_broker *b,
                                           const struct cv_store_request *row,
                                           enum cv_store_request_state state,
                                           const cJSON *doc,
                                           struct cv_err *err);

/* JSON shape `Request` for whoever may see it, with the state of now. NULL when
 * memory is gone. */
cJSON *cv_approval_view(const struct cv_store_request *row, const cJSON *doc);

/* Appends what a signed approval of it signs (docs/formats.md). */
void cv_approval_text(const struct cv_broker *b,
                      const struct cv_store_request *row, const cJSON *doc,
                      struct cv_buf *out);

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

/* What `uid` gave to this request, of doc; NULL: nothing. */
const cJSON *cv_approval_by(const cJSON *doc, uid_t uid);

/* Who answers by `ask`, as they are now. On the heap of cv_json_use; NULL when
 * memory is gone. */
cJSON *cv_approval_who(const struct cv_ask *ask);

/* Puts it into doc that `ask` approves; what was given again takes the place of
 * the one before. `key`: that signed, "": none. False when memory is gone, or
 * there are too many. */
bool cv_approval_add(const struct cv_ask *ask, bool is_signed, const char *key,
                     cJSON *doc);

#endif
