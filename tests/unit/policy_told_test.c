/* What explanations and cases say of limits, approvals and break-glass. */
#include "tests/unit/policy_offer.h"

/* The explanation as JSON or as words. */
static void explain(struct cv_policy *p, const struct cv_decide_request *r,
                    bool words, struct cv_buf *out)
{
    cJSON *o;
    assert_int_equal(cv_explain_make(p, r, &o, NULL), CV_OK);
    cv_buf_init(out, NULL, CV_MIB(1));
    if (words)
        cv_explain_words(o, out);
    else
        cv_json_write(o, CV_JSON_COMPACT, out);
    cJSON_Delete(o);
}

static const struct {
    struct ask ask;
    const char *lines[4]; /* of the words */
} told[] = {
    {{.rules = PERMIT("a", "")},
     {"permit by rule a\n", "  * permit a: all of it matches\n", "granted:\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h"),
      .was = {{"a", 2, 300, 0, false}}},
     {"deny: use of \"a\" must wait: its limit of 2 in 1h is used up, for 5m "
      "(rule \"a\")\nhint: try again in 5m\n",
      "  * permit a: all of it matches, but its limit of 2 in 1h is used up, "
      "for 5m\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h") PERMIT("b", ""),
      .was = {{"a", 2, 300, 0, false}}},
     {"permit by rule b\n",
      "permit a: all of it matches, but its limit of 2 in "
      "1h is used up, for 5m\n",
      "permit b: all of it matches\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h") PERMIT("b", ""), .blind = true},
     {"permit by rule b\n", "permit a: all of it matches, but how often it was "
                            "used is not known\n"}},
    /* What is not known is no reason to deny. */
    {{.rules = LIMIT("a", "count: 2, per: 1h"), .blind = true},
     {"permit by rule a, if its limit of 2 in 1h is not used up: how often it "
      "was used is not known\n",
      "  * permit a: all of it matches, if its limit of 2 in 1h is not used "
      "up: "
      "how often it was used is not known\n",
      "granted:\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h") LIMIT("b", "count: 1, per: 2h"),
      .was = {{"a", 2, 300, 0, false}, {"b", 5, 0, 0, true}}},
     {"permit by rule b, if its limit of 1 in 2h is not used up: ",
      "permit a: all of it matches, but its limit of 2 in 1h is used up, for "
      "5m\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h, sessions: 3"), .blind = true},
     {"permit by rule a, if its limit of 2 in 1h and that of 3 sessions are "
      "not used up: "}},
    {{.rules = LIMIT("a", "count: 2, per: 1h") ASK("b", "count: 1, " LEADS),
      .blind = true},
     {"permit by rule a, if its limit of 2 in 1h is not used up: ",
      "permit b: all of it matches, but \"a\" wants fewer approvals\n"}},
    {{.rules = LIMIT("a", "sessions: 1"), .was = {{"a", 0, 0, 5, true}}},
     {"permit by rule a, if its limit of 1 sessions is not used up: "}},
    {{.rules = LIMIT("a", "sessions: 1") LIMIT("b", "sessions: 1"),
      .blind = true},
     {"permit by rule a, if ",
      "permit b: all of it matches, but \"a\" comes first by name\n"}},
    /* What else it waits for is told, the limit taken as free. */
    {{.rules = PERMIT("a", ", limit: {count: 2, per: 1h}, require: {approvals: "
                           "{count: 1, " LEADS "}}"),
      .blind = true},
     {"deny: use of \"a\" must wait: it wants 1 approval, and has none (rule "
      "\"a\")\nhint: ",
      "would be granted:\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h")
          PERMIT("b", ", limit: {count: 1, per: 2h}, require: {approvals: "
                      "{count: 1, " LEADS "}}"),
      .was = {{"a", 2, 300, 0, false}, {"b", 0, 0, 0, true}}},
     {"deny: use of \"a\" must wait: its limit of 2 in 1h is used up, for 5m "
      "(rule \"a\")\n"}},
    {{.rules = LIMIT("a", "count: 2, per: 1h"), .was = {{"a", 1, 0, 0, false}}},
     {"permit by rule a\n",
      "  * permit a: all of it matches (used 1 of 2 within 1h)\n"}},
    {{.rules = ASK("a", "count: 2, " LEADS),
      .consents = {{1002, 2002, 0, false}}},
     {"deny: use of \"a\" must wait: it wants 2 approvals, and has 1",
      "permit a: all of it matches, but it wants 2 approvals, and has 1\n",
      "would be granted:\n",
      "  approvals: {\"count\":2,\"from\":{\"groups\":["
      "\"leads\"]},\"signed\":false}\n"}},
    {{.rules = ASK("a", "count: 2, " LEADS) PERMIT("b", "")},
     {"permit by rule b\n", "permit a: all of it matches, but \"b\" wants "
                            "fewer approvals\n"}},
    {{.rules = GLASS("a", LONG) PERMIT("b", "")},
     {"permit by rule b\n", "permit a: all of it matches, but it breaks the "
                            "glass, for which nobody asked (--break-glass)\n"}},
    {{.rules = GLASS("a", LONG) PERMIT("b", ""), .loud = true},
     {"permit by rule b\n", "permit a: all of it matches, but \"b\" does not "
                            "break the glass\n"}},
    {{.rules = GLASS("a", LONG) GLASS("b", "")},
     {"permit by rule a\n",
      "permit b: all of it matches, but \"a\" gives a longer time\n",
      "  break_glass: true\n"}},
    {{.rules = PERMIT("a", LONG) PERMIT("b", "")},
     {"permit b: all of it matches, but \"a\" gives a longer time\n"}},
    {{.rules = PERMIT("a", "") PERMIT("b", "")},
     {"permit b: all of it matches, but \"a\" comes first by name\n"}},
    {{.rules = PERMIT("a", LONG) PERMIT("b", ""), .held = "b"},
     {"permit by rule b\n",
      "permit a: all of it matches, but \"b\" gave what is held\n"}},
    {{.rules = PERMIT("a", LONG) PERMIT("b", ""), .held = "c"},
     {"permit b: all of it matches, but \"a\" gives a longer time\n"}},
    {{.rules = PERMIT("a", "") "- {name: f, effect: forbid, subjects: {users: "
                               "[alice]}, actions: [use]}\n"},
     {"permit a: all of it matches, but so does a forbid\n",
      "forbid f: all of it matches\n"}},
    {{.rules = ASK("a", "count: 2, " LEADS), .outside = true},
     {"  - permit a: it wants approvals, which only the service takes\n"}},
};

