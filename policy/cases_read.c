#include "policy/cases_internal.h"

#include "vault/base/clock.h"

#include <stdlib.h>
#include <string.h>

void cv_cases_free(struct cv_cases_test *t)
{
    free(t->groups);
    free(t->keys);
    free(t->values);
    free(t->approvals);
    free(t->approvers);
}

enum cv_status cv_cases_no_memory(struct cv_reader *r)
{
    return cv_fail(r->err, CV_INTERNAL, "no memory for the cases");
}

/* Names of groups, at most `room`, into `out`. An empty list is none. */
static enum cv_status read_groups(struct cv_reader *r, const cJSON *node,
                                  const char **out, size_t *n)
{
    const cJSON *item;
    *n = 0;
    if (cJSON_IsArray(node) && node->child == NULL)
        return CV_OK;
    enum cv_status st = cv_reader_list(r, node, "groups", CV_DECIDE_GROUPS, n);
    if (st != CV_OK)
        return st;
    *n = 0;
    cJSON_ArrayForEach(item, node)
    {
        st = cv_reader_text(r, item, "a group", CV_POLICY_WHO, &out[*n]);
        if (st != CV_OK)
            return st;
        (*n)++;
    }
    return CV_OK;
}

static size_t count_items(const cJSON *list)
{
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, list) n++;
    return n;
}

static enum cv_status read_own_groups(struct cv_reader *r, const cJSON *node,
                                      struct cv_cases_test *t)
{
    t->groups = calloc(count_items(node) + 1, sizeof(*t->groups));
    if (t->groups == NULL)
        return cv_cases_no_memory(r);
    t->request.subject.groups = t->groups;
    return read_groups(r, node, t->groups, &t->request.subject.n_groups);
}

static enum cv_status read_approval(struct cv_reader *r, const cJSON *node,
                                    const char **groups,
                                    struct cv_decide_approval *out)
{
    const cJSON *user, *list, *is_signed;
    const struct cv_reader_field fields[] = {
        {"user", true, &user},
        {"groups", false, &list},
        {"signed", false, &is_signed},
    };
    enum cv_status st = cv_reader_mapping(r, node, "an approval", fields, 3);
    if (st == CV_OK)
        st = cv_reader_text(r, user, "user", CV_POLICY_WHO, &out->user);
    out->groups = groups;
    if (st == CV_OK && list != NULL)
        st = read_groups(r, list, groups, &out->n_groups);
    if (st == CV_OK && is_signed != NULL)
        st = cv_reader_bool(r, is_signed, "signed", &out->is_signed);
    return st;
}

static enum cv_status read_approvals(struct cv_reader *r, const cJSON *node,
                                     struct cv_cases_test *t)
{
    const cJSON *item;
    size_t n;
    size_t groups = 0;
    enum cv_status st =
        cv_reader_list(r, node, "approvals", CV_DECIDE_APPROVALS_MOST, &n);
    if (st != CV_OK)
        return st;
    cJSON_ArrayForEach(item, node) groups +=
        count_items(cJSON_GetObjectItemCaseSensitive(item, "groups"));
    t->approvals = calloc(n, sizeof(*t->approvals));
    t->approvers = calloc(groups + 1, sizeof(*t->approvers));
    if (t->approvals == NULL || t->approvers == NULL)
        return cv_cases_no_memory(r);
    groups = 0;
    t->request.approvals = t->approvals;
    cJSON_ArrayForEach(item, node)
    {
        struct cv_decide_approval *a = &t->approvals[t->request.n_approvals++];
        st = read_approval(r, item, &t->approvers[groups], a);
        if (st != CV_OK)
            return st;
        groups += a->n_groups;
    }
    return CV_OK;
}

/* {rule: count}: how often the user used rules before. */
static enum cv_status check_counts(const struct cv_policy *policy,
                                   struct cv_reader *r, const cJSON *node,
                                   const char *what)
{
    const cJSON *item;
    int64_t n;
    if (!cJSON_IsObject(node) || node->child == NULL)
        return cv_reader_refuse(r, node, false,
                                "%s must be a mapping, {rule: count}", what);
    cJSON_ArrayForEach(item, node)
    {
        if (cv_policy_permit(policy, item->string) == NULL)
            return cv_reader_refuse(r, item, true,
                                    "%s: the policy has no such permit", what);
        enum cv_status st =
            cv_reader_integer(r, item, what, 0, CV_LIMIT_RULE_COUNT, &n);
        if (st != CV_OK)
            return st;
    }
    return CV_OK;
}

static uint64_t count_of(const cJSON *counts, const char *rule)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(counts, rule);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

/* What a case does not say was not used. */
static bool used(void *context, const char *rule, int64_t per_s, uint64_t count,
                 uint64_t *out, int64_t *free_in_s)
{
    const struct cv_cases_test *t = context;
    (void)per_s;
    (void)count;
    *out = count_of(t->used, rule);
    *free_in_s = -1;
    return true;
}

