/* Edges that mistakes made on purpose (tests/mutate) found unguarded. */
#include "policy/pattern.h"
#include "policy/pool_internal.h"
#include "policy/zone.h"
#include "tests/unit/policy_test.h"

#define RULE                                                        \
    HEAD "- {name: r, effect: permit, subjects: {users: [alice]}, " \
         "actions: [\"*\"]"

static struct cv_decide_request asked(enum cv_action action)
{
    struct cv_decide_request r = {
        .action = action, .mode = CV_DECIDE_MODE_SERVICE, .now_s = MONDAY_10};
    r.subject.uid = 1001;
    r.subject.gid = 1001;
    return r;
}

static bool permits(const char *text, const struct cv_decide_request *request,
                    struct cv_err *err)
{
    struct cv_policy *policy = policy_of(text);
    struct cv_decide_result result;
    cv_err_init(err);
    enum cv_status st = cv_decide_run(policy, request, &result, err);
    cv_policy_free(policy);
    return st == CV_OK;
}

/* What leaves with the key, or signs anything, cannot be held to a grant's
 * limits: each of the three. */
static void limits_nothing_can_keep(void **state)
{
    static const char text[] = RULE ", grant: {read_only: true}}\n";
    static const enum cv_action never[] = {CV_ACTION_EXPORT, CV_ACTION_SIGN_RAW,
                                           CV_ACTION_ISSUE};
    struct cv_err err;
    (void)state;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        struct cv_decide_request r = asked(never[i]);
        assert_false(permits(text, &r, &err));
        assert_true(permits(RULE "}\n", &r, &err));
    }
    struct cv_decide_request r = asked(CV_ACTION_USE);
    assert_true(permits(text, &r, &err));
}

static void words(void **state)
{
    struct cv_err err;
    struct cv_decide_request r = asked(CV_ACTION_USE);
    (void)state;
    assert_false(permits(RULE ", when: {hours: \"11:00-12:00\"}}\n", &r, &err));
    assert_non_null(strstr(err.text, "UTC"));
    r.duration_s = 5401;
    assert_false(permits(RULE ", grant: {max_duration: 90m}}\n", &r, &err));
    assert_non_null(strstr(err.text, "90m"));
    /* Three forbids are named, and no others hinted at. */
    static const char three[] = HEAD "- {name: a, effect: forbid, subjects: "
                                     "{uids: [1001]}, actions: [use]}\n"
                                     "- {name: b, effect: forbid, subjects: "
                                     "{uids: [1001]}, actions: [use]}\n"
                                     "- {name: c, effect: forbid, subjects: "
                                     "{uids: [1001]}, actions: [use]}\n";
    r.duration_s = 0;
    assert_false(permits(three, &r, &err));
    assert_non_null(strstr(err.text, "\"c\""));
    assert_null(strstr(err.text, "others"));
    assert_string_equal(err.hint, "`certvault policy explain` shows the rules");
    /* Who may not read the policy is not sent to what shows it. */
    r.action = CV_ACTION_POLICY_READ;
    r.subject.uid = 1002;
    assert_false(permits(RULE "}\n", &r, &err));
    assert_string_equal(err.hint, "who may apply a policy can add one");
    r.subject.uid = 1001;
    static const char shut[] = HEAD "- {name: a, effect: forbid, subjects: "
                                    "{uids: [1001]}, actions: [\"*\"]}\n";
    assert_false(permits(shut, &r, &err));
    assert_string_equal(err.hint, "who may apply a policy can change that");
    r.action = CV_ACTION_USE;
    assert_false(permits(RULE ", when: {anchor_age: 90m}}\n", &r, &err));
    assert_string_equal(err.text, "use is denied: the log was not anchored "
                                  "within 90m (rule \"r\")");
    assert_string_equal(err.hint, "anchor the log (certvault audit anchor)");
    assert_false(permits(RULE ", when: {anchor_age: 1s}}\n", &r, &err));
    r.anchored = true;
    r.anchor_age_s = 5400;
    assert_true(permits(RULE ", when: {anchor_age: 90m}}\n", &r, &err));
    r.anchor_age_s++;
    assert_false(permits(RULE ", when: {anchor_age: 90m}}\n", &r, &err));
}

