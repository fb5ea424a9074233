#include "policy/parse_internal.h"

#include <string.h>

/* "HH:MM", 00:00 to 24:00. */
static bool read_minute(const char *t, unsigned *out)
{
    for (size_t i = 0; i < 5; i++) {
        if (i == 2 ? t[i] != ':' : t[i] < '0' || t[i] > '9')
            return false;
    }
    unsigned hour = (unsigned)(t[0] - '0') * 10 + (unsigned)(t[1] - '0');
    unsigned minute = (unsigned)(t[3] - '0') * 10 + (unsigned)(t[4] - '0');
    *out = hour * 60 + minute;
    return minute < 60 && *out <= 24 * 60;
}

static enum cv_status parse_hours(struct cv_parser *p, const cJSON *node,
                                  struct cv_rule_when *w)
{
    const char *t;
    enum cv_status st =
        cv_reader_text(&p->reader, node, "hours", CV_LIMIT_PATTERN, &t);
    if (st != CV_OK)
        return st;
    if (strlen(t) != 11 || t[5] != '-' || !read_minute(t, &w->from) ||
        !read_minute(t + 6, &w->until) || w->from == 24 * 60)
        return cv_reader_refuse(&p->reader, node, false,
                                "hours must be like \"08:00-18:00\"");
    if (w->from == w->until) {
        st = cv_reader_refuse(&p->reader, node, false,
                              "hours end when they begin");
        cv_err_hint(p->reader.err, "the whole day is \"00:00-24:00\"");
        return st;
    }
    w->hours = true;
    w->hours_text = cv_pool_copy(&p->policy->pool, t);
    return w->hours_text == NULL ? cv_parse_no_memory(p) : CV_OK;
}

static enum cv_status parse_days(struct cv_parser *p, const cJSON *node,
                                 struct cv_rule_when *w)
{
    static const char *const days[] = {"mon", "tue", "wed", "thu",
                                       "fri", "sat", "sun", NULL};
    char text[32];
    size_t len = 0;
    enum cv_status st = cv_parse_bits(p, node, "days", days, &w->days);
    if (st != CV_OK)
        return st;
    for (size_t i = 0; i < 7; i++) {
        if ((w->days >> i & 1) != 0) {
            memcpy(text + len, days[i], 3);
            text[len + 3] = ' ';
            len += 4;
        }
    }
    text[len - 1] = '\0';
    w->days_text = cv_pool_copy(&p->policy->pool, text);
    return w->days_text == NULL ? cv_parse_no_memory(p) : CV_OK;
}

static enum cv_status parse_zone(struct cv_parser *p, const cJSON *node,
                                 struct cv_rule_when *w)
{
    const char *text;
    struct cv_texts *zones = &p->policy->zones;
    enum cv_status st =
        cv_reader_text(&p->reader, node, "timezone", CV_ZONE_NAME, &text);
    if (st != CV_OK)
        return st;
    if (!cv_zone_is_name(text)) {
        st = cv_reader_refuse(&p->reader, node, false,
                              "timezone is not the name of a time zone");
        cv_err_hint(p->reader.err, "such as UTC or Europe/Berlin");
        return st;
    }
    if (strcmp(text, "UTC") == 0)
        return CV_OK; /* as without one */
    w->zone = cv_pool_intern(&p->policy->pool, zones, text);
    if (w->zone == CV_TEXTS_NONE)
        return cv_parse_no_memory(p);
    if (zones->n > CV_POLICY_ZONES)
        return cv_reader_refuse(&p->reader, node, false,
                                "over the limit of %d time zones",
                                CV_POLICY_ZONES);
    w->zone_text = zones->list[w->zone];
    struct cv_yaml_mark m = cv_yaml_marks_value(p->reader.marks, node);
    w->zone_line = m.line;
    w->zone_column = m.column;
    return CV_OK;
}

static enum cv_status parse_ticket(struct cv_parser *p, const cJSON *node,
                                   struct cv_rule_when *w)
{
    const char *text;
    struct cv_err why;
    enum cv_status st =
        cv_reader_text(&p->reader, node, "ticket", CV_LIMIT_PATTERN, &text);
    if (st != CV_OK)
        return st;
    cv_err_init(&why);
    st = cv_pattern_compile(text, &w->ticket, &why);
    if (st == CV_INTERNAL)
        return cv_parse_no_memory(p);
    if (st != CV_OK)
        return cv_reader_refuse(&p->reader, node, false, "ticket: %s",
                                why.text);
    p->policy->pattern_steps += cv_pattern_size(w->ticket);
    if (p->policy->pattern_steps > CV_POLICY_PATTERN_STEPS)
        return cv_reader_refuse(&p->reader, node, false,
                                "the ticket expressions of this policy are too "
                                "big together");
    w->ticket_text = cv_pool_copy(&p->policy->pool, text);
    return w->ticket_text == NULL ? cv_parse_no_memory(p) : CV_OK;
}

