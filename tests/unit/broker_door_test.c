/* Leaves that wait for the next commit, where none comes (a full disk): reads
 * are given up first, then events; outcomes have the last places to themselves,
 * so that nobody who asks much keeps what happened out of the record. */
#include "vault/broker/door_internal.h"

#include "vault/audit/leaf.h"
#include "vault/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* A broker without a vault: nothing that waits can go. */
static int up(void **state)
{
    cv_json_start();
    *state = calloc(1, sizeof(struct cv_broker));
    return *state == NULL;
}

static int down(void **state)
{
    struct cv_broker *b = *state;

    for (size_t i = 0; i < b->n_waiting; i++) {
        cJSON_Delete(b->waiting[i]);
    }
    free(b);
    return 0;
}

static enum cv_status keep(struct cv_broker *b, enum cv_leaf_phase phase,
                           struct cv_err *err)
{
    char op[CV_LEAF_OP + 1];
    struct cv_leaf l;

    cv_leaf_new_op(op);
    cv_leaf_init(&l);
    l.op = op;
    l.phase = phase;
    l.mode = "service";
    l.host = "host.example";
    l.uid = 1000;
    l.user = "somebody";
    l.action = phase == CV_LEAF_EVENT ? "log" : "show";
    if (phase != CV_LEAF_EVENT) {
        l.decision = CV_LEAF_PERMIT;
    }
    if (phase == CV_LEAF_OUTCOME) {
        l.outcome = "ok";
    }
    return cv_door_keep(b, &l, err);
}

/* How many more find a place. */
static size_t fill(struct cv_broker *b, enum cv_leaf_phase phase)
{
    struct cv_err err;
    size_t n = 0;

    cv_err_init(&err);
    while (keep(b, phase, &err) == CV_OK) {
        n++;
        assert_true(n <= CV_BROKER_WAITING);
    }
    assert_int_equal(err.status, CV_IO);
    return n;
}

static void test_reads_go_first_and_outcomes_last(void **state)
{
    struct cv_broker *b = *state;

    assert_int_equal(fill(b, CV_LEAF_DECISION), 750);
    assert_int_equal(fill(b, CV_LEAF_EVENT), 150);
    assert_int_equal(fill(b, CV_LEAF_DECISION), 0);
    assert_int_equal(fill(b, CV_LEAF_OUTCOME), 100);
    assert_int_equal(b->n_waiting, 1000);
    assert_int_equal(fill(b, CV_LEAF_EVENT), 0);
}

/* Outcomes alone may have all of them. */
static void test_outcomes_may_have_all(void **state)
{
    struct cv_broker *b = *state;

    assert_int_equal(fill(b, CV_LEAF_OUTCOME), 1000);
    assert_int_equal(fill(b, CV_LEAF_DECISION), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_go_first_and_outcomes_last,
                                        up, down),
        cmocka_unit_test_setup_teardown(test_outcomes_may_have_all, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
