#include "policy/decide_internal.h"
#include "policy/offer_internal.h"

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

/* Does a permit ask for more than its conditions? Such permits are weighed
 * against each other, so each entry is decided on its own. */
static bool is_special(const struct cv_rule *r)
{
    return r->limit.count > 0 || r->require.approvals > 0 || r->break_glass;
}

/* What the record calls the rule: the smallest name, a special one last. */
static void take(const struct cv_rule *r, const struct cv_rule **taken)
{
    const struct cv_rule *than = *taken;
    if (than == NULL || is_special(r) < is_special(than) ||
        (is_special(r) == is_special(than) && strcmp(r->name, than->name) < 0))
        *taken = r;
}

static void fill(const struct cv_rule *r, struct cv_decide_result *result)
{
    result->permit = true;
    result->offer = r->name;
    result->grant = r->grant;
    result->limit = r->limit;
    result->require = r->require;
    result->break_glass = r->break_glass;
    result->approved = r->require.approvals > 0;
    result->duration_s = r->grant.max_duration_s;
    result->rules[0] = r->name;
    result->n_rules = 1;
}

/* All rules that match the caller and whose conditions hold. False: no entry
 * can be permitted, as `result` says where its cause is CV_BUSY's or its `near`
 * is a permit that failed by its conditions alone. */
static bool collect(struct cv_decide_list *l, struct cv_decide_result *result)
{
    const struct cv_policy *policy = l->policy;
    const struct cv_rule *taken = NULL;
    struct cv_offer_choice offers = {0};
    bool special = false;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_rule *r = &policy->rules[i];
        if (cv_rule_who(policy, r, &l->request) != 0)
            continue;
        unsigned misses = cv_rule_unmet(policy, r, &l->request);
        if (misses == 0 && !sort_in(l, r))
            return false;
        if (r->forbid)
            continue;
        cv_offer_weigh(&offers, r, misses, &l->request);
        if (misses == 0) {
            special = special || is_special(r);
            if (cv_offer_usable(policy, r, &l->request))
                take(r, &taken);
        } else if (result->near == NULL) {
            result->near = r;
            result->failed = misses;
        }
    }
    l->direct = l->n_permits <= DIRECT && l->n_forbids <= DIRECT && !special;
    l->all = l->all && l->n_forbids == 0;
    if (taken != NULL)
        fill(taken, result);
    else if (l->n_permits > 0)
        (void)cv_offer_take(&offers, policy, &l->request, result);
    return taken != NULL;
}

/* The decision without an entry says what is wrong, unless it knows of no rule:
 * rules about entries are not its own. */
static enum cv_status deny(const struct cv_decide_list *l,
                           struct cv_decide_result *result, struct cv_err *err)
{
    struct cv_decide_result found = *result;
    (void)!cv_decide_run(l->policy, &l->request, result, NULL);
    if (found.n_rules > 0) {
        *result = found;
    } else if (result->cause == CV_DECIDE_PERMITTED ||
               result->cause == CV_DECIDE_NO_RULE) {
        memset(result, 0, sizeof(*result));
        result->retry_s = -1;
        result->near = found.near;
        result->failed = found.failed;
        result->cause =
            found.near != NULL ? CV_DECIDE_UNMET : CV_DECIDE_NO_RULE;
    }
    return err != NULL ? cv_decide_words(&l->request, result, err)
                       : cv_decide_status(result->cause);
}

enum cv_status cv_decide_list_new(const struct cv_policy *policy,
                                  const struct cv_decide_request *request,
                                  struct cv_decide_list **out,
                                  struct cv_decide_result *result,
                                  struct cv_err *err)
{
    *out = NULL;
    memset(result, 0, sizeof(*result));
    result->retry_s = -1;
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
