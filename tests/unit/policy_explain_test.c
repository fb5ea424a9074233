#include "tests/unit/policy_test.h"

#include "policy/explain_internal.h"

static const char rules[] = HEAD
    "- {name: use-prod, effect: permit, subjects: {groups: [sre]}, actions: "
    "[use], entries: {names: [\"prod-*\"]}, when: {reason: required}, grant: "
    "{max_duration: 90m, read_only: true, verbs: [get], record: all}}\n"
    "- {name: other, effect: permit, subjects: {users: [bob]}, actions: "
    "[use]}\n"
    "- {name: no-night, effect: forbid, subjects: {users: [\"*\"]}, actions: "
    "[use], when: {hours: \"22:00-06:00\"}}\n"
    "- {name: looking, effect: permit, subjects: {users: [alice]}, actions: "
    "[show]}\n";

static char *explain(const struct cv_policy *p,
                     const struct cv_decide_request *r, bool words)
{
    cJSON *o;
    struct cv_buf b;
    assert_int_equal(cv_explain_make(p, r, &o, NULL), CV_OK);
    cv_buf_init(&b, NULL, CV_MIB(4));
    if (words)
        cv_explain_words(o, &b);
    else
        cv_json_write(o, CV_JSON_COMPACT, &b);
    char *out = strdup(cv_buf_text(&b));
    cv_buf_wipe(&b);
    cJSON_Delete(o);
    return out;
}

static struct cv_decide_request asked(void)
{
    static const struct cv_decide_entry entry = {.name = "prod-a"};
    static const char *const groups[] = {"sre"};
    struct cv_decide_request r = {.action = CV_ACTION_USE,
                                  .entry = &entry,
                                  .reason = "INC 12",
                                  .mode = CV_DECIDE_MODE_SERVICE,
                                  .now_s = MONDAY_10};
    r.subject.by_name = true;
    r.subject.user = "alice";
    r.subject.groups = groups;
    r.subject.n_groups = 1;
    return r;
}

static void explains_permits(void **state)
{
    (void)state;
    struct cv_policy *p = policy_of(rules);
    struct cv_decide_request r = asked();
    char *text = explain(p, &r, false);
    assert_string_equal(
        text, "{\"decision\":\"permit\",\"offer\":\"use-prod\",\"rules\":["
              "{\"name\":\"use-prod\",\"effect\":\"permit\",\"matched\":true,"
              "\"because\":\"all of it matches\"},"
              "{\"name\":\"other\",\"effect\":\"permit\",\"matched\":false,"
              "\"because\":\"not about this user\"},"
              "{\"name\":\"no-night\",\"effect\":\"forbid\",\"matched\":false,"
              "\"because\":\"outside hours 22:00-06:00 UTC\"},"
              "{\"name\":\"looking\",\"effect\":\"permit\",\"matched\":false,"
              "\"because\":\"not about this action\"}],"
              "\"obligations\":{\"max_duration\":5400,\"duration\":5400,"
              "\"read_only\":true,\"record\":\"all\",\"verbs\":[\"get\"]}}");
    free(text);
    text = explain(p, &r, true);
    assert_string_equal(text,
                        "permit by rule use-prod\n"
                        "rules (* matches):\n"
                        "  * permit use-prod: all of it matches\n"
                        "  - permit other: not about this user\n"
                        "  - forbid no-night: outside hours 22:00-06:00 UTC\n"
                        "  - permit looking: not about this action\n"
                        "granted:\n"
                        "  max_duration: 5400 s\n"
                        "  duration: 5400 s\n"
                        "  read_only: true\n"
                        "  record: all\n"
                        "  verbs: [\"get\"]\n");
    free(text);
    cv_policy_free(p);
}

/* As the command is decided, and not as an action without an entry: a permit
 * about some entries gives those. */
