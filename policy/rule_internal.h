/* Does a rule match a request? The one place where this is said; decisions,
 * lists and explanations all ask here. */
#ifndef CERTVAULT_POLICY_RULE_INTERNAL_H
#define CERTVAULT_POLICY_RULE_INTERNAL_H

#include "policy/policy_internal.h"

/* Why a rule does not match. The first three are its scope, the others its
 * conditions. */
enum cv_rule_miss {
    CV_MISS_ACTION = 1U << 0,
    CV_MISS_SUBJECT = 1U << 1,
    CV_MISS_NO_ENTRY = 1U << 2, /* the rule is about entries, this is not */
    CV_MISS_NAME = 1U << 3,
    CV_MISS_LABELS = 1U << 4,
    CV_MISS_PROVENANCE = 1U << 5,
    CV_MISS_LEAKY = 1U << 6,   /* the rule is about leaky keys alone */
    CV_MISS_LEAKING = 1U << 7, /* it does not permit to import a leaky key */
    CV_MISS_REASON = 1U << 8,
    CV_MISS_TICKET = 1U << 9,   /* none was given */
    CV_MISS_PATTERN = 1U << 10, /* one was, of another form */
    CV_MISS_HOURS = 1U << 11,
    CV_MISS_DAYS = 1U << 12,
    CV_MISS_CONTEXT = 1U << 13,
    CV_MISS_MODE = 1U << 14,
    CV_MISS_TTY = 1U << 15,
    CV_MISS_DURATION = 1U << 16, /* longer than its max_duration */
    CV_MISS_LIMITS = 1U << 17,  /* its grant has limits that this cannot keep */
    CV_MISS_SERVICE = 1U << 18, /* it wants approvals: the service takes them */
    CV_MISS_ANCHOR = 1U << 19   /* the log's last anchor is older, or unknown */
};

/* Is `who` among `s`? */
bool cv_rule_subject(const struct cv_policy *policy,
                     const struct cv_rule_subjects *s,
                     const struct cv_decide_subject *who);

/* The first thing of subject and action that does not match; 0: both do. */
unsigned cv_rule_who(const struct cv_policy *policy, const struct cv_rule *rule,
                     const struct cv_decide_request *request);

/* The first thing of `entries` that does not match `entry`; 0: all does. */
unsigned cv_rule_entry(const struct cv_rule *rule, enum cv_action action,
                       const struct cv_decide_entry *entry);

/* All conditions of `when` that do not hold, and for a permit what of the
 * request does not fit inside its grant; 0: none. */
unsigned cv_rule_unmet(const struct cv_policy *policy,
                       const struct cv_rule *rule,
                       const struct cv_decide_request *request);

/* Appends "2h", "15m". */
void cv_rule_duration(int64_t s, struct cv_buf *out);

/* Appends in words what `misses` say. */
void cv_rule_words(const struct cv_rule *rule, unsigned misses,
                   struct cv_buf *out);

/* Appends what the caller could do about it; nothing where there is nothing. */
void cv_rule_advice(const struct cv_rule *rule, unsigned misses,
                    struct cv_buf *out);

#endif
