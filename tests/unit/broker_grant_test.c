/* vault/broker/grant.h: the table of grants. */
#include "vault/broker/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cv_grant_table table;

static struct cv_grant *new_grant(uid_t uid, const char *entry_id,
                                  const char *context, int64_t ends_ms)
{
    struct cv_grant *g;
    struct cv_err e;

    cv_err_init(&e);
    assert_int_equal(cv_grant_new(&table, uid, &g, &e), CV_OK);
    (void)snprintf(g->entry_id, sizeof(g->entry_id), "%s", entry_id);
    (void)snprintf(g->context, sizeof(g->context), "%s", context);
    g->kind = CV_GRANT_CREDENTIAL;
    g->ends_ms = ends_ms;
    return g;
}

static int empty(void **state)
{
    (void)state;
    cv_grant_drop_all(&table);
    return 0;
}

static void test_ids(void **state)
{
    char first[CV_GRANT_ID_LEN];
    struct cv_grant *g = new_grant(1, "e", "c", 1000);

    (void)state;
    assert_int_equal(strlen(g->id), 32);
    assert_int_equal(strspn(g->id, "0123456789abcdef"), 32);
    memcpy(first, g->id, sizeof(first));
    assert_string_not_equal(new_grant(1, "e", "c", 1000)->id, first);
    assert_ptr_equal(cv_grant_find(&table, first, 999), g);
    assert_null(cv_grant_find(&table, "", 0));
    assert_null(cv_grant_find(&table, "0", 0));
}

/* The last millisecond is the grant's, the next is not. */
static void test_time(void **state)
{
    struct cv_grant *g = new_grant(1, "e", "c", 1000);

    (void)state;
    assert_false(cv_grant_is_over(g, 999));
    assert_true(cv_grant_is_over(g, 1000));
    assert_null(cv_grant_find(&table, g->id, 1000));
    assert_null(cv_grant_find_credential(&table, 1, "e", "c", 1000));
}

static void test_credential(void **state)
{
    struct cv_grant *longest = new_grant(1, "e", "c", 3000), *g;

    (void)state;
    (void)new_grant(1, "e", "c", 2000);
    assert_ptr_equal(cv_grant_find_credential(&table, 1, "e", "c", 0), longest);
    assert_null(cv_grant_find_credential(&table, 2, "e", "c", 0));
    assert_null(cv_grant_find_credential(&table, 1, "f", "c", 0));
    assert_null(cv_grant_find_credential(&table, 1, "e", "d", 0));
    g = cv_grant_find_credential(&table, 1, "e", "c", 0);
    g->kind = CV_GRANT_EXEC;
    assert_ptr_not_equal(cv_grant_find_credential(&table, 1, "e", "c", 0), g);
}

static void test_holder(void **state)
{
    struct cv_caller holder = {0};
    struct cv_grant *g = new_grant(1, "e", "c", 1), *h;

    (void)state;
    cv_grant_hold(g, &holder);
    h = new_grant(1, "e", "c", 1);
    cv_grant_hold(h, &holder);
    assert_int_equal(holder.grants, 2);
    cv_grant_drop(&table, g);
    assert_int_equal(holder.grants, 1);
    assert_int_equal(table.n, 1);
    assert_ptr_equal(table.all[0], h);
    cv_grant_drop_all(&table);
    assert_int_equal(holder.grants, 0);
}

/* A grant outlives its caller's connection. */
static void test_name(void **state)
{
    struct cv_caller caller = {0};
    struct cv_grant *g = new_grant(1, "e", "c", 1);

    (void)state;
    caller.peer.uid = 7;
    (void)snprintf(caller.user, sizeof(caller.user), "%s", "u");
    caller.channel = (struct cv_channel *)&caller;
    caller.prompt = (struct cv_prompt_wait *)&caller;
    caller.reading = (struct cv_reading *)&caller;
    caller.grants = 3;
    cv_grant_name(g, &caller);
    assert_int_equal(g->who.peer.uid, 7);
    assert_string_equal(g->who.user, "u");
    assert_null(g->who.channel);
    assert_null(g->who.prompt);
    assert_null(g->who.reading);
    assert_int_equal(g->who.grants, 0);
}

static void test_ceiling(void **state)
{
    struct cv_grant *g;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    for (size_t i = 0; i < CV_LIMIT_GRANTS; i++) {
        (void)new_grant((uid_t)i, "e", "c", 1);
    }
    assert_int_equal(cv_grant_new(&table, 5000, &g, &e), CV_BUSY);
    assert_null(g);
    cv_grant_drop(&table, table.all[17]);
    assert_int_equal(cv_grant_new(&table, 5000, &g, &e), CV_OK);
}

/* How many `uid` gets. */
static size_t take(uid_t uid)
{
    struct cv_grant *g;
    size_t n = 0;

    while (cv_grant_new(&table, uid, &g, NULL) == CV_OK) {
        n++;
    }
    return n;
}

static void test_nobody_takes_all(void **state)
{
    (void)state;
    assert_int_equal(take(1), 768);
    assert_int_equal(take(1), 0);
    for (uid_t uid = 2; uid <= 4; uid++) {
        assert_int_equal(take(uid), 64);
    }
    /* Who had some before has as many in the end as who had none. */
    (void)new_grant(5, "e", "c", 1);
    assert_int_equal(take(5), 63);
    assert_int_equal(take(6), 0);
    cv_grant_drop(&table, table.all[0]);
    assert_int_equal(take(1), 0);
    assert_int_equal(take(6), 1);
}

static void test_kinds(void **state)
{
    enum cv_grant_kind kind;

    (void)state;
    for (int i = CV_GRANT_EXEC; i <= CV_GRANT_CREDENTIAL; i++) {
        assert_true(cv_grant_kind_read(
            cv_grant_kind_name((enum cv_grant_kind)i), &kind));
        assert_int_equal(kind, i);
    }
    assert_false(cv_grant_kind_read("", &kind));
    assert_false(cv_grant_kind_read("Exec", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_ids, empty),
        cmocka_unit_test_teardown(test_time, empty),
        cmocka_unit_test_teardown(test_credential, empty),
        cmocka_unit_test_teardown(test_holder, empty),
        cmocka_unit_test_teardown(test_name, empty),
        cmocka_unit_test_teardown(test_ceiling, empty),
        cmocka_unit_test_teardown(test_nobody_takes_all, empty),
        cmocka_unit_test_teardown(test_kinds, empty),
    };
    struct cv_err e;

    cv_err_init(&e);
    if (cv_arena_start(&e) != CV_OK) {
        return 1;
    }
    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
