#include "policy/compare_internal.h"

static void part(struct cv_buf *out, size_t before)
{
    if (out->len > before)
        cv_buf_add_str(out, ", ");
}

static void say_list(struct cv_buf *out, size_t before, const char *what,
                     const char *const *list, size_t n)
{
    if (n == 0)
        return;
    part(out, before);
    cv_buf_add_str(out, what);
    for (size_t i = 0; i < n; i++)
        cv_buf_add_format(out, " %s", list[i]);
}

static void say_texts(struct cv_buf *out, size_t before, const char *what,
                      const char *const *texts)
{
    size_t n = 0;
    while (texts != NULL && texts[n] != NULL)
        n++;
    say_list(out, before, what, texts, n);
}

static void say_limit(struct cv_buf *out, size_t before,
                      const struct cv_policy_limit *limit)
{
    if (limit->count > 0) {
        part(out, before);
        cv_buf_add_format(out, "%llu in ", (unsigned long long)limit->count);
        cv_rule_duration(limit->per_s, out);
    }
    if (limit->sessions > 0) {
        part(out, before);
        cv_buf_add_format(out, "%llu at a time",
                          (unsigned long long)limit->sessions);
    }
}

static void say_require(struct cv_buf *out, size_t before,
                        const struct cv_policy_require *r)
{
    if (r->approvals == 0)
        return;
    part(out, before);
    cv_buf_add_format(
        out, "%llu %sapproval%s of", (unsigned long long)r->approvals,
        r->is_signed ? "signed " : "", r->approvals == 1 ? "" : "s");
    for (size_t i = 0; r->users != NULL && r->users[i] != NULL; i++)
        cv_buf_add_format(out, " %s", r->users[i]);
    for (size_t i = 0; r->groups != NULL && r->groups[i] != NULL; i++)
        cv_buf_add_format(out, " group:%s", r->groups[i]);
    for (size_t i = 0; i < r->n_uids; i++)
        cv_buf_add_format(out, " uid:%u", (unsigned)r->uids[i]);
}

void cv_compare_terms_when(const struct cv_rule *rule, struct cv_buf *out)
{
    const struct cv_rule_when *w = &rule->when;
    size_t before = out->len;
    if (w->reason)
        cv_buf_add_str(out, "with a reason");
    if (w->ticket != NULL) {
        part(out, before);
        cv_buf_add_format(out, "with a ticket like %s", w->ticket_text);
    }
    if (w->hours) {
        part(out, before);
        cv_buf_add_format(out, "%s %s", w->hours_text, w->zone_text);
    }
    if (w->days != 0) {
        part(out, before);
        cv_buf_add_format(out, "%s %s", w->days_text, w->zone_text);
    }
    say_list(out, before, "contexts", w->contexts.list, w->contexts.n);
    if (w->tty) {
        part(out, before);
        cv_buf_add_str(out, "at a terminal");
    }
    if (w->anchor_age_s > 0) {
        part(out, before);
        cv_buf_add_str(out, "anchored within ");
        cv_rule_duration(w->anchor_age_s, out);
    }
    say_limit(out, before, &rule->limit);
    say_require(out, before, &rule->require);
    if (rule->break_glass) {
        part(out, before);
        cv_buf_add_str(out, "breaking the glass");
    }
}

void cv_compare_terms_grant(const struct cv_rule *rule, struct cv_buf *out)
{
    const struct cv_policy_grant *g = &rule->grant;
    size_t before = out->len;
    if (rule->forbid)
        return;
    if (g->max_duration_s != CV_POLICY_DEFAULT_DURATION_S) {
        cv_buf_add_str(out, "at most ");
        cv_rule_duration(g->max_duration_s, out);
    }
    if (g->read_only) {
        part(out, before);
        cv_buf_add_str(out, "read-only");
    }
    say_texts(out, before, "verbs", g->verbs);
    say_texts(out, before, "namespaces", g->namespaces);
    say_texts(out, before, "resources", g->resources);
    if (g->record != CV_POLICY_RECORD_WRITES) {
        part(out, before);
        cv_buf_add_format(out, "record %s", cv_policy_record_name(g->record));
    }
}
