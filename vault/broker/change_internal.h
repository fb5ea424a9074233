/* Changes of the store that go with the record.
 *
 *     decide all, queue their leaves      (cv_ask_decide, entered)
 *     cv_change_intend                    journal rows, then the leaves durable
 *     cv_store_begin, changes, cv_change_done, cv_store_commit
 *     cv_change_end                       outcome leaves, journal rows gone
 *
 * Killed anywhere, the next start finds the rows and tells the outcome: what
 * was done is told as done, what was not as aborted (cv_broker_recover). */
#ifndef CERTVAULT_BROKER_CHANGE_INTERNAL_H
#define CERTVAULT_BROKER_CHANGE_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* Entered; all of `asks` (`n`) are permitted. On failure nothing was changed;
 * the outcomes say so as far as the record can be written. */
CV_MUST_USE enum cv_status cv_change_intend(struct cv_ask *const *asks,
                                            size_t n, struct cv_err *err);

/* Entered. The two halves of its beginning, for a change that has rows of other
 * kinds too: the rows alone (in a transaction, before the leaves are durable),
 * and their end where the leaves then could not be made so. */
CV_MUST_USE enum cv_status cv_change_put_rows(struct cv_ask *const *asks,
                                              size_t n, struct cv_err *err);
void cv_change_drop_rows(struct cv_ask *const *asks, size_t n);

/* Entered. `asks` were decided, and nothing comes of them because of `status`:
 * their outcomes say so, durably. */
void cv_change_drop(struct cv_ask *const *asks, size_t n,
                    enum cv_status status);

/* Inside the store transaction that makes the changes. */
CV_MUST_USE enum cv_status cv_change_done(struct cv_ask *const *asks, size_t n,
                                          struct cv_err *err);

/* Entered, after the store's commit or rollback: records how it went. `details`
 * (may be NULL) goes with each. Returns `status`, or what recording failed with
 * where `status` is CV_OK: the change stands then, and the next start tells its
 * outcome. */
CV_MUST_USE enum cv_status cv_change_end(struct cv_ask *const *asks, size_t n,
                                         enum cv_status status,
                                         const cJSON *details,
                                         struct cv_err *err);

/* Entered, in a transaction: a row of one change as cv_change_intend makes it,
 * with entry, entry_id and spki of `from`; the next cv_broker_recover tells it.
 */
CV_MUST_USE enum cv_status cv_change_row(struct cv_broker *b, const char *op,
                                         const char *action, const cJSON *from,
                                         bool done, struct cv_err *err);

/* Is a row of the journal one that this program knows what to do with? Of any
 * other it would have to guess how far it came: a newer program wrote it. */
bool cv_change_is_known(const char *action, const cJSON *row);

/* Has the log the decision of `op`, and its outcome? Reads the whole log. */
CV_MUST_USE enum cv_status cv_change_look(struct cv_broker *b, const char *op,
                                          bool *decided, bool *told,
                                          struct cv_err *err);

#endif