static bool sessions(void *context, const char *rule, uint64_t *live)
{
    const struct cv_cases_test *t = context;
    *live = count_of(t->sessions, rule);
    return true;
}

static enum cv_status read_labels(struct cv_reader *r, const cJSON *node,
                                  struct cv_cases_test *t)
{
    const cJSON *item;
    size_t n = 0;
    if (!cJSON_IsObject(node))
        return cv_reader_refuse(r, node, false,
                                "labels must be a mapping, {key: value}");
    cJSON_ArrayForEach(item, node) n++;
    if (n > CV_LIMIT_LABELS)
        return cv_reader_refuse(r, node, false, "there are too many labels");
    t->keys = calloc(n + 1, sizeof(*t->keys));
    t->values = calloc(n + 1, sizeof(*t->values));
    if (t->keys == NULL || t->values == NULL)
        return cv_cases_no_memory(r);
    n = 0;
    cJSON_ArrayForEach(item, node)
    {
        t->keys[n] = item->string;
        enum cv_status st = cv_reader_text(r, item, "a label's value",
                                           CV_LIMIT_LABEL, &t->values[n++]);
        if (st != CV_OK)
            return st;
    }
    t->entry.keys = t->keys;
    t->entry.values = t->values;
    t->entry.n_labels = n;
    return CV_OK;
}

static enum cv_status read_entry(struct cv_reader *r, const cJSON *node,
                                 struct cv_cases_test *t)
{
    const cJSON *name, *labels, *provenance, *leaky;
    const struct cv_reader_field fields[] = {
        {"name", true, &name},
        {"labels", false, &labels},
        {"provenance", false, &provenance},
        {"leaky", false, &leaky},
    };
    static const char *const words[] = {"born",     "adopted", "unwrapped",
                                        "imported", "sealed",  NULL};
    unsigned word;
    enum cv_status st = cv_reader_mapping(r, node, "entry", fields, 4);
    if (st == CV_OK)
        st = cv_reader_text(r, name, "the entry's name", CV_LIMIT_NAME,
                            &t->entry.name);
    if (st == CV_OK && labels != NULL)
        st = read_labels(r, labels, t);
    if (st == CV_OK && provenance != NULL) {
        st = cv_reader_word(r, provenance, "provenance", words, &word);
        if (st == CV_OK)
            t->entry.provenance = words[word];
    }
    if (st == CV_OK && leaky != NULL)
        st = cv_reader_bool(r, leaky, "leaky", &t->entry.leaky);
    t->request.entry = &t->entry;
    return st;
}

static enum cv_status read_action(struct cv_reader *r, const cJSON *node,
                                  struct cv_cases_test *t)
{
    const char *words[CV_ACTION_COUNT];
    unsigned word;
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++)
        words[a - 1] = cv_action_name((enum cv_action)a);
    words[CV_ACTION_COUNT - 1] = NULL;
    enum cv_status st = cv_reader_word(r, node, "action", words, &word);
    if (st == CV_OK)
        t->request.action = (enum cv_action)(word + 1);
    return st;
}

static enum cv_status read_time(struct cv_reader *r, const cJSON *node,
                                struct cv_cases_test *t)
{
    const char *text;
    enum cv_status st = cv_reader_text(r, node, "at", CV_LIMIT_URL, &text);
    if (st == CV_OK && cv_clock_parse(text, &t->request.now_s, NULL) != CV_OK)
        st = cv_reader_refuse(r, node, false,
                              "at must be a time such as "
                              "2026-11-23T10:00:00+01:00, or a date");
    return st;
}

static enum cv_status read_mode(struct cv_reader *r, const cJSON *node,
                                struct cv_cases_test *t)
{
    static const char *const words[] = {"exec", "agent", "service", NULL};
    unsigned word;
    enum cv_status st = cv_reader_word(r, node, "mode", words, &word);
    if (st == CV_OK)
        t->request.mode = cv_decide_mode_from_name(words[word]);
    return st;
}

/* The keys that few cases have. */
struct extras {
    const cJSON *reason, *ticket, *at, *context, *mode, *tty, *duration,
        *read_only, *anchor_age, *break_glass, *approvals, *used, *sessions,
        *offer, *wait;
};

