/* Counting permits from the log: what counts, for whom, how long, and what is
 * queued and may never be committed. */
#include "audit_test.h"

#include "vault/base/clock.h"
#include "vault/base/json.h"
#include "vault/broker/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE 60
#define HOUR 3600

struct rig {
    struct audit_vault v;
    struct cv_log *log;
    struct cv_tally *t;
};

static int up(void **state)
{
    static struct rig r;

    audit_test_vault(&r.v);
    assert_int_equal(cv_log_open(r.v.fd, CV_LOG_WRITE, &r.log, NULL), CV_OK);
    r.t = cv_tally_new();
    assert_non_null(r.t);
    *state = &r;
    return 0;
}

static int down(void **state)
{
    struct rig *r = *state;

    cv_tally_free(r->t);
    cv_log_close(r->log);
    audit_test_remove(&r->v);
    return 0;
}

/* A decision about `uid` by `rule` (NULL: none), `ago` seconds ago. */
static uint64_t append(struct rig *r, uid_t uid, const char *rule,
                       bool permitted, int64_t ago, bool uncounted)
{
    cJSON *details = cJSON_CreateObject(), *leaf = NULL;
    const char *const rules[] = {rule};
    char op[CV_LEAF_OP + 1];
    struct cv_leaf l;
    uint64_t seq = 0;

    cv_leaf_new_op(op);
    cv_leaf_init(&l);
    l.op = op;
    l.phase = CV_LEAF_DECISION;
    l.mode = "service";
    l.host = "host.example";
    l.time_s = cv_clock_now_s() - ago;
    l.mono_ms = cv_clock_boot_ms() - ago * 1000;
    if (l.mono_ms < 0) { /* before this boot: of one that lasted a day */
        l.boot = "00000000-0000-4000-8000-000000000000";
        l.mono_ms += 24 * HOUR * 1000;
    }
    l.uid = uid;
    l.user = "somebody";
    l.action = "use";
    l.decision = permitted ? CV_LEAF_PERMIT : CV_LEAF_DENY;
    l.status = permitted ? CV_OK : CV_DENIED;
    l.rules = rules;
    l.n_rules = rule != NULL ? 1 : 0;
    l.details = details;
    if (uncounted) {
        assert_true(cv_json_add_bool(details, "uncounted", true));
    }
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    assert_int_equal(cv_log_append(r->log, leaf, &seq, NULL), CV_OK);
    cJSON_Delete(leaf);
    cJSON_Delete(details);
    return seq;
}

static void permit(struct rig *r, uid_t uid, const char *rule, int64_t ago)
{
    (void)append(r, uid, rule, true, ago, false);
}

static void commit(struct rig *r)
{
    assert_int_equal(cv_log_commit(r->log, NULL), CV_OK);
}

static void catch_up(struct rig *r, int64_t back_s)
{
    assert_int_equal(cv_tally_catch_up(r->t, r->v.fd, back_s, NULL), CV_OK);
}

static uint64_t used(struct rig *r, uid_t uid, const char *rule, int64_t per_s)
{
    uint64_t n = 99;
    int64_t free_in_s = 99;

    assert_true(cv_tally_used(r->t, uid, rule, per_s, 1000, &n, &free_in_s));
    assert_int_equal(free_in_s, 0);
    return n;
}

static void what_counts(void **state)
{
    struct rig *r = *state;

    permit(r, 1, "a", 10 * MINUTE);
    permit(r, 1, "a", 20 * MINUTE);
    permit(r, 1, "b", 20 * MINUTE);
    permit(r, 2, "a", 20 * MINUTE);
    (void)append(r, 1, "a", false, 5, false);
    (void)append(r, 1, "a", true, 5, true);
    (void)append(r, 1, NULL, true, 5, false);
    permit(r, 1, "a", 2 * HOUR);
    commit(r);
    catch_up(r, HOUR);
    assert_int_equal(used(r, 1, "a", HOUR), 2);
    assert_int_equal(used(r, 1, "a", 15 * MINUTE), 1);
    assert_int_equal(used(r, 1, "b", HOUR), 1);
    assert_int_equal(used(r, 2, "a", HOUR), 1);
    assert_int_equal(used(r, 2, "b", HOUR), 0);
    /* Farther back: what was passed over is read. */
    catch_up(r, 3 * HOUR);
    assert_int_equal(used(r, 1, "a", 3 * HOUR), 3);
    assert_int_equal(used(r, 1, "a", HOUR), 2);
    /* On from there. */
    permit(r, 1, "a", 0);
    commit(r);
    catch_up(r, HOUR);
    assert_int_equal(used(r, 1, "a", 3 * HOUR), 4);
}

