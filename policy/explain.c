#include "policy/explain.h"

#include "policy/decide_internal.h"
#include "policy/explain_internal.h"
#include "policy/offer_internal.h"

#include <string.h>

/* All that keeps a rule from matching. */
static unsigned misses_of(const struct cv_policy *policy,
                          const struct cv_rule *rule,
                          const struct cv_decide_request *request)
{
    unsigned miss = cv_rule_who(policy, rule, request);
    /* A permit about some entries gives those to a list. */
    if (miss == 0 && (rule->forbid || !cv_decide_is_list(request)))
        miss = cv_rule_entry(rule, request->action, request->entry);
    return miss != 0 ? miss : cv_rule_unmet(policy, rule, request);
}

/* What a permit is to a list that another may be recorded for. */
static void say_listed(const struct cv_explained *e, const struct cv_rule *rule,
                       struct cv_buf *out)
{
    if (strcmp(e->result.offer, rule->name) == 0)
        return;
    if (cv_decide_is_special(rule))
        cv_buf_add_str(out, ", but what it alone gives is not shown");
    cv_buf_add_format(out, "; the record names \"%s\"", e->result.offer);
}

/* Why a permit whose conditions hold was taken, or was not. */
static void say_offer(const struct cv_explained *e, const struct cv_rule *rule,
                      const struct cv_explain_use *u, struct cv_buf *out)
{
    struct cv_offer_facts facts;
    cv_offer_look(rule, e->request, &facts);
    if (facts.limit != CV_OFFER_USED_UP)
        cv_explain_use_words(rule, u, out);
    if (cv_explain_is_conditional(e, rule, u)) {
        cv_buf_add_str(out, ", if ");
        cv_explain_condition_words(rule, u, out);
    }
    if (cv_decide_is_list(e->request) && e->result.permit &&
        facts.limit == CV_OFFER_FREE) {
        say_listed(e, rule, out);
        return;
    }
    cv_offer_words(e->policy, rule, e->request, &e->result, out);
}

/* Why a rule matches, or does not. */
static void say_match(const struct cv_explained *e, const struct cv_rule *rule,
                      unsigned misses, struct cv_buf *out)
{
    bool some = cv_decide_is_list(e->request) &&
                cv_rule_entry(rule, CV_ACTION_LIST, NULL) != 0;
    if (some && misses == CV_MISS_NO_ENTRY)
        cv_buf_add_str(out, "about some entries, which are not shown");
    else if (misses != 0)
        cv_rule_words(rule, misses, out);
    else
        cv_buf_add_str(out, some ? "it matches for some entries"
                                 : "all of it matches");
}

static cJSON *rule_json(const struct cv_explained *e,
                        const struct cv_rule *rule, unsigned misses)
{
    struct cv_buf because;
    struct cv_explain_use use = {0};
    cJSON *o = cJSON_CreateObject();
    cv_buf_init(&because, NULL, CV_KIB(4));
    say_match(e, rule, misses, &because);
    if (misses == 0 && !rule->forbid) {
        cv_explain_use_of(e, rule, &use);
        say_offer(e, rule, &use, &because);
    }
    bool good =
        o != NULL && cv_buf_status(&because, "an explanation", NULL) == CV_OK &&
        cv_json_add_str(o, "name", rule->name) &&
        cv_json_add_str(o, "effect", rule->forbid ? "forbid" : "permit") &&
        cv_json_add_bool(o, "matched", misses == 0) &&
        cv_json_add_str(o, "because", cv_buf_text(&because)) &&
        cv_explain_use_json(o, rule, &use);
    cv_buf_wipe(&because);
    if (!good) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

/* Of a long policy only the rules that are about the subject and the action.
 */
static bool add_rules(const struct cv_explained *e, cJSON *list, size_t *left,
                      int64_t *omitted)
{
    const struct cv_policy *policy = e->policy;
    bool all = policy->n_rules <= CV_EXPLAIN_RULES;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_rule *rule = &policy->rules[i];
        unsigned misses = misses_of(policy, rule, e->request);
        bool far = (misses & (CV_MISS_ACTION | CV_MISS_SUBJECT)) != 0;
        if (*left == 0 || (far && !all)) {
            (*omitted)++;
            continue;
        }
        cJSON *item = rule_json(e, rule, misses);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
        (*left)--;
    }
    return true;
}