static void tells_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        struct asked a;
        struct cv_buf b;
        struct cv_policy *p = policy_with(told[i].ask.rules);
        make(&told[i].ask, &a);
        explain(p, &a.r, true, &b);
        for (size_t k = 0; k < 4 && told[i].lines[k] != NULL; k++) {
            if (strstr(cv_buf_text(&b), told[i].lines[k]) == NULL)
                fail_msg("case %zu: %s\nnot in\n%s", i, told[i].lines[k],
                         cv_buf_text(&b));
        }
        cv_buf_wipe(&b);
        cv_policy_free(p);
    }
}

static const struct {
    struct ask ask;
    const char *begin;
    const char *obliges;
} json[] = {
    {{.rules = GLASS("a", ", limit: {count: 2, per: 1h, sessions: 3}, require: "
                          "{approvals: {count: 1, from: {users: [bob, "
                          "\"*\"], uids: [7, 8]}, signed: true}}")},
     "{\"decision\":\"deny\",\"offer\":\"a\",\"why\":\"use of \\\"a\\\" must "
     "wait: it wants 1 signed approval, and has none (rule \\\"a\\\")\","
     "\"hint\":\"--wait waits for them; they can come from: anybody else, user "
     "bob, uid 7, uid 8\",\"wait\":\"approvals\",\"rules\":[",
     "\"obligations\":{\"max_duration\":28800,\"duration\":28800,\"read_only\":"
     "false,\"record\":\"writes\",\"approvals\":{\"count\":1,\"from\":{"
     "\"users\":[\"*\",\"bob\"],\"uids\":[7,8]},\"signed\":true},\"limit\":{"
     "\"count\":2,\"per\":3600,\"sessions\":3},\"break_glass\":true}}"},
    {{.rules = LIMIT("a", "sessions: 3")},
     "{\"decision\":\"permit\",\"offer\":\"a\",\"rules\":[",
     "\"record\":\"writes\",\"limit\":{\"sessions\":3}}}"},
    {{.rules = LIMIT("a", "count: 3, per: 90s")},
     "{\"decision\":\"permit\",\"offer\":\"a\",\"rules\":[",
     "\"record\":\"writes\",\"limit\":{\"count\":3,\"per\":90}}}"},
    {{.rules = LIMIT("a", "count: 3, per: 90s"),
      .was = {{"a", 3, 1, 0, false}}},
     "{\"decision\":\"deny\",\"why\":\"use of \\\"a\\\" must wait: its limit "
     "of 3 in 90s is used up, for 1s (rule \\\"a\\\")\",\"hint\":\"try again "
     "in 1s\",\"wait\":\"limit\",\"retry_after\":1,\"rules\":[",
     "\"obligations\":{}}"},
    {{.rules = LIMIT("a", "sessions: 3"), .was = {{"a", 0, -1, 3, false}}},
     "{\"decision\":\"deny\",\"why\":\"use of \\\"a\\\" must wait: its limit "
     "of 3 sessions is used up (rule \\\"a\\\")\",\"hint\":\"end one first "
     "(`certvault grants list`)\",\"wait\":\"limit\",\"rules\":[",
     "\"obligations\":{}}"},
    {{.rules = LIMIT("a", "sessions: 3"), .blind = true},
     "{\"decision\":\"permit\",\"offer\":\"a\",\"condition\":\"its limit of 3 "
     "sessions is not used up: how often it was used is not known\",\"rules\":["
     "{\"name\":\"a\",\"effect\":\"permit\",\"matched\":true,\"because\":\"all "
     "of it matches, if its limit of 3 sessions is not used up: how often it "
     "was used is not known\",\"limit\":{\"sessions\":3}}",
     "\"record\":\"writes\",\"limit\":{\"sessions\":3}}}"},
    {{.rules = LIMIT("a", "count: 2, per: 1h, sessions: 3"),
      .was = {{"a", 1, 0, 2, false}}},
     "{\"decision\":\"permit\",\"offer\":\"a\",\"rules\":[{\"name\":\"a\","
     "\"effect\":\"permit\",\"matched\":true,\"because\":\"all of it matches "
     "(used 1 of 2 within 1h, 2 of 3 sessions live)\",\"limit\":{\"count\":2,"
     "\"per\":3600,\"used\":1,\"sessions\":3,\"live\":2}}",
     "\"limit\":{\"count\":2,\"per\":3600,\"sessions\":3}}}"},
    /* What gave what is held does not count it again. */
    {{.rules = LIMIT("a", "count: 2, per: 1h, sessions: 3"),
      .was = {{"a", 2, 300, 3, false}},
      .held = "a"},
     "{\"decision\":\"permit\",\"offer\":\"a\",\"rules\":[{\"name\":\"a\","
     "\"effect\":\"permit\",\"matched\":true,\"because\":\"all of it "
     "matches\"}]",
     "\"limit\":{\"count\":2,\"per\":3600,\"sessions\":3}}}"},
};

