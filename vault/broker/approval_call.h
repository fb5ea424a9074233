/* What a call does beyond what every request has (action, entry, reason,
 * ticket, context, duration): an approval is of all of it.
 *
 * What `certvault request ACTION NAME` can say has nothing more to it, so that
 * it may be asked for beforehand: use, export, show, and rm without a flag. A
 * call that renames, pins, imports or administers is asked for by itself, with
 * everything that decides what it does, and those who approve it see that. No
 * secret is among it. A new method whose parameters decide what is done has its
 * line in the table of approval_call.c; of `admin` each method is one of its
 * own even without. */
#ifndef CERTVAULT_BROKER_APPROVAL_CALL_H
#define CERTVAULT_BROKER_APPROVAL_CALL_H

#include "vault/broker/broker_internal.h"

/* *out: {method, ...}, which the caller frees; NULL: there is nothing more to
 * it. CV_INVALID: more than people could look through. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_approval_call(const struct cv_ask *ask,
                                            cJSON **out, struct cv_err *err);

/* Is there always more to it, so that `request` cannot ask for it? */
bool cv_approval_call_is_own(enum cv_action action);

/* Appends it in words: "rename to prod-b". */
void cv_approval_call_words(const cJSON *call, struct cv_buf *out);

#endif
