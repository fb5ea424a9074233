/* What was asked of the record, for the record: who looked at what. */
#ifndef CERTVAULT_BROKER_QUESTION_INTERNAL_H
#define CERTVAULT_BROKER_QUESTION_INTERNAL_H

#include "vault/broker/door_internal.h"

#include <cjson/cJSON.h>

#define CV_QUESTION_TEXT 200 /* bytes that are kept of each word */

/* The details of a read's leaf: the method (NULL: it is not named), and of its
 * parameters (may be NULL) which entry, actor, action, outcome, record and
 * period it is about. Longer words are cut and end with "...", what cannot be
 * shown becomes `?`. The caller frees it; NULL: memory is gone. */
cJSON *cv_question_of(const char *method, const cJSON *parameters);

/* The method alone, for a read by an action that may also change something:
 * `read` says that this did not. */
cJSON *cv_question_of_read(const struct cv_ask *ask);

#endif
