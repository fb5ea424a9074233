#include "policy/rule_internal.h"

/* Phrases with a comma between them. */
static void say(struct cv_buf *out, size_t *n, const char *phrase)
{
    if ((*n)++ > 0)
        cv_buf_add_str(out, ", ");
    cv_buf_add_str(out, phrase);
}

static const struct {
    unsigned miss;
    const char *words;
} plain[] = {
    {CV_MISS_ACTION, "not about this action"},
    {CV_MISS_SUBJECT, "not about this user"},
    {CV_MISS_NO_ENTRY, "about entries, and this action has none"},
    {CV_MISS_NAME, "the entry's name does not match"},
    {CV_MISS_LABELS, "none of its labels matches"},
    {CV_MISS_PROVENANCE, "the key has another provenance"},
    {CV_MISS_LEAKY, "about leaky keys alone"},
    {CV_MISS_LEAKING, "the key would be leaky, which takes leaky: true"},
    {CV_MISS_REASON, "a reason is required"},
    {CV_MISS_TICKET, "a ticket is required"},
    {CV_MISS_PATTERN, "the ticket is not of the form asked for"},
    {CV_MISS_CONTEXT, "not for this context"},
    {CV_MISS_MODE, "not in this mode of the broker"},
    {CV_MISS_TTY, "a terminal is required"},
    {CV_MISS_DURATION, "longer than its max_duration"},
    {CV_MISS_LIMITS, "its grant has limits that this action cannot be held to"},
    {CV_MISS_SERVICE, "it wants approvals, which only the service takes"},
};

void cv_rule_duration(int64_t s, struct cv_buf *out)
{
    if (s % 86400 == 0)
        cv_buf_add_format(out, "%lldd", (long long)(s / 86400));
    else if (s % 3600 == 0)
        cv_buf_add_format(out, "%lldh", (long long)(s / 3600));
    else if (s % 60 == 0)
        cv_buf_add_format(out, "%lldm", (long long)(s / 60));
    else
        cv_buf_add_format(out, "%llds", (long long)s);
}

void cv_rule_words(const struct cv_rule *rule, unsigned misses,
                   struct cv_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if ((misses & plain[i].miss) == 0)
            continue;
        say(out, &n, plain[i].words);
        if (plain[i].miss == CV_MISS_DURATION) {
            cv_buf_add_str(out, " of ");
            cv_rule_duration(rule->grant.max_duration_s, out);
        }
    }
    if ((misses & CV_MISS_ANCHOR) != 0) {
        say(out, &n, "the log was not anchored within ");
        cv_rule_duration(rule->when.anchor_age_s, out);
    }
    if ((misses & CV_MISS_HOURS) != 0) {
        say(out, &n, "outside hours ");
        cv_buf_add_format(out, "%s %s", rule->when.hours_text,
                          rule->when.zone_text);
    }
    if ((misses & CV_MISS_DAYS) != 0) {
        say(out, &n, "outside days ");
        cv_buf_add_format(out, "%s %s", rule->when.days_text,
                          rule->when.zone_text);
    }
}

void cv_rule_advice(const struct cv_rule *rule, unsigned misses,
                    struct cv_buf *out)
{
    size_t n = 0;
    if ((misses & CV_MISS_REASON) != 0)
        say(out, &n, "give a reason (--reason)");
    if ((misses & (CV_MISS_TICKET | CV_MISS_PATTERN)) != 0) {
        say(out, &n, "give a ticket (--ticket) like ");
        cv_buf_add_str(out, rule->when.ticket_text);
    }
    if ((misses & CV_MISS_DURATION) != 0) {
        say(out, &n, "ask for at most --for ");
        cv_rule_duration(rule->grant.max_duration_s, out);
    }
    if ((misses & CV_MISS_CONTEXT) != 0) {
        say(out, &n, "name a context (--context):");
        for (size_t i = 0; i < rule->when.contexts.n; i++)
            cv_buf_add_format(out, " %s", rule->when.contexts.list[i]);
    }
    if ((misses & (CV_MISS_HOURS | CV_MISS_DAYS)) != 0)
        say(out, &n, "try again at that time");
    if ((misses & CV_MISS_ANCHOR) != 0)
        say(out, &n, "anchor the log (certvault audit anchor)");
    if ((misses & CV_MISS_TTY) != 0)
        say(out, &n, "run it from a terminal");
    if ((misses & CV_MISS_SERVICE) != 0)
        say(out, &n, "go through the service (--broker)");
    if ((misses & CV_MISS_MODE) != 0) {
        say(out, &n, "go through:");
        for (unsigned m = CV_DECIDE_MODE_EXEC; m <= CV_DECIDE_MODE_SERVICE;
             m++) {
            if ((rule->when.modes >> m & 1) != 0)
                cv_buf_add_format(out, " %s",
                                  cv_decide_mode_name((enum cv_decide_mode)m));
        }
    }
}
