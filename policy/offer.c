#include "policy/offer_internal.h"

#include "policy/decide_internal.h"

#include <string.h>

/* What is held was counted when it was given. */
static bool is_held(const struct cv_rule *rule,
                    const struct cv_decide_request *request)
{
    return request->held_rule != NULL &&
           strcmp(request->held_rule, rule->name) == 0;
}

/* False: not known. */
static bool look_at_count(const struct cv_rule *rule,
                          const struct cv_decide_counts *counts,
                          struct cv_offer_facts *out)
{
    const struct cv_policy_limit *l = &rule->limit;
    uint64_t used = 0;
    int64_t free_in_s = -1;
    if (l->count == 0)
        return true;
    if (counts == NULL || counts->used == NULL ||
        !counts->used(counts->context, rule->name, l->per_s, l->count, &used,
                      &free_in_s))
        return false;
    out->by_count = used >= l->count;
    if (out->by_count)
        out->free_in_s = free_in_s < 1 ? -1 : free_in_s;
    return true;
}

static bool look_at_sessions(const struct cv_rule *rule,
                             const struct cv_decide_request *request,
                             struct cv_offer_facts *out)
{
    const struct cv_decide_counts *counts = request->counts;
    uint64_t live = 0;
    /* Only `use` gives what lives on. */
    if (rule->limit.sessions == 0 || request->action != CV_ACTION_USE)
        return true;
    if (counts == NULL || counts->sessions == NULL ||
        !counts->sessions(counts->context, rule->name, &live))
        return false;
    out->by_sessions = live >= rule->limit.sessions;
    /* Nobody knows when one will end. */
    if (out->by_sessions)
        out->free_in_s = -1;
    return true;
}

void cv_offer_look(const struct cv_rule *rule,
                   const struct cv_decide_request *request,
                   struct cv_offer_facts *out)
{
    *out = (struct cv_offer_facts){.limit = CV_OFFER_FREE};
    if (is_held(rule, request))
        return;
    if (!look_at_count(rule, request->counts, out) ||
        !look_at_sessions(rule, request, out))
        out->limit = CV_OFFER_UNKNOWN;
    else if (out->by_count || out->by_sessions)
        out->limit = CV_OFFER_USED_UP;
}

static struct cv_decide_subject approver(const struct cv_decide_approval *a,
                                         bool by_name)
{
    return (struct cv_decide_subject){.by_name = by_name,
                                      .uid = a->uid,
                                      .gid = a->gid,
                                      .gids = a->gids,
                                      .n_gids = a->n_gids,
                                      .user = a->user,
                                      .groups = a->groups,
                                      .n_groups = a->n_groups};
}

bool cv_offer_counts(const struct cv_policy *policy, const struct cv_rule *rule,
                     const struct cv_decide_approval *a, bool by_name)
{
    if (rule->require.is_signed && !a->is_signed)
        return false;
    struct cv_decide_subject who = approver(a, by_name);
    return cv_decide_is_somebody(&who) &&
           cv_rule_subject(policy, &rule->from, &who);
}

static bool same_user(const struct cv_decide_approval *a,
                      const struct cv_decide_approval *b, bool by_name)
{
    return by_name ? strcmp(a->user, b->user) == 0 : a->uid == b->uid;
}

static bool is_own(const struct cv_decide_request *r,
                   const struct cv_decide_approval *a)
{
    return r->subject.by_name ? strcmp(a->user, r->subject.user) == 0
                              : a->uid == r->subject.uid;
}

/* Is there one before number `at` that is of the same user, and counts? */
static bool counted_before(const struct cv_policy *policy,
                           const struct cv_rule *rule,
                           const struct cv_decide_request *r, size_t at)
{
    bool by_name = r->subject.by_name;
    for (size_t i = 0; i < at; i++) {
        if (same_user(&r->approvals[i], &r->approvals[at], by_name) &&
            cv_offer_counts(policy, rule, &r->approvals[i], by_name))
            return true;
    }
    return false;
}

uint64_t cv_offer_approvals(const struct cv_policy *policy,
                            const struct cv_rule *rule,
                            const struct cv_decide_request *request)
{
    uint64_t had = 0;
    if (is_held(rule, request))
        return request->held_approvals;
    for (size_t i = 0; i < request->n_approvals; i++) {
        const struct cv_decide_approval *a = &request->approvals[i];
        if (!is_own(request, a) &&
            cv_offer_counts(policy, rule, a, request->subject.by_name) &&
            !counted_before(policy, rule, request, i))
            had++;
    }
    return had;
}

static bool is_approved(const struct cv_policy *policy,
                        const struct cv_rule *rule,
                        const struct cv_decide_request *request)
{
    return cv_offer_approvals(policy, rule, request) >= rule->require.approvals;
}

