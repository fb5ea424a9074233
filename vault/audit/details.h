/* The closed list of what an action's `details` may hold. A key that is not in
 * the table of details.c does not get into the log: to record something new,
 * add a line there. */
#ifndef CERTVAULT_AUDIT_DETAILS_H
#define CERTVAULT_AUDIT_DETAILS_H

#include "vault/base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

#define CV_DETAILS_TEXT 1024 /* longest text, bytes */
#define CV_DETAILS_ITEMS 128 /* longest list, most labels */

/* Is there such an action in the record (those of the policy, and the events
 * log, broker, journal, clock, sink)? */
bool cv_details_is_action(const char *action);

/* CV_INVALID, naming the key, when `details` (an object) holds what the action
 * has not. */
CV_MUST_USE enum cv_status
cv_details_check(const char *action, const cJSON *details, struct cv_err *err);

#endif