static void explains_lists(void **state)
{
    (void)state;
    struct cv_policy *p = policy_of(
        HEAD "- {name: some, effect: permit, subjects: {groups: [sre]}, "
             "actions: [list], entries: {names: [\"prod-*\"]}}\n"
             "- {name: loud, effect: permit, subjects: {groups: [sre]}, "
             "actions: [list], break_glass: true}\n"
             "- {name: late, effect: permit, subjects: {groups: [sre]}, "
             "actions: [list], entries: {names: [x]}}\n"
             "- {name: not-x, effect: forbid, subjects: {users: [\"*\"]}, "
             "actions: [list], entries: {names: [x]}}\n"
             "- {name: no, effect: forbid, subjects: {users: [bob]}, actions: "
             "[list]}\n");
    struct cv_decide_request r = asked();
    r.action = CV_ACTION_LIST;
    r.entry = NULL;
    char *text = explain(p, &r, true);
    assert_string_equal(
        text,
        "permit by rule late\n"
        "rules (* matches):\n"
        "  * permit some: it matches for some entries; the record names "
        "\"late\"\n"
        "  * permit loud: all of it matches, but what it alone gives is not "
        "shown; the record names \"late\"\n"
        "  * permit late: it matches for some entries\n"
        "  - forbid not-x: about some entries, which are not shown\n"
        "  - forbid no: not about this user\n"
        "granted:\n"
        "  max_duration: 28800 s\n"
        "  duration: 28800 s\n"
        "  read_only: false\n"
        "  record: writes\n");
    free(text);
    r.subject.user = "bob";
    text = explain(p, &r, true);
    assert_non_null(strstr(text, "deny: list is forbidden by rule \"no\"\n"));
    assert_non_null(strstr(text, "* permit some: it matches for some entries, "
                                 "but so does a forbid\n"));
    free(text);
    r.subject.user = "alice";
    r.subject.n_groups = 0;
    text = explain(p, &r, true);
    assert_non_null(strstr(text, "deny: no rule permits list\n"));
    free(text);
    cv_policy_free(p);
}

static void explains_denials(void **state)
{
    (void)state;
    struct cv_policy *p = policy_of(rules);
    struct cv_decide_request r = asked();
    r.reason = NULL;
    char *text = explain(p, &r, false);
    assert_non_null(strstr(
        text, "{\"decision\":\"deny\",\"why\":\"use of \\\"prod-a\\\" is "
              "denied: a reason is required (rule \\\"use-prod\\\")\","
              "\"hint\":\"give a reason (--reason)\",\"rules\":["));
    assert_non_null(strstr(text, "\"because\":\"a reason is required\""));
    assert_non_null(strstr(text, "\"obligations\":{}}"));
    free(text);
    r = asked();
    r.now_s += 13 * 3600;
    text = explain(p, &r, true);
    assert_non_null(strstr(
        text, "deny: use of \"prod-a\" is forbidden by rule \"no-night\"\n"));
    assert_non_null(strstr(text, "  * forbid no-night: all of it matches\n"));
    assert_null(strstr(text, "granted"));
    free(text);
    /* What makes no sense is held against no rule. */
    r.mode = CV_DECIDE_MODE_NONE;
    text = explain(p, &r, false);
    assert_non_null(strstr(text, "\"rules\":[],"));
    free(text);
    cv_policy_free(p);
}

/* Each thing that can keep a rule from matching has its words. */
static void has_words_for_all(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        const char *because;
    } cases[] = {
        {"entries: {names: [x]}", "the entry's name does not match"},
        {"entries: {labels: {a: b}}", "none of its labels matches"},
        {"entries: {provenance: [born]}", "the key has another provenance"},
        {"entries: {leaky: true}", "about leaky keys alone"},
        {"when: {ticket: x}", "a ticket is required"},
        {"when: {days: [tue]}", "outside days tue UTC"},
        {"when: {contexts: [x]}", "not for this context"},
        {"when: {mode: [exec]}", "not in this mode of the broker"},
        {"when: {tty: required}", "a terminal is required"},
        {"grant: {max_duration: 1s}", "longer than its max_duration of 1s"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[1024];
        (void)snprintf(text, sizeof(text),
                       HEAD "- {name: a, effect: permit, subjects: {users: "
                            "[alice]}, actions: [use], %s}\n",
                       cases[i].rule);
        struct cv_policy *p = policy_of(text);
        struct cv_decide_request r = asked();
        r.duration_s = 60;
        char *got = explain(p, &r, true);
        (void)snprintf(text, sizeof(text), "  - permit a: %s\n",
                       cases[i].because);
        if (strstr(got, text) == NULL)
            fail_msg("%s: %s", cases[i].rule, got);
        free(got);
        cv_policy_free(p);
    }
}