/* What was taken for granted: the offer's limit. */
static bool add_condition(cJSON *o, const struct cv_explained *e)
{
    const struct cv_rule *offer = cv_policy_permit(e->policy, e->result.offer);
    struct cv_explain_use use;
    struct cv_buf words;
    if (offer == NULL)
        return true;
    cv_explain_use_of(e, offer, &use);
    if (!cv_explain_is_conditional(e, offer, &use))
        return true;
    cv_buf_init(&words, NULL, CV_KIB(1));
    cv_explain_condition_words(offer, &use, &words);
    bool good = cv_buf_status(&words, "an explanation", NULL) == CV_OK &&
                cv_json_add_str(o, "condition", cv_buf_text(&words));
    cv_buf_wipe(&words);
    return good;
}

static bool add_decision(cJSON *o, const struct cv_explained *e)
{
    const struct cv_decide_result *r = &e->result;
    bool good = cv_json_add_str(o, "decision", r->permit ? "permit" : "deny") &&
                cv_json_add_str(o, "offer", r->offer) && add_condition(o, e);
    if (!good || r->permit)
        return good;
    const char *hint = e->why.hint;
    good = cv_json_add_str(o, "why", e->why.text) &&
           cv_json_add_str(o, "hint", hint[0] != '\0' ? hint : NULL);
    if (r->cause == CV_DECIDE_LIMITED || r->cause == CV_DECIDE_APPROVALS)
        good = good &&
               cv_json_add_str(o, "wait",
                               r->cause == CV_DECIDE_LIMITED ? "limit"
                                                             : "approvals");
    if (r->retry_s >= 0)
        good = good && cv_json_add_int(o, "retry_after", r->retry_s);
    return good;
}

static bool fill(cJSON *o, const struct cv_explained *e)
{
    size_t left = CV_EXPLAIN_RULES;
    int64_t omitted = 0;
    bool good = add_decision(o, e);
    cJSON *list = cJSON_CreateArray();
    /* A request that makes no sense is held against no rule. */
    if (good && list != NULL && e->result.cause != CV_DECIDE_BAD_INPUT &&
        e->result.cause != CV_DECIDE_NOT_READY)
        good = add_rules(e, list, &left, &omitted);
    good =
        cv_json_add_item(o, "rules", list) && good &&
        cv_json_add_item(o, "obligations", cv_explain_obligations(&e->result));
    if (good && omitted > 0)
        good = cv_json_add_int(o, "omitted", omitted);
    return good;
}

/* What is known; nothing, where it is not. */
static bool used_or_none(void *context, const char *rule, int64_t per_s,
                         uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    const struct cv_decide_counts *known = context;
    if (known == NULL || known->used == NULL ||
        !known->used(known->context, rule, per_s, count, used, free_in_s))
        *used = 0; /* and so there is nothing that gets free */
    return true;
}

static bool live_or_none(void *context, const char *rule, uint64_t *live)
{
    const struct cv_decide_counts *known = context;
    if (known == NULL || known->sessions == NULL ||
        !known->sessions(known->context, rule, live))
        *live = 0;
    return true;
}

/* Where the door would have counted, nobody may be told of a denial for want of
 * a count: then it is a permit on a condition. `assumed` is `asked` with
 * `counts`, which takes what is not known as nothing. */
static void decide(struct cv_explained *e,
                   const struct cv_decide_request *asked,
                   struct cv_decide_request *assumed,
                   struct cv_decide_counts *counts)
{
    struct cv_decide_result result;
    struct cv_err why;
    cv_err_init(&e->why);
    cv_err_init(&why);
    if (cv_decide_command(e->policy, asked, &e->result, &e->why) == CV_OK)
        return;
    *counts = (struct cv_decide_counts){(void *)(uintptr_t)e->known,
                                        used_or_none, live_or_none};
    *assumed = *asked;
    assumed->counts = counts;
    (void)!cv_decide_command(e->policy, assumed, &result, &why);
    if (!result.permit && e->result.cause != CV_DECIDE_NO_COUNTS)
        return;
    e->result = result;
    e->why = why;
    e->request = assumed;
    e->assumed = true;
}

enum cv_status cv_explain_make(const struct cv_policy *policy,
                               const struct cv_decide_request *request,
                               cJSON **out, struct cv_err *err)
{
    struct cv_decide_request assumed;
    struct cv_decide_counts counts;
    struct cv_explained e = {
        .policy = policy, .request = request, .known = request->counts};
    decide(&e, request, &assumed, &counts);
    cJSON *o = cJSON_CreateObject();
    *out = NULL;
    if (o == NULL || !fill(o, &e)) {
        cJSON_Delete(o);
        return cv_fail(err, CV_INTERNAL, "no memory for an explanation");
    }
    *out = o;
    return CV_OK;
}
