/* Whose consent counts, and what is told of an offer. */
#include "tests/unit/policy_offer.h"

/* What the offer says is in the result. */
static void tells_the_offer(void **state)
{
    (void)state;
    static const struct ask c = {
        .rules = PERMIT("g", ", break_glass: true, limit: {count: 7, per: 2h, "
                             "sessions: 3}, require: {approvals: {count: 2, "
                             "from: {users: [bob], groups: [leads], uids: "
                             "[5]}, signed: true}}" LONG)};
    struct asked a;
    struct cv_decide_result r;
    struct cv_policy *p = policy_with(c.rules);
    make(&c, &a);
    a.r.read_only = true;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_BUSY);
    assert_int_equal(r.limit.count, 7);
    assert_int_equal(r.limit.per_s, 7200);
    assert_int_equal(r.limit.sessions, 3);
    assert_int_equal(r.require.approvals, 2);
    assert_true(r.require.is_signed);
    assert_string_equal(r.require.users[0], "bob");
    assert_null(r.require.users[1]);
    assert_string_equal(r.require.groups[0], "leads");
    assert_null(r.require.groups[1]);
    assert_int_equal(r.require.n_uids, 1);
    assert_int_equal(r.require.uids[0], 5);
    assert_int_equal(r.approvals_needed, 2);
    assert_true(r.break_glass);
    assert_true(r.grant.read_only);
    assert_int_equal(r.grant.max_duration_s, 12 * 3600);
    assert_int_equal(r.duration_s, 8 * 3600);
    a.r.duration_s = 60;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_BUSY);
    assert_int_equal(r.duration_s, 60);
    cv_policy_free(p);
}

/* With counts that know only one of both. */
static void wants_both_counts(void **state)
{
    (void)state;
    static const struct ask c = {
        .rules = LIMIT("p", "count: 2, per: 1h, sessions: 1")};
    struct asked a;
    struct cv_decide_result r;
    struct cv_policy *p = policy_with(c.rules);
    make(&c, &a);
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_OK);
    a.counts.used = NULL;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_DENIED);
    assert_int_equal(r.cause, CV_DECIDE_NO_COUNTS);
    a.counts.used = was_used;
    a.counts.sessions = NULL;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_DENIED);
    assert_int_equal(r.cause, CV_DECIDE_NO_COUNTS);
    cv_policy_free(p);
}

static bool says_nothing(void *context, const char *rule, int64_t per_s,
                         uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    (void)context;
    (void)rule;
    (void)per_s;
    (void)used;
    (void)free_in_s;
    return count > 0;
}

static bool says_used(void *context, const char *rule, int64_t per_s,
                      uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    (void)context;
    (void)rule;
    (void)per_s;
    (void)free_in_s;
    *used = count;
    return true;
}

static bool says_no_more(void *context, const char *rule, uint64_t *live)
{
    (void)context;
    (void)rule;
    (void)live;
    return true;
}

/* What is left unsaid of a count is nothing, and of a time not known. */
static void takes_the_unsaid(void **state)
{
    (void)state;
    static const struct ask c = {
        .rules = LIMIT("p", "count: 1, per: 1h, sessions: 1")};
    struct asked a;
    struct cv_decide_result r;
    struct cv_policy *p = policy_with(c.rules);
    make(&c, &a);
    a.counts.used = says_nothing;
    a.counts.sessions = says_no_more;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_OK);
    a.counts.used = says_used;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_BUSY);
    assert_int_equal(r.retry_s, -1);
    cv_policy_free(p);
}

