/* Which offer is taken: limits, approvals, break-glass. */
#include "tests/unit/policy_offer.h"

static const struct ask cases[] = {
    /* limits: used up when as much was used as is permitted */
    {.rules = LIMIT("p", "count: 2, per: 1h"), .offer = "p"},
    {.rules = LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 1, -1, 0, false}},
     .offer = "p"},
    {.rules = LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 90, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "use of \"a\" must wait: its limit of 2 in 1h is used up, for 90s "
             "(rule \"p\")",
     .hint = "try again in 90s",
     .retry_s = 90},
    {.rules = LIMIT("p", "count: 2, per: 15m"),
     .was = {{"p", 3, 99, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "its limit of 2 in 15m is used up, for 99s",
     .retry_s = 99},
    {.rules = LIMIT("p", "count: 2, per: 15m"),
     .was = {{"p", 3, 100, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "its limit of 2 in 15m is used up, for 2m",
     .retry_s = 100},
    {.rules = LIMIT("p", "count: 2, per: 90s"),
     .was = {{"p", 3, 120, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "2 in 90s is used up, for 2m",
     .retry_s = 120},
    {.rules = LIMIT("p", "count: 2, per: 2d"),
     .was = {{"p", 3, 121, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "2 in 2d is used up, for 3m",
     .hint = "try again in 3m",
     .retry_s = 121},
    {.rules = LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 3, -7, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "2 in 1h is used up (rule",
     .hint = "try again later"},
    /* sessions: of `use` alone */
    {.rules = LIMIT("p", "sessions: 3"),
     .was = {{"p", 0, -1, 2, false}},
     .offer = "p"},
    {.rules = LIMIT("p", "sessions: 3"),
     .was = {{"p", 0, -1, 3, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "its limit of 3 sessions is used up (rule \"p\")",
     .hint = "end one first (`certvault grants list`)"},
    {.rules = LIMIT("p", "sessions: 1"),
     .was = {{"p", 0, -1, 5, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "its limit of 1 session is used up"},
    {.rules = LIMIT("p", "sessions: 3"),
     .was = {{"p", 0, -1, 3, false}},
     .action = CV_ACTION_EXPORT,
     .offer = "p"},
    {.rules = LIMIT("p", "sessions: 3"),
     .blind = true,
     .action = CV_ACTION_EXPORT,
     .offer = "p"},
    {.rules = LIMIT("p", "count: 1, per: 1h, sessions: 3"),
     .was = {{"p", 1, 60, 3, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "its limit of 1 in 1h and that of 3 sessions are used up (rule",
     .hint = "end one first"},
    {.rules = LIMIT("p", "count: 1, per: 1h, sessions: 3"),
     .was = {{"p", 1, 60, 2, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "its limit of 1 in 1h is used up, for 1m",
     .retry_s = 60},
    /* what is not known is not permitted, and is no "later" */
    {.rules = LIMIT("p", "count: 2, per: 1h"),
     .blind = true,
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "is denied: how often rule \"p\" was used is not known"},
    {.rules = LIMIT("p", "sessions: 2"),
     .blind = true,
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "how often rule \"p\" was used is not known"},
    {.rules = LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, true}},
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "not known"},
    {.rules = LIMIT("b", "count: 2, per: 1h") LIMIT("a", "count: 2, per: 1h")
         LIMIT("c", "count: 2, per: 1h"),
     .blind = true,
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "how often rule \"a\" was"},
    {.rules = LIMIT("a", "count: 2, per: 1h") LIMIT("b", "count: 2, per: 1h"),
     .was = {{"a", 0, -1, 0, true}, {"b", 2, 30, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"b\")",
     .retry_s = 30},
    {.rules = LIMIT("a", "count: 2, per: 1h") LIMIT("b", "count: 2, per: 1h"),
     .was = {{"a", 0, -1, 0, true}},
     .offer = "b"},
    /* used up is set aside; none left: the one that is free first */
    {.rules = LIMIT("a", "count: 2, per: 1h") PERMIT("b", ""),
     .was = {{"a", 2, 60, 0, false}},
     .offer = "b"},
    {.rules = PERMIT("a", "") LIMIT("b", "count: 2, per: 1h"),
     .was = {{"b", 2, 60, 0, false}},
     .offer = "a"},
    {.rules = LIMIT("a", "count: 2, per: 1h") LIMIT("b", "count: 2, per: 1h")
         LIMIT("c", "count: 2, per: 1h"),
     .was = {{"a", 2, 61, 0, false},
             {"b", 2, 60, 0, false},
             {"c", 2, 62, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"b\")",
     .retry_s = 60},
    {.rules = LIMIT("a", "count: 2, per: 1h") LIMIT("b", "count: 2, per: 1h"),
     .was = {{"a", 2, -1, 0, false}, {"b", 2, 60, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"b\")",
     .retry_s = 60},
    {.rules = LIMIT("a", "count: 2, per: 1h") LIMIT("b", "count: 2, per: 1h"),
     .was = {{"a", 2, 60, 0, false}, {"b", 2, -1, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"a\")",
     .retry_s = 60},
    {.rules = LIMIT("b", "count: 2, per: 1h") LIMIT("a", "count: 2, per: 1h"),
     .was = {{"a", 2, 60, 0, false}, {"b", 2, -1, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"a\")",
     .retry_s = 60},
    {.rules = LIMIT("b", "count: 2, per: 1h") LIMIT("a", "count: 2, per: 1h")
         LIMIT("c", "count: 2, per: 1h"),
     .was = {{"a", 2, 60, 0, false},
             {"b", 2, 60, 0, false},
             {"c", 2, 60, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"a\")",
     .retry_s = 60},
    {.rules = LIMIT("a", "count: 2, per: 1h"),
     .was = {{"a", 2, 0, 0, false}},
     .cause = CV_DECIDE_LIMITED},
    {.rules = LIMIT("a", "count: 2, per: 1h"),
     .was = {{"a", 2, 1, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "is used up, for 1s",
     .retry_s = 1},
    /* approvals */
    {.rules = ASK("p", "count: 1, " LEADS),
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .says = "use of \"a\" must wait: it wants 1 approval, and has none (rule "
             "\"p\")",
     .hint = "--wait waits for them; they can come from: group leads"},
    {.rules = ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .offer = "p",
     .had = 1},
    {.rules = ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 100, 2002, false}},
     .offer = "p",
     .had = 1},
    {.rules = ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 2001, 0, true}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p"},
    {.rules = ASK("p", "count: 2, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .says = "it wants 2 approvals, and has 1",
     .had = 1},
    {.rules = ASK("p", "count: 2, " LEADS),
     .consents = {{1002, 2002, 0, false}, {1003, 2002, 0, false}},
     .offer = "p",
     .had = 2},
    {.rules = ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 2002, 0, false}, {1003, 2002, 0, false}},
     .offer = "p",
     .had = 2},
    /* one person counts once, oneself never, nobody never */
    {.rules = ASK("p", "count: 2, " LEADS),
     .consents = {{1002, 2002, 0, false}, {1002, 2002, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .had = 1},
    {.rules = ASK("p", "count: 3, " LEADS),
     .consents = {{1003, 2002, 0, false},
                  {1002, 2002, 0, false},
                  {1002, 2002, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .had = 2},
    {.rules = ASK("p", "count: 1, " LEADS),
     .consents = {{1001, 2002, 0, true}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p"},
    {.rules = ASK("p", "count: 1, from: {users: [\"*\"]}"),
     .consents = {{1001, 2002, 0, true},
                  {65534, 100, 0, true},
                  {4294967295U, 100, 0, true},
                  {4294967294U, 100, 0, true}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .hint = "they can come from: anybody else"},
    {.rules = ASK("p", "count: 1, from: {users: [\"*\"]}"),
     .consents = {{4242, 100, 0, false}},
     .offer = "p",
     .had = 1},
    {.rules = ASK("p", "count: 1, from: {users: [bob], uids: [7, 8]}"),
     .consents = {{8, 100, 0, false}},
     .offer = "p",
     .had = 1},
    {.rules = ASK("p", "count: 3, from: {users: [bob], uids: [7, 8]}"),
     .consents = {{1002, 100, 0, false}, {9, 1002, 7, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .hint = "come from: user bob, uid 7, uid 8",
     .had = 1},
    {.rules = ASK("p", "count: 3, from: {users: [bob, carol], groups: [leads, "
                       "dev], uids: [7]}"),
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .hint = "come from: user bob, user carol, group leads, group dev and "
             "others"},
    /* signed */
    {.rules = ASK("p", "count: 1, signed: true, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .says = "it wants 1 signed approval, and has none",
     .offer = "p"},
    {.rules = ASK("p", "count: 1, signed: true, " LEADS),
     .consents = {{1002, 2002, 0, false}, {1002, 2002, 0, true}},
     .offer = "p",
     .had = 1},
    {.rules = ASK("p", "count: 1, signed: false, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .offer = "p",
     .had = 1},
    /* the fewest approvals first, there or not, however long it gives */
    {.rules = PERMIT("b", "") ASK("a", "count: 1, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .offer = "b"},
    {.rules = ASK("a", "count: 2, " LEADS) ASK("b", "count: 1, from: {uids: "
                                                    "[7]}"),
     .consents = {{1002, 2002, 0, false}, {1003, 2002, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "b"},
    {.rules = ASK("b", "count: 1, " LEADS) "- {name: a, effect: permit, "
                                           "subjects: {uids: [1001]}, "
                                           "actions: [use], require: "
                                           "{approvals: {count: 2, " LEADS
                                           "}}" LONG "}\n",
     .consents = {{1002, 2002, 0, false}, {1003, 2002, 0, false}},
     .offer = "b",
     .had = 2},
    {.rules = LIMIT("a", "count: 2, per: 1h") ASK("b", "count: 1, " LEADS),
     .was = {{"a", 2, 60, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "b"},
    /* the longest, then the smallest name */
    {.rules = PERMIT("a", "") PERMIT("b", LONG), .offer = "b"},
    {.rules = PERMIT("b", LONG) PERMIT("a", ""), .offer = "b"},
    {.rules = PERMIT("b", "") PERMIT("a", "") PERMIT("c", ""), .offer = "a"},
    /* approvals are the service's */
    {.rules = ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .outside = true,
     .cause = CV_DECIDE_UNMET,
     .says = "it wants approvals, which only the service takes (rule \"p\")",
     .hint = "go through the service"},
    {.rules = ASK("p", "count: 1, " LEADS) GLASS("g", ""),
     .outside = true,
     .offer = "g"},
    /* break-glass: asked for, or alone */
    {.rules = GLASS("g", ""), .offer = "g"},
    {.rules = GLASS("g", ""),
     .mute = true,
     .cause = CV_DECIDE_UNMET,
     .says = "a reason is required (rule \"g\")",
     .hint = "give a reason"},
    {.rules = GLASS("g", "") PERMIT("p", ", when: {ticket: x}"), .offer = "g"},
    {.rules = GLASS("a", LONG) PERMIT("p", ""), .offer = "p"},
    {.rules = GLASS("a", LONG) PERMIT("p", ""), .loud = true, .offer = "p"},
    {.rules = GLASS("g", "") ASK("p", "count: 1, " LEADS),
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .hint = "--wait waits for them; in an emergency --break-glass with "
             "--reason goes ahead and is told at once; they can come from: "
             "group leads",
     .glass_there = true},
    {.rules = GLASS("g", "") ASK("p", "count: 1, " LEADS),
     .mute = true,
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .glass_there = true},
    {.rules = GLASS("g", "") ASK("p", "count: 1, " LEADS),
     .loud = true,
     .offer = "g"},
    {.rules = GLASS("g", "") ASK("p", "count: 1, " LEADS),
     .loud = true,
     .mute = true,
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .glass_there = true},
    {.rules = GLASS("g", "") ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .loud = true,
     .offer = "g"},
    {.rules = GLASS("g", "") LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"p\")",
     .hint = "in an emergency --break-glass with --reason goes ahead and is "
             "told at once; try again in 1m",
     .retry_s = 60,
     .glass_there = true},
    {.rules = GLASS("g", "") LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, false}},
     .loud = true,
     .offer = "g"},
    {.rules = GLASS("g", "") LIMIT("p", "count: 2, per: 1h"),
     .blind = true,
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "rule \"p\"",
     .glass_there = true},
    {.rules = GLASS("g", ", limit: {count: 1, per: 1h}")
         LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, false}, {"g", 1, 50, 0, false}},
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"p\")",
     .retry_s = 60},
    {.rules = GLASS("g", ", limit: {count: 1, per: 1h}")
         LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, false}, {"g", 1, 50, 0, false}},
     .loud = true,
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"g\")",
     .retry_s = 50},
    {.rules = GLASS("g", ", limit: {count: 1, per: 1h}")
         LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, false}, {"g", 1, 70, 0, false}},
     .loud = true,
     .cause = CV_DECIDE_LIMITED,
     .says = "(rule \"p\")",
     .retry_s = 60},
    {.rules = GLASS("a", ", limit: {count: 1, per: 1h}")
         LIMIT("p", "count: 2, per: 1h"),
     .blind = true,
     .loud = true,
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "rule \"a\""},
    {.rules = GLASS("z", ", limit: {count: 1, per: 1h}")
         LIMIT("p", "count: 2, per: 1h"),
     .blind = true,
     .loud = true,
     .cause = CV_DECIDE_NO_COUNTS,
     .says = "rule \"p\""},
    /* it may want approvals itself, and is then no way out */
    {.rules = GLASS("g", ", require: {approvals: {count: 1, " LEADS "}}")
         ASK("p", "count: 2, " LEADS),
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p"},
    {.rules = GLASS("g", ", require: {approvals: {count: 1, " LEADS "}}")
         ASK("p", "count: 2, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .had = 1,
     .glass_there = true},
    {.rules = GLASS("g", ", require: {approvals: {count: 2, from: {uids: [7, "
                         "8]}}}") ASK("p", "count: 1, " LEADS),
     .consents = {{7, 100, 0, false}, {8, 100, 0, false}},
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p"},
    {.rules = GLASS("g", ", require: {approvals: {count: 1, " LEADS "}}")
         ASK("p", "count: 1, " LEADS),
     .consents = {{1002, 2002, 0, false}},
     .loud = true,
     .offer = "p",
     .had = 1},
    /* a forbid beats them all */
    {.rules = GLASS("g", "") "- {name: f, effect: forbid, subjects: {users: "
                             "[alice]}, actions: [use]}\n",
     .loud = true,
     .cause = CV_DECIDE_FORBIDDEN,
     .says = "forbidden by rule \"f\""},
    /* what is held was counted before */
    {.rules = LIMIT("p", "count: 2, per: 1h, sessions: 1"),
     .was = {{"p", 2, 60, 1, false}},
     .held = "p",
     .offer = "p"},
    {.rules = LIMIT("p", "count: 2, per: 1h, sessions: 1"),
     .blind = true,
     .held = "p",
     .offer = "p"},
    {.rules = LIMIT("p", "count: 2, per: 1h"),
     .was = {{"p", 2, 60, 0, false}},
     .held = "q",
     .cause = CV_DECIDE_LIMITED,
     .retry_s = 60},
    {.rules = ASK("p", "count: 2, " LEADS),
     .held = "p",
     .held_approvals = 2,
     .offer = "p",
     .had = 2},
    {.rules = ASK("p", "count: 2, " LEADS),
     .consents = {{1002, 2002, 0, false}, {1003, 2002, 0, false}},
     .held = "p",
     .held_approvals = 1,
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p",
     .had = 1},
    {.rules = PERMIT("a", LONG) ASK("p", "count: 1, " LEADS) PERMIT("q", ""),
     .held = "p",
     .held_approvals = 1,
     .offer = "p",
     .had = 1},
    {.rules = PERMIT("a", LONG) GLASS("g", ""), .held = "g", .offer = "g"},
    {.rules = ASK("p", "count: 1, " LEADS) GLASS("g", ""),
     .held = "p",
     .cause = CV_DECIDE_APPROVALS,
     .offer = "p"},
    {.rules = PERMIT("a", LONG) PERMIT("p", ", when: {ticket: x}"),
     .held = "p",
     .offer = "a"},
};

#define SAME(name, got, wanted)                                           \
    do {                                                                  \
        if ((long long)(got) != (long long)(wanted))                      \
            fail_msg("case %zu: %s is %lld, not %lld\n%s%s\n%s", i, name, \
                     (long long)(got), (long long)(wanted), c->rules,     \
                     err.text, err.hint);                                 \
    } while (0)

static void check(size_t i, const struct ask *c)
{
    struct asked a;
    struct cv_decide_result result;
    struct cv_err err;
    struct cv_policy *p = policy_with(c->rules);
    bool busy =
        c->cause == CV_DECIDE_LIMITED || c->cause == CV_DECIDE_APPROVALS;
    enum cv_status wanted = c->cause == CV_DECIDE_PERMITTED ? CV_OK
                            : busy                          ? CV_BUSY
                                                            : CV_DENIED;
    int64_t retry_s = c->retry_s > 0 ? c->retry_s : -1;
    make(c, &a);
    cv_err_init(&err);
    SAME("status", cv_decide_run(p, &a.r, &result, &err), wanted);
    SAME("status without words", cv_decide_run(p, &a.r, &result, NULL), wanted);
    SAME("cause", result.cause, c->cause);
    SAME("permit", result.permit, wanted == CV_OK);
    SAME("retry_s", result.retry_s, retry_s);
    SAME("retry_after", err.retry_after_s, retry_s);
    SAME("had", result.approvals_had, c->had);
    SAME("approved", result.approved, result.permit && c->had > 0);
    SAME("glass_there", result.glass_there, c->glass_there);
    SAME("rules", result.n_rules, c->cause == CV_DECIDE_UNMET ? 0 : 1);
    const char *offer = result.offer != NULL ? result.offer : "none";
    if (strcmp(offer, c->offer != NULL ? c->offer : "none") != 0)
        fail_msg("case %zu: %s\n%s%s", i, offer, c->rules, err.text);
    if (result.offer != NULL)
        assert_string_equal(result.rules[0], result.offer);
    if (c->says != NULL && strstr(err.text, c->says) == NULL)
        fail_msg("case %zu: %s\n%s", i, err.text, c->rules);
    if (c->hint != NULL && strstr(err.hint, c->hint) == NULL)
        fail_msg("case %zu: %s\n%s", i, err.hint, c->rules);
    cv_policy_free(p);
}

static void chooses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check(i, &cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
