/* What is repeated, how often, and after how long. */
#include "tests/unit/fetch_test.h"

#include "vault/fetch/retry.h"

#define NO_WORD (-1.0)
#define LIMIT_MS 120000

static bool once(enum cv_retry_end end, long status)
{
    struct cv_retry r;
    int64_t wait_ms = 0;

    cv_retry_begin(&r, 0, LIMIT_MS);
    return cv_retry_next(&r, end, status, NO_WORD, 0, 0, &wait_ms);
}

static void what_is_repeated(void **state)
{
    static const long yes[] = {429, 500, 502, 503, 504};
    static const long no[] = {400, 401, 403, 404, 405, 409, 413, 501, 200, 302};

    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++) {
        assert_true(once(CV_RETRY_ANSWERED, yes[i]));
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        assert_false(once(CV_RETRY_ANSWERED, no[i]));
    }
    assert_true(once(CV_RETRY_UNREACHED, 0));
    assert_true(once(CV_RETRY_TIMED_OUT, 0));
    assert_false(once(CV_RETRY_FINAL, 0));
}

/* Four attempts: half of 500, 1000, 2000 ms and as much again at random. */
static void schedule(void **state)
{
    static const struct {
        uint32_t chance;
        int64_t waits[3];
    } cases[] = {
        {0, {250, 500, 1000}},
        {250, {500, 750, 1250}},
        {251, {250, 751, 1251}}, /* 251 % 251 == 0 */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_retry r;
        int64_t wait_ms = 0;

        cv_retry_begin(&r, 1000, LIMIT_MS);
        for (size_t k = 0; k < 3; k++) {
            assert_true(cv_retry_next(&r, CV_RETRY_UNREACHED, 0, NO_WORD, 1000,
                                      cases[i].chance, &wait_ms));
            assert_int_equal(wait_ms, cases[i].waits[k]);
        }
        assert_false(cv_retry_next(&r, CV_RETRY_UNREACHED, 0, NO_WORD, 1000,
                                   cases[i].chance, &wait_ms));
    }
}

static void jitter_stays_inside(void **state)
{
    (void)state;
    for (uint32_t chance = 0; chance < 5000; chance += 7) {
        struct cv_retry r;
        int64_t wait_ms = 0;

        cv_retry_begin(&r, 0, LIMIT_MS);
        assert_true(cv_retry_next(&r, CV_RETRY_TIMED_OUT, 0, NO_WORD, 0, chance,
                                  &wait_ms));
        assert_in_range(wait_ms, 250, 500);
    }
}

static void throttled(void **state)
{
    struct cv_retry r;
    int64_t wait_ms = 0;

    (void)state;
    cv_retry_begin(&r, 0, LIMIT_MS);
    assert_true(
        cv_retry_next(&r, CV_RETRY_ANSWERED, 429, NO_WORD, 0, 0, &wait_ms));
    assert_int_equal(wait_ms, 2000);
    assert_true(
        cv_retry_next(&r, CV_RETRY_ANSWERED, 429, 56.818, 0, 0, &wait_ms));
    assert_int_equal(wait_ms, 56818);
    assert_true(cv_retry_next(&r, CV_RETRY_ANSWERED, 429, 0, 0, 0, &wait_ms));
    assert_int_equal(wait_ms, 0);
}

static void limit_of_the_whole(void **state)
{
    struct cv_retry r;
    int64_t wait_ms = 0;

    (void)state;
    cv_retry_begin(&r, 0, LIMIT_MS);
    assert_false(
        cv_retry_next(&r, CV_RETRY_ANSWERED, 429, 500.0, 0, 0, &wait_ms));
    assert_int_equal(wait_ms, 120000); /* capped, and too long even so */
    cv_retry_begin(&r, 0, LIMIT_MS);
    assert_false(cv_retry_next(&r, CV_RETRY_ANSWERED, 503, NO_WORD,
                               LIMIT_MS - 250, 0, &wait_ms));
    cv_retry_begin(&r, 0, LIMIT_MS);
    assert_true(cv_retry_next(&r, CV_RETRY_ANSWERED, 503, NO_WORD,
                              LIMIT_MS - 251, 0, &wait_ms));
}

static void close_to(double found, double wanted)
{
    assert_true(found > wanted - 0.0005 && found < wanted + 0.0005);
}

static void retry_after(void **state)
{
    const int64_t now = 1795320306; /* Sun, 22 Nov 2026 04:05:06 GMT */

    (void)state;
    close_to(cv_retry_after("56.818", now), 56.818);
    close_to(cv_retry_after("7", now), 7);
    close_to(cv_retry_after("0", now), 0);
    close_to(cv_retry_after("3600", now), 120);
    close_to(cv_retry_after("Sun, 22 Nov 2026 04:05:36 GMT", now), 30);
    close_to(cv_retry_after("Sun, 22 Nov 2026 04:00:00 GMT", now), 0);
    close_to(cv_retry_after("Mon, 23 Nov 2026 04:05:06 GMT", now), 120);
    assert_true(cv_retry_after(NULL, now) < 0);
    assert_true(cv_retry_after("", now) < 0);
    assert_true(cv_retry_after("-5", now) < 0);
    assert_true(cv_retry_after("soon", now) < 0);
    assert_true(cv_retry_after("1e3", now) < 0);
    assert_true(cv_retry_after("nan", now) < 0);
    assert_true(cv_retry_after("5 seconds", now) < 0);
    assert_true(cv_retry_after("999999999999999999999", now) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_repeated),    cmocka_unit_test(schedule),
        cmocka_unit_test(jitter_stays_inside), cmocka_unit_test(throttled),
        cmocka_unit_test(limit_of_the_whole),  cmocka_unit_test(retry_after),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
