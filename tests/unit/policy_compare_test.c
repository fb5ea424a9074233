/* Who may do what at all: tests/data/policy/compare.txt. */
#include "policy/compare.h"

#include "tests/unit/policy_blocks.h"

static const gid_t sre[] = {2003, 2001};
static const struct {
    const char *name;
    struct cv_decide_subject subject;
} people[] = {
    {"alice", {.uid = 1001, .gid = 1001, .gids = sre, .n_gids = 2}},
    {"bob", {.uid = 1002, .gid = 2001}},
    {"stranger", {.uid = 70000, .gid = 70000}},
    {"overflow", {.uid = 65534, .gid = 65534}},
    {"last", {.uid = 4294967293U, .gid = 5}},
    {"beyond", {.uid = 4294967294U, .gid = 5}},
};
#define PEOPLE (sizeof(people) / sizeof(people[0]))

static const char *const keys[] = {"env"}, *const values[] = {"prod"};
static const struct cv_decide_entry entries[] = {
    {.name = NULL},
    {.name = "prod-a",
     .keys = keys,
     .values = values,
     .n_labels = 1,
     .provenance = "born"},
    {.name = "dev", .provenance = "sealed"},
};

static const struct cv_decide_entry *entry_of(size_t n)
{
    return n == 0 ? NULL : &entries[n];
}

static struct cv_policy *rules_of(const char *rules)
{
    struct cv_buf text;
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_buf_add_str(&text, HEAD);
    cv_buf_add_str(&text, rules);
    struct cv_policy *policy = policy_of(cv_buf_text(&text));
    cv_buf_wipe(&text);
    return policy;
}

static void answer_one(struct cv_compare *c, enum cv_action action,
                       const char *who, const char *entry, struct cv_buf *out)
{
    const char *names[2] = {"-", "-"};
    enum cv_compare_may may = cv_compare_may(c, action);
    size_t n = cv_compare_rules(c, names, 2);
    if (may == CV_COMPARE_NO && n == 0)
        return;
    cv_buf_add_format(out, "%s %s %s: %s by %zu: %s %s", who,
                      cv_action_name(action), entry, cv_compare_may_name(may),
                      n, names[0], names[1]);
    cv_buf_add_str(out, ": ");
    size_t before = out->len;
    cv_compare_words(c, out);
    cv_buf_add_str(out, out->len == before ? "plain\n" : "\n");
}

/* What is not "no" by no rule at all, for all people, entries and actions. */
static void ask_in(const struct cv_policy *policy, enum cv_decide_mode mode,
                   struct cv_buf *out)
{
    struct cv_compare *c;
    assert_int_equal(cv_compare_new(policy, mode, &c, NULL), CV_OK);
    for (size_t p = 0; p < PEOPLE; p++) {
        for (size_t e = 0; e < 3; e++) {
            cv_compare_look(c, &people[p].subject, entry_of(e));
            for (int a = 1; a < CV_ACTION_COUNT; a++)
                answer_one(c, (enum cv_action)a, people[p].name,
                           e == 0 ? "-" : entries[e].name, out);
        }
    }
    cv_compare_free(c);
}

static void ask(const char *question, struct cv_buf *answer)
{
    struct cv_policy *policy = rules_of(question);
    cv_buf_add_str(answer, "service:\n");
    ask_in(policy, CV_DECIDE_MODE_SERVICE, answer);
    cv_buf_add_str(answer, "agent:\n");
    ask_in(policy, CV_DECIDE_MODE_AGENT, answer);
    cv_policy_free(policy);
}

static void answers_to_the_word(void **state)
{
    (void)state;
    blocks_ask("compare.txt", 17, ask);
}

static void wants_it_resolved(void **state)
{
    struct cv_policy *policy = NULL;
    struct cv_compare *c = (struct cv_compare *)&policy;
    struct cv_err err;
    (void)state;
    cv_err_init(&err);
    assert_int_equal(cv_policy_parse(bytes_of(HEAD "- {name: r, effect: "
                                                   "permit, subjects: {users: "
                                                   "[alice]}, actions: "
                                                   "[use]}\n"),
                                     &policy, NULL, &err),
                     CV_OK);
    assert_int_equal(cv_compare_new(policy, CV_DECIDE_MODE_SERVICE, &c, &err),
                     CV_INVALID);
    assert_null(c);
    assert_string_equal(err.text, "the policy is not resolved");
    cv_policy_free(policy);
    cv_compare_free(NULL);
}

#define RULE(name, more)                                            \
    "- {name: " name ", effect: permit, subjects: {uids: [1001]}, " \
    "actions: [use, show], entries: {names: [\"prod-*\"]}" more "}\n"
#define FORBID(name, more)                                          \
    "- {name: " name ", effect: forbid, subjects: {uids: [1001]}, " \
    "actions: [use], entries: {names: [\"prod-*\"]}" more "}\n"
