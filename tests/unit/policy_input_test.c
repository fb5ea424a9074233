/* P14, H81: whatever is wrong with a request is a denial. */
#include "tests/unit/policy_test.h"

/* Permits everything to everyone: only the request itself can be at fault. */
static const char open_policy[] =
    HEAD "- {name: all, effect: permit, subjects: {users: [\"*\"], uids: [0], "
         "groups: [sre, nobody]}, actions: [\"*\"], grant: {max_duration: "
         "36500d}}\n- {name: leaky, effect: permit, subjects: {users: "
         "[\"*\"]}, actions: [\"*\"], entries: {leaky: true}}\n";

struct fixture {
    struct cv_decide_request r;
    struct cv_decide_entry e;
    gid_t gids[CV_DECIDE_GROUPS + 1];
    const char *groups[CV_DECIDE_GROUPS + 1];
    const char *keys[CV_LIMIT_LABELS + 1];
    const char *values[CV_LIMIT_LABELS + 1];
    const char *contexts[CV_LIMIT_CONTEXTS + 1];
};

static struct cv_policy *policy;

static void good(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i <= CV_LIMIT_LABELS; i++) {
        f->keys[i] = "k";
        f->values[i] = "v";
    }
    for (size_t i = 0; i <= CV_LIMIT_CONTEXTS; i++)
        f->contexts[i] = "c";
    for (size_t i = 0; i <= CV_DECIDE_GROUPS; i++) {
        f->gids[i] = 5;
        f->groups[i] = "sre";
    }
    f->e = (struct cv_decide_entry){"a", f->keys, f->values, 1, "born", false};
    f->r.subject.uid = 1000;
    f->r.subject.gid = 1000;
    f->r.subject.gids = f->gids;
    f->r.subject.n_gids = 2;
    f->r.action = CV_ACTION_USE;
    f->r.entry = &f->e;
    f->r.reason = "r";
    f->r.ticket = "t";
    f->r.contexts = f->contexts;
    f->r.n_contexts = 1;
    f->r.mode = CV_DECIDE_MODE_SERVICE;
    f->r.now_s = MONDAY_10;
}

static bool permits(const struct fixture *f)
{
    struct cv_decide_result result;
    struct cv_err err;
    cv_err_init(&err);
    enum cv_status st = cv_decide_run(policy, &f->r, &result, &err);
    assert_int_equal(st, result.permit ? CV_OK : CV_DENIED);
    if (!result.permit) {
        assert_int_equal(result.cause, CV_DECIDE_BAD_INPUT);
        assert_null(result.offer);
        assert_int_equal(result.n_rules, 0);
        assert_int_equal(result.duration_s, 0);
        assert_true(err.text[0] != '\0');
    }
    return result.permit;
}

#define PERMITS(change)           \
    do {                          \
        struct fixture f;         \
        good(&f);                 \
        change;                   \
        assert_true(permits(&f)); \
    } while (0)
#define DENIES(change)             \
    do {                           \
        struct fixture f;          \
        good(&f);                  \
        change;                    \
        assert_false(permits(&f)); \
    } while (0)

static void subjects(void **state)
{
    (void)state;
    PERMITS((void)0);
    PERMITS(f.r.subject.uid = 0);
    PERMITS(f.r.subject.uid = 65533);
    PERMITS(f.r.subject.uid = 65535);
    PERMITS(f.r.subject.uid = 4294967293U);
    DENIES(f.r.subject.uid = 65534);
    DENIES(f.r.subject.uid = 4294967294U);
    DENIES(f.r.subject.uid = (uid_t)-1);
    PERMITS(f.r.subject.gid = 65534);
    PERMITS(f.r.subject.gid = 4294967293U);
    DENIES(f.r.subject.gid = 4294967294U);
    DENIES(f.r.subject.gid = (gid_t)-1);
    PERMITS(f.gids[1] = 4294967293U);
    DENIES(f.gids[1] = 4294967294U);
    DENIES(f.gids[1] = (gid_t)-1);
    DENIES(f.gids[0] = (gid_t)-1);
    PERMITS(f.r.subject.gids = NULL; f.r.subject.n_gids = 0);
    DENIES(f.r.subject.gids = NULL);
    PERMITS(f.r.subject.n_gids = CV_DECIDE_GROUPS);
    DENIES(f.r.subject.n_gids = CV_DECIDE_GROUPS + 1);
}