/* By name nothing is looked up, and texts are whole. */
static void takes_consent_by_name(void **state)
{
    (void)state;
    static const struct ask c = {
        .rules = ASK("p", "count: 1, from: {users: [bob], groups: [leads], "
                          "uids: [77]}, signed: true")};
    static const char *const leads[] = {"x", "leads"};
    static const struct {
        struct cv_decide_approval a;
        bool counts;
    } who[] = {
        {{.user = "bob", .is_signed = true}, true},
        {{.user = "bob"}, false},
        {{.user = "bobo", .is_signed = true}, false},
        {{.user = "alice", .is_signed = true}, false},
        {{.user = "carol", .groups = leads, .n_groups = 2, .is_signed = true},
         true},
        {{.user = "carol", .groups = leads, .n_groups = 1, .is_signed = true},
         false},
        {{.user = "alice", .groups = leads, .n_groups = 2, .is_signed = true},
         false}, /* one's own */
        {{.user = "77", .is_signed = true}, true},
    };
    struct asked a;
    struct cv_decide_result r;
    struct cv_policy *p = policy_with(c.rules);
    make(&c, &a);
    a.r.subject = (struct cv_decide_subject){.by_name = true, .user = "alice"};
    for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
        a.approvals[0] = who[i].a;
        a.r.n_approvals = 1;
        bool own = strcmp(who[i].a.user, "alice") == 0;
        if ((cv_decide_run(p, &a.r, &r, NULL) == CV_OK) != who[i].counts ||
            (!own && cv_decide_may_approve(p, "p", &who[i].a) != who[i].counts))
            fail_msg("%zu", i);
    }
    /* Two of one name are one. */
    a.approvals[0] = who[0].a;
    a.approvals[1] = who[0].a;
    a.r.n_approvals = 2;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_OK);
    assert_int_equal(r.approvals_had, 1);
    a.approvals[1] = who[7].a;
    assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), CV_OK);
    assert_int_equal(r.approvals_had, 2);
    cv_policy_free(p);
}

static void tells_who_may_approve(void **state)
{
    (void)state;
    struct cv_policy *p = policy_with(
        ASK("p", "count: 1, " LEADS) ASK("s", "count: 1, signed: true, " LEADS)
            PERMIT("q", "") "- {name: f, effect: forbid, subjects: {users: "
                            "[bob]}, actions: [use]}\n");
    static const gid_t gids[] = {5, 2002};
    struct cv_decide_approval a = {.uid = 1002, .gid = 100};
    assert_false(cv_decide_may_approve(p, "p", &a));
    a.gids = gids;
    a.n_gids = 2;
    assert_true(cv_decide_may_approve(p, "p", &a));
    assert_false(cv_decide_may_approve(p, "s", &a));
    a.is_signed = true;
    assert_true(cv_decide_may_approve(p, "s", &a));
    assert_false(cv_decide_may_approve(p, "q", &a));
    assert_false(cv_decide_may_approve(p, "f", &a));
    assert_false(cv_decide_may_approve(p, "x", &a));
    assert_false(cv_decide_may_approve(p, NULL, &a));
    a.uid = 65534;
    assert_false(cv_decide_may_approve(p, "p", &a));
    a.uid = 1002;
    a.gids = NULL;
    assert_false(cv_decide_may_approve(p, "p", &a));
    a.gids = gids;
    a.n_gids = CV_DECIDE_GROUPS + 1;
    assert_false(cv_decide_may_approve(p, "p", &a));
    assert_int_equal(cv_policy_require_of(p, "p")->approvals, 1);
    assert_true(cv_policy_require_of(p, "s")->is_signed);
    assert_null(cv_policy_require_of(p, "f"));
    assert_null(cv_policy_limit_of(p, "x"));
    assert_null(cv_policy_limit_of(p, "f"));
    assert_int_equal(cv_policy_limit_of(p, "q")->count, 0);
    cv_policy_free(p);
    /* Not before names have their numbers. */
    assert_int_equal(
        cv_policy_parse(bytes_of(HEAD ASK("p", "count: 1, from: {uids: [7]}")),
                        &p, NULL, NULL),
        CV_OK);
    a = (struct cv_decide_approval){.uid = 7};
    assert_false(cv_decide_may_approve(p, "p", &a));
    a.user = "7";
    assert_true(cv_decide_may_approve(p, "p", &a));
    a.user = "";
    assert_false(cv_decide_may_approve(p, "p", &a));
    cv_policy_free(p);
}