#define REASON ", when: {reason: required}"
#define TICKET ", when: {ticket: x}"
#define SHORT ", grant: {max_duration: 1h}"

/* The same answer: by kind, whatever the rules are called and in what order;
 * a grant counts for what has one. */
static void same_or_not(void **state)
{
    static const struct {
        const char *a, *b;
        bool use, show;
    } pairs[] = {
        {RULE("r", ""), RULE("other", ""), true, true},
        {RULE("r", ""), RULE("r", REASON), false, false},
        {RULE("r", ""), RULE("r", SHORT), false, true},
        {RULE("a", SHORT), RULE("b", SHORT), true, true},
        {RULE("a", REASON) RULE("b", TICKET),
         RULE("c", TICKET) RULE("d", REASON), true, true},
        {RULE("a", REASON) RULE("b", TICKET), RULE("c", TICKET), false, false},
        {RULE("a", REASON) RULE("b", REASON), RULE("c", REASON), true, true},
        {RULE("a", REASON) RULE("b", TICKET),
         RULE("a", REASON) RULE("b", ", when: {ticket: y}"), false, false},
        {RULE("a", REASON) RULE("b", REASON SHORT), RULE("c", REASON), false,
         true},
        {RULE("a", ""), RULE("a", "") FORBID("n", REASON), false, true},
        {RULE("a", "") FORBID("n", REASON), RULE("a", "") RULE("n", REASON),
         false, false},
        {RULE("a", ""), RULE("a", "") FORBID("n", ""), false, true},
        {FORBID("a", ""), FORBID("b", REASON), true, true},
        {RULE("a", REASON) FORBID("n", REASON),
         FORBID("a", REASON) RULE("n", REASON), true, true},
        {FORBID("a", REASON) RULE("n", REASON), RULE("n", REASON), false, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct cv_policy *p[2] = {rules_of(pairs[i].a), rules_of(pairs[i].b)};
        struct cv_compare *c[2];
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(
                cv_compare_new(p[k], CV_DECIDE_MODE_SERVICE, &c[k], NULL),
                CV_OK);
            cv_compare_look(c[k], &people[0].subject, &entries[1]);
            (void)cv_compare_may(c[k], CV_ACTION_USE);
        }
        assert_int_equal(cv_compare_same(c[0], c[1]), pairs[i].use);
        assert_int_equal(cv_compare_same(c[1], c[0]), pairs[i].use);
        for (size_t k = 0; k < 2; k++)
            (void)cv_compare_may(c[k], CV_ACTION_SHOW);
        assert_int_equal(cv_compare_same(c[0], c[1]), pairs[i].show);
        for (size_t k = 0; k < 2; k++) {
            cv_compare_free(c[k]);
            cv_policy_free(p[k]);
        }
    }
}

static void numbers_mentioned(void **state)
{
    struct cv_policy *p[2] = {
        rules_of("- {name: a, effect: permit, subjects: {uids: [9, 4294967293, "
                 "7]}, actions: [use]}\n"
                 "- {name: b, effect: forbid, subjects: {users: [alice], "
                 "groups: [sre], uids: [7, 8]}, actions: [use]}\n"),
        rules_of("- {name: a, effect: permit, subjects: {uids: [4294967292], "
                 "groups: [dev, leads]}, actions: [use]}\n")};
    uid_t uids[8];
    gid_t gids[8];
    (void)state;
    assert_int_equal(cv_compare_uids(p[0], uids, 8), 5);
    assert_int_equal(uids[0], 7);
    assert_int_equal(uids[1], 8);
    assert_int_equal(uids[2], 9);
    assert_int_equal(uids[3], 1001);
    assert_int_equal(uids[4], 4294967293U);
    assert_int_equal(cv_compare_uids(p[0], uids, 5), 5);
    assert_int_equal(cv_compare_uids(p[0], uids, 4), 5);
    assert_int_equal(cv_compare_uids(p[0], uids, 1), 2);
    assert_int_equal(cv_compare_gids(p[0], gids, 8), 1);
    assert_int_equal(gids[0], 2001);
    assert_int_equal(cv_compare_gids(p[1], gids, 8), 2);
    assert_int_equal(gids[0], 2002);
    assert_int_equal(gids[1], 2003);
    assert_int_equal(cv_compare_gids(p[1], gids, 2), 2);
    assert_int_equal(cv_compare_gids(p[1], gids, 1), 2);
    assert_int_equal(cv_compare_nobody((const struct cv_policy *const *)p, 2),
                     4294967291U);
    assert_int_equal(cv_compare_nobody((const struct cv_policy *const *)p, 1),
                     4294967292U);
    assert_int_equal(
        cv_compare_nobody((const struct cv_policy *const *)p + 1, 1),
        4294967293U);
    cv_policy_free(p[0]);
    cv_policy_free(p[1]);
}

