#include "policy/compare.h"

#include "policy/compare_internal.h"
#include "policy/index_internal.h"

#include <stdlib.h>
#include <string.h>

#define TERMS_LEN CV_MIB(2)
/* What no request could help about. */
#define NEVER (CV_MISS_MODE | CV_MISS_LIMITS | CV_MISS_SERVICE)

struct terms {
    char *when;  /* "": always */
    char *grant; /* "": the default one */
};

struct cv_compare {
    const struct cv_policy *policy;
    struct terms *terms; /* one for each rule */
    uint64_t *stamp;     /* the look in which a rule was found last */
    uint64_t look;
    uint32_t *found; /* rules of this look */
    size_t n_found;
    struct cv_decide_request request;
    /* The last answer. */
    enum cv_compare_may may;
    bool grants;      /* what is given counts for this action */
    uint32_t *answer; /* rules; sorted by their terms, without doubles, in
                         `kinds` */
    size_t n_answer;
    uint32_t *kinds;
    size_t n_kinds;
};

const char *cv_compare_may_name(enum cv_compare_may may)
{
    static const char *const names[] = {"no", "if", "yes"};
    return names[may];
}

static char *terms_text(const struct cv_rule *rule, bool grant)
{
    struct cv_buf text;
    char *copy = NULL;
    cv_buf_init(&text, NULL, TERMS_LEN);
    if (grant)
        cv_compare_terms_grant(rule, &text);
    else
        cv_compare_terms_when(rule, &text);
    if (cv_buf_status(&text, "a rule's terms", NULL) == CV_OK)
        copy = strdup(cv_buf_text(&text));
    cv_buf_wipe(&text);
    return copy;
}

static bool fill(struct cv_compare *c)
{
    size_t n = c->policy->n_rules;
    c->terms = calloc(n + 1, sizeof(*c->terms));
    c->stamp = calloc(n + 1, sizeof(*c->stamp));
    c->found = calloc(n + 1, sizeof(*c->found));
    c->answer = calloc(n + 1, sizeof(*c->answer));
    c->kinds = calloc(n + 1, sizeof(*c->kinds));
    if (c->terms == NULL || c->stamp == NULL || c->found == NULL ||
        c->answer == NULL || c->kinds == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct cv_rule *rule = &c->policy->rules[i];
        c->terms[i].when = terms_text(rule, false);
        c->terms[i].grant = terms_text(rule, true);
        if (c->terms[i].when == NULL || c->terms[i].grant == NULL)
            return false;
    }
    return true;
}

enum cv_status cv_compare_new(const struct cv_policy *policy,
                              enum cv_decide_mode mode, struct cv_compare **out,
                              struct cv_err *err)
{
    *out = NULL;
    if (!policy->resolved)
        return cv_fail(err, CV_INVALID, "the policy is not resolved");
    struct cv_compare *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return cv_fail(err, CV_INTERNAL, "no memory for a comparison");
    c->policy = policy;
    c->request.mode = mode;
    if (!fill(c)) {
        cv_compare_free(c);
        return cv_fail(err, CV_INTERNAL, "no memory for a comparison");
    }
    *out = c;
    return CV_OK;
}

void cv_compare_free(struct cv_compare *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; c->terms != NULL && i < c->policy->n_rules; i++) {
        free(c->terms[i].when);
        free(c->terms[i].grant);
    }
    free(c->terms);
    free(c->stamp);
    free(c->found);
    free(c->answer);
    free(c->kinds);
    free(c);
}

static void visit(void *arg, uint32_t rule)
{
    struct cv_compare *c = arg;
    if (c->stamp[rule] == c->look)
        return;
    c->stamp[rule] = c->look;
    c->found[c->n_found++] = rule;
}

void cv_compare_look(struct cv_compare *c, const struct cv_decide_subject *who,
                     const struct cv_decide_entry *entry)
{
    c->look++;
    c->n_found = 0;
    c->request.subject = *who;
    c->request.entry = entry;
    /* Such a uid stands for nobody: no decision permits it anything. */
    if (who->uid == CV_POLICY_UID_OVERFLOW || who->uid > CV_POLICY_UID_LAST)
        return;
    cv_index_look(c->policy->index, who, entry, visit, c);
}

/* Could the rule ever count for this? */
static bool is_about(const struct cv_compare *c, const struct cv_rule *rule)
{
    const struct cv_decide_request *rq = &c->request;
    return cv_rule_who(c->policy, rule, rq) == 0 &&
           cv_rule_entry(rule, rq->action, rq->entry) == 0 &&
           (cv_rule_unmet(c->policy, rule, rq) & NEVER) == 0;
}

/* Is what a rule grants of any weight for the action? */
static bool has_grant(enum cv_action action)
{
    return action == CV_ACTION_USE || action == CV_ACTION_ISSUE;
}

static int order(const struct cv_compare *a, uint32_t x,
                 const struct cv_compare *b, uint32_t y)
{
    bool fx = a->policy->rules[x].forbid;
    bool fy = b->policy->rules[y].forbid;
    if (fx != fy)
        return fx ? 1 : -1;
    int way = strcmp(a->terms[x].when, b->terms[y].when);
    if (way == 0 && a->grants)
        way = strcmp(a->terms[x].grant, b->terms[y].grant);
    return way;
}

