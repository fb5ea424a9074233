#include "policy/explain.h"

#include "policy/decide_internal.h"
#include "policy/offer_internal.h"

#include <string.h>

/* All that keeps a rule from matching. */
static unsigned misses_of(const struct cv_policy *policy,
                          const struct cv_rule *rule,
                          const struct cv_decide_request *request)
{
    unsigned miss = cv_rule_who(policy, rule, request);
    if (miss == 0)
        miss = cv_rule_entry(rule, request->action, request->entry);
    return miss != 0 ? miss : cv_rule_unmet(policy, rule, request);
}

/* A decision that is being explained. */
struct explained {
    const struct cv_policy *policy;
    const struct cv_decide_request *request; /* as it was decided */
    const struct cv_decide_counts *known;    /* as it was asked */
    bool assumed; /* what is not known of limits was taken as nothing */
    struct cv_decide_result result;
    struct cv_err why;
};

/* What is known of the use of a rule with a limit. */
struct use {
    bool counts; /* it limits how often */
    bool counted;
    uint64_t used;
    bool lives; /* it limits sessions, and this would be one */
    bool lived;
    uint64_t live;
};

static void use_of(const struct explained *e, const struct cv_rule *rule,
                   struct use *out)
{
    const struct cv_decide_counts *c = e->known;
    const struct cv_policy_limit *l = &rule->limit;
    const char *held = e->request->held_rule;
    int64_t free_in_s;
    *out = (struct use){0};
    if (held != NULL && strcmp(held, rule->name) == 0)
        return;
    out->counts = l->count > 0;
    out->lives = l->sessions > 0 && e->request->action == CV_ACTION_USE;
    out->counted = out->counts && c != NULL && c->used != NULL &&
                   c->used(c->context, rule->name, l->per_s, l->count,
                           &out->used, &free_in_s);
    out->lived = out->lives && c != NULL && c->sessions != NULL &&
                 c->sessions(c->context, rule->name, &out->live);
}

static bool is_unknown(const struct use *u)
{
    return u->counts != u->counted || u->lives != u->lived;
}

/* "its limit of 2 in 1h is not used up: how often it was used is not known" */
static void say_condition(const struct cv_rule *rule, const struct use *u,
                          struct cv_buf *out)
{
    bool count = u->counts && !u->counted;
    bool sessions = u->lives && !u->lived;
    cv_buf_add_str(out, "its limit of ");
    if (count) {
        cv_buf_add_format(out, "%llu in ",
                          (unsigned long long)rule->limit.count);
        cv_rule_duration(rule->limit.per_s, out);
    }
    if (sessions)
        cv_buf_add_format(out, "%s%llu sessions", count ? " and that of " : "",
                          (unsigned long long)rule->limit.sessions);
    cv_buf_add_format(out,
                      " %s not used up: how often it was used is not known",
                      count && sessions ? "are" : "is");
}

/* " (used 1 of 2 within 1h)" */
static void say_use(const struct cv_rule *rule, const struct use *u,
                    struct cv_buf *out)
{
    const struct cv_policy_limit *l = &rule->limit;
    if (!u->counted && !u->lived)
        return;
    cv_buf_add_str(out, " (");
    if (u->counted) {
        cv_buf_add_format(out, "used %llu of %llu within ",
                          (unsigned long long)u->used,
                          (unsigned long long)l->count);
        cv_rule_duration(l->per_s, out);
    }
    if (u->lived)
        cv_buf_add_format(out, "%s%llu of %llu sessions live",
                          u->counted ? ", " : "", (unsigned long long)u->live,
                          (unsigned long long)l->sessions);
    cv_buf_add_str(out, ")");
}

/* The offer's, where its limit was taken as free and is not known to be. */
static bool is_conditional(const struct explained *e,
                           const struct cv_rule *rule, const struct use *u)
{
    return e->assumed && is_unknown(u) && e->result.offer != NULL &&
           strcmp(e->result.offer, rule->name) == 0;
}

/* Why a permit whose conditions hold was taken, or was not. */
static void say_offer(const struct explained *e, const struct cv_rule *rule,
                      const struct use *u, struct cv_buf *out)
{
    struct cv_offer_facts facts;
    cv_offer_look(rule, e->request, &facts);
    if (facts.limit != CV_OFFER_USED_UP)
        say_use(rule, u, out);
    if (is_conditional(e, rule, u)) {
        cv_buf_add_str(out, ", if ");
        say_condition(rule, u, out);
    }
    cv_offer_words(e->policy, rule, e->request, &e->result, out);
}

