#include "policy/rule_internal.h"

#include "vault/base/name.h"

#include <string.h>

static bool has_number(const struct cv_numbers *sorted, uint32_t n)
{
    size_t low = 0;
    size_t high = sorted->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sorted->list[mid] < n)
            low = mid + 1;
        else
            high = mid;
    }
    return low < sorted->n && sorted->list[low] == n;
}

static bool has_name(const struct cv_numbers *numbers,
                     const struct cv_texts *texts, const char *name)
{
    for (size_t i = 0; i < numbers->n; i++) {
        if (strcmp(texts->list[numbers->list[i]], name) == 0)
            return true;
    }
    return false;
}

/* A user made of digits alone is also that uid. */
static bool has_uid_text(const struct cv_numbers *uids, const char *user)
{
    uint64_t n = 0;
    size_t len = strlen(user);
    if (len == 0 || len > 10 || strspn(user, "0123456789") != len)
        return false;
    for (size_t i = 0; i < len; i++)
        n = n * 10 + (uint64_t)(user[i] - '0');
    for (size_t i = 0; i < uids->n; i++) {
        if (uids->list[i] == n)
            return true;
    }
    return false;
}

static bool matches_by_name(const struct cv_policy *policy,
                            const struct cv_rule_subjects *s,
                            const struct cv_decide_subject *who)
{
    if (has_name(&s->users, &policy->users, who->user) ||
        has_uid_text(&s->uids, who->user))
        return true;
    for (size_t i = 0; i < who->n_groups; i++) {
        if (has_name(&s->groups, &policy->groups, who->groups[i]))
            return true;
    }
    return false;
}

static bool matches_by_number(const struct cv_rule_subjects *s,
                              const struct cv_decide_subject *who)
{
    if (has_number(&s->all_uids, who->uid))
        return true;
    if (s->all_gids.n == 0)
        return false;
    if (has_number(&s->all_gids, who->gid))
        return true;
    for (size_t i = 0; i < who->n_gids; i++) {
        if (has_number(&s->all_gids, who->gids[i]))
            return true;
    }
    return false;
}

bool cv_rule_subject(const struct cv_policy *policy,
                     const struct cv_rule_subjects *s,
                     const struct cv_decide_subject *who)
{
    if (s->everyone)
        return true;
    return who->by_name ? matches_by_name(policy, s, who)
                        : matches_by_number(s, who);
}

unsigned cv_rule_who(const struct cv_policy *policy, const struct cv_rule *rule,
                     const struct cv_decide_request *request)
{
    if ((rule->actions >> request->action & 1) == 0)
        return CV_MISS_ACTION;
    return cv_rule_subject(policy, &rule->subjects, &request->subject)
               ? 0
               : CV_MISS_SUBJECT;
}

static bool name_matches(const struct cv_globs *globs, const char *name)
{
    for (size_t i = 0; i < globs->n; i++) {
        if (cv_name_glob(globs->list[i], name))
            return true;
    }
    return false;
}

static bool labels_match(const struct cv_rule_entries *e,
                         const struct cv_decide_entry *entry)
{
    for (size_t i = 0; i < e->n_labels; i++) {
        for (size_t k = 0; k < entry->n_labels; k++) {
            if (strcmp(e->labels[i].key, entry->keys[k]) == 0 &&
                cv_name_glob(e->labels[i].value, entry->values[k]))
                return true;
        }
    }
    return false;
}

/* The ways on which a key comes in. */
static bool takes_in(enum cv_action action)
{
    return action == CV_ACTION_IMPORT || action == CV_ACTION_FETCH ||
           action == CV_ACTION_FETCH_SERVICE;
}

unsigned cv_rule_entry(const struct cv_rule *rule, enum cv_action action,
                       const struct cv_decide_entry *entry)
{
    const struct cv_rule_entries *e = &rule->entries;
    if (entry == NULL)
        return e->given && !e->any_name ? CV_MISS_NO_ENTRY : 0;
    if (e->names.n > 0 && !name_matches(&e->names, entry->name))
        return CV_MISS_NAME;
    if (e->n_labels > 0 && !labels_match(e, entry))
        return CV_MISS_LABELS;
    if (e->provenance != 0) {
        enum cv_provenance p = CV_PROVENANCE_NONE;
        if (entry->provenance != NULL)
            p = cv_policy_provenance(entry->provenance);
        if (p == CV_PROVENANCE_NONE || (e->provenance >> p & 1) == 0)
            return CV_MISS_PROVENANCE;
    }
    if (e->leaky && !entry->leaky)
        return CV_MISS_LEAKY;
    if (!e->leaky && entry->leaky && takes_in(action) && !rule->forbid)
        return CV_MISS_LEAKING;
    return 0;
}