static void tells_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        struct asked a;
        struct cv_buf b;
        struct cv_policy *p = policy_with(json[i].ask.rules);
        make(&json[i].ask, &a);
        explain(p, &a.r, false, &b);
        const char *end = strstr(cv_buf_text(&b), json[i].obliges);
        if (strncmp(cv_buf_text(&b), json[i].begin, strlen(json[i].begin)) !=
                0 ||
            end == NULL || strlen(end) != strlen(json[i].obliges))
            fail_msg("case %zu: %s", i, cv_buf_text(&b));
        cv_buf_wipe(&b);
        cv_policy_free(p);
    }
}

#define CASES "apiVersion: certvault/v1\nkind: PolicyTest\ncases:\n"
#define ALICE "- {user: alice, action: use, reason: r, entry: {name: x}, "

static const char guarded[] = LIMIT(
    "lim",
    "count: 2, per: 1h, sessions: 1") "- {name: ask, effect: "
                                      "permit, subjects: {users: [bob]}, "
                                      "actions: [use], require: {approvals: "
                                      "{count: 2, from: {groups: [leads], "
                                      "users: [carol]}, signed: true}}}\n"
                                      "- {name: out, effect: permit, subjects: "
                                      "{users: [bob]}, actions: [use], "
                                      "break_glass: true}\n- {name: f, effect: "
                                      "forbid, subjects: {users: "
                                      "[carol]}, actions: [use]}\n";