/* As it was when that record was made, read whole; in how many steps. */
static struct cv_tally *before(struct rig *r, uint64_t seq, int64_t back_s,
                               size_t *steps)
{
    struct cv_tally *then = NULL;
    bool done = false;

    assert_int_equal(cv_tally_before(r->v.fd, seq, back_s, &then, NULL), CV_OK);
    for (*steps = 0; !done; ++*steps) {
        assert_int_equal(cv_tally_read(then, r->v.fd, &done, NULL), CV_OK);
    }
    return then;
}

/* What a record's decision counted: what was before it, as old as it was then.
 */
static void before_a_record(void **state)
{
    struct rig *r = *state;
    struct cv_tally *live = r->t;
    struct cv_tally *then = NULL;
    uint64_t seq, n;
    size_t steps;
    int64_t free_in_s;

    permit(r, 1, "a", 3 * HOUR);
    permit(r, 1, "a", 2 * HOUR + 10 * MINUTE);
    (void)append(r, 1, "a", true, 2 * HOUR + 5 * MINUTE, true);
    permit(r, 2, "a", 2 * HOUR + 5 * MINUTE);
    seq = append(r, 1, "a", true, 2 * HOUR, false);
    permit(r, 1, "a", HOUR);
    commit(r);
    then = r->t = before(r, seq, 50 * MINUTE, &steps);
    assert_int_equal(steps, 1);
    assert_int_equal(used(r, 1, "a", 50 * MINUTE), 1);
    assert_int_equal(used(r, 1, "a", 5 * MINUTE), 0);
    assert_int_equal(used(r, 2, "a", 50 * MINUTE), 1);
    assert_int_equal(used(r, 1, "b", 50 * MINUTE), 0);
    assert_true(cv_tally_used(then, 1, "a", 50 * MINUTE, 1, &n, &free_in_s));
    assert_in_range(free_in_s, 39 * MINUTE, 41 * MINUTE);
    assert_false(cv_tally_used(then, 1, "a", HOUR, 1, &n, &free_in_s));
    cv_tally_free(then);
    /* The last one counts the one before; the first has none. */
    then = r->t = before(r, seq + 1, 3 * HOUR, &steps);
    assert_int_equal(used(r, 1, "a", 3 * HOUR), 3);
    cv_tally_free(then);
    then = r->t = before(r, 0, HOUR, &steps);
    assert_int_equal(used(r, 1, "a", HOUR), 0);
    cv_tally_free(then);
    r->t = live;
    assert_int_equal(cv_tally_before(r->v.fd, seq + 2, HOUR, &then, NULL),
                     CV_NOT_FOUND);
    assert_null(then);
}

/* A long log is read in steps, each of a bounded number of records. */
static void before_a_record_in_steps(void **state)
{
    struct rig *r = *state;
    struct cv_tally *live = r->t;
    uint64_t seq = 0;
    size_t steps;

    for (int i = 0; i < 2 * CV_TALLY_STEP + 10; i++) {
        seq = append(r, 1, i % 1000 == 0 ? "a" : "b", true, 60, false);
        if (i % 256 == 0) {
            commit(r);
        }
    }
    commit(r);
    r->t = before(r, seq, HOUR, &steps);
    assert_in_range(steps, 3, 20);
    assert_int_equal(used(r, 1, "a", HOUR), 2 * CV_TALLY_STEP / 1000 + 1);
    cv_tally_free(r->t);
    r->t = live;
}

/* Nothing is known before the log was read, nor farther back than it was. */
static void what_is_not_known(void **state)
{
    struct rig *r = *state;
    int64_t free_in_s;
    uint64_t n;

    assert_false(cv_tally_used(r->t, 1, "a", HOUR, 1, &n, &free_in_s));
    catch_up(r, HOUR);
    assert_true(cv_tally_used(r->t, 1, "a", HOUR, 1, &n, &free_in_s));
    assert_false(cv_tally_used(r->t, 1, "a", HOUR + 1, 1, &n, &free_in_s));
}

