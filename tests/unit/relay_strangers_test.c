/* vault/relay/strangers.h: how often the broker is told. */
#include "vault/base/limits.h"
#include "vault/relay/strangers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#define MINUTE 60000

struct told {
    int n;
    unsigned count; /* all together */
    uid_t uid;      /* of the last */
    unsigned last;
    bool known;
};

static void tell(void *ctx, const uid_t *uid, unsigned count, const char *why)
{
    struct told *t = ctx;

    assert_string_equal(why, "because");
    assert_true(count > 0);
    t->n++;
    t->count += count;
    t->last = count;
    t->known = uid != NULL;
    t->uid = uid != NULL ? *uid : 0;
}

/* The first at once, the others of a minute together. */
static void together(void **state)
{
    struct told t = {0};
    struct cv_strangers *s = cv_strangers_new(tell, &t);
    const uid_t uid = 1000, other = 1001;

    (void)state;
    cv_strangers_add(s, &uid, "because", 0);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.uid, 1000);
    for (int i = 1; i < 1000; i++) {
        cv_strangers_add(s, &uid, "because", i);
        cv_strangers_tick(s, i);
    }
    assert_int_equal(t.n, 1);
    cv_strangers_add(s, &other, "because", 1000);
    assert_int_equal(t.n, 2);
    assert_int_equal(t.uid, 1001);
    cv_strangers_tick(s, MINUTE - 1);
    assert_int_equal(t.n, 2);
    cv_strangers_tick(s, MINUTE);
    assert_int_equal(t.n, 3);
    assert_int_equal(t.uid, 1000);
    assert_int_equal(t.last, 999);
    cv_strangers_tick(s, 10 * MINUTE);
    assert_int_equal(t.n, 3);
    cv_strangers_add(s, &uid, "because", 10 * MINUTE);
    assert_int_equal(t.n, 4);
    assert_int_equal(t.last, 1);
    cv_strangers_free(s);
}

/* A flood of users is bounded too, and none is left out of the count. */
static void many_users(void **state)
{
    struct told t = {0};
    struct cv_strangers *s = cv_strangers_new(tell, &t);
    unsigned n = 10 * CV_LIMIT_RELAY_STRANGERS;

    (void)state;
    for (uid_t uid = 0; uid < n; uid++) {
        cv_strangers_add(s, &uid, "because", 5);
    }
    cv_strangers_add(s, NULL, "because", 5);
    assert_int_equal(t.n, CV_LIMIT_RELAY_STRANGERS + 1);
    cv_strangers_tick(s, 5 + MINUTE);
    assert_int_equal(t.n, CV_LIMIT_RELAY_STRANGERS + 2);
    assert_false(t.known);
    assert_int_equal(t.count, n + 1);
    cv_strangers_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together),
        cmocka_unit_test(many_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
