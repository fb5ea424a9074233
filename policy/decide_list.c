#include "policy/decide_internal.h"
#include "policy/index_internal.h"
#include "policy/offer_internal.h"

#include <stdlib.h>
#include <string.h>

/* With more rules than this, each entry is decided through the index. */
#define DIRECT 16

struct cv_decide_list {
    const struct cv_policy *policy;
    struct cv_decide_request request; /* the caller's, entry by entry */
    const struct cv_rule *taken;      /* what the record says gives it */
    bool all; /* every entry that is not leaky is shown */
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

/* Does a permit ask for more than its conditions? What such a one gives is
 * counted, used up or told, and the record names one rule for a whole list: so
 * one of them gives something at the most, that one. */
bool cv_decide_is_special(const struct cv_rule *r)
{
    return r->limit.count > 0 || r->require.approvals > 0 || r->break_glass;
}

/* Permits that could be used now, the first of each kind. */
struct usable {
    const struct cv_rule *ordinary; /* by name */
    const struct cv_rule *special;
    const struct cv_rule *glass;
};

static void add_usable(struct usable *u, const struct cv_rule *r)
{
    const struct cv_rule **kind = r->break_glass            ? &u->glass
                                  : cv_decide_is_special(r) ? &u->special
                                                            : &u->ordinary;
    bool first = *kind == NULL ||
                 (kind == &u->ordinary ? strcmp(r->name, (*kind)->name) < 0
                                       : cv_offer_before(r, *kind));
    if (first)
        *kind = r;
}

/* The glass is broken for whoever asks, or where there is nothing else. */
static const struct cv_rule *take(const struct usable *u, bool break_glass)
{
    if (u->glass != NULL && break_glass)
        return u->glass;
    if (u->ordinary != NULL)
        return u->ordinary;
    return u->special != NULL ? u->special : u->glass;
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
    struct usable usable = {NULL, NULL, NULL};
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
            special = special || cv_decide_is_special(r);
            if (cv_offer_usable(policy, r, &l->request))
                add_usable(&usable, r);
        } else if (result->near == NULL) {
            result->near = r;
            result->failed = misses;
        }
    }
    l->direct = l->n_permits <= DIRECT && l->n_forbids <= DIRECT && !special;
    l->all = l->all && l->n_forbids == 0;
    l->taken = take(&usable, l->request.break_glass);
    if (l->taken != NULL)
        fill(l->taken, result);
    else
        (void)cv_offer_take(&offers, policy, &l->request, result);
    return l->taken != NULL;
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

/* Of which entry is not said, or not known yet. */
static bool is_for_many(enum cv_action action)
{
    return action == CV_ACTION_LIST || action == CV_ACTION_FETCH ||
           action == CV_ACTION_FETCH_SERVICE || action == CV_ACTION_IMPORT;
}

bool cv_decide_is_list(const struct cv_decide_request *request)
{
    return request->action == CV_ACTION_LIST && request->entry == NULL;
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
    bool good =
        is_for_many(request->action) && cv_decide_flaw(&l->request) == NULL &&
        cv_decide_ready(policy, request->subject.by_name) && collect(l, result);
    if (!good) {
        enum cv_status st = deny(l, result, err);
        free(l);
        return st;
    }
    *out = l;
    return CV_OK;
}

static bool any_matches(const struct cv_rule *const *rules, size_t n,
                        enum cv_action action,
                        const struct cv_decide_entry *entry)
{
    for (size_t i = 0; i < n; i++) {
        if (cv_rule_entry(rules[i], action, entry) == 0)
            return true;
    }
    return false;
}

/* What is said of one entry. */
struct look {
    const struct cv_decide_list *list;
    struct cv_decide_request request; /* with the entry */
    bool ordinary; /* permitted by a rule that wants nothing more */
    bool quiet;    /* a rule that does not break the glass is about it */
    bool taken;    /* and the one that was taken is */
};

static void look_at(void *arg, uint32_t number)
{
    struct look *at = arg;
    const struct cv_policy *policy = at->list->policy;
    const struct cv_rule *r = &policy->rules[number];
    if (r->forbid || cv_rule_who(policy, r, &at->request) != 0 ||
        cv_rule_entry(r, at->request.action, at->request.entry) != 0 ||
        cv_rule_unmet(policy, r, &at->request) != 0)
        return;
    at->ordinary = at->ordinary || !cv_decide_is_special(r);
    at->quiet = at->quiet || !r->break_glass;
    at->taken = at->taken || r == at->list->taken;
}

/* Only what the rule that was taken gives, and what wants nothing more. */
static bool look(struct look *at)
{
    const struct cv_policy *policy = at->list->policy;
    struct cv_decide_result result;
    if (at->request.subject.by_name) {
        for (size_t i = 0; i < policy->n_rules; i++)
            look_at(at, (uint32_t)i);
    } else {
        cv_index_look(policy->index, &at->request.subject, at->request.entry,
                      look_at, at);
    }
    bool glass = at->list->taken->break_glass && !at->request.break_glass;
    return (at->ordinary || (at->taken && !(glass && at->quiet))) &&
           cv_decide_run(policy, &at->request, &result, NULL) == CV_OK;
}

bool cv_decide_list_shows(const struct cv_decide_list *list,
                          const struct cv_decide_entry *entry)
{
    enum cv_action action = list->request.action;
    struct look at = {.list = list, .request = list->request};
    if (cv_decide_entry_flaw(entry, list->request.subject.by_name) != NULL)
        return false;
    at.request.entry = entry;
    if (!list->direct)
        return look(&at);
    if (list->all && !entry->leaky)
        return true;
    return any_matches(list->permits, list->n_permits, action, entry) &&
           !any_matches(list->forbids, list->n_forbids, action, entry);
}

void cv_decide_list_free(struct cv_decide_list *list)
{
    free(list);
}

enum cv_status cv_decide_command(const struct cv_policy *policy,
                                 const struct cv_decide_request *request,
                                 struct cv_decide_result *out,
                                 struct cv_err *err)
{
    struct cv_decide_list *list;
    if (!cv_decide_is_list(request))
        return cv_decide_run(policy, request, out, err);
    enum cv_status st = cv_decide_list_new(policy, request, &list, out, err);
    cv_decide_list_free(list);
    return st;
}