static void names(void **state)
{
    (void)state;
#define NAMED                      \
    f.r.subject.by_name = true;    \
    f.r.subject.user = "alice";    \
    f.r.subject.groups = f.groups; \
    f.r.subject.n_groups = 1
    PERMITS(NAMED);
    PERMITS(NAMED; f.r.subject.uid = (uid_t)-1);
    PERMITS(NAMED; f.e.provenance = NULL);
    DENIES(NAMED; f.r.subject.user = NULL);
    DENIES(NAMED; f.r.subject.user = "");
    DENIES(NAMED; f.r.subject.groups = NULL);
    DENIES(NAMED; f.r.subject.n_groups = 2; f.groups[1] = NULL);
    DENIES(NAMED; f.r.subject.n_groups = 2; f.groups[0] = NULL);
    PERMITS(NAMED; f.r.subject.n_groups = CV_DECIDE_GROUPS);
    DENIES(NAMED; f.r.subject.n_groups = CV_DECIDE_GROUPS + 1);
}

static void actions(void **state)
{
    (void)state;
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++)
        PERMITS(f.r.action = (enum cv_action)a);
    DENIES(f.r.action = CV_ACTION_NONE);
    DENIES(f.r.action = CV_ACTION_COUNT);
    DENIES(f.r.action = (enum cv_action)31);
    DENIES(f.r.action = (enum cv_action) - 1);
}

static void entries(void **state)
{
    (void)state;
    PERMITS(f.r.entry = NULL);
    DENIES(f.e.name = NULL);
    DENIES(f.e.name = "");
    DENIES(f.e.name = "a b");
    DENIES(f.e.name = "a..b");
    DENIES(f.e.name = "pr\xc3\xb6"
                      "d");
    DENIES(f.e.name = "*");
    PERMITS(f.e.name = "host.example."); /* H82: another name than without */
    DENIES(f.e.provenance = NULL);
    DENIES(f.e.provenance = "");
    DENIES(f.e.provenance = "none");
    DENIES(f.e.provenance = "made");
    PERMITS(f.e.n_labels = CV_LIMIT_LABELS);
    DENIES(f.e.n_labels = CV_LIMIT_LABELS + 1);
    DENIES(f.e.keys = NULL);
    DENIES(f.e.values = NULL);
    DENIES(f.keys[0] = NULL);
    DENIES(f.values[0] = NULL);
    PERMITS(f.e.keys = NULL; f.e.values = NULL; f.e.n_labels = 0);
}

/* An approval that is none spoils the request: nobody may guess what was meant.
 */
static void approvals(void **state)
{
    (void)state;
    struct cv_decide_approval two[2] = {{.uid = 5}, {.uid = 6}};
    const char *const some[] = {"sre", NULL}, *const none[] = {NULL, "sre"};
    PERMITS(f.r.approvals = two; f.r.n_approvals = 2);
    DENIES(f.r.n_approvals = 1);
    DENIES(f.r.approvals = two; f.r.n_approvals = CV_DECIDE_APPROVALS_MOST + 1);
    PERMITS(NAMED; two[0].user = "bob"; two[1].user = "carol";
            f.r.approvals = two; f.r.n_approvals = 2);
    DENIES(NAMED; two[0].user = NULL; f.r.approvals = two; f.r.n_approvals = 2);
    DENIES(NAMED; two[0].user = ""; f.r.approvals = two; f.r.n_approvals = 2);
    DENIES(NAMED; two[0].user = "bob"; two[1].user = NULL; f.r.approvals = two;
           f.r.n_approvals = 2);
    for (size_t i = 0; i < 2; i++) {
        struct cv_decide_approval one[2] = {{.user = "b"}, {.user = "c"}};
        one[i].groups = some;
        one[i].n_groups = 1;
        PERMITS(NAMED; f.r.approvals = one; f.r.n_approvals = 2);
        one[i].n_groups = 2;
        DENIES(NAMED; f.r.approvals = one; f.r.n_approvals = 2);
        one[i].groups = none;
        DENIES(NAMED; f.r.approvals = one; f.r.n_approvals = 2);
        one[i].groups = NULL;
        DENIES(NAMED; f.r.approvals = one; f.r.n_approvals = 2);
        one[i].n_groups = 0;
        one[i].n_gids = 1;
        DENIES(NAMED; f.r.approvals = one; f.r.n_approvals = 2);
        one[i].n_gids = CV_DECIDE_GROUPS + 1;
        DENIES(f.r.approvals = one; f.r.n_approvals = 2);
    }
}

