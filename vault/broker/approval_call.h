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

/* Can `request` ask for it, with the entry that it names or without? Not where
 * there is always more to it, or where it is of an entry and none is named, or
 * the other way round: no command would ever ask for that. CV_USAGE. */
CV_MUST_USE enum cv_status
cv_approval_call_check(enum cv_action action, bool named, struct cv_err *err);

/* Appends it in words: "rename to prod-b". */
void cv_approval_call_words(const cJSON *call, struct cv_buf *out);

#endif
