#include "policy/explain_internal.h"

#include <string.h>

void cv_explain_use_of(const struct cv_explained *e, const struct cv_rule *rule,
                       struct cv_explain_use *out)
{
    const struct cv_decide_counts *c = e->known;
    const struct cv_policy_limit *l = &rule->limit;
    const char *held = e->request->held_rule;
    int64_t free_in_s;
    *out = (struct cv_explain_use){0};
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

static bool is_unknown(const struct cv_explain_use *u)
{
    return u->counts != u->counted || u->lives != u->lived;
}

void cv_explain_condition_words(const struct cv_rule *rule,
                                const struct cv_explain_use *u,
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

void cv_explain_use_words(const struct cv_rule *rule,
                          const struct cv_explain_use *u, struct cv_buf *out)
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

bool cv_explain_is_conditional(const struct cv_explained *e,
                               const struct cv_rule *rule,
                               const struct cv_explain_use *u)
{
    return e->assumed && is_unknown(u) && e->result.offer != NULL &&
           strcmp(e->result.offer, rule->name) == 0;
}

bool cv_explain_use_json(cJSON *o, const struct cv_rule *rule,
                         const struct cv_explain_use *u)
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