/* Sorted and without doubles; answers are short. */
static void add_kind(struct cv_compare *c, uint32_t rule)
{
    size_t at = 0;
    while (at < c->n_kinds && order(c, c->kinds[at], c, rule) < 0)
        at++;
    if (at < c->n_kinds && order(c, c->kinds[at], c, rule) == 0)
        return;
    memmove(&c->kinds[at + 1], &c->kinds[at],
            (c->n_kinds - at) * sizeof(*c->kinds));
    c->kinds[at] = rule;
    c->n_kinds++;
}

/* A forbid that always holds is all that counts. */
static bool is_forbidden(struct cv_compare *c)
{
    for (size_t i = 0; i < c->n_found; i++) {
        uint32_t n = c->found[i];
        const struct cv_rule *rule = &c->policy->rules[n];
        if (rule->forbid && c->terms[n].when[0] == '\0' && is_about(c, rule))
            c->answer[c->n_answer++] = n;
    }
    return c->n_answer > 0;
}

enum cv_compare_may cv_compare_may(struct cv_compare *c, enum cv_action action)
{
    bool plain = false;
    bool offers = false;
    bool forbids = false;
    c->request.action = action;
    c->grants = has_grant(action);
    c->n_answer = c->n_kinds = 0;
    c->may = CV_COMPARE_NO;
    if (is_forbidden(c))
        return c->may;
    for (size_t i = 0; i < c->n_found; i++) {
        uint32_t n = c->found[i];
        const struct cv_rule *rule = &c->policy->rules[n];
        if (!is_about(c, rule))
            continue;
        c->answer[c->n_answer++] = n;
        offers = offers || !rule->forbid;
        forbids = forbids || rule->forbid;
        plain = plain || (!rule->forbid && c->terms[n].when[0] == '\0');
    }
    if (!offers) {
        c->n_answer = 0;
        return c->may;
    }
    for (size_t i = 0; i < c->n_answer; i++)
        add_kind(c, c->answer[i]);
    c->may = plain && !forbids ? CV_COMPARE_YES : CV_COMPARE_IF;
    return c->may;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t cv_compare_rules(const struct cv_compare *c, const char **names,
                        size_t max)
{
    qsort(c->answer, c->n_answer, sizeof(*c->answer), by_number);
    for (size_t i = 0; i < c->n_answer && i < max; i++)
        names[i] = c->policy->rules[c->answer[i]].name;
    return c->n_answer;
}

void cv_compare_words(const struct cv_compare *c, struct cv_buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < c->n_kinds; i++) {
        const struct cv_rule *rule = &c->policy->rules[c->kinds[i]];
        const struct terms *t = &c->terms[c->kinds[i]];
        const char *grant = c->grants ? t->grant : "";
        if (c->n_kinds == 1 && t->when[0] == '\0' && grant[0] == '\0')
            return;
        if (out->len > before)
            cv_buf_add_str(out, rule->forbid ? "; but not " : "; or ");
        cv_buf_add_str(out, t->when[0] != '\0' ? t->when : "always");
        if (grant[0] != '\0')
            cv_buf_add_format(out, ", %s", grant);
    }
}

bool cv_compare_same(const struct cv_compare *a, const struct cv_compare *b)
{
    if (a->may != b->may || a->n_kinds != b->n_kinds)
        return false;
    for (size_t i = 0; i < a->n_kinds; i++) {
        if (order(a, a->kinds[i], b, b->kinds[i]) != 0)
            return false;
    }
    return true;
}

static bool is_mentioned(const struct cv_policy *policy, uint32_t number)
{
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_rule_subjects *s = &policy->rules[i].subjects;
        for (size_t k = 0; k < s->all_uids.n; k++) {
            if (s->all_uids.list[k] == number)
                return true;
        }
        for (size_t k = 0; k < s->all_gids.n; k++) {
            if (s->all_gids.list[k] == number)
                return true;
        }
    }
    return false;
}

uint32_t cv_compare_nobody(const struct cv_policy *const *policies, size_t n)
{
    for (uint32_t number = CV_POLICY_UID_LAST;; number--) {
        bool taken = false;
        for (size_t i = 0; i < n && !taken; i++)
            taken = is_mentioned(policies[i], number);
        if (!taken)
            return number;
    }
}

/* Adds one to a list that rises; false: there is no room for it. */
static bool add_number(uint32_t *out, size_t *n, size_t max, uint32_t number)
{
    size_t at = 0;
    while (at < *n && out[at] < number)
        at++;
    if (at < *n && out[at] == number)
        return true;
    if (*n == max)
        return false;
    memmove(&out[at + 1], &out[at], (*n - at) * sizeof(*out));
    out[at] = number;
    (*n)++;
    return true;
}

size_t cv_compare_uids(const struct cv_policy *policy, uid_t *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_numbers *uids = &policy->rules[i].subjects.all_uids;
        for (size_t k = 0; k < uids->n; k++) {
            if (!add_number(out, &n, max, uids->list[k]))
                return max + 1;
        }
    }
    return n;
}

size_t cv_compare_gids(const struct cv_policy *policy, gid_t *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_numbers *gids = &policy->rules[i].subjects.all_gids;
        for (size_t k = 0; k < gids->n; k++) {
            if (!add_number(out, &n, max, gids->list[k]))
                return max + 1;
        }
    }
    return n;
}
