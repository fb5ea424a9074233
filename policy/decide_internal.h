/* What decisions, lists and explanations share. */
#ifndef CERTVAULT_POLICY_DECIDE_INTERNAL_H
#define CERTVAULT_POLICY_DECIDE_INTERNAL_H

#include "policy/rule_internal.h"

/* What is wrong with a request, a literal; NULL: nothing. */
const char *cv_decide_flaw(const struct cv_decide_request *request);
/* The same of an entry. */
const char *cv_decide_entry_flaw(const struct cv_decide_entry *entry,
                                 bool by_name);

/* The same of an approval. */
const char *cv_decide_approval_flaw(const struct cv_decide_approval *a,
                                    bool by_name);

/* False: a number that stands for nobody. */
bool cv_decide_is_somebody(const struct cv_decide_subject *who);

/* Can `policy` decide for subjects of this kind? */
bool cv_decide_ready(const struct cv_policy *policy, bool by_name);

/* Is it about all that the caller may list, not about one entry? */
bool cv_decide_is_list(const struct cv_decide_request *request);
/* Does a permit count, ask or tell? Then a list shows what it gives only where
 * it is the one that was taken. */
bool cv_decide_is_special(const struct cv_rule *rule);

/* What a cause is as a status: CV_OK, CV_BUSY or CV_DENIED. */
enum cv_status cv_decide_status(enum cv_decide_cause cause);

/* Fills `err` (not NULL) with the words of a denial; returns its status. */
enum cv_status cv_decide_words(const struct cv_decide_request *request,
                               const struct cv_decide_result *result,
                               struct cv_err *err);

#endif
