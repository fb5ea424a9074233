/* Weighing offers: permits whose conditions hold, by what they ask beside
 * them. */
#ifndef CERTVAULT_POLICY_OFFER_INTERNAL_H
#define CERTVAULT_POLICY_OFFER_INTERNAL_H

#include "policy/rule_internal.h"

/* What an offer's limit says now. */
enum cv_offer_limit {
    CV_OFFER_FREE = 0,
    CV_OFFER_USED_UP,
    CV_OFFER_UNKNOWN /* the facts are not there */
};

struct cv_offer_facts {
    enum cv_offer_limit limit;
    bool by_count;     /* USED_UP: by count, ... */
    bool by_sessions;  /* ... by sessions */
    int64_t free_in_s; /* USED_UP: when it is free again; -1: not known */
};

/* What `rule` limits, held against what `request` knows. */
void cv_offer_look(const struct cv_rule *rule,
                   const struct cv_decide_request *request,
                   struct cv_offer_facts *out);

/* Does an approval count for `rule`, whoever asks? */
bool cv_offer_counts(const struct cv_policy *policy, const struct cv_rule *rule,
                     const struct cv_decide_approval *a, bool by_name);

/* How many of the request's approvals count for `rule`. */
uint64_t cv_offer_approvals(const struct cv_policy *policy,
                            const struct cv_rule *rule,
                            const struct cv_decide_request *request);

/* Is it free, and are its approvals there? */
bool cv_offer_usable(const struct cv_policy *policy, const struct cv_rule *rule,
                     const struct cv_decide_request *request);

/* Is `a` taken before `b`, where both could be? Fewest approvals, then what
 * does not break the glass, then the longest, then the smallest name. */
bool cv_offer_before(const struct cv_rule *a, const struct cv_rule *b);

/* Offers of one kind, as they come. Zero it to begin. */
struct cv_offer_side {
    bool any;
    const struct cv_rule *best;    /* of those that are free */
    const struct cv_rule *used_up; /* the one that is free first */
    int64_t free_in_s;             /* when; -1: not known */
    const struct cv_rule *unknown; /* the smallest name */
};

/* All offers of one request. Zero it to begin. */
struct cv_offer_choice {
    struct cv_offer_side ordinary;
    struct cv_offer_side glass;    /* those that break the glass */
    struct cv_offer_side unspoken; /* those that would, were there a reason */
    const struct cv_rule *held;    /* the one that gave what is held */
};

/* Takes note of a permit that misses `misses`: nothing, or only what --reason
 * would give to one that breaks the glass. A rule may come twice. */
void cv_offer_weigh(struct cv_offer_choice *c, const struct cv_rule *rule,
                    unsigned misses, const struct cv_decide_request *request);

/* Fills `out` from what was weighed: permit, LIMITED, APPROVALS or NO_COUNTS.
 * False: nothing was offered. */
bool cv_offer_take(const struct cv_offer_choice *c,
                   const struct cv_policy *policy,
                   const struct cv_decide_request *request,
                   struct cv_decide_result *out);

/* Appends ", but ..." : why a permit whose conditions hold was not taken;
 * nothing where it was. */
void cv_offer_words(const struct cv_policy *policy, const struct cv_rule *rule,
                    const struct cv_decide_request *request,
                    const struct cv_decide_result *result, struct cv_buf *out);

/* "its limit of 5 in 1h is used up, for 12m"; what could be done about it. */
void cv_offer_limit_words(const struct cv_rule *rule,
                          const struct cv_offer_facts *facts,
                          struct cv_buf *out);
void cv_offer_limit_advice(const struct cv_offer_facts *facts,
                           struct cv_buf *out);

/* "it wants 2 signed approvals, and has 1"; and where they come from. */
void cv_offer_approval_words(const struct cv_rule *rule, uint64_t had,
                             struct cv_buf *out);
void cv_offer_approval_advice(const struct cv_rule *rule, struct cv_buf *out);

#endif
