/* What is known of the use of a limit while a decision is explained. */
#ifndef CERTVAULT_POLICY_EXPLAIN_INTERNAL_H
#define CERTVAULT_POLICY_EXPLAIN_INTERNAL_H

#include "policy/explain.h"
#include "policy/rule_internal.h"

/* A decision that is being explained. */
struct cv_explained {
    const struct cv_policy *policy;
    const struct cv_decide_request *request; /* as it was decided */
    const struct cv_decide_counts *known;    /* as it was asked */
    bool assumed; /* what is not known of limits was taken as nothing */
    struct cv_decide_result result;
    struct cv_err why;
};

/* What is known of the use of a rule with a limit. */
struct cv_explain_use {
    bool counts; /* it limits how often */
    bool counted;
    uint64_t used;
    bool lives; /* it limits sessions, and this would be one */
    bool lived;
    uint64_t live;
};

/* Nothing of a rule that gave what is held: that is counted already. */
void cv_explain_use_of(const struct cv_explained *e, const struct cv_rule *rule,
                       struct cv_explain_use *out);

/* Is `rule` the offer, and was its limit taken as free without being known to
 * be? */
bool cv_explain_is_conditional(const struct cv_explained *e,
                               const struct cv_rule *rule,
                               const struct cv_explain_use *use);

/* Appends "its limit of 2 in 1h is not used up: how often it was used is not
 * known". */
void cv_explain_condition_words(const struct cv_rule *rule,
                                const struct cv_explain_use *use,
                                struct cv_buf *out);

/* Appends " (used 1 of 2 within 1h)"; nothing where nothing is known. */
void cv_explain_use_words(const struct cv_rule *rule,
                          const struct cv_explain_use *use, struct cv_buf *out);

/* Adds "limit": {"count", "per", "used"?, "sessions", "live"?} where the rule
 * has one that counts here. False: memory is gone. */
bool cv_explain_use_json(cJSON *o, const struct cv_rule *rule,
                         const struct cv_explain_use *use);

#endif
