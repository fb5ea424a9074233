#include "policy/lint.h"

#include "policy/compare_internal.h"
#include "policy/lint_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rules that others are held against: of a very long policy only the first. */
#define COVERERS 1000

#define BIT(action) (UINT32_C(1) << (action))
#define VALID (BIT(CV_ACTION_COUNT) - 2)
/* Decided without an entry. */
#define NO_ENTRY                                              \
    (BIT(CV_ACTION_AUDIT_READ) | BIT(CV_ACTION_POLICY_READ) | \
     BIT(CV_ACTION_POLICY_APPLY) | BIT(CV_ACTION_ADMIN))
/* What no verbs and namespaces can be kept to. */
#define WHOLE \
    (BIT(CV_ACTION_EXPORT) | BIT(CV_ACTION_SIGN_RAW) | BIT(CV_ACTION_ISSUE))
/* What gives keys, or their use, or the vault itself, away. */
#define GRAVE                                                   \
    (WHOLE | BIT(CV_ACTION_USE) | BIT(CV_ACTION_POLICY_APPLY) | \
     BIT(CV_ACTION_ADMIN) | BIT(CV_ACTION_APPROVE) |            \
     BIT(CV_ACTION_FETCH_SERVICE))

enum severity { ERROR, WARNING, INFO };

struct lint {
    const struct cv_policy *policy;
    char **terms; /* what each rule asks for; "": nothing */
    size_t coverers[COVERERS];
    size_t n_coverers;
    cJSON *items;
    int64_t n;
    int64_t omitted;
    int64_t counts[3];
    bool failed; /* memory is gone */
};

static void CV_PRINTF(6, 7)
    find(struct lint *l, const struct cv_rule *rule, enum severity severity,
         const char *code, const char *hint, const char *fmt, ...)
{
    static const char *const words[] = {"error", "warning", "info"};
    char text[CV_POLICY_NOTE_LEN * 2];
    va_list ap;
    l->counts[severity]++;
    if (l->n == CV_LINT_FINDINGS) {
        l->omitted++;
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    l->n++;
    cJSON *item = cJSON_CreateObject();
    if (!cv_json_add_str(item, "code", code) ||
        !cv_json_add_str(item, "severity", words[severity]) ||
        !cv_json_add_int(item, "line", rule != NULL ? rule->line : 0) ||
        !cv_json_add_str(item, "rule", rule != NULL ? rule->name : NULL) ||
        !cv_json_add_str(item, "text", text) ||
        !cv_json_add_str(item, "hint", hint) ||
        !cJSON_AddItemToArray(l->items, item)) {
        cJSON_Delete(item);
        l->failed = true;
    }
}

static bool is_limited(const struct cv_policy_grant *g)
{
    return g->read_only || g->verbs != NULL || g->namespaces != NULL ||
           g->resources != NULL;
}

static uint32_t actions_of(const struct cv_rule *rule)
{
    return rule->actions & VALID;
}

static const char *first_word(uint32_t actions)
{
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++) {
        if ((actions >> a & 1) != 0)
            return cv_action_name((enum cv_action)a);
    }
    return "none";
}

/* What can never match, whoever asks for whatever. */
static void look_never(struct lint *l, const struct cv_rule *rule)
{
    uint32_t actions = actions_of(rule);
    bool about = rule->entries.given && !rule->entries.any_name;
    bool all = rule->actions == UINT32_MAX;
    if (about && (actions & ~NO_ENTRY) == 0)
        find(l, rule, ERROR, "never", "leave entries out",
             "it is about entries, and its actions have none: it never "
             "matches");
    else if (about && !all && (actions & NO_ENTRY) != 0)
        find(l, rule, WARNING, "never",
             "put it into a rule of its own, without entries",
             "%s has no entry: this rule never matches it",
             first_word(actions & NO_ENTRY));
    /* A forbid has no grant. */
    if (is_limited(&rule->grant) && (actions & ~WHOLE) == 0)
        find(l, rule, ERROR, "never", "leave the limits of its grant out",
             "what leaves by %s cannot be kept to its grant's limits: it never "
             "permits",
             first_word(actions));
    else if (is_limited(&rule->grant) && !all && (actions & WHOLE) != 0)
        find(l, rule, WARNING, "never",
             "put it into a rule of its own, without these limits",
             "%s is never permitted by it: its grant has limits that cannot "
             "be kept",
             first_word(actions & WHOLE));
}

/* Users with keys who could be among those that consent, at most. */
static size_t signers_of(const struct cv_policy *policy,
                         const struct cv_rule_subjects *from)
{
    size_t named = 0;
    size_t others = 0;
    for (size_t i = 0; i < policy->n_signers; i++) {
        bool is = false;
        for (size_t u = 0; u < from->users.n && !is; u++)
            is = from->users.list[u] == policy->signers[i].user;
        named += is;
        others += !is;
    }
    /* Who is in a group, or has a number, is not known here. */
    if (!from->everyone && from->groups.n == 0 && others > from->uids.n)
        others = from->uids.n;
    return named + others;
}