/* Of rules that are about both, the first thousand. */
static void shows_so_many(void **state)
{
    (void)state;
    for (int n = 999; n <= 1002; n++) {
        struct cv_buf b;
        char omitted[32];
        cv_buf_init(&b, NULL, CV_MIB(4));
        cv_buf_add_str(&b, HEAD);
        for (int i = 0; i < n; i++)
            cv_buf_add_format(&b,
                              "- {name: r%d, effect: permit, subjects: "
                              "{users: [\"*\"]}, actions: [use]}\n",
                              i);
        struct cv_policy *p = policy_of(cv_buf_text(&b));
        struct cv_decide_request r = asked();
        char *text = explain(p, &r, false);
        (void)snprintf(omitted, sizeof(omitted), "\"omitted\":%d}", n - 1000);
        assert_non_null(strstr(text, "\"r998\""));
        assert_int_equal(strstr(text, "\"r999\"") != NULL, n >= 1000);
        assert_null(strstr(text, "\"r1000\""));
        assert_int_equal(strstr(text, "\"omitted\"") != NULL, n > 1000);
        assert_int_equal(strstr(text, omitted) != NULL, n > 1000);
        free(text);
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
}

/* Of a thousand rules the far ones, too; of one more not. */
static void shows_the_far_of_so_many(void **state)
{
    (void)state;
    for (int n = 1000; n <= 1001; n++) {
        struct cv_buf b;
        cv_buf_init(&b, NULL, CV_MIB(4));
        cv_buf_add_str(&b, HEAD);
        for (int i = 0; i < n; i++)
            cv_buf_add_format(&b,
                              "- {name: r%d, effect: permit, subjects: {uids: "
                              "[%d]}, actions: [use]}\n",
                              i, i + 5);
        struct cv_policy *p = policy_of(cv_buf_text(&b));
        struct cv_decide_request r = asked();
        char *text = explain(p, &r, false);
        assert_int_equal(strstr(text, "\"r700\"") != NULL, n == 1000);
        assert_int_equal(strstr(text, "\"omitted\"") != NULL, n > 1000);
        free(text);
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
}

/* Of a long policy only what is about the subject and the action is shown. */
static void leaves_out_the_far(void **state)
{
    (void)state;
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(4));
    cv_buf_add_str(&b, rules);
    for (int i = 0; i < 1000; i++)
        cv_buf_add_format(&b,
                          "- {name: r%d, effect: permit, subjects: {uids: "
                          "[%d]}, actions: [use]}\n",
                          i, i + 5);
    struct cv_policy *p = policy_of(cv_buf_text(&b));
    struct cv_decide_request r = asked();
    char *text = explain(p, &r, false);
    assert_null(strstr(text, "\"other\""));
    assert_non_null(strstr(text, "\"no-night\""));
    assert_non_null(strstr(text, "\"omitted\":1002}"));
    free(text);
    text = explain(p, &r, true);
    assert_non_null(strstr(text, "  and 1002 that are about others\n"));
    free(text);
    cv_policy_free(p);
    cv_buf_wipe(&b);
}

#define CASES "apiVersion: certvault/v1\nkind: PolicyTest\ncases:\n"

static cJSON *test_cases(const char *text)
{
    struct cv_policy *p = policy_of(rules);
    struct cv_err err;
    cJSON *o;
    cv_err_init(&err);
    if (cv_cases_run(p, bytes_of(text), MONDAY_10, &o, NULL, &err) != CV_OK)
        fail_msg("%s", err.text);
    cv_policy_free(p);
    return o;
}

static int number(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    assert_true(cJSON_IsNumber(item));
    return item->valueint;
}

static void runs_cases(void **state)
{
    (void)state;
    cJSON *o = test_cases(
        CASES
        "- {user: alice, groups: [sre], action: use, entry: {name: prod-a, "
        "labels: {env: prod}}, reason: x, expect: permit}\n"
        "- {user: alice, groups: [], action: use, entry: {name: prod-a}, "
        "reason: x, expect: permit}\n"
        "- {name: at night, user: bob, action: use, entry: {name: prod-a, "
        "provenance: born, leaky: true}, at: 2026-11-23T23:00:00Z, ticket: t, "
        "context: internal, mode: exec, tty: true, duration: 1h, read_only: "
        "true, expect: deny}\n"
        "- {user: alice, action: show, at: 2026-11-23, expect: permit}\n"
        "- {user: alice, action: audit.read, expect: permit}\n");
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(64));
    assert_int_equal(number(o, "total"), 5);
    assert_int_equal(number(o, "passed"), 3);
    assert_int_equal(number(o, "failed"), 2);
    cv_json_write(cJSON_GetObjectItemCaseSensitive(o, "items"), CV_JSON_COMPACT,
                  &b);
    assert_non_null(strstr(
        cv_buf_text(&b),
        "[{\"index\":1,\"line\":4,\"user\":\"alice\",\"action\":\"use\","
        "\"entry\":\"prod-a\",\"expect\":\"permit\",\"got\":\"permit\","
        "\"ok\":true,\"offer\":\"use-prod\",\"because\":\"permitted by rule "
        "\\\"use-prod\\\"\"},"
        "{\"index\":2,\"line\":5,\"user\":\"alice\",\"action\":\"use\","
        "\"entry\":\"prod-a\",\"expect\":\"permit\",\"got\":\"deny\",\"ok\":"
        "false,\"because\":\"no rule permits use of \\\"prod-a\\\"\"},"
        "{\"index\":3,\"line\":6,\"name\":\"at night\",\"user\":\"bob\","));
    cv_buf_wipe(&b);
    cJSON_Delete(o);
}

