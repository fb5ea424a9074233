#include "tests/unit/policy_test.h"

static struct cv_decide_request asked(void)
{
    struct cv_decide_request r = {.action = CV_ACTION_LIST,
                                  .mode = CV_DECIDE_MODE_SERVICE,
                                  .now_s = MONDAY_10};
    r.subject.uid = 1001;
    r.subject.gid = 100;
    return r;
}

#define RULE(name, effect, more)                                          \
    "- {name: " name ", effect: " effect ", subjects: {users: [alice]}, " \
    "actions: [list]" more "}\n"

static const struct {
    const char *rules;
    bool may;          /* list at all */
    const char *shown; /* of the entries a, b, c */
    const char *says;
} cases[] = {
    {RULE("p", "permit", ""), true, "abc", ""},
    {RULE("p", "permit", ", entries: {names: [\"*\"]}"), true, "abc", ""},
    {RULE("p", "permit", ", entries: {names: [b, c]}"), true, "bc", ""},
    {RULE("p", "permit", ", entries: {names: [zzz]}"), true, "", ""},
    {RULE("p", "permit", ", entries: {labels: {env: prod}}"), true, "a", ""},
    {RULE("p", "permit", "") RULE("f", "forbid", ", entries: {names: [b]}"),
     true, "ac", ""},
    {RULE("p", "permit", "") RULE("f", "forbid", ""), false, "",
     "list is forbidden by rule \"f\""},
    {RULE("p", "permit", "") RULE("f", "forbid", ", entries: {names: [\"*\"]}"),
     false, "", "forbidden"},
    {RULE("p", "permit", "")
         RULE("f", "forbid", ", entries: {names: [\"**\"]}"),
     true, "", ""},
    {RULE("p", "permit", ", when: {reason: required}"), false, "",
     "a reason is required"},
    {RULE("p", "permit", ", entries: {names: [a]}, when: {reason: required}"),
     false, "", "a reason is required (rule \"p\")"},
    {RULE("f", "forbid", ", entries: {names: [a]}"), false, "",
     "no rule permits list"},
    {"- {name: p, effect: permit, subjects: {users: [bob]}, actions: [list]}\n",
     false, "", "no rule permits list"},
    {"- {name: p, effect: permit, subjects: {users: [alice]}, actions: "
     "[show]}\n",
     false, "", "no rule permits list"},
};

static const char *const keys[] = {"env"};
static const char *const values[] = {"prod"};
static const struct cv_decide_entry entries[] = {
    {"a", keys, values, 1, "sealed", false},
    {"b", NULL, NULL, 0, "born", false},
    {"c", NULL, NULL, 0, "sealed", true},
};

static void shows(const struct cv_decide_list *list, char out[4])
{
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        if (cv_decide_list_shows(list, &entries[i]))
            out[n++] = entries[i].name[0];
    }
    out[n] = '\0';
}

static void filters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        char shown[4] = "";
        struct cv_decide_list *list;
        struct cv_decide_result result;
        struct cv_err err;
        struct cv_decide_request r = asked();
        (void)snprintf(text, sizeof(text), HEAD "%s", cases[i].rules);
        struct cv_policy *p = policy_of(text);
        cv_err_init(&err);
        enum cv_status st = cv_decide_list_new(p, &r, &list, &result, &err);
        assert_int_equal(st, cases[i].may ? CV_OK : CV_DENIED);
        assert_int_equal(result.retry_s, -1);
        assert_int_equal(result.permit, cases[i].may);
        assert_int_equal(result.n_rules > 0,
                         cases[i].may || result.cause == CV_DECIDE_FORBIDDEN);
        if (st == CV_OK)
            shows(list, shown);
        else
            assert_null(list);
        if (strcmp(shown, cases[i].shown) != 0 ||
            strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: %s, %s", i, shown, err.text);
        cv_decide_list_free(list);
        cv_policy_free(p);
    }
}

/* With many rules each entry is decided by itself: the same is shown. */
static void check_many(int permits, int forbids)
{
    struct cv_buf b;
    struct cv_decide_list *list;
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    char shown[4];
    cv_buf_init(&b, NULL, CV_KIB(64));
    cv_buf_add_str(&b, HEAD);
    for (int i = 0; i < permits; i++)
        cv_buf_add_format(&b, RULE("p%d", "permit", ", entries: {names: [%s]}"),
                          i, i == permits - 1 ? "a, b" : "other");
    for (int i = 0; i < forbids; i++)
        cv_buf_add_format(&b, RULE("f%d", "forbid", ", entries: {names: [%s]}"),
                          i, i == forbids - 1 ? "b" : "other");
    struct cv_policy *p = policy_of(cv_buf_text(&b));
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL), CV_OK);
    assert_string_equal(result.offer, "p0");
    shows(list, shown);
    assert_string_equal(shown, "a");
    cv_decide_list_free(list);
    cv_policy_free(p);
    cv_buf_wipe(&b);
}

static void filters_by_many_rules(void **state)
{
    (void)state;
    for (int n = 15; n <= 18; n++) {
        check_many(n, 1);
        check_many(1, n);
        check_many(n, n);
    }
}

