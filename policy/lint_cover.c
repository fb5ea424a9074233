#include "policy/lint_internal.h"

#include <string.h>

/* `b` is matched against the text of `a`; what `a` leaves open, only what `b`
 * leaves as open may take. */
bool cv_lint_cover_glob(const char *a, const char *b)
{
    const char *star = NULL;
    const char *from = a;
    while (*a != '\0') {
        if (*b == '*') {
            star = b++;
            from = a;
        } else if (*a != '*' && *b != '\0' && (*b == *a || *b == '?')) {
            a++;
            b++;
        } else if (star != NULL) {
            b = star + 1;
            a = ++from;
        } else {
            return false;
        }
    }
    while (*b == '*')
        b++;
    return *b == '\0';
}

static bool has_number(const struct cv_numbers *list, uint32_t n)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->list[i] == n)
            return true;
    }
    return false;
}

static bool numbers_within(const struct cv_numbers *a,
                           const struct cv_numbers *b)
{
    for (size_t i = 0; i < a->n; i++) {
        if (!has_number(b, a->list[i]))
            return false;
    }
    return true;
}

static bool subjects_within(const struct cv_rule_subjects *a,
                            const struct cv_rule_subjects *b)
{
    if (b->everyone)
        return true;
    return !a->everyone && numbers_within(&a->users, &b->users) &&
           numbers_within(&a->groups, &b->groups) &&
           numbers_within(&a->uids, &b->uids);
}

static bool name_within(const char *glob, const struct cv_globs *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (cv_lint_cover_glob(glob, b->list[i]))
            return true;
    }
    return false;
}

static bool label_within(const struct cv_label_glob *label,
                         const struct cv_rule_entries *b)
{
    for (size_t i = 0; i < b->n_labels; i++) {
        if (strcmp(label->key, b->labels[i].key) == 0 &&
            cv_lint_cover_glob(label->value, b->labels[i].value))
            return true;
    }
    return false;
}

/* Kinds of entries must all match, so each that `b` has must be as narrow in
 * `a`. */
static bool entries_within(const struct cv_rule_entries *a,
                           const struct cv_rule_entries *b)
{
    if (!b->given || b->any_name)
        return true;
    if (!a->given || (b->names.n > 0 && a->names.n == 0) ||
        (b->n_labels > 0 && a->n_labels == 0) ||
        (b->provenance != 0 &&
         (a->provenance == 0 || (a->provenance & ~b->provenance) != 0)) ||
        (b->leaky && !a->leaky))
        return false;
    for (size_t i = 0; b->names.n > 0 && i < a->names.n; i++) {
        if (!name_within(a->names.list[i], &b->names))
            return false;
    }
    for (size_t i = 0; b->n_labels > 0 && i < a->n_labels; i++) {
        if (!label_within(&a->labels[i], b))
            return false;
    }
    return true;
}

bool cv_lint_cover_scope(const struct cv_rule *a, const struct cv_rule *b)
{
    /* A permit without leaky: true permits no import that leaks. */
    bool leaks = !b->forbid && a->entries.leaky && !b->entries.leaky;
    return (a->actions & ~b->actions) == 0 && !leaks &&
           subjects_within(&a->subjects, &b->subjects) &&
           entries_within(&a->entries, &b->entries);
}

bool cv_lint_cover_grant(const struct cv_rule *a, const struct cv_rule *b)
{
    const struct cv_policy_grant *x = &a->grant;
    const struct cv_policy_grant *y = &b->grant;
    return y->max_duration_s >= x->max_duration_s &&
           (!y->read_only || x->read_only) && y->verbs == NULL &&
           y->namespaces == NULL && y->resources == NULL &&
           x->record == y->record;
}