/* What a policy says of itself: the smallest of its anchors' ages. */
static void smallest_age(void **state)
{
#define AGE(name, age)                                           \
    "- {name: " name ", effect: permit, subjects: {uids: [1]}, " \
    "actions: [use], when: {anchor_age: " age "}}\n"
    static const struct {
        const char *text;
        int64_t age;
    } ages[] = {{HEAD AGE("a", "1h") AGE("b", "30m") AGE("c", "2h"), 1800},
                {HEAD AGE("a", "1s") AGE("b", "5s"), 1},
                {HEAD AGE("a", "5s"), 5},
                {RULE "}\n", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        struct cv_policy *p = policy_of(ages[i].text);
        assert_int_equal(cv_policy_anchor_age(p), ages[i].age);
        cv_policy_free(p);
    }
    assert_string_equal(cv_policy_record_name((enum cv_policy_record)3),
                        "writes");
    assert_string_equal(cv_policy_record_name(CV_POLICY_RECORD_ALL), "all");
}

/* The longest name there is, to the word. */
static void long_names(void **state)
{
    struct cv_decide_entry e = {.provenance = "born"};
    struct cv_decide_request r = asked(CV_ACTION_USE);
    struct cv_err err;
    char name[CV_LIMIT_NAME + 1];
    char text[CV_LIMIT_NAME + 64];
    (void)state;
    memset(name, 'n', CV_LIMIT_NAME);
    name[CV_LIMIT_NAME] = '\0';
    e.name = name;
    r.entry = &e;
    assert_false(permits(RULE ", entries: {names: [x]}}\n", &r, &err));
    (void)snprintf(text, sizeof(text), "no rule permits use of \"%s\"", name);
    assert_string_equal(err.text, text);
    /* Globs whose beginnings are as long as a name, and longer. */
    for (int len = CV_LIMIT_NAME - 1; len <= CV_LIMIT_NAME + 3; len++) {
        char rule[512];
        char glob[CV_LIMIT_NAME + 8];
        memset(glob, 'n', sizeof(glob));
        glob[len] = '\0';
        (void)snprintf(rule, sizeof(rule),
                       RULE ", entries: {names: [\"%s*\", x]}}\n", glob);
        assert_int_equal(permits(rule, &r, &err), len <= CV_LIMIT_NAME);
    }
}

/* A table is never full: what is not in it is looked for in vain, not for ever.
 */
static void looks_in_vain(void **state)
{
    struct cv_decide_entry e = {.name = "other", .provenance = "born"};
    struct cv_decide_request r = asked(CV_ACTION_USE);
    struct cv_err err;
    (void)state;
    r.entry = &e;
    for (int n = 1; n <= 65; n++) {
        struct cv_buf b;
        cv_buf_init(&b, NULL, CV_KIB(64));
        cv_buf_add_str(&b, HEAD "- {name: r, effect: permit, subjects: {uids: "
                                "[1001]}, actions: [use], entries: {names: [");
        for (int i = 0; i < n; i++)
            cv_buf_add_format(&b, "%sn%d", i > 0 ? ", " : "", i);
        cv_buf_add_str(&b, "]}}\n");
        e.name = "other";
        assert_false(permits(cv_buf_text(&b), &r, &err));
        e.name = "n0";
        assert_true(permits(cv_buf_text(&b), &r, &err));
        cv_buf_wipe(&b);
    }
}

/* An entry that lies in all the places that one can: each beginning of the
 * longest name, the name itself, and as many labels as there may be. Only the
 * rule about its last label is about its key. */
static void lies_everywhere(void **state)
{
    char keys[CV_LIMIT_LABELS][8];
    char name[CV_LIMIT_NAME + 1];
    const char *of_keys[CV_LIMIT_LABELS];
    const char *of_values[CV_LIMIT_LABELS];
    struct cv_decide_entry e = {name,   of_keys, of_values, CV_LIMIT_LABELS,
                                "born", false};
    struct cv_decide_request r = asked(CV_ACTION_USE);
    struct cv_err err;
    struct cv_buf b;
    (void)state;
    r.entry = &e;
    memset(name, 'n', CV_LIMIT_NAME);
    name[CV_LIMIT_NAME] = '\0';
    for (int i = 0; i < CV_LIMIT_LABELS; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        of_keys[i] = keys[i];
        of_values[i] = "v";
    }
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_buf_add_str(&b, HEAD);
    for (int i = 0; i <= CV_LIMIT_NAME + 1; i++)
        cv_buf_add_format(&b,
                          "- {name: r%d, effect: permit, subjects: {uids: "
                          "[1001]}, actions: [use], entries: {names: "
                          "[\"%.*s%s\"], provenance: [adopted]}}\n",
                          i, i, name, i <= CV_LIMIT_NAME ? "*" : "");
    cv_buf_add_format(&b,
                      "- {name: last, effect: permit, subjects: {uids: "
                      "[1001]}, actions: [use], entries: {labels: {%s: v}}}\n",
                      keys[CV_LIMIT_LABELS - 1]);
    assert_true(permits(cv_buf_text(&b), &r, &err));
    e.n_labels--;
    assert_false(permits(cv_buf_text(&b), &r, &err));
    cv_buf_wipe(&b);
}

/* One label that is a pattern keeps the rule from being filed under labels,
 * wherever it stands. */
static void finds_a_pattern_among_labels(void **state)
{
    static const char *const labels[] = {
        "{a: x, b: \"v*\"}", "{b: \"v*\", a: x}", "{a: x, c: y, b: \"v?\"}"};
    static const char *const keys[] = {"b"};
    static const char *const values[] = {"v1"};
    struct cv_decide_entry e = {"n", keys, values, 1, "born", false};
    struct cv_decide_request r = asked(CV_ACTION_USE);
    struct cv_err err;
    (void)state;
    r.entry = &e;
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
                       HEAD "- {name: r, effect: permit, subjects: {uids: "
                            "[1001]}, actions: [use], entries: {labels: %s}}\n",
                       labels[i]);
        assert_true(permits(text, &r, &err));
    }
}

