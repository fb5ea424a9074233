/* What was asked of the record, for the record: who looked at what. */
#ifndef CERTVAULT_BROKER_QUESTION_INTERNAL_H
#define CERTVAULT_BROKER_QUESTION_INTERNAL_H

#include <cjson/cJSON.h>

#define CV_QUESTION_TEXT 200 /* bytes that are kept of each word */

/* The details of an audit.read leaf: the method (NULL: it is not named), and of
 * its parameters which entry, actor, action, outcome, record and period it is
 * about. Longer words are cut and end with "...", what cannot be shown becomes
 * `?`. The caller frees it; NULL: memory is gone. */
cJSON *cv_question_of(const char *method, const cJSON *parameters);

#endif
