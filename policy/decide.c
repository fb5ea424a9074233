#include "policy/decide_internal.h"
#include "policy/index_internal.h"
#include "policy/offer_internal.h"

#include <string.h>

static const char *const modes[] = {"none", "exec", "agent", "service"};

const char *cv_decide_mode_name(enum cv_decide_mode mode)
{
    return (unsigned)mode <= CV_DECIDE_MODE_SERVICE ? modes[mode] : modes[0];
}

enum cv_decide_mode cv_decide_mode_from_name(const char *word)
{
    for (unsigned m = 1; word != NULL && m <= CV_DECIDE_MODE_SERVICE; m++) {
        if (strcmp(modes[m], word) == 0)
            return (enum cv_decide_mode)m;
    }
    return CV_DECIDE_MODE_NONE;
}

bool cv_decide_ready(const struct cv_policy *policy, bool by_name)
{
    return by_name ? policy->has_zones : policy->resolved;
}

/* A decision while it is made. */
struct state {
    const struct cv_policy *policy;
    const struct cv_decide_request *request;
    struct cv_offer_choice offers;
    const struct cv_rule *near; /* the permit that misses least; looked at
                                   only where each misses something */
    unsigned near_misses;
    const struct cv_rule *forbids[CV_DECIDE_RULES];
    size_t n_forbids;
};

/* By name; the CV_DECIDE_RULES smallest are kept. A rule may come twice. */
static void add_forbid(struct state *s, const struct cv_rule *rule)
{
    size_t at = 0;
    while (at < s->n_forbids) {
        int order = strcmp(s->forbids[at]->name, rule->name);
        if (order == 0)
            return;
        if (order > 0)
            break;
        at++;
    }
    if (at == CV_DECIDE_RULES)
        return;
    size_t move = s->n_forbids - at;
    if (s->n_forbids == CV_DECIDE_RULES)
        move--;
    else
        s->n_forbids++;
    memmove(&s->forbids[at + 1], &s->forbids[at], move * sizeof(s->forbids[0]));
    s->forbids[at] = rule;
}

static bool is_nearer(const struct state *s, const struct cv_rule *rule,
                      unsigned misses)
{
    if (s->near == NULL)
        return true;
    int more = __builtin_popcount(misses) - __builtin_popcount(s->near_misses);
    return more != 0 ? more < 0 : strcmp(rule->name, s->near->name) < 0;
}

static void weigh(void *arg, uint32_t number)
{
    struct state *s = arg;
    const struct cv_rule *rule = &s->policy->rules[number];
    if (cv_rule_who(s->policy, rule, s->request) != 0 ||
        cv_rule_entry(rule, s->request->action, s->request->entry) != 0)
        return;
    unsigned misses = cv_rule_unmet(s->policy, rule, s->request);
    if (rule->forbid) {
        if (misses == 0)
            add_forbid(s, rule);
        return;
    }
    cv_offer_weigh(&s->offers, rule, misses, s->request);
    if (is_nearer(s, rule, misses)) {
        s->near = rule;
        s->near_misses = misses;
    }
}

static void conclude(const struct state *s, struct cv_decide_result *out)
{
    if (s->n_forbids > 0) {
        out->cause = CV_DECIDE_FORBIDDEN;
        for (size_t i = 0; i < s->n_forbids; i++)
            out->rules[out->n_rules++] = s->forbids[i]->name;
    } else if (cv_offer_take(&s->offers, s->policy, s->request, out)) {
        return;
    } else if (s->near != NULL) {
        out->cause = CV_DECIDE_UNMET;
        out->near = s->near;
        out->failed = s->near_misses;
    } else {
        out->cause = CV_DECIDE_NO_RULE;
    }
}

/* Names are not indexed: they are for tests and explanations. */
static void visit_all(const struct cv_policy *policy, struct state *s)
{
    for (size_t i = 0; i < policy->n_rules; i++)
        weigh(s, (uint32_t)i);
}

enum cv_status cv_decide_run(const struct cv_policy *policy,
                             const struct cv_decide_request *request,
                             struct cv_decide_result *out, struct cv_err *err)
{
    memset(out, 0, sizeof(*out));
    out->retry_s = -1;
    out->what = cv_decide_flaw(request);
    if (out->what != NULL) {
        out->cause = CV_DECIDE_BAD_INPUT;
    } else if (!cv_decide_ready(policy, request->subject.by_name)) {
        out->cause = CV_DECIDE_NOT_READY;
    } else {
        struct state s = {.policy = policy, .request = request};
        if (request->subject.by_name)
            visit_all(policy, &s);
        else
            cv_index_look(policy->index, &request->subject, request->entry,
                          weigh, &s);
        conclude(&s, out);
    }
    if (err == NULL || out->permit)
        return cv_decide_status(out->cause);
    return cv_decide_words(request, out, err);
}

bool cv_decide_may_approve(const struct cv_policy *policy, const char *rule,
                           const struct cv_decide_approval *approval)
{
    const struct cv_rule *permit = cv_policy_permit(policy, rule);
    bool by_name = approval->user != NULL;
    return permit != NULL && permit->require.approvals > 0 &&
           cv_decide_approval_flaw(approval, by_name) == NULL &&
           cv_decide_ready(policy, by_name) &&
           cv_offer_counts(policy, permit, approval, by_name);
}