static void when_it_is_free_again(void **state)
{
    struct rig *r = *state;
    int64_t free_in_s = 0;
    uint64_t n = 0;

    permit(r, 1, "a", 50 * MINUTE);
    permit(r, 1, "a", 30 * MINUTE);
    permit(r, 1, "a", 10 * MINUTE);
    commit(r);
    catch_up(r, HOUR);
    assert_true(cv_tally_used(r->t, 1, "a", HOUR, 4, &n, &free_in_s));
    assert_int_equal(n, 3);
    assert_int_equal(free_in_s, 0);
    assert_true(cv_tally_used(r->t, 1, "a", HOUR, 3, &n, &free_in_s));
    assert_in_range(free_in_s, 9 * MINUTE, 10 * MINUTE + 2);
    assert_true(cv_tally_used(r->t, 1, "a", HOUR, 1, &n, &free_in_s));
    assert_in_range(free_in_s, 49 * MINUTE, 50 * MINUTE + 2);
}

/* Several of one commit stay within the limit; what was not committed never
 * counted. */
static void what_is_queued(void **state)
{
    struct rig *r = *state;
    uint64_t seq;

    catch_up(r, HOUR);
    seq = append(r, 1, "a", true, 0, false);
    assert_int_equal(cv_tally_queued(r->t, 1, "a", seq, NULL), CV_OK);
    assert_int_equal(used(r, 1, "a", HOUR), 1);
    assert_int_equal(used(r, 2, "a", HOUR), 0);
    commit(r);
    catch_up(r, HOUR);
    assert_int_equal(used(r, 1, "a", HOUR), 1); /* not twice */
    seq = append(r, 1, "a", true, 0, false);
    assert_int_equal(cv_tally_queued(r->t, 1, "a", seq, NULL), CV_OK);
    assert_int_equal(used(r, 1, "a", HOUR), 2);
    cv_log_discard(r->log);
    cv_tally_enter(r->t);
    assert_int_equal(used(r, 1, "a", HOUR), 1);
}

static void what_is_supposed(void **state)
{
    struct rig *r = *state;

    catch_up(r, HOUR);
    assert_int_equal(cv_tally_queued(r->t, 1, "a", 7, NULL), CV_OK);
    cv_tally_suppose(r->t, 1, "a");
    cv_tally_suppose(r->t, 1, "b");
    assert_int_equal(used(r, 1, "a", HOUR), 2);
    assert_int_equal(used(r, 1, "b", HOUR), 1);
    cv_tally_suppose_end(r->t);
    assert_int_equal(used(r, 1, "a", HOUR), 1);
    assert_int_equal(used(r, 1, "b", HOUR), 0);
}

/* A leaf that a wrong clock dated ahead is of now, and ages from now on. */
static void from_the_future(void **state)
{
    struct rig *r = *state;

    permit(r, 1, "a", -HOUR);
    commit(r);
    catch_up(r, HOUR);
    assert_int_equal(used(r, 1, "a", 10 * MINUTE), 1);
}

/* More users and rules than there was room for at first. */
static void many(void **state)
{
    struct rig *r = *state;
    char rule[16];

    for (unsigned uid = 0; uid < 40; uid++) {
        for (unsigned i = 0; i < 5; i++) {
            (void)snprintf(rule, sizeof(rule), "r%u", i);
            for (unsigned n = 0; n <= i; n++) {
                permit(r, uid, rule, (int64_t)uid + n);
            }
        }
    }
    commit(r);
    catch_up(r, HOUR);
    for (unsigned uid = 0; uid < 40; uid++) {
        for (unsigned i = 0; i < 5; i++) {
            (void)snprintf(rule, sizeof(rule), "r%u", i);
            assert_int_equal(used(r, uid, rule, HOUR), i + 1);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_counts),
        CASE(what_is_not_known),
        CASE(before_a_record),
        CASE(before_a_record_in_steps),
        CASE(what_is_queued),
        CASE(when_it_is_free_again),
        CASE(many),
        CASE(what_is_supposed),
        CASE(from_the_future),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