static enum cv_status read_extras(struct cv_reader *r, const struct extras *e,
                                  struct cv_cases_test *t)
{
    struct cv_decide_request *q = &t->request;
    enum cv_status st = CV_OK;
    if (e->reason != NULL)
        st =
            cv_reader_text(r, e->reason, "reason", CV_LIMIT_REASON, &q->reason);
    if (st == CV_OK && e->ticket != NULL)
        st =
            cv_reader_text(r, e->ticket, "ticket", CV_LIMIT_TICKET, &q->ticket);
    if (st == CV_OK && e->at != NULL)
        st = read_time(r, e->at, t);
    if (st == CV_OK && e->context != NULL) {
        st = cv_reader_text(r, e->context, "context", CV_LIMIT_HOST,
                            &t->context);
        q->contexts = &t->context;
        q->n_contexts = 1;
    }
    if (st == CV_OK && e->mode != NULL)
        st = read_mode(r, e->mode, t);
    if (st == CV_OK && e->tty != NULL)
        st = cv_reader_bool(r, e->tty, "tty", &q->tty);
    if (st == CV_OK && e->duration != NULL)
        st = cv_reader_duration(r, e->duration, "duration", &q->duration_s);
    if (st == CV_OK && e->read_only != NULL)
        st = cv_reader_bool(r, e->read_only, "read_only", &q->read_only);
    if (st == CV_OK && e->anchor_age != NULL) {
        st = cv_reader_duration(r, e->anchor_age, "anchor_age",
                                &q->anchor_age_s);
        q->anchored = true;
    }
    return st;
}

/* What only some rules ask for. */
static enum cv_status read_facts(const struct cv_policy *policy,
                                 struct cv_reader *r, const struct extras *e,
                                 struct cv_cases_test *t)
{
    enum cv_status st = CV_OK;
    t->counts = (struct cv_decide_counts){t, used, sessions};
    t->request.counts = &t->counts;
    t->used = e->used;
    t->sessions = e->sessions;
    if (e->break_glass != NULL)
        st = cv_reader_bool(r, e->break_glass, "break_glass",
                            &t->request.break_glass);
    if (st == CV_OK && e->approvals != NULL)
        st = read_approvals(r, e->approvals, t);
    if (st == CV_OK && e->used != NULL)
        st = check_counts(policy, r, e->used, "used");
    if (st == CV_OK && e->sessions != NULL)
        st = check_counts(policy, r, e->sessions, "sessions");
    return st;
}

/* What more is expected than the effect. */
static enum cv_status read_expected(struct cv_reader *r, const struct extras *e,
                                    struct cv_cases_test *t)
{
    static const char *const waits[] = {"limit", "approvals", NULL};
    unsigned word = 0;
    enum cv_status st = CV_OK;
    if (e->offer != NULL)
        st = cv_reader_text(r, e->offer, "offer", CV_LIMIT_NAME, &t->offer);
    if (st == CV_OK && e->wait != NULL && t->permit) {
        st = cv_reader_refuse(r, e->wait, true,
                              "what is permitted does not wait");
        cv_err_hint(r->err, "wait goes with expect: deny");
    } else if (st == CV_OK && e->wait != NULL) {
        st = cv_reader_word(r, e->wait, "wait", waits, &word);
        t->wait = waits[word];
    }
    return st;
}

enum cv_status cv_cases_read(const struct cv_policy *policy,
                             struct cv_reader *r, const cJSON *node,
                             struct cv_cases_test *t)
{
    static const char *const effects[] = {"deny", "permit", NULL};
    const cJSON *name, *user, *groups, *action, *entry, *expect;
    struct extras e;
    const struct cv_reader_field fields[] = {
        {"name", false, &name},
        {"user", true, &user},
        {"groups", false, &groups},
        {"action", true, &action},
        {"entry", false, &entry},
        {"expect", true, &expect},
        {"reason", false, &e.reason},
        {"ticket", false, &e.ticket},
        {"at", false, &e.at},
        {"context", false, &e.context},
        {"mode", false, &e.mode},
        {"tty", false, &e.tty},
        {"duration", false, &e.duration},
        {"read_only", false, &e.read_only},
        {"anchor_age", false, &e.anchor_age},
        {"break_glass", false, &e.break_glass},
        {"approvals", false, &e.approvals},
        {"used", false, &e.used},
        {"sessions", false, &e.sessions},
        {"offer", false, &e.offer},
        {"wait", false, &e.wait},
    };
    unsigned word = 0;
    enum cv_status st = cv_reader_mapping(r, node, "a case", fields,
                                          sizeof(fields) / sizeof(fields[0]));
    if (st == CV_OK && name != NULL)
        st = cv_reader_text(r, name, "name", CV_LIMIT_REASON, &t->name);
    if (st == CV_OK)
        st = cv_reader_text(r, user, "user", CV_POLICY_WHO,
                            &t->request.subject.user);
    if (st == CV_OK && groups != NULL)
        st = read_own_groups(r, groups, t);
    if (st == CV_OK)
        st = read_action(r, action, t);
    if (st == CV_OK && entry != NULL)
        st = read_entry(r, entry, t);
    if (st == CV_OK)
        st = cv_reader_word(r, expect, "expect", effects, &word);
    t->permit = word == 1;
    if (st == CV_OK)
        st = read_extras(r, &e, t);
    if (st == CV_OK)
        st = read_facts(policy, r, &e, t);
    return st == CV_OK ? read_expected(r, &e, t) : st;
}