/* What makes no sense is denied, an entry that makes none is not shown. */
static void refuses_nonsense(void **state)
{
    (void)state;
    struct cv_policy *p = policy_of(HEAD RULE("p", "permit", ""));
    struct cv_decide_list *list;
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    struct cv_decide_entry bad = entries[0];
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL), CV_OK);
    bad.provenance = NULL;
    assert_false(cv_decide_list_shows(list, &bad));
    bad = entries[0];
    bad.name = "";
    assert_false(cv_decide_list_shows(list, &bad));
    cv_decide_list_free(list);
    r.entry = &bad; /* a list is about none */
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL), CV_OK);
    cv_decide_list_free(list);
    r.subject.uid = (uid_t)-1;
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL),
                     CV_DENIED);
    r = asked();
    r.action = CV_ACTION_SHOW;
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL),
                     CV_DENIED);
    assert_null(list);
    cv_decide_list_free(NULL);
    cv_policy_free(p);
}

/* Which of the actions is about entries that are not named yet; of these, the
 * ones that take a key in take no leaky one by a rule that does not say so. */
static void is_about_what_is_not_named(void **state)
{
    static const struct {
        enum cv_action action;
        bool may;
        const char *shown; /* c is leaky */
    } actions[] = {{CV_ACTION_LIST, true, "abc"},
                   {CV_ACTION_FETCH, true, "ab"},
                   {CV_ACTION_FETCH_SERVICE, true, "ab"},
                   {CV_ACTION_IMPORT, true, "ab"},
                   {CV_ACTION_USE, false, ""},
                   {CV_ACTION_EXPORT, false, ""}};
    (void)state;
    struct cv_policy *p = policy_of(
        HEAD "- {name: p, effect: permit, subjects: {users: [alice]}, actions: "
             "[\"*\"], grant: {max_duration: 2h, read_only: true}}\n");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        struct cv_decide_request r = asked();
        struct cv_decide_list *list;
        struct cv_decide_result result;
        char shown[4] = "";
        r.action = actions[i].action;
        r.entry = &entries[0]; /* not looked at */
        assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL),
                         actions[i].may ? CV_OK : CV_DENIED);
        if (list != NULL) {
            shows(list, shown);
            assert_int_equal(result.duration_s, 7200);
            assert_int_equal(result.grant.max_duration_s, 7200);
            assert_true(result.grant.read_only);
        }
        assert_int_equal(result.permit, actions[i].may);
        assert_int_equal(result.n_rules, actions[i].may ? 1 : 0);
        assert_string_equal(shown, actions[i].shown);
        cv_decide_list_free(list);
    }
    cv_policy_free(p);
}

static bool unused(void *context, const char *rule, int64_t per_s,
                   uint64_t count, uint64_t *out, int64_t *free_in_s)
{
    (void)context;
    (void)rule;
    (void)per_s;
    (void)count;
    *out = 0;
    *free_in_s = -1;
    return true;
}

/* Of rules that count, one gives something: the one that was taken. */
static void gives_what_one_rule_gives(void **state)
{
    static const struct cv_decide_counts counts = {NULL, unused, NULL};
    struct cv_decide_list *list;
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    char shown[4];
    (void)state;
    struct cv_policy *p = policy_of(
        HEAD RULE("p", "permit",
                  ", entries: {names: [a]}, limit: {count: 5, per: 1h}")
            RULE("q", "permit",
                 ", entries: {names: [b]}, limit: {count: 1, per: 1h}")
                RULE("f", "forbid", ", entries: {names: [c]}"));
    r.counts = &counts;
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL), CV_OK);
    assert_string_equal(result.offer, "p");
    assert_int_equal(result.retry_s, -1);
    assert_int_equal(result.n_rules, 1);
    assert_string_equal(result.rules[0], "p");
    shows(list, shown);
    assert_string_equal(shown, "a");
    cv_decide_list_free(list);
    /* By name, too. */
    r.subject.by_name = true;
    r.subject.user = "alice";
    assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL), CV_OK);
    shows(list, shown);
    assert_string_equal(shown, "a");
    cv_decide_list_free(list);
    cv_policy_free(p);
}

static bool used_up(void *context, const char *rule, int64_t per_s,
                    uint64_t count, uint64_t *out, int64_t *free_in_s)
{
    (void)context;
    (void)rule;
    *out = count;
    *free_in_s = per_s;
    return true;
}

/* The glass is not broken where a quiet rule is about the entry, also where it
 * gave what is held. */
static void breaks_no_glass_for_it(void **state)
{
    static const struct cv_decide_counts counts = {NULL, used_up, NULL};
    struct cv_decide_list *list;
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    char shown[4];
    (void)state;
    struct cv_policy *p =
        policy_of(HEAD RULE("g", "permit", ", break_glass: true")
                      RULE("l", "permit",
                           ", entries: {names: [a]}, limit: {count: 5, per: "
                           "1h}"));
    r.counts = &counts;
    r.reason = "because";
    r.held_rule = "g";
    for (int loud = 0; loud < 2; loud++) {
        r.break_glass = loud != 0;
        assert_int_equal(cv_decide_list_new(p, &r, &list, &result, NULL),
                         CV_OK);
        assert_string_equal(result.offer, "g");
        shows(list, shown);
        assert_string_equal(shown, loud != 0 ? "abc" : "bc");
        cv_decide_list_free(list);
    }
    cv_policy_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters),
        cmocka_unit_test(filters_by_many_rules),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(is_about_what_is_not_named),
        cmocka_unit_test(gives_what_one_rule_gives),
        cmocka_unit_test(breaks_no_glass_for_it),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