static unsigned unmet_time(const struct cv_policy *policy,
                           const struct cv_rule_when *w, int64_t now_s)
{
    unsigned minute;
    unsigned day;
    unsigned miss = 0;
    if (!w->hours && w->days == 0)
        return 0;
    cv_zone_local(w->zone == CV_TEXTS_NONE ? NULL : policy->zone[w->zone],
                  now_s, &minute, &day);
    if (w->hours) {
        bool after = minute >= w->from;
        bool before = minute < w->until;
        /* "22:00-06:00" goes over midnight. */
        bool in = w->from < w->until ? after && before : after || before;
        if (!in)
            miss |= CV_MISS_HOURS;
    }
    if (w->days != 0 && (w->days >> day & 1) == 0)
        miss |= CV_MISS_DAYS;
    return miss;
}

static bool context_listed(const struct cv_globs *list, const char *context)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->list[i], context) == 0)
            return true;
    }
    return false;
}

/* A permit must cover all contexts that the action touches; one is enough for
 * a forbid. No context at all is never enough. */
static bool contexts_hold(const struct cv_rule *rule,
                          const struct cv_decide_request *request)
{
    size_t listed = 0;
    for (size_t i = 0; i < request->n_contexts; i++) {
        if (context_listed(&rule->when.contexts, request->contexts[i]))
            listed++;
    }
    return listed > 0 && (rule->forbid || listed == request->n_contexts);
}

static bool is_blank(const char *text)
{
    return text == NULL || text[strspn(text, " ")] == '\0';
}

/* Whoever breaks the glass says why. */
static unsigned unmet_words(const struct cv_rule *rule,
                            const struct cv_decide_request *request)
{
    const struct cv_rule_when *w = &rule->when;
    unsigned miss = 0;
    if ((w->reason || rule->break_glass) && is_blank(request->reason))
        miss |= CV_MISS_REASON;
    if (w->ticket != NULL) {
        if (is_blank(request->ticket))
            miss |= CV_MISS_TICKET;
        else if (!cv_pattern_matches(w->ticket, request->ticket,
                                     strlen(request->ticket)))
            miss |= CV_MISS_PATTERN;
    }
    return miss;
}

/* What leaves with the key itself, or with a signature over anything, cannot
 * be held to verbs and namespaces. */
static bool cannot_limit(enum cv_action action)
{
    return action == CV_ACTION_EXPORT || action == CV_ACTION_SIGN_RAW ||
           action == CV_ACTION_ISSUE;
}

static unsigned unmet_grant(const struct cv_policy_grant *g,
                            const struct cv_decide_request *request)
{
    unsigned miss = 0;
    if (request->duration_s > g->max_duration_s)
        miss |= CV_MISS_DURATION;
    if (cannot_limit(request->action) &&
        (g->read_only || g->verbs != NULL || g->namespaces != NULL ||
         g->resources != NULL))
        miss |= CV_MISS_LIMITS;
    return miss;
}

unsigned cv_rule_unmet(const struct cv_policy *policy,
                       const struct cv_rule *rule,
                       const struct cv_decide_request *request)
{
    const struct cv_rule_when *w = &rule->when;
    unsigned miss = unmet_words(rule, request);
    miss |= unmet_time(policy, w, request->now_s);
    if (w->contexts.n > 0 && !contexts_hold(rule, request))
        miss |= CV_MISS_CONTEXT;
    if (w->modes != 0 && (w->modes >> request->mode & 1) == 0)
        miss |= CV_MISS_MODE;
    if (w->tty && !request->tty)
        miss |= CV_MISS_TTY;
    if (w->anchor_age_s > 0 &&
        (!request->anchored || request->anchor_age_s > w->anchor_age_s))
        miss |= CV_MISS_ANCHOR;
    if (!rule->forbid)
        miss |= unmet_grant(&rule->grant, request);
    if (rule->require.approvals > 0 && request->mode != CV_DECIDE_MODE_SERVICE)
        miss |= CV_MISS_SERVICE;
    return miss;
}
