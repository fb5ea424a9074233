/* One case of `policy test`: a request and what is expected of it. */
#ifndef CERTVAULT_POLICY_CASES_INTERNAL_H
#define CERTVAULT_POLICY_CASES_INTERNAL_H

#include "policy/policy_internal.h"
#include "policy/reader_internal.h"

/* Texts are borrowed from the tree; the lists are its own. */
struct cv_cases_test {
    struct cv_decide_request request;
    struct cv_decide_entry entry;
    struct cv_decide_counts counts;
    const char **groups;
    const char **keys;
    const char **values;
    struct cv_decide_approval *approvals;
    const char **approvers; /* their groups, one behind the other */
    const cJSON *used;      /* {rule: count}; NULL: none was used */
    const cJSON *sessions;  /* {rule: count} */
    const char *context;
    const char *name;
    bool permit;       /* expected */
    const char *offer; /* expected; NULL: whichever */
    const char *wait;  /* expected: "limit", "approvals"; NULL: either, none */
};

/* Reads `node` into `t`, which is zeroed but for what cases have where they do
 * not say. It must be freed after a failure too. */
CV_MUST_USE enum cv_status cv_cases_read(const struct cv_policy *policy,
                                         struct cv_reader *r, const cJSON *node,
                                         struct cv_cases_test *t);
void cv_cases_free(struct cv_cases_test *t);

/* CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_cases_no_memory(struct cv_reader *r);

#endif