/* More than the index has room for at first, twice. */
static void files_many(void **state)
{
    struct cv_decide_request r = asked(CV_ACTION_USE);
    struct cv_buf b;
    (void)state;
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_buf_add_str(&b, HEAD);
    for (int i = 0; i < 40; i++) {
        cv_buf_add_format(&b,
                          "- {name: r%d, effect: permit, actions: [use], "
                          "subjects: {uids: [1000",
                          i);
        for (int k = 0; k < 60; k++)
            cv_buf_add_format(&b, ", %d", 1100 + i * 60 + k);
        cv_buf_add_str(&b, "]}}\n");
    }
    struct cv_policy *policy = policy_of(cv_buf_text(&b));
    for (int i = -1; i < 40 * 60; i++) {
        struct cv_decide_result result;
        r.subject.uid = 1100 + (uid_t)i;
        assert_int_equal(cv_decide_run(policy, &r, &result, NULL),
                         i < 0 ? CV_DENIED : CV_OK);
    }
    cv_policy_free(policy);
    cv_buf_wipe(&b);
}

static void pools(void **state)
{
    struct cv_pool pool = {0};
    struct cv_texts texts = {0};
    char name[16];
    (void)state;
    assert_null(cv_pool_alloc(&pool, SIZE_MAX));
    assert_null(cv_pool_alloc(&pool, SIZE_MAX / 2 + 1));
    for (size_t len = 0; len < 70000; len = len * 3 + 1) {
        char *a = cv_pool_alloc(&pool, len);
        char *b = cv_pool_alloc(&pool, len);
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal((uintptr_t)a % _Alignof(max_align_t), 0);
        assert_int_equal((uintptr_t)b % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < len; i++)
            assert_true(a[i] == 0 && b[i] == 0);
        memset(a, 1, len);
        memset(b, 2, len);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(a[i], 1);
    }
    assert_int_equal(cv_pool_find(&texts, "t0"), CV_TEXTS_NONE);
    for (size_t i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "t%zu", i);
        assert_int_equal(cv_pool_find(&texts, name), CV_TEXTS_NONE);
        assert_int_equal(cv_pool_intern(&pool, &texts, name), i);
        assert_int_equal(cv_pool_intern(&pool, &texts, name), i);
        assert_string_equal(texts.list[i], name);
    }
    for (size_t i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "t%zu", i);
        assert_int_equal(cv_pool_find(&texts, name), i);
    }
    cv_pool_free(&pool);
    cv_pool_free(&pool);
}