/* Groups count as numbers that are taken, too. */
static void nobody_is_no_group(void **state)
{
    struct cv_policy *policy = NULL;
    cJSON *resolution;
    (void)state;
    assert_int_equal(
        cv_policy_parse(bytes_of(HEAD "- {name: r, effect: permit, subjects: "
                                      "{groups: [sre]}, actions: [use]}\n"),
                        &policy, NULL, NULL),
        CV_OK);
    assert_int_equal(
        cv_json_parse(NULL,
                      bytes_of("{\"users\":{},\"groups\":{\"sre\":4294967293},"
                               "\"zones\":{}}"),
                      &resolution, NULL),
        CV_OK);
    assert_int_equal(cv_policy_resolve(policy, resolution, NULL, NULL), CV_OK);
    assert_int_equal(
        cv_compare_nobody((const struct cv_policy *const[]){policy}, 1),
        4294967292U);
    cJSON_Delete(resolution);
    cv_policy_free(policy);
}

static char *texts(const char *old, const char *new)
{
    cJSON *out = NULL;
    struct cv_buf b;
    assert_int_equal(cv_compare_texts(bytes_of(old), bytes_of(new), &out, NULL),
                     CV_OK);
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_json_write(out, CV_JSON_COMPACT, &b);
    char *copy = strdup(cv_buf_text(&b));
    cv_buf_wipe(&b);
    cJSON_Delete(out);
    return copy;
}

static void rules_of_texts(void **state)
{
    static const struct {
        const char *old, *new, *out;
    } pairs[] = {
        {"rules: []\n", "rules: []\n",
         "{\"added\":[],\"removed\":[],\"changed\":[]}"},
        {"rules:\n- {name: a, actions: [use]}\n- {name: b}\n- {name: c}\n",
         "rules:\n- {name: d}\n- {name: b}\n- {name: a, actions: [show]}\n- "
         "{name: e}\n",
         "{\"added\":[\"d\",\"e\"],\"removed\":[\"c\"],\"changed\":[\"a\"]}"},
        {"rules:\n- {name: a, actions: [use, show]}\n",
         "rules:\n- {actions: [use, show], name: a}\n",
         "{\"added\":[],\"removed\":[],\"changed\":[]}"},
        {"rules:\n- {name: a, actions: [use, show]}\n",
         "rules:\n- {name: a, actions: [show, use]}\n",
         "{\"added\":[],\"removed\":[],\"changed\":[\"a\"]}"},
        {"kind: Policy\n", "rules:\n- {name: a}\n",
         "{\"added\":[\"a\"],\"removed\":[],\"changed\":[]}"},
        {"rules:\n- {name: a, when: {tty: True}}\n",
         "rules:\n- {name: a, when: {tty: TRUE}}\n",
         "{\"added\":[],\"removed\":[],\"changed\":[\"a\"]}"},
    };
    static const char *const wrong[][2] = {
        {"rules: [\n", "rules: []\n"},
        {"rules: []\n", "rules: [\n"},
        {"rules:\n- {effect: permit}\n", "rules: []\n"},
        {"rules: []\n", "rules:\n- {name: [a]}\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char *out = texts(pairs[i].old, pairs[i].new);
        assert_string_equal(out, pairs[i].out);
        free(out);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cJSON *out = (cJSON *)&out;
        assert_int_equal(cv_compare_texts(bytes_of(wrong[i][0]),
                                          bytes_of(wrong[i][1]), &out, NULL),
                         CV_INVALID);
        assert_null(out);
    }
}

/* Looked at often, each look is about its own. */
static void looks_again(void **state)
{
    struct cv_policy *policy = rules_of(RULE("r", REASON));
    struct cv_compare *c;
    (void)state;
    assert_int_equal(cv_compare_new(policy, CV_DECIDE_MODE_AGENT, &c, NULL),
                     CV_OK);
    for (int i = 0; i < 3; i++) {
        cv_compare_look(c, &people[0].subject, &entries[1]);
        assert_int_equal(cv_compare_may(c, CV_ACTION_USE), CV_COMPARE_IF);
        assert_int_equal(cv_compare_may(c, CV_ACTION_EXPORT), CV_COMPARE_NO);
        cv_compare_look(c, &people[0].subject, &entries[2]);
        assert_int_equal(cv_compare_may(c, CV_ACTION_USE), CV_COMPARE_NO);
        cv_compare_look(c, &people[1].subject, &entries[1]);
        assert_int_equal(cv_compare_may(c, CV_ACTION_USE), CV_COMPARE_NO);
    }
    cv_compare_free(c);
    cv_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_to_the_word),
        cmocka_unit_test(wants_it_resolved),
        cmocka_unit_test(same_or_not),
        cmocka_unit_test(numbers_mentioned),
        cmocka_unit_test(nobody_is_no_group),
        cmocka_unit_test(rules_of_texts),
        cmocka_unit_test(looks_again),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