static const struct {
    const char *text;
    bool ok;
    const char *says; /* in its result */
} ran[] = {
    {ALICE "expect: permit}\n", true, "\"offer\":\"lim\""},
    {ALICE "used: {lim: 1}, expect: permit}\n", true, ""},
    {ALICE "used: {lim: 2}, expect: deny, wait: limit}\n", true,
     "\"ok\":true,\"wait\":\"limit\",\"because\":\"use of \\\"x\\\" must wait: "
     "its limit of 2 in 1h is used up (rule"},
    {ALICE "used: {lim: 2}, expect: deny, wait: approvals}\n", false,
     "\"got\":\"deny\",\"ok\":false,\"wait\":\"limit\""},
    {ALICE "used: {lim: 2}, expect: permit}\n", false, ""},
    {ALICE "used: {ask: 2}, sessions: {ask: 9}, expect: permit}\n", true, ""},
    {ALICE "sessions: {lim: 0}, expect: permit}\n", true, ""},
    {ALICE "sessions: {lim: 1}, expect: deny}\n", true, "1 session is used up"},
    {ALICE "expect: permit, offer: lim}\n", true, ""},
    {ALICE "expect: permit, offer: ask}\n", false, "\"offer\":\"lim\""},
    {"- {user: eve, action: use, expect: deny, offer: lim}\n", false, ""},
    {"- {user: eve, action: use, expect: deny, wait: limit}\n", false, ""},
    {"- {user: bob, action: use, expect: deny, wait: approvals, offer: ask}\n",
     true, "\"offer\":\"ask\",\"wait\":\"approvals\""},
    {"- {user: bob, action: use, mode: agent, expect: deny, wait: "
     "approvals}\n",
     false, "which only the service takes"},
    {"- {user: bob, action: use, approvals: [{user: carol, signed: true}, "
     "{user: eve, groups: [x, leads], signed: true}], expect: permit, offer: "
     "ask}\n",
     true, ""},
    {"- {user: bob, action: use, approvals: [{user: eve, groups: [x, y], "
     "signed: true}, {user: eva, groups: [leads], signed: true}], expect: "
     "deny}\n",
     true, "and has 1 ("},
    {"- {user: bob, action: use, approvals: [{user: carol, groups: []}], "
     "expect: deny}\n",
     true, "and has none"},
    {"- {user: bob, action: use, reason: r, break_glass: true, expect: permit, "
     "offer: out}\n",
     true, ""},
    {"- {user: bob, action: use, reason: r, break_glass: false, expect: deny, "
     "wait: approvals}\n",
     true, ""},
};

static void runs_cases(void **state)
{
    (void)state;
    struct cv_policy *p = policy_with(guarded);
    for (size_t i = 0; i < sizeof(ran) / sizeof(ran[0]); i++) {
        char text[1024];
        cJSON *o;
        struct cv_err err;
        struct cv_buf b;
        (void)snprintf(text, sizeof(text), CASES "%s", ran[i].text);
        cv_err_init(&err);
        if (cv_cases_run(p, bytes_of(text), MONDAY_10, &o, NULL, &err) != CV_OK)
            fail_msg("%s: %s", err.text, ran[i].text);
        cv_buf_init(&b, NULL, CV_KIB(64));
        cv_json_write(o, CV_JSON_COMPACT, &b);
        if (strstr(cv_buf_text(&b),
                   ran[i].ok ? "\"failed\":0" : "\"failed\":1") == NULL ||
            strstr(cv_buf_text(&b), ran[i].ok ? "\"passed\":1,\"failed\":0"
                                              : "\"passed\":0,\"failed\":1") ==
                NULL ||
            strstr(cv_buf_text(&b), ran[i].says) == NULL)
            fail_msg("%s: %s", ran[i].text, cv_buf_text(&b));
        cv_buf_wipe(&b);
        cJSON_Delete(o);
    }
    cv_policy_free(p);
}