static const struct {
    const char *text;
    unsigned line;
    const char *says;
} refused[] = {
    {"apiVersion: certvault/v1\nkind: PolicyTest\n", 1, "lacks \"cases\""},
    {"apiVersion: certvault/v1\nkind: Policy\ncases: []\n", 2,
     "kind cannot be \"Policy\""},
    {"apiVersion: certvault/v1\nkind: PolicyTest\ncases: []\n", 3,
     "empty list"},
    {"apiVersion: certvault/v1\nkind: PolicyTest\ncases: []\nmore: 1\n", 4,
     "unknown key \"more\""},
    {CASES "- {user: a, action: use}\n", 4, "case 1: a case lacks \"expect\""},
    {CASES "- {action: use, expect: deny}\n", 4, "lacks \"user\""},
    {CASES "- {user: a, expect: deny}\n", 4, "lacks \"action\""},
    {CASES "- {user: a, action: use, expect: deny}\n"
           "- {user: a, action: use, expect: allow}\n",
     5, "case 2: expect cannot be \"allow\""},
    {CASES "- {user: a, action: \"*\", expect: deny}\n", 4,
     "action cannot be \"*\""},
    {CASES "- {user: a, action: use, expect: deny, reson: x}\n", 4,
     "unknown key \"reson\""},
    {CASES "- {user: a, action: use, expect: deny, at: today}\n", 4,
     "at must be a time"},
    {CASES "- {user: a, action: use, expect: deny, entry: x}\n", 4,
     "entry must be a mapping"},
    {CASES "- {user: a, action: use, expect: deny, entry: {labels: {}}}\n", 4,
     "entry lacks \"name\""},
    {CASES "- {user: a, action: use, expect: deny, entry: {name: a, "
           "provenance: x}}\n",
     4, "provenance cannot be \"x\""},
    {CASES "- {user: a, action: use, expect: deny, entry: {name: a, labels: "
           "[]}}\n",
     4, "labels must be a mapping"},
    {CASES "- {user: a, action: use, expect: deny, groups: sre}\n", 4,
     "groups must be a list"},
    {CASES "- {user: 5, action: use, expect: deny}\n", 4,
     "user must be a text"},
    {CASES "- {user: a, action: use, expect: deny, mode: x}\n", 4,
     "mode cannot be"},
    {CASES "- {user: a, action: use, expect: deny, duration: 5}\n", 4,
     "duration must be"},
};

static void refuses_cases(void **state)
{
    (void)state;
    struct cv_policy *p = policy_of(rules);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct cv_policy_notes notes = {0};
        struct cv_err err;
        cJSON *o;
        cv_err_init(&err);
        assert_int_equal(cv_cases_run(p, bytes_of(refused[i].text), MONDAY_10,
                                      &o, &notes, &err),
                         CV_INVALID);
        assert_null(o);
        if (strstr(err.text, refused[i].says) == NULL ||
            notes.error_line != refused[i].line)
            fail_msg("%u: %s\n%s", notes.error_line, err.text, refused[i].text);
    }
    cv_policy_free(p);
}

/* A user made of digits is also that uid; no other text is. */
static void takes_numbers_for_uids(void **state)
{
    (void)state;
    static const struct {
        const char *user;
        bool permit;
    } users[] = {{"77", true},          {"4294967293", true},
                 {"077", true},         {"77x", false},
                 {"78", false},         {"18446744073709551693", false},
                 {"4294967373", false}, {"", false},
                 {"x", false}};
    struct cv_policy *p =
        policy_of(HEAD "- {name: a, effect: permit, subjects: {uids: [77, "
                       "4294967293]}, actions: [use]}\n");
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        struct cv_decide_request r = asked();
        struct cv_decide_result result;
        r.subject.user = users[i].user;
        if ((cv_decide_run(p, &r, &result, NULL) == CV_OK) != users[i].permit)
            fail_msg("%s", users[i].user);
    }
    cv_policy_free(p);
}