/* {"count", "per", "used"?, "sessions", "live"?} */
static bool add_use(cJSON *o, const struct cv_rule *rule, const struct use *u)
{
    if (!u->counts && !u->lives)
        return true;
    cJSON *a = cJSON_CreateObject();
    if (a == NULL ||
        (u->counts &&
         (!cv_json_add_int(a, "count", (int64_t)rule->limit.count) ||
          !cv_json_add_int(a, "per", rule->limit.per_s))) ||
        (u->counted && !cv_json_add_int(a, "used", (int64_t)u->used)) ||
        (u->lives &&
         !cv_json_add_int(a, "sessions", (int64_t)rule->limit.sessions)) ||
        (u->lived && !cv_json_add_int(a, "live", (int64_t)u->live))) {
        cJSON_Delete(a);
        return false;
    }
    return cv_json_add_item(o, "limit", a);
}

static cJSON *rule_json(const struct explained *e, const struct cv_rule *rule,
                        unsigned misses)
{
    struct cv_buf because;
    struct use use = {0};
    cJSON *o = cJSON_CreateObject();
    cv_buf_init(&because, NULL, CV_KIB(4));
    if (misses != 0)
        cv_rule_words(rule, misses, &because);
    else
        cv_buf_add_str(&because, "all of it matches");
    if (misses == 0 && !rule->forbid) {
        use_of(e, rule, &use);
        say_offer(e, rule, &use, &because);
    }
    bool good =
        o != NULL && cv_buf_status(&because, "an explanation", NULL) == CV_OK &&
        cv_json_add_str(o, "name", rule->name) &&
        cv_json_add_str(o, "effect", rule->forbid ? "forbid" : "permit") &&
        cv_json_add_bool(o, "matched", misses == 0) &&
        cv_json_add_str(o, "because", cv_buf_text(&because)) &&
        add_use(o, rule, &use);
    cv_buf_wipe(&because);
    if (!good) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

/* Of a long policy only the rules that are about the subject and the action.
 */
static bool add_rules(const struct explained *e, cJSON *list, size_t *left,
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

static bool add_texts(cJSON *o, const char *key, const char *const *texts)
{
    if (texts == NULL)
        return true;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && texts[i] != NULL; i++) {
        cJSON *item = cJSON_CreateString(texts[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return false;
        }
    }
    return cv_json_add_item(o, key, list);
}

static bool add_uids(cJSON *o, const uint32_t *uids, size_t n)
{
    if (n == 0)
        return true;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < n; i++) {
        cJSON *item = cJSON_CreateNumber(uids[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return false;
        }
    }
    return cv_json_add_item(o, "uids", list);
}

/* {"users", "groups", "uids"}; what is given of them. */
static cJSON *from_json(const struct cv_policy_require *r)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !add_texts(o, "users", r->users) ||
        !add_texts(o, "groups", r->groups) ||
        !add_uids(o, r->uids, r->n_uids)) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

static bool add_approvals(cJSON *o, const struct cv_policy_require *r)
{
    if (r->approvals == 0)
        return true;
    cJSON *a = cJSON_CreateObject();
    if (a == NULL || !cv_json_add_int(a, "count", (int64_t)r->approvals) ||
        !cv_json_add_item(a, "from", from_json(r)) ||
        !cv_json_add_bool(a, "signed", r->is_signed)) {
        cJSON_Delete(a);
        return false;
    }
    return cv_json_add_item(o, "approvals", a);
}

static bool add_limit(cJSON *o, const struct cv_policy_limit *l)
{
    if (l->count == 0 && l->sessions == 0)
        return true;
    cJSON *a = cJSON_CreateObject();
    if (a == NULL ||
        (l->count > 0 && (!cv_json_add_int(a, "count", (int64_t)l->count) ||
                          !cv_json_add_int(a, "per", l->per_s))) ||
        (l->sessions > 0 &&
         !cv_json_add_int(a, "sessions", (int64_t)l->sessions))) {
        cJSON_Delete(a);
        return false;
    }
    return cv_json_add_item(o, "limit", a);
}

cJSON *cv_explain_obligations(const struct cv_decide_result *result)
{
    const struct cv_policy_grant *g = &result->grant;
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || result->offer == NULL)
        return o;
    if (!cv_json_add_int(o, "max_duration", g->max_duration_s) ||
        !cv_json_add_int(o, "duration", result->duration_s) ||
        !cv_json_add_bool(o, "read_only", g->read_only) ||
        !cv_json_add_str(o, "record", cv_policy_record_name(g->record)) ||
        !add_texts(o, "verbs", g->verbs) ||
        !add_texts(o, "namespaces", g->namespaces) ||
        !add_texts(o, "resources", g->resources) ||
        !add_approvals(o, &result->require) || !add_limit(o, &result->limit) ||
        (result->break_glass && !cv_json_add_bool(o, "break_glass", true))) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

/* What was taken for granted: the offer's limit. */
static bool add_condition(cJSON *o, const struct explained *e)
{
    const struct cv_rule *offer = cv_policy_permit(e->policy, e->result.offer);
    struct use use;
    struct cv_buf words;
    if (offer == NULL)
        return true;
    use_of(e, offer, &use);
    if (!is_conditional(e, offer, &use))
        return true;
    cv_buf_init(&words, NULL, CV_KIB(1));
    say_condition(offer, &use, &words);
    bool good = cv_buf_status(&words, "an explanation", NULL) == CV_OK &&
                cv_json_add_str(o, "condition", cv_buf_text(&words));
    cv_buf_wipe(&words);
    return good;
}

static bool add_decision(cJSON *o, const struct explained *e)
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

static bool fill(cJSON *o, const struct explained *e)
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
        !known->used(known->context, rule, per_s, count, used, free_in_s)) {
        *used = 0;
        *free_in_s = 0;
    }
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
static void decide(struct explained *e, const struct cv_decide_request *asked,
                   struct cv_decide_request *assumed,
                   struct cv_decide_counts *counts)
{
    struct cv_decide_result result;
    struct cv_err why;
    cv_err_init(&e->why);
    cv_err_init(&why);
    if (cv_decide_run(e->policy, asked, &e->result, &e->why) == CV_OK ||
        e->result.cause == CV_DECIDE_FORBIDDEN)
        return;
    *counts = (struct cv_decide_counts){(void *)(uintptr_t)e->known,
                                        used_or_none, live_or_none};
    *assumed = *asked;
    assumed->counts = counts;
    (void)!cv_decide_run(e->policy, assumed, &result, &why);
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
    struct explained e = {
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

static const char *text_of(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static void say_rule(const cJSON *rule, struct cv_buf *out)
{
    const char *name = text_of(rule, "name");
    const char *effect = text_of(rule, "effect");
    const char *because = text_of(rule, "because");
    bool matched =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(rule, "matched"));
    if (name == NULL || effect == NULL || because == NULL)
        return;
    cv_buf_add_format(out, "  %s %s %s: %s\n", matched ? "*" : "-", effect,
                      name, because);
}

static void say_obligations(const cJSON *o, struct cv_buf *out)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, o)
    {
        cv_buf_add_format(out, "  %s: ", item->string);
        if (cJSON_IsNumber(item))
            cv_buf_add_format(out, "%.0f s", item->valuedouble);
        else if (!cJSON_IsString(item))
            cv_json_write(item, CV_JSON_COMPACT, out);
        else
            cv_buf_add_str(out, item->valuestring);
        cv_buf_add_char(out, '\n');
    }
}