static enum cv_status parse_modes(struct cv_parser *p, const cJSON *node,
                                  struct cv_rule_when *w)
{
    static const char *const modes[] = {"exec", "agent", "service", NULL};
    enum cv_status st = cv_parse_bits(p, node, "mode", modes, &w->modes);
    w->modes <<= CV_DECIDE_MODE_EXEC;
    return st;
}

/* A forbid that holds only while the log is anchored would be ended by whoever
 * cuts the anchor off. */
static enum cv_status parse_anchor_age(struct cv_parser *p, const cJSON *node,
                                       struct cv_rule *rule)
{
    int64_t *age = &rule->when.anchor_age_s;
    int64_t *least = &p->policy->anchor_age_s;
    enum cv_status st;
    if (rule->forbid) {
        st = cv_reader_refuse(&p->reader, node, true,
                              "a forbid has no anchor_age");
        cv_err_hint(p->reader.err, "put it into the permits");
        return st;
    }
    st = cv_reader_duration(&p->reader, node, "anchor_age", age);
    if (st == CV_OK && (*least == 0 || *age < *least))
        *least = *age;
    return st;
}

/* Conditions of a forbid make it weaker; those that a caller fulfils by saying
 * nothing hardly mean what they say. */
static void warn(struct cv_parser *p, const cJSON *node,
                 const struct cv_rule *rule, const cJSON *timezone)
{
    const struct cv_rule_when *w = &rule->when;
    unsigned line = cv_reader_line(&p->reader, node);
    if (rule->forbid && w->reason)
        cv_policy_warn(p->reader.notes, line,
                       "rule \"%s\" forbids only requests that give a reason",
                       rule->name);
    if (rule->forbid && w->ticket != NULL)
        cv_policy_warn(p->reader.notes, line,
                       "rule \"%s\" forbids only requests with such a ticket",
                       rule->name);
    if (rule->forbid && w->tty)
        cv_policy_warn(p->reader.notes, line,
                       "rule \"%s\" forbids only requests from a terminal",
                       rule->name);
    if (timezone != NULL && !w->hours && w->days == 0)
        cv_policy_warn(p->reader.notes, line,
                       "rule \"%s\": timezone without hours or days changes "
                       "nothing",
                       rule->name);
}

enum cv_status cv_parse_when(struct cv_parser *p, const cJSON *node,
                             struct cv_rule *rule)
{
    struct cv_rule_when *w = &rule->when;
    const cJSON *reason, *ticket, *hours, *days, *timezone, *contexts, *mode,
        *tty, *anchor_age;
    const struct cv_reader_field fields[] = {
        {"reason", false, &reason},
        {"ticket", false, &ticket},
        {"hours", false, &hours},
        {"days", false, &days},
        {"timezone", false, &timezone},
        {"contexts", false, &contexts},
        {"mode", false, &mode},
        {"tty", false, &tty},
        {"anchor_age", false, &anchor_age},
    };
    enum cv_status st = cv_reader_mapping(&p->reader, node, "when", fields,
                                          sizeof(fields) / sizeof(fields[0]));
    if (st == CV_OK && reason != NULL)
        st = cv_parse_required(p, reason, "reason", &w->reason);
    if (st == CV_OK && ticket != NULL)
        st = parse_ticket(p, ticket, w);
    if (st == CV_OK && hours != NULL)
        st = parse_hours(p, hours, w);
    if (st == CV_OK && days != NULL)
        st = parse_days(p, days, w);
    w->zone_text = "UTC";
    if (st == CV_OK && timezone != NULL)
        st = parse_zone(p, timezone, w);
    if (st == CV_OK && contexts != NULL)
        st = cv_parse_texts(p, contexts, "contexts", CV_LIMIT_HOST,
                            CV_PARSE_LITERAL, &w->contexts);
    if (st == CV_OK && mode != NULL)
        st = parse_modes(p, mode, w);
    if (st == CV_OK && tty != NULL)
        st = cv_parse_required(p, tty, "tty", &w->tty);
    if (st == CV_OK && anchor_age != NULL)
        st = parse_anchor_age(p, anchor_age, rule);
    if (st == CV_OK)
        warn(p, node, rule, timezone);
    return st;
}