/* As many groups as a request may have, and no more. */
static void groups_of_an_approver(void **state)
{
    struct cv_decide_approval a = {.uid = 1001, .gid = 5, .user = "bob"};
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct fixture f;
        good(&f);
        f.r.approvals = &a;
        f.r.n_approvals = 1;
        a.gids = f.gids;
        a.groups = f.groups;
        a.n_groups = 0;
        a.n_gids = CV_DECIDE_GROUPS + more;
        assert_int_equal(permits(&f), more == 0);
        a.n_gids = 0;
        a.n_groups = CV_DECIDE_GROUPS + more;
        assert_int_equal(permits(&f), more == 0);
    }
}

/* Not only the first of many is looked at. */
static void the_second_of_two(void **state)
{
    struct cv_decide_approval two[2] = {{.uid = 1001, .user = "bob"},
                                        {.uid = 1002, .user = "carol"}};
    const char *names[2] = {"sre", NULL};
    (void)state;
    PERMITS(f.e.n_labels = 2);
    DENIES(f.e.n_labels = 2; f.keys[1] = NULL);
    DENIES(f.e.n_labels = 2; f.values[1] = NULL);
    PERMITS(f.r.n_contexts = 2);
    DENIES(f.r.n_contexts = 2; f.contexts[1] = NULL);
    DENIES(f.gids[1] = 4294967294U);
    PERMITS(NAMED; f.r.subject.n_groups = 2);
    DENIES(NAMED; f.r.subject.n_groups = 2; f.groups[1] = NULL);
    PERMITS(f.r.approvals = two; f.r.n_approvals = 2);
    PERMITS(NAMED; f.r.approvals = two; f.r.n_approvals = 2);
    two[1].groups = names;
    two[1].n_groups = 2;
    DENIES(NAMED; f.r.approvals = two; f.r.n_approvals = 2);
    two[1].groups = NULL;
    two[1].n_groups = 0;
    two[1].user = "";
    DENIES(NAMED; f.r.approvals = two; f.r.n_approvals = 2);
}

static void the_rest(void **state)
{
    (void)state;
    char words[CV_LIMIT_REASON + 2];
    memset(words, 'x', sizeof(words));
    words[CV_LIMIT_REASON + 1] = '\0';
    PERMITS(f.r.reason = NULL; f.r.ticket = NULL);
    PERMITS(f.r.reason = words + 1);
    DENIES(f.r.reason = words);
    PERMITS(f.r.ticket = words + 1 + CV_LIMIT_REASON - CV_LIMIT_TICKET);
    DENIES(f.r.ticket = words + CV_LIMIT_REASON - CV_LIMIT_TICKET);
    PERMITS(f.r.n_contexts = CV_LIMIT_CONTEXTS);
    DENIES(f.r.n_contexts = CV_LIMIT_CONTEXTS + 1);
    DENIES(f.r.contexts = NULL);
    DENIES(f.contexts[0] = NULL);
    PERMITS(f.r.mode = CV_DECIDE_MODE_EXEC);
    DENIES(f.r.mode = CV_DECIDE_MODE_NONE);
    DENIES(f.r.mode = (enum cv_decide_mode)4);
    DENIES(f.r.mode = (enum cv_decide_mode) - 1);
    PERMITS(f.r.now_s = 0);
    DENIES(f.r.now_s = -1);
    DENIES(f.r.now_s = INT64_MIN);
    PERMITS(f.r.now_s = INT64_C(253402300799));
    DENIES(f.r.now_s = INT64_C(253402300800));
    DENIES(f.r.now_s = INT64_MAX);
    DENIES(f.r.duration_s = -1);
    PERMITS(f.r.duration_s = INT64_C(36500) * 86400);
    /* beyond what any grant is, and beyond what a duration can be */
    DENIES(f.r.duration_s = INT64_C(36600) * 86400 + 1);
    struct fixture longest;
    struct cv_decide_result result;
    good(&longest);
    longest.r.duration_s = INT64_C(36600) * 86400;
    assert_int_equal(cv_decide_run(policy, &longest.r, &result, NULL),
                     CV_DENIED);
    assert_int_equal(result.cause, CV_DECIDE_UNMET);
}