/* Approvals that make no sense make the request one that makes none. */
static void refuses_bad_approvals(void **state)
{
    (void)state;
    static const struct ask c = {.rules = PERMIT("p", "")};
    static const char *const hole[] = {"x", NULL};
    static struct cv_decide_approval many[CV_DECIDE_APPROVALS_MOST + 1];
    static gid_t gids[CV_DECIDE_GROUPS];
    struct asked a;
    struct cv_decide_result r;
    struct cv_policy *p = policy_with(c.rules);
    make(&c, &a);
#define GIVES(status, how)                                            \
    do {                                                              \
        how;                                                          \
        assert_int_equal(cv_decide_run(p, &a.r, &r, NULL), (status)); \
        if ((status) != CV_OK)                                        \
            assert_int_equal(r.cause, CV_DECIDE_BAD_INPUT);           \
    } while (0)
    GIVES(CV_OK, a.r.approvals = many; a.r.n_approvals = 64);
    GIVES(CV_DENIED, a.r.n_approvals = 65);
    GIVES(CV_DENIED, a.r.approvals = NULL; a.r.n_approvals = 1);
    GIVES(CV_OK, a.r.n_approvals = 0);
    a.r.approvals = a.approvals;
    GIVES(CV_OK, a.r.n_approvals = 2);
    GIVES(CV_DENIED, a.approvals[1].n_gids = 1);
    GIVES(CV_OK, a.approvals[1].gids = gids);
    GIVES(CV_OK, a.approvals[1].n_gids = CV_DECIDE_GROUPS);
    GIVES(CV_DENIED, a.approvals[1].n_gids = CV_DECIDE_GROUPS + 1);
    GIVES(CV_OK, a.approvals[1].n_gids = 0);
    a.r.subject = (struct cv_decide_subject){.by_name = true, .user = "alice"};
    GIVES(CV_DENIED, (void)0);
    GIVES(CV_DENIED, a.approvals[0].user = "x"; a.approvals[1].user = "");
    GIVES(CV_OK, a.approvals[1].user = "y");
    GIVES(CV_DENIED, a.approvals[1].n_groups = 1);
    GIVES(CV_OK, a.approvals[1].groups = hole);
    GIVES(CV_DENIED, a.approvals[1].n_groups = 2);
    GIVES(CV_DENIED, a.approvals[1].n_groups = CV_DECIDE_GROUPS + 1);
    cv_policy_free(p);
}