/* The next block of YAML in a text; *at goes behind it. */
static char *next_block(char **at)
{
    static const char begin[] = "\n```yaml\n";
    char *block = strstr(*at, begin);
    assert_non_null(block);
    block += sizeof(begin) - 1;
    char *end = strstr(block, "```");
    assert_non_null(end);
    *end = '\0';
    *at = end + 1;
    return block;
}

/* A policy and its cases; all pass. */
static void check_example(char **at, int64_t total)
{
    struct cv_policy *p = policy_of(next_block(at));
    const char *cases = next_block(at);
    cJSON *o;
    assert_int_equal(
        cv_cases_run(p, bytes_of(cases), MONDAY_10, &o, NULL, NULL), CV_OK);
    assert_int_equal(number(o, "total"), total);
    assert_int_equal(number(o, "failed"), 0);
    cJSON_Delete(o);
    cv_policy_free(p);
}

/* An explanation that another program wrote may lack anything. */
static void words_of_what_is_there(void **state)
{
    static const struct {
        const char *json, *words;
    } said[] = {
        {"{}", "deny\nrules (* matches):\n"},
        {"{\"rules\":[{\"effect\":\"permit\",\"because\":\"b\"},"
         "{\"name\":\"n\",\"because\":\"b\"},{\"name\":\"n\",\"effect\":"
         "\"permit\"},{\"name\":\"m\",\"effect\":\"forbid\",\"because\":"
         "\"c\"}]}",
         "deny\nrules (* matches):\n  - forbid m: c\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        cJSON *o;
        struct cv_buf b;
        assert_int_equal(cv_json_parse(NULL, bytes_of(said[i].json), &o, NULL),
                         CV_OK);
        cv_buf_init(&b, NULL, CV_KIB(4));
        cv_explain_words(o, &b);
        assert_string_equal(cv_buf_text(&b), said[i].words);
        cv_buf_wipe(&b);
        cJSON_Delete(o);
    }
}

/* The examples of docs/policy.md do what they say. */
static void keeps_its_word(void **state)
{
    (void)state;
    static char text[64 * 1024];
    FILE *f = fopen(CV_TEST_DATA "/../../docs/policy.md", "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    (void)fclose(f);
    char *at = text;
    check_example(&at, 3);
    check_example(&at, 6);
    assert_null(strstr(at, "```yaml"));
}

/* Whatever was there before: of a rule that gave what is held, nothing. */
static void forgets_the_use_of_what_is_held(void **state)
{
    struct cv_decide_request r = {.action = CV_ACTION_USE, .held_rule = "lim"};
    struct cv_policy *p = policy_of(
        HEAD "- {name: lim, effect: permit, subjects: {users: [alice]}, "
             "actions: [use], limit: {count: 2, per: 1h, sessions: 1}}\n");
    const struct cv_explained e = {.policy = p, .request = &r};
    struct cv_explain_use use;
    (void)state;
    memset(&use, 1, sizeof(use));
    cv_explain_use_of(&e, cv_policy_permit(p, "lim"), &use);
    assert_false(use.counts || use.counted || use.lives || use.lived);
    assert_int_equal(use.used, 0);
    assert_int_equal(use.live, 0);
    r.held_rule = NULL;
    memset(&use, 1, sizeof(use));
    cv_explain_use_of(&e, cv_policy_permit(p, "lim"), &use);
    assert_true(use.counts && use.lives);
    assert_false(use.counted || use.lived);
    assert_int_equal(use.used, 0);
    assert_int_equal(use.live, 0);
    cv_policy_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explains_permits),
        cmocka_unit_test(explains_lists),
        cmocka_unit_test(explains_denials),
        cmocka_unit_test(has_words_for_all),
        cmocka_unit_test(leaves_out_the_far),
        cmocka_unit_test(shows_so_many),
        cmocka_unit_test(shows_the_far_of_so_many),
        cmocka_unit_test(runs_cases),
        cmocka_unit_test(refuses_cases),
        cmocka_unit_test(takes_numbers_for_uids),
        cmocka_unit_test(words_of_what_is_there),
        cmocka_unit_test(keeps_its_word),
        cmocka_unit_test(forgets_the_use_of_what_is_held),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
