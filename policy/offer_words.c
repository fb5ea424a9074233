#include "policy/offer_internal.h"

#include <stdio.h>
#include <string.h>

/* How long to wait: whole minutes where it is long. */
static void say_wait(int64_t s, struct cv_buf *out)
{
    cv_rule_duration(s < 100 ? s : (s + 59) / 60 * 60, out);
}

void cv_offer_limit_words(const struct cv_rule *rule,
                          const struct cv_offer_facts *facts,
                          struct cv_buf *out)
{
    if (facts->limit == CV_OFFER_UNKNOWN) {
        cv_buf_add_str(out, "how often it was used is not known");
        return;
    }
    if (facts->by_count) {
        cv_buf_add_format(out, "its limit of %llu in ",
                          (unsigned long long)rule->limit.count);
        cv_rule_duration(rule->limit.per_s, out);
    }
    if (facts->by_sessions)
        cv_buf_add_format(out, "%s %llu %s",
                          facts->by_count ? " and that of" : "its limit of",
                          (unsigned long long)rule->limit.sessions,
                          rule->limit.sessions == 1 ? "session" : "sessions");
    cv_buf_add_str(out, facts->by_count && facts->by_sessions ? " are used up"
                                                              : " is used up");
    if (facts->free_in_s != -1) {
        cv_buf_add_str(out, ", for ");
        say_wait(facts->free_in_s, out);
    }
}

void cv_offer_limit_advice(const struct cv_offer_facts *facts,
                           struct cv_buf *out)
{
    if (facts->free_in_s != -1) {
        cv_buf_add_str(out, "try again in ");
        say_wait(facts->free_in_s, out);
    } else if (facts->by_sessions) {
        cv_buf_add_str(out, "end one first (`certvault grants list`)");
    } else {
        cv_buf_add_str(out, "try again later");
    }
}

void cv_offer_approval_words(const struct cv_rule *rule, uint64_t had,
                             struct cv_buf *out)
{
    uint64_t n = rule->require.approvals;
    cv_buf_add_format(
        out, "it wants %llu %sapproval%s, ", (unsigned long long)n,
        rule->require.is_signed ? "signed " : "", n == 1 ? "" : "s");
    if (had == 0)
        cv_buf_add_str(out, "and has none");
    else
        cv_buf_add_format(out, "and has %llu", (unsigned long long)had);
}

/* Of many, some. */
#define FROM 4

static void say_who(struct cv_buf *out, size_t *n, const char *kind,
                    const char *name)
{
    if (*n < FROM)
        cv_buf_add_format(out, "%s %s%s", *n > 0 ? "," : "", kind, name);
    else if (*n == FROM)
        cv_buf_add_str(out, " and others");
    (*n)++;
}

void cv_offer_approval_advice(const struct cv_rule *rule, struct cv_buf *out)
{
    const struct cv_policy_require *r = &rule->require;
    char number[16];
    size_t n = 0;
    cv_buf_add_str(out, "they can come from:");
    for (size_t i = 0; r->users != NULL && r->users[i] != NULL; i++) {
        bool everyone = strcmp(r->users[i], "*") == 0;
        say_who(out, &n, everyone ? "" : "user ",
                everyone ? "anybody else" : r->users[i]);
    }
    for (size_t i = 0; r->groups != NULL && r->groups[i] != NULL; i++)
        say_who(out, &n, "group ", r->groups[i]);
    for (size_t i = 0; i < r->n_uids; i++) {
        (void)snprintf(number, sizeof(number), "%lu",
                       (unsigned long)r->uids[i]);
        say_who(out, &n, "uid ", number);
    }
}

/* Why `offer` was taken before `rule`. */
static void say_order(const struct cv_rule *rule, const struct cv_rule *offer,
                      const struct cv_decide_request *request,
                      struct cv_buf *out)
{
    const char *why = "comes first by name";
    if (request->held_rule != NULL &&
        strcmp(request->held_rule, offer->name) == 0)
        why = "gave what is held";
    else if (offer->require.approvals != rule->require.approvals)
        why = "wants fewer approvals";
    else if (offer->break_glass != rule->break_glass)
        why = "does not break the glass";
    else if (offer->grant.max_duration_s != rule->grant.max_duration_s)
        why = "gives a longer time";
    cv_buf_add_format(out, "\"%s\" %s", offer->name, why);
}

void cv_offer_words(const struct cv_policy *policy, const struct cv_rule *rule,
                    const struct cv_decide_request *request,
                    const struct cv_decide_result *result, struct cv_buf *out)
{
    const struct cv_rule *offer = cv_policy_permit(policy, result->offer);
    struct cv_offer_facts facts;
    cv_offer_look(rule, request, &facts);
    if (offer == rule && result->permit)
        return;
    cv_buf_add_str(out, ", but ");
    if (result->cause == CV_DECIDE_FORBIDDEN)
        cv_buf_add_str(out, "so does a forbid");
    else if (offer == rule)
        cv_offer_approval_words(rule, result->approvals_had, out);
    else if (facts.limit != CV_OFFER_FREE)
        cv_offer_limit_words(rule, &facts, out);
    else if (rule->break_glass && !request->break_glass && !result->break_glass)
        cv_buf_add_str(out, "it breaks the glass, for which nobody asked "
                            "(--break-glass)");
    else if (offer != NULL)
        say_order(rule, offer, request, out);
    else
        cv_buf_add_str(out, "it is not weighed");
}