/* A policy that was not resolved decides nothing. */
static void unresolved(void **state)
{
    (void)state;
    struct fixture f;
    struct cv_policy *p;
    struct cv_decide_result result;
    struct cv_err err;
    static const char text[] =
        HEAD "- {name: all, effect: permit, subjects: {uids: [1000]}, actions: "
             "[\"*\"]}\n";
    static const char zoned[] =
        HEAD "- {name: all, effect: permit, subjects: {users: [alice]}, "
             "actions: [\"*\"]}\n- {name: z, effect: permit, subjects: "
             "{users: [bob]}, actions: [show], when: {days: [mon], timezone: "
             "Europe/Berlin}}\n";
    good(&f);
    cv_err_init(&err);
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, NULL, NULL), CV_OK);
    assert_int_equal(cv_decide_run(p, &f.r, &result, &err), CV_DENIED);
    assert_int_equal(result.cause, CV_DECIDE_NOT_READY);
    assert_non_null(strstr(err.text, "not resolved"));
    f.r.subject.by_name = true;
    f.r.subject.user = "1000";
    assert_int_equal(cv_decide_run(p, &f.r, &result, NULL), CV_OK);
    cv_policy_free(p);

    /* By name no numbers are needed, but every zone is. */
    f.r.subject.user = "alice";
    assert_int_equal(cv_policy_parse(bytes_of(zoned), &p, NULL, NULL), CV_OK);
    assert_int_equal(cv_decide_run(p, &f.r, &result, NULL), CV_DENIED);
    assert_int_equal(result.cause, CV_DECIDE_NOT_READY);
    cJSON *all = resolution_of(p);
    assert_int_equal(
        cv_policy_set_zones(p, cJSON_GetObjectItemCaseSensitive(all, "zones"),
                            NULL),
        CV_OK);
    cJSON_Delete(all);
    assert_int_equal(cv_decide_run(p, &f.r, &result, NULL), CV_OK);
    f.r.subject.by_name = false;
    assert_int_equal(cv_decide_run(p, &f.r, &result, NULL), CV_DENIED);
    assert_int_equal(result.cause, CV_DECIDE_NOT_READY);
    cv_policy_free(p);
}

static void words_of_modes(void **state)
{
    (void)state;
    for (unsigned m = 1; m <= CV_DECIDE_MODE_SERVICE; m++)
        assert_int_equal(cv_decide_mode_from_name(
                             cv_decide_mode_name((enum cv_decide_mode)m)),
                         m);
    assert_int_equal(cv_decide_mode_from_name("none"), CV_DECIDE_MODE_NONE);
    assert_int_equal(cv_decide_mode_from_name(NULL), CV_DECIDE_MODE_NONE);
    assert_int_equal(cv_decide_mode_from_name("Service"), CV_DECIDE_MODE_NONE);
    assert_string_equal(cv_decide_mode_name((enum cv_decide_mode)9), "none");
}

/* The list of the contract, in its order. */
static void words_of_actions(void **state)
{
    (void)state;
    static const char *const words[] = {
        "fetch",      "fetch.service", "import",       "list",  "show",
        "use",        "sign.raw",      "export",       "issue", "renew",
        "rotate",     "revoke",        "remove",       "edit",  "approve",
        "audit.read", "policy.read",   "policy.apply", "admin"};
    assert_int_equal(CV_ACTION_COUNT, 1 + sizeof(words) / sizeof(words[0]));
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++) {
        assert_string_equal(cv_action_name((enum cv_action)a), words[a - 1]);
        assert_int_equal(cv_action_from_name(words[a - 1]), a);
    }
    assert_int_equal(cv_action_from_name("*"), CV_ACTION_NONE);
    assert_int_equal(cv_action_from_name("none"), CV_ACTION_NONE);
    assert_int_equal(cv_action_from_name(NULL), CV_ACTION_NONE);
    assert_int_equal(cv_action_from_name(""), CV_ACTION_NONE);
    assert_string_equal(cv_action_name(CV_ACTION_COUNT), "none");
    assert_string_equal(cv_action_name((enum cv_action) - 1), "none");
}

static int begin(void **state)
{
    (void)start(state);
    policy = policy_of(open_policy);
    return 0;
}

static int end(void **state)
{
    (void)state;
    cv_policy_free(policy);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subjects),
        cmocka_unit_test(names),
        cmocka_unit_test(actions),
        cmocka_unit_test(entries),
        cmocka_unit_test(approvals),
        cmocka_unit_test(groups_of_an_approver),
        cmocka_unit_test(the_second_of_two),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(unresolved),
        cmocka_unit_test(words_of_modes),
        cmocka_unit_test(words_of_actions),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