static const struct {
    struct ask ask;
    enum cv_status status;
    bool shows;
} asks[] = {
    {{.rules = LIMIT("p", "count: 2, per: 1h"), .offer = "p"}, CV_OK, true},
    {{.rules = LIMIT("p", "count: 2, per: 1h"),
      .was = {{"p", 2, 60, 0, false}},
      .says = "list must wait: its limit of 2 in 1h"},
     CV_BUSY,
     false},
    {{.rules = PERMIT("p", ", limit: {count: 2, per: 1h}, entries: {names: "
                           "[a]}"),
      .was = {{"p", 2, 60, 0, false}},
      .says = "list must wait: its limit of 2 in 1h"},
     CV_BUSY,
     false},
    {{.rules = PERMIT("p", ", require: {approvals: {count: 1, " LEADS
                           "}}, entries: {names: [a]}"),
      .says = "list must wait: it wants 1 approval"},
     CV_BUSY,
     false},
    {{.rules = LIMIT("p", "count: 2, per: 1h"),
      .blind = true,
      .says = "how often rule \"p\""},
     CV_DENIED,
     false},
    {{.rules = LIMIT("p", "count: 2, per: 1h"),
      .was = {{"p", 2, 60, 0, false}},
      .held = "p",
      .offer = "p"},
     CV_OK,
     true},
    {{.rules = LIMIT("p", "sessions: 1"), .blind = true, .offer = "p"},
     CV_OK,
     true},
    {{.rules = ASK("p", "count: 1, " LEADS),
      .says = "list must wait: it wants 1 approval"},
     CV_BUSY,
     false},
    {{.rules = ASK("p", "count: 1, " LEADS),
      .consents = {{1002, 2002, 0, false}},
      .offer = "p"},
     CV_OK,
     true},
    {{.rules = ASK("p", "count: 1, " LEADS) PERMIT("q", ""), .offer = "q"},
     CV_OK,
     true},
    {{.rules =
          ASK("p", "count: 1, " LEADS) PERMIT("q", ", entries: {names: [b]}"),
      .offer = "q"},
     CV_OK,
     false},
    {{.rules = PERMIT("q", "") LIMIT("p", "count: 2, per: 1h"), .offer = "q"},
     CV_OK,
     true},
    {{.rules = LIMIT("q", "count: 2, per: 1h") LIMIT("p", "count: 2, per: "
                                                          "1h"),
      .was = {{"p", 2, 60, 0, false}},
      .offer = "q"},
     CV_OK,
     true},
    {{.rules = GLASS("g", ""), .offer = "g"}, CV_OK, true},
    {{.rules = GLASS("g", "") PERMIT("q", ""), .offer = "q"}, CV_OK, true},
    {{.rules = GLASS("g", ""), .mute = true, .says = "a reason"},
     CV_DENIED,
     false},
    {{.rules =
          GLASS("g", "") PERMIT("q", ", require: {approvals: {count: 1, " LEADS
                                     "}}, entries: {names: [a]}"),
      .offer = "g"},
     CV_OK,
     false},
};

/* Each entry is shown as it would be decided. */
static void lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        struct asked a;
        struct cv_decide_list *list;
        struct cv_decide_result r;
        struct cv_err err;
        struct cv_policy *p = policy_with(asks[i].ask.rules);
        make(&asks[i].ask, &a);
        a.r.action = CV_ACTION_LIST;
        a.r.entry = NULL;
        cv_err_init(&err);
        enum cv_status st = cv_decide_list_new(p, &a.r, &list, &r, NULL);
        cv_decide_list_free(list);
        assert_int_equal(cv_decide_list_new(p, &a.r, &list, &r, &err), st);
        if (st != asks[i].status)
            fail_msg("case %zu: %d %s", i, (int)st, err.text);
        if (st == CV_OK) {
            assert_true(r.permit);
            assert_int_equal(r.retry_s, -1);
            assert_string_equal(r.offer, asks[i].ask.offer);
            assert_string_equal(r.rules[0], asks[i].ask.offer);
            assert_int_equal(r.n_rules, 1);
            assert_int_equal(r.limit.count,
                             cv_policy_limit_of(p, r.offer)->count);
            assert_int_equal(r.break_glass, r.offer[0] == 'g');
            assert_int_equal(r.approved, r.require.approvals > 0);
            if (cv_decide_list_shows(list, &a.entry) != asks[i].shows)
                fail_msg("case %zu", i);
            cv_decide_list_free(list);
        } else {
            assert_null(list);
            assert_false(r.permit);
            assert_int_equal(r.retry_s,
                             st == CV_BUSY && asks[i].ask.was[0].rule != NULL
                                 ? asks[i].ask.was[0].free_in_s
                                 : -1);
            if (strstr(err.text, asks[i].ask.says) == NULL)
                fail_msg("case %zu: %s", i, err.text);
        }
        cv_policy_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_offer),
        cmocka_unit_test(wants_both_counts),
        cmocka_unit_test(takes_the_unsaid),
        cmocka_unit_test(takes_consent_by_name),
        cmocka_unit_test(tells_who_may_approve),
        cmocka_unit_test(refuses_bad_approvals),
        cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