void cv_explain_words(const cJSON *explanation, struct cv_buf *out)
{
    const char *decision = text_of(explanation, "decision");
    const char *offer = text_of(explanation, "offer");
    const char *why = text_of(explanation, "why");
    const char *hint = text_of(explanation, "hint");
    const char *condition = text_of(explanation, "condition");
    const cJSON *obligations =
        cJSON_GetObjectItemCaseSensitive(explanation, "obligations");
    const cJSON *omitted =
        cJSON_GetObjectItemCaseSensitive(explanation, "omitted");
    const cJSON *rule;
    cv_buf_add_str(out, decision != NULL ? decision : "deny");
    if (offer != NULL && why == NULL)
        cv_buf_add_format(out, " by rule %s", offer);
    if (condition != NULL && why == NULL)
        cv_buf_add_format(out, ", if %s", condition);
    if (why != NULL)
        cv_buf_add_format(out, ": %s", why);
    cv_buf_add_char(out, '\n');
    if (hint != NULL)
        cv_buf_add_format(out, "hint: %s\n", hint);
    cv_buf_add_str(out, "rules (* matches):\n");
    cJSON_ArrayForEach(rule,
                       cJSON_GetObjectItemCaseSensitive(explanation, "rules"))
        say_rule(rule, out);
    if (cJSON_IsNumber(omitted))
        cv_buf_add_format(out, "  and %.0f that are about others\n",
                          omitted->valuedouble);
    if (cJSON_IsObject(obligations) && obligations->child != NULL) {
        cv_buf_add_str(out, why == NULL ? "granted:\n" : "would be granted:\n");
        say_obligations(obligations, out);
    }
}