bool cv_offer_usable(const struct cv_policy *policy, const struct cv_rule *rule,
                     const struct cv_decide_request *request)
{
    struct cv_offer_facts facts;
    cv_offer_look(rule, request, &facts);
    return facts.limit == CV_OFFER_FREE && is_approved(policy, rule, request);
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

bool cv_offer_before(const struct cv_rule *a, const struct cv_rule *b)
{
    int order =
        compare((int64_t)a->require.approvals, (int64_t)b->require.approvals);
    if (order == 0)
        order = compare(a->break_glass, b->break_glass);
    if (order == 0)
        order = compare(b->grant.max_duration_s, a->grant.max_duration_s);
    if (order == 0)
        order = strcmp(a->name, b->name);
    return order < 0;
}

static bool is_named_before(const struct cv_rule *a, const struct cv_rule *b)
{
    return strcmp(a->name, b->name) < 0;
}

/* Used up, and sooner free than what `side` has; what is not known (-1) comes
 * last. */
static bool is_free_before(const struct cv_rule *rule, int64_t free_in_s,
                           const struct cv_offer_side *side)
{
    if (side->used_up == NULL)
        return true;
    if (free_in_s == side->free_in_s)
        return is_named_before(rule, side->used_up);
    return (uint64_t)free_in_s < (uint64_t)side->free_in_s;
}

static void set_aside(struct cv_offer_side *side, const struct cv_rule *rule,
                      int64_t free_in_s)
{
    if (is_free_before(rule, free_in_s, side)) {
        side->used_up = rule;
        side->free_in_s = free_in_s;
    }
}

static void add_unknown(struct cv_offer_side *side, const struct cv_rule *rule)
{
    if (side->unknown == NULL || is_named_before(rule, side->unknown))
        side->unknown = rule;
}

static void weigh_in(struct cv_offer_side *side, const struct cv_rule *rule,
                     const struct cv_decide_request *request)
{
    struct cv_offer_facts facts;
    side->any = true;
    /* What would not be taken need not be looked at. */
    if (side->best != NULL && !cv_offer_before(rule, side->best))
        return;
    cv_offer_look(rule, request, &facts);
    if (facts.limit == CV_OFFER_FREE)
        side->best = rule;
    else if (facts.limit == CV_OFFER_USED_UP)
        set_aside(side, rule, facts.free_in_s);
    else
        add_unknown(side, rule);
}

void cv_offer_weigh(struct cv_offer_choice *c, const struct cv_rule *rule,
                    unsigned misses, const struct cv_decide_request *request)
{
    if (misses != 0) {
        if (rule->break_glass && misses == CV_MISS_REASON)
            weigh_in(&c->unspoken, rule, request);
        return;
    }
    if (is_held(rule, request))
        c->held = rule;
    weigh_in(rule->break_glass ? &c->glass : &c->ordinary, rule, request);
}

static void fill_offer(struct cv_decide_result *out,
                       const struct cv_rule *offer,
                       const struct cv_decide_request *request)
{
    out->offer = offer->name;
    out->grant = offer->grant;
    out->limit = offer->limit;
    out->require = offer->require;
    out->break_glass = offer->break_glass;
    if (request->read_only)
        out->grant.read_only = true;
    out->duration_s = request->duration_s;
    if (out->duration_s == 0) {
        out->duration_s = offer->grant.max_duration_s;
        if (out->duration_s > CV_POLICY_DEFAULT_DURATION_S)
            out->duration_s = CV_POLICY_DEFAULT_DURATION_S;
    }
    out->rules[out->n_rules++] = offer->name;
}

static void take_offer(struct cv_decide_result *out,
                       const struct cv_policy *policy,
                       const struct cv_rule *offer,
                       const struct cv_decide_request *request)
{
    fill_offer(out, offer, request);
    out->approvals_needed = offer->require.approvals;
    if (out->approvals_needed > 0)
        out->approvals_had = cv_offer_approvals(policy, offer, request);
    out->permit = out->approvals_had >= out->approvals_needed;
    out->approved = out->permit && out->approvals_needed > 0;
    out->cause = out->permit ? CV_DECIDE_PERMITTED : CV_DECIDE_APPROVALS;
    if (!out->permit)
        out->near = offer;
}

static void stop_at(struct cv_decide_result *out, enum cv_decide_cause cause,
                    const struct cv_rule *rule)
{
    out->cause = cause;
    out->near = rule;
    out->rules[out->n_rules++] = rule->name;
}

/* Two sides as one. */
static struct cv_offer_side both(const struct cv_offer_side *a,
                                 const struct cv_offer_side *b)
{
    struct cv_offer_side out = *a;
    out.any = a->any || b->any;
    if (b->best != NULL &&
        (out.best == NULL || cv_offer_before(b->best, out.best)))
        out.best = b->best;
    if (b->used_up != NULL)
        set_aside(&out, b->used_up, b->free_in_s);
    if (b->unknown != NULL)
        add_unknown(&out, b->unknown);
    return out;
}

/* Would --break-glass with a reason have been enough? */
static bool glass_would_do(const struct cv_offer_choice *c,
                           const struct cv_policy *policy,
                           const struct cv_decide_request *request)
{
    const struct cv_rule *ordinary = c->ordinary.best;
    struct cv_offer_side glass =
        request->break_glass ? c->unspoken : both(&c->glass, &c->unspoken);
    return glass.best != NULL &&
           (ordinary == NULL || cv_offer_before(glass.best, ordinary)) &&
           is_approved(policy, glass.best, request);
}

bool cv_offer_take(const struct cv_offer_choice *c,
                   const struct cv_policy *policy,
                   const struct cv_decide_request *request,
                   struct cv_decide_result *out)
{
    struct cv_offer_side side = c->ordinary;
    if (request->break_glass || !side.any)
        side = both(&c->glass, &c->ordinary);
    if (!side.any)
        return false;
    if (c->held != NULL) {
        take_offer(out, policy, c->held, request);
    } else if (side.best != NULL) {
        take_offer(out, policy, side.best, request);
    } else if (side.used_up != NULL) {
        stop_at(out, CV_DECIDE_LIMITED, side.used_up);
        out->retry_s = side.free_in_s;
    } else {
        stop_at(out, CV_DECIDE_NO_COUNTS, side.unknown);
    }
    out->glass_there =
        !out->permit && c->held == NULL && glass_would_do(c, policy, request);
    return true;
}