/* Signatures want keys. */
static void look_signed(struct lint *l, const struct cv_rule *rule)
{
    static const char hint[] = "list their keys under keys";
    uint64_t wanted = rule->require.approvals;
    size_t most = signers_of(l->policy, &rule->from);
    if (l->policy->n_signers == 0)
        find(
            l, rule, ERROR, "never", hint,
            "it wants signed approvals, and the policy lists no keys: it never "
            "permits");
    else if (wanted > most)
        find(l, rule, ERROR, "never", hint,
             "it wants %llu signed approvals, and only %zu of those who could "
             "give one have keys",
             (unsigned long long)wanted, most);
}

/* Who could consent, and is there anybody? */
static void look_require(struct lint *l, const struct cv_rule *rule,
                         bool anybody_approves)
{
    const struct cv_rule_subjects *from = &rule->from;
    size_t most = from->users.n + from->uids.n;
    bool open = from->everyone || from->groups.n > 0;
    if (rule->require.approvals == 0)
        return;
    if (rule->when.modes != 0 &&
        (rule->when.modes >> CV_DECIDE_MODE_SERVICE & 1) == 0)
        find(l, rule, ERROR, "never", NULL,
             "it wants approvals, which only the service takes, and its mode "
             "is another: it never permits");
    if (!open && rule->require.approvals > most)
        find(l, rule, ERROR, "never", NULL,
             "it wants %llu approvals, and only %zu could give one",
             (unsigned long long)rule->require.approvals, most);
    else if (rule->require.is_signed)
        look_signed(l, rule);
    if (!anybody_approves)
        find(l, rule, ERROR, "never",
             "permit the action approve to those who are to consent",
             "it wants approvals, and no rule permits approve");
}

static bool is_unconditional(const struct lint *l, size_t n)
{
    return l->terms[n][0] == '\0' && l->policy->rules[n].when.modes == 0;
}

/* Always when `a` holds, does `b`? */
static bool holds_with(const struct lint *l, size_t a, size_t b)
{
    if (is_unconditional(l, b))
        return true;
    return strcmp(l->terms[a], l->terms[b]) == 0 &&
           (l->policy->rules[b].when.modes == 0 ||
            l->policy->rules[a].when.modes == l->policy->rules[b].when.modes);
}

/* What other rules leave nothing of. */
static void look_covered(struct lint *l, size_t n)
{
    const struct cv_rule *a = &l->policy->rules[n];
    for (size_t i = 0; i < l->n_coverers; i++) {
        size_t m = l->coverers[i];
        const struct cv_rule *b = &l->policy->rules[m];
        if (m == n || (a->forbid && !b->forbid) || !cv_lint_cover_scope(a, b) ||
            !holds_with(l, n, m))
            continue;
        if (!a->forbid && b->forbid) {
            find(l, a, ERROR, "shadowed", NULL,
                 "rule \"%s\" (line %u) forbids all that it permits: it never "
                 "permits anything",
                 b->name, b->line);
            return;
        }
        if (!a->forbid && !cv_lint_cover_grant(a, b))
            continue;
        /* Of two that are the same the second is one too many. */
        if (m > n && cv_lint_cover_scope(b, a) && holds_with(l, m, n) &&
            (a->forbid || cv_lint_cover_grant(b, a)))
            continue;
        find(l, a, WARNING, "redundant", "remove one of them",
             "rule \"%s\" (line %u) %s all of this already", b->name, b->line,
             a->forbid ? "forbids" : "permits");
        return;
    }
}

/* What gives more than somebody is likely to mean. */
static void look_broad(struct lint *l, const struct cv_rule *rule,
                       const char *terms)
{
    uint32_t grave = actions_of(rule) & GRAVE;
    bool any = !rule->entries.given || rule->entries.any_name;
    if (rule->forbid)
        return;
    if (rule->subjects.everyone && grave != 0)
        find(l, rule, terms[0] == '\0' ? ERROR : WARNING, "broad",
             "name users or groups", "every user of the host may %s",
             first_word(grave));
    else if (rule->actions == UINT32_MAX && rule->subjects.groups.n > 0)
        find(l, rule, WARNING, "broad", "name the actions",
             "a whole group may do everything, also what later versions add");
    if (any && terms[0] == '\0' && (grave & BIT(CV_ACTION_EXPORT)) != 0 &&
        !is_limited(&rule->grant))
        find(l, rule, WARNING, "broad",
             "when: {reason: required}, or name entries",
             "keys of all entries may be exported, on no condition");
    if ((grave & BIT(CV_ACTION_SIGN_RAW)) != 0 && any &&
        rule->actions != UINT32_MAX)
        find(l, rule, WARNING, "broad", "name entries",
             "whoever may sign.raw signs anything with any entry's key");
}

static bool is_unknown(const cJSON *unknown, const char *kind, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(unknown, kind))
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, name) == 0)
            return true;
    }
    return false;
}