static void hours_are_digits(void **state)
{
    static const char *const bad[] = {
        "1/:00-18:00", "0::00-18:00", "08:0/-18:00", "08:00-1/:00",
        "08x00-18:00", "08:00-18x00", "08:0:-18:00", "08:00-18:0:"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[512];
        struct cv_policy *policy = NULL;
        (void)snprintf(text, sizeof(text), RULE ", when: {hours: \"%s\"}}\n",
                       bad[i]);
        assert_int_equal(cv_policy_parse(bytes_of(text), &policy, NULL, NULL),
                         CV_INVALID);
        assert_null(policy);
    }
}

static enum cv_status compiled(const char *text)
{
    struct cv_pattern *p = NULL;
    enum cv_status st = cv_pattern_compile(text, &p, NULL);
    cv_pattern_free(p);
    return st;
}

static void patterns(void **state)
{
    struct cv_pattern *p = NULL;
    (void)state;
    assert_int_equal(cv_pattern_compile("a b", &p, NULL), CV_OK);
    assert_true(cv_pattern_matches(p, "a b", 3));
    assert_false(cv_pattern_matches(p, "a_b", 3));
    cv_pattern_free(p);
    assert_int_equal(compiled("a\\1"), CV_INVALID);
    assert_int_equal(compiled("a\\9"), CV_INVALID);
    /* One beside the other is not one within the other. */
    assert_int_equal(compiled("(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)"
                              "(a)(a)"),
                     CV_OK);
    /* The largest that is taken. */
    assert_int_equal(compiled("(x{255}){4}xxx"), CV_OK);
    assert_int_equal(compiled("(x{255}){4}xxxx"), CV_INVALID);
}

static void names_and_numbers(void **state)
{
    struct cv_policy *policy = NULL;
    cJSON *o = cJSON_CreateObject();
    cJSON *users = cJSON_AddObjectToObject(o, "users");
    (void)state;
    assert_true(cv_zone_is_name("z/zZ"));
    assert_int_equal(cv_policy_parse(bytes_of(RULE "}\n"), &policy, NULL, NULL),
                     CV_OK);
    assert_non_null(cJSON_AddObjectToObject(o, "groups"));
    assert_non_null(cJSON_AddObjectToObject(o, "zones"));
    assert_non_null(cJSON_AddNumberToObject(users, "alice", -1));
    assert_int_equal(cv_policy_resolve(policy, o, NULL, NULL), CV_INVALID);
    cJSON_Delete(o);
    cv_policy_free(policy);
}

static void cases_of_another_kind(void **state)
{
    static const char text[] =
        "apiVersion: certvault/v2\nkind: PolicyTest\ncases:\n"
        "- {user: alice, groups: [], action: use, expect: deny}\n";
    struct cv_policy *policy = policy_of(RULE "}\n");
    cJSON *out = NULL;
    (void)state;
    assert_int_equal(
        cv_cases_run(policy, bytes_of(text), MONDAY_10, &out, NULL, NULL),
        CV_INVALID);
    assert_null(out);
    cv_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_nothing_can_keep),
        cmocka_unit_test(words),
        cmocka_unit_test(smallest_age),
        cmocka_unit_test(long_names),
        cmocka_unit_test(looks_in_vain),
        cmocka_unit_test(lies_everywhere),
        cmocka_unit_test(finds_a_pattern_among_labels),
        cmocka_unit_test(files_many),
        cmocka_unit_test(pools),
        cmocka_unit_test(hours_are_digits),
        cmocka_unit_test(patterns),
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(cases_of_another_kind),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