#define BAD "- {user: alice, action: use, expect: deny, "

static const struct {
    const char *text;
    unsigned column;
    const char *says;
} refused[] = {
    {BAD "break_glass: yes}\n", 57, "break_glass must be true or false"},
    {BAD "approvals: []}\n", 55, "approvals is an empty list"},
    {BAD "approvals: carol}\n", 55, "approvals must be a list"},
    {BAD "approvals: [carol]}\n", 56, "an approval must be a mapping"},
    {BAD "approvals: [{groups: [x]}]}\n", 56, "an approval lacks \"user\""},
    {BAD "approvals: [{user: 5}]}\n", 63, "user must be a text"},
    {BAD "approvals: [{user: a, groups: x}]}\n", 74, "groups must be a list"},
    {BAD "approvals: [{user: a, groups: [5]}]}\n", 75, "a group must be"},
    {BAD "approvals: [{user: a, signed: 1}]}\n", 74, "signed must be true"},
    {BAD "approvals: [{user: a, sign: true}]}\n", 66, "unknown key \"sign\""},
    {BAD "used: 5}\n", 50, "used must be a mapping, {rule: count}"},
    {BAD "used: {}}\n", 50, "used must be a mapping"},
    {BAD "used: {x: 5}}\n", 51, "used: the policy has no such permit"},
    {BAD "used: {f: 5}}\n", 51, "used: the policy has no such permit"},
    {BAD "used: {lim: -1}}\n", 56,
     "used must be a whole number from 0 to "
     "100000"},
    {BAD "sessions: {lim: x}}\n", 60, "sessions must be a whole number"},
    {BAD "wait: never}\n", 50, "wait cannot be \"never\""},
    {BAD "offer: 5}\n", 51, "offer must be a text"},
    {"- {user: alice, action: use, expect: permit, wait: limit}\n", 46,
     "what is permitted does not wait"},
};

static void refuses_cases(void **state)
{
    (void)state;
    struct cv_policy *p = policy_with(guarded);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char text[1024];
        cJSON *o;
        struct cv_policy_notes notes = {0};
        struct cv_err err;
        (void)snprintf(text, sizeof(text), CASES "%s", refused[i].text);
        cv_err_init(&err);
        assert_int_equal(
            cv_cases_run(p, bytes_of(text), MONDAY_10, &o, &notes, &err),
            CV_INVALID);
        assert_null(o);
        if (strstr(err.text, refused[i].says) == NULL ||
            notes.error_line != 4 || notes.error_column != refused[i].column)
            fail_msg("%u:%u %s: %s", notes.error_line, notes.error_column,
                     err.text, refused[i].text);
    }
    cv_policy_free(p);
}

/* 64 approvals, and not one more. */
static void has_a_ceiling(void **state)
{
    (void)state;
    struct cv_policy *p = policy_with(guarded);
    for (size_t n = CV_DECIDE_APPROVALS_MOST; n < 66; n++) {
        struct cv_buf b;
        cJSON *o;
        cv_buf_init(&b, NULL, CV_KIB(64));
        cv_buf_add_str(&b, CASES BAD "approvals: [");
        for (size_t i = 0; i < n; i++)
            cv_buf_add_format(&b, "%s{user: u%zu, groups: [a, b, c]}",
                              i > 0 ? ", " : "", i);
        cv_buf_add_str(&b, "]}\n");
        assert_int_equal(
            cv_cases_run(p, cv_buf_bytes(&b), MONDAY_10, &o, NULL, NULL),
            n == CV_DECIDE_APPROVALS_MOST ? CV_OK : CV_INVALID);
        cJSON_Delete(o);
        cv_buf_wipe(&b);
    }
    cv_policy_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_why_not), cmocka_unit_test(tells_scripts),
        cmocka_unit_test(runs_cases),    cmocka_unit_test(refuses_cases),
        cmocka_unit_test(has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