static size_t look_names(struct lint *l, const struct cv_rule *rule,
                         const cJSON *unknown, const char *kind,
                         const struct cv_texts *texts,
                         const struct cv_numbers *names, bool must)
{
    size_t n = 0;
    for (size_t i = 0; i < names->n; i++) {
        const char *name = texts->list[names->list[i]];
        if (!is_unknown(unknown, kind, name))
            continue;
        n++;
        find(l, rule, must ? ERROR : WARNING, "unresolved", NULL,
             "there is no %.*s \"%s\" on this host%s", (int)strlen(kind) - 1,
             kind, name, must ? ": apply refuses it" : "");
    }
    return n;
}

/* Names that nobody has; in a forbid or a from they are errors at apply. */
static void look_unresolved(struct lint *l, const struct cv_rule *rule,
                            const cJSON *unknown)
{
    const struct cv_policy *p = l->policy;
    const struct cv_rule_subjects *s = &rule->subjects;
    size_t n = look_names(l, rule, unknown, "users", &p->users, &s->users,
                          rule->forbid);
    n += look_names(l, rule, unknown, "groups", &p->groups, &s->groups,
                    rule->forbid);
    (void)look_names(l, rule, unknown, "users", &p->users, &rule->from.users,
                     true);
    (void)look_names(l, rule, unknown, "groups", &p->groups, &rule->from.groups,
                     true);
    if (rule->when.zone != CV_TEXTS_NONE &&
        is_unknown(unknown, "zones", rule->when.zone_text))
        find(l, rule, ERROR, "unresolved",
             "correct the name, or install the package tzdata",
             "there is no time zone \"%s\" on this host: apply refuses it",
             rule->when.zone_text);
    if (n > 0 && n == s->users.n + s->groups.n && s->uids.n == 0 &&
        !s->everyone && !rule->forbid)
        find(l, rule, ERROR, "never", NULL,
             "none of its users and groups is there: it matches nobody");
}

static bool permits(const struct cv_policy *policy, enum cv_action action)
{
    for (size_t i = 0; i < policy->n_rules; i++) {
        if (!policy->rules[i].forbid &&
            (policy->rules[i].actions >> action & 1) != 0)
            return true;
    }
    return false;
}

static bool prepare(struct lint *l)
{
    l->terms = calloc(l->policy->n_rules + 1, sizeof(*l->terms));
    for (size_t i = 0; l->terms != NULL && i < l->policy->n_rules; i++) {
        struct cv_buf text;
        cv_buf_init(&text, NULL, CV_MIB(2));
        cv_compare_terms_when(&l->policy->rules[i], &text);
        if (cv_buf_status(&text, "a rule's terms", NULL) == CV_OK)
            l->terms[i] = strdup(cv_buf_text(&text));
        cv_buf_wipe(&text);
        if (l->terms[i] == NULL)
            return false;
        if (l->n_coverers < COVERERS)
            l->coverers[l->n_coverers++] = i;
    }
    return l->terms != NULL;
}

static void look(struct lint *l, const cJSON *unknown)
{
    bool approves = permits(l->policy, CV_ACTION_APPROVE);
    if (!permits(l->policy, CV_ACTION_POLICY_APPLY))
        find(l, NULL, ERROR, "lockout", "permit policy.apply to somebody",
             "no rule permits policy.apply: nobody could apply the next "
             "policy");
    for (size_t i = 0; i < l->policy->n_rules; i++) {
        const struct cv_rule *rule = &l->policy->rules[i];
        look_never(l, rule);
        look_require(l, rule, approves);
        look_covered(l, i);
        look_broad(l, rule, l->terms[i]);
        look_unresolved(l, rule, unknown);
    }
    if (l->policy->n_rules > COVERERS)
        find(l, NULL, INFO, "redundant", NULL,
             "rules were held against the first %d alone", COVERERS);
}

enum cv_status cv_lint_run(const struct cv_policy *policy, const cJSON *unknown,
                           cJSON **out, struct cv_err *err)
{
    struct lint *l = calloc(1, sizeof(*l));
    bool good = l != NULL;
    *out = cJSON_CreateObject();
    if (good) {
        l->policy = policy;
        l->items = cJSON_AddArrayToObject(*out, "items");
        good = l->items != NULL && prepare(l);
    }
    if (good) {
        look(l, unknown);
        good = !l->failed && cv_json_add_int(*out, "omitted", l->omitted) &&
               cv_json_add_int(*out, "errors", l->counts[ERROR]) &&
               cv_json_add_int(*out, "warnings", l->counts[WARNING]);
    }
    for (size_t i = 0; l != NULL && l->terms != NULL && i < policy->n_rules;
         i++)
        free(l->terms[i]);
    if (l != NULL)
        free(l->terms);
    free(l);
    if (!good) {
        cJSON_Delete(*out);
        *out = NULL;
        return cv_fail(err, CV_INTERNAL, "no memory for a look through it");
    }
    return CV_OK;
}
