#include "policy/parse_internal.h"

enum cv_status cv_parse_limit(struct cv_parser *p, const cJSON *node,
                              struct cv_rule *rule)
{
    struct cv_policy_limit *l = &rule->limit;
    const cJSON *count;
    const cJSON *per;
    const cJSON *sessions;
    const struct cv_reader_field fields[] = {
        {"count", false, &count},
        {"per", false, &per},
        {"sessions", false, &sessions},
    };
    int64_t n = 0;
    enum cv_status st = cv_reader_mapping(&p->reader, node, "limit", fields, 3);
    if (st == CV_OK && (count == NULL) != (per == NULL)) {
        st = cv_reader_refuse(
            &p->reader, node, false, "limit has \"%s\" without \"%s\"",
            count != NULL ? "count" : "per", count != NULL ? "per" : "count");
        cv_err_hint(p->reader.err, "such as {count: 5, per: 1h}");
    } else if (st == CV_OK && count == NULL && sessions == NULL) {
        st = cv_reader_refuse(&p->reader, node, false, "limit is empty");
        cv_err_hint(p->reader.err,
                    "such as {count: 5, per: 1h} or {sessions: 3}");
    }
    if (st == CV_OK && count != NULL)
        st = cv_reader_integer(&p->reader, count, "limit.count", 1,
                               CV_LIMIT_RULE_COUNT, &n);
    l->count = (uint64_t)n;
    if (st == CV_OK && per != NULL)
        st = cv_reader_duration(&p->reader, per, "limit.per", &l->per_s);
    if (st == CV_OK && l->per_s > CV_LIMIT_RULE_PER_S)
        st = cv_reader_refuse(&p->reader, per, false,
                              "limit.per is longer than 366 days");
    n = 0;
    if (st == CV_OK && sessions != NULL)
        st = cv_reader_integer(&p->reader, sessions, "limit.sessions", 1,
                               CV_LIMIT_GRANTS, &n);
    l->sessions = (uint64_t)n;
    if (l->count > 0)
        p->policy->uses |= CV_POLICY_USES_LIMITS;
    if (l->sessions > 0)
        p->policy->uses |= CV_POLICY_USES_SESSIONS;
    if (l->per_s > p->policy->longest_per_s)
        p->policy->longest_per_s = l->per_s;
    return st;
}

/* Numbers of names as texts, for whoever shows them. */
static enum cv_status name_list(struct cv_parser *p,
                                const struct cv_texts *texts,
                                const struct cv_numbers *numbers, bool everyone,
                                const char *const **out)
{
    size_t n = 0;
    if (numbers->n == 0 && !everyone)
        return CV_OK;
    const char **list =
        cv_pool_alloc(&p->policy->pool, (numbers->n + 2) * sizeof(*list));
    if (list == NULL)
        return cv_parse_no_memory(p);
    if (everyone)
        list[n++] = "*";
    for (size_t i = 0; i < numbers->n; i++)
        list[n++] = texts->list[numbers->list[i]];
    *out = list;
    return CV_OK;
}

static enum cv_status list_from(struct cv_parser *p, struct cv_rule *rule)
{
    struct cv_policy_require *r = &rule->require;
    const struct cv_rule_subjects *from = &rule->from;
    r->uids = from->uids.list;
    r->n_uids = from->uids.n;
    enum cv_status st = name_list(p, &p->policy->users, &from->users,
                                  from->everyone, &r->users);
    if (st == CV_OK)
        st = name_list(p, &p->policy->groups, &from->groups, false, &r->groups);
    return st;
}

static enum cv_status parse_approvals(struct cv_parser *p, const cJSON *node,
                                      struct cv_rule *rule)
{
    const cJSON *count;
    const cJSON *from;
    const cJSON *is_signed;
    const struct cv_reader_field fields[] = {
        {"count", true, &count},
        {"from", true, &from},
        {"signed", false, &is_signed},
    };
    int64_t n = 0;
    enum cv_status st =
        cv_reader_mapping(&p->reader, node, "require.approvals", fields, 3);
    if (st == CV_OK)
        st = cv_reader_integer(&p->reader, count, "approvals.count", 1,
                               CV_LIMIT_RULE_APPROVALS, &n);
    if (st == CV_OK)
        st = cv_parse_subjects(p, from, "from", &rule->from);
    if (st == CV_OK && is_signed != NULL)
        st = cv_reader_bool(&p->reader, is_signed, "signed",
                            &rule->require.is_signed);
    if (st == CV_OK)
        st = list_from(p, rule);
    if (st != CV_OK)
        return st;
    rule->require.approvals = (uint64_t)n;
    p->policy->uses |= CV_POLICY_USES_APPROVALS;
    if (!rule->from.everyone && rule->from.groups.n == 0 &&
        rule->from.users.n + rule->from.uids.n < (size_t)n)
        cv_policy_warn(p->reader.notes, cv_reader_line(&p->reader, from),
                       "rule \"%s\" wants %lld approvals from fewer users: "
                       "nobody can use it",
                       rule->name, (long long)n);
    return CV_OK;
}

enum cv_status cv_parse_require(struct cv_parser *p, const cJSON *node,
                                struct cv_rule *rule)
{
    const cJSON *approvals;
    const struct cv_reader_field fields[] = {{"approvals", true, &approvals}};
    enum cv_status st =
        cv_reader_mapping(&p->reader, node, "require", fields, 1);
    return st == CV_OK ? parse_approvals(p, approvals, rule) : st;
}
