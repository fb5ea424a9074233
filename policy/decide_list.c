#include "policy/decide_internal.h"

#include <stdlib.h>
#include <string.h>

/* With more rules than this, each entry is decided through the index. */
#define DIRECT 16

struct cv_decide_list {
    const struct cv_policy *policy;
    struct cv_decide_request request; /* the caller's, entry by entry */
    bool all;                         /* every entry is shown */
    bool direct;
    size_t n_permits;
    size_t n_forbids;
    const struct cv_rule *permits[DIRECT];
    const struct cv_rule *forbids[DIRECT];
};

/* Does a rule match whatever the entry? */
static bool any_entry(const struct cv_rule *rule)
{
    return !rule->entries.given || rule->entries.any_name;
}

/* Sorts one rule that is about the caller; false: it is a forbid that leaves no
 * entry. */
static bool sort_in(struct cv_decide_list *l, const struct cv_rule *r)
{
    if (r->forbid) {
        if (l->n_forbids < DIRECT)
            l->forbids[l->n_forbids] = r;
        l->n_forbids++;
        return !any_entry(r);
    }
    l->all = l->all || any_entry(r);
    if (l->n_permits < DIRECT)
        l->permits[l->n_permits] = r;
    l->n_permits++;
    return true;
}

static void take(struct cv_decide_result *result, const struct cv_rule *r)
{
    if (result->offer == NULL || strcmp(r->name, result->offer) < 0) {
        result->offer = r->name;
        result->grant = r->grant;
        result->duration_s = r->grant.max_duration_s;
        result->rules[0] = r->name;
        result->n_rules = 1;
    }
}

/* All rules that match the caller and whose conditions hold. False: no entry
 * can be permitted; `result` then has a permit that failed by its conditions
 * alone, where there is one. */
static bool collect(struct cv_decide_list *l, struct cv_decide_result *result)
{
    const struct cv_policy *policy = l->policy;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_rule *r = &policy->rules[i];
        if (cv_rule_who(policy, r, &l->request) != 0)
            continue;
        unsigned misses = cv_rule_unmet(policy, r, &l->request);
        if (misses == 0) {
            if (!sort_in(l, r))
                return false;
            if (!r->forbid)
                take(result, r);
        } else if (!r->forbid && result->near == NULL) {
            result->near = r;
            result->failed = misses;
        }
    }
    l->direct = l->n_permits <= DIRECT && l->n_forbids <= DIRECT;
    l->all = l->all && l->n_forbids == 0;
    return l->n_permits > 0;
}

/* The decision without an entry says what is wrong, unless it knows of no rule:
 * rules about entries are not its own. */
static enum cv_status deny(const struct cv_decide_list *l,
                           struct cv_decide_result *result, struct cv_err *err)
{
    struct cv_decide_result unmet = *result;
    (void)!cv_decide_run(l->policy, &l->request, result, NULL);
    if (result->cause == CV_DECIDE_PERMITTED ||
        result->cause == CV_DECIDE_NO_RULE) {
        memset(result, 0, sizeof(*result));
        result->near = unmet.near;
        result->failed = unmet.failed;
        result->cause =
            unmet.near != NULL ? CV_DECIDE_UNMET : CV_DECIDE_NO_RULE;
    }
    return err != NULL ? cv_decide_words(&l->request, result, err) : CV_DENIED;
}

enum cv_status cv_decide_list_new(const struct cv_policy *policy,
                                  const struct cv_decide_request *request,
                                  struct cv_decide_list **out,
                                  struct cv_decide_result *result,
                                  struct cv_err *err)
{
    *out = NULL;
    memset(result, 0, sizeof(*result));
    struct cv_decide_list *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return cv_fail(err, CV_INTERNAL, "no memory for a decision");
    l->policy = policy;
    l->request = *request;
    l->request.entry = NULL;
    bool good = request->action == CV_ACTION_LIST &&
                cv_decide_flaw(&l->request) == NULL &&
                cv_decide_ready(policy, request->subject.by_name) &&
                collect(l, result);
    if (!good) {
        enum cv_status st = deny(l, result, err);
        free(l);
        return st;
    }
    result->permit = true;
    *out = l;
    return CV_OK;
}

static bool any_matches(const struct cv_rule *const *rules, size_t n,
                        const struct cv_decide_entry *entry)
{
    for (size_t i = 0; i < n; i++) {
        if (cv_rule_entry(rules[i], CV_ACTION_LIST, entry) == 0)
            return true;
    }
    return false;
}

bool cv_decide_list_shows(const struct cv_decide_list *list,
                          const struct cv_decide_entry *entry)
{
    if (list->direct) {
        if (cv_decide_entry_flaw(entry, list->request.subject.by_name) != NULL)
            return false;
        if (list->all)
            return true;
        return any_matches(list->permits, list->n_permits, entry) &&
               !any_matches(list->forbids, list->n_forbids, entry);
    }
    struct cv_decide_result result;
    struct cv_decide_request request = list->request;
    request.entry = entry;
    return cv_decide_run(list->policy, &request, &result, NULL) == CV_OK;
}

void cv_decide_list_free(struct cv_decide_list *list)
{
    free(list);
}
