/* vault/base/clock.h */
#include "vault/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DAY 86400LL

static void now(void **state)
{
    (void)state;
    int64_t a = cv_clock_now_s();
    int64_t b = (int64_t)time(NULL);
    assert_true(a <= b && b - a < 10);
    assert_true(a > 1600000000);
    int64_t x = cv_clock_boot_ms();
    int64_t y = cv_clock_boot_ms();
    assert_true(x > 0 && y >= x);
    const char *id = cv_clock_boot_id();
    assert_true(strlen(id) == 36 || strcmp(id, "unknown") == 0);
    assert_ptr_equal(cv_clock_boot_id(), id);
}

static const struct {
    const char *text;
    int64_t t;
} times[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2026-11-22T05:31:00Z", 1795325460},
    {"1969-12-31T23:59:59Z", -1},
    {"2000-02-29T12:00:00Z", 951825600},
    {"9999-12-31T23:59:59Z", 253402300799},
    {"0000-01-01T00:00:00Z", -62167219200},
    {"2038-01-19T03:14:08Z", 2147483648},
};

static void formatting(void **state)
{
    (void)state;
    char out[CV_CLOCK_TEXT_LEN];
    for (size_t i = 0; i < COUNT(times); i++) {
        assert_ptr_equal(cv_clock_format(times[i].t, out), out);
        assert_string_equal(out, times[i].text);
    }
    assert_string_equal(cv_clock_format(INT64_MAX, out),
                        "9999-12-31T23:59:59Z");
    assert_string_equal(cv_clock_format(INT64_MIN, out),
                        "0000-01-01T00:00:00Z");
}

static void parsing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t t;
    } more[] = {
        {"2026-11-22", 1795305600},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T20:30:00-03:30", 0},
        {"1970-01-02T00:00:00+23:59", 60},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-01T00:00:01.999999999999Z", 1},
        {"2016-12-31T23:59:60Z", 1483228800},
        {"2017-01-01T05:29:60+05:30", 1483228800},
        {"2024-02-29", 1709164800},
    };
    int64_t t = 0;
    for (size_t i = 0; i < COUNT(times); i++) {
        assert_int_equal(cv_clock_parse(times[i].text, &t, NULL), CV_OK);
        assert_true(t == times[i].t);
    }
    for (size_t i = 0; i < COUNT(more); i++) {
        assert_int_equal(cv_clock_parse(more[i].text, &t, NULL), CV_OK);
        assert_true(t == more[i].t);
    }
}

static void what_is_no_time(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "now",
        "2026",
        "2026-11",
        "2026-11-",
        "2026-1-22",
        "26-11-22",
        "2026-11-22T",
        "2026-11-22T05",
        "2026-11-22T05:31",
        "2026-11-22T05:31Z",
        "2026-11-22T05:31:00",
        "2026-11-22 05:31:00Z",
        "2026-11-22T05:31:00 Z",
        "2026-11-22T05:31:00Zx",
        "2026-11-22T05:31:00.Z",
        "2026-11-22T05:31:00,5Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T05:60:00Z",
        "2026-11-22T05:31:61Z",
        "2026-11-22T05:31:60Z",
        "2016-12-31T23:59:60+01:00",
        "2026-00-22",
        "2026-13-22",
        "2026-11-00",
        "2026-11-31",
        "2026-02-29",
        "1900-02-29",
        "2026-11-22T05:31:00+24:00",
        "2026-11-22T05:31:00+01:60",
        "2026-11-22T05:31:00+0100",
        "2026-11-22T05:31:00+01",
        "2026-11-22T05:31:00+1:00",
        "+026-11-22",
        "-026-11-22",
        "20261122",
        "2026-11-22Z",
        " 2026-11-22",
        "2026-11-22 ",
        "12026-11-22",
        "2026/11/22",
        "2026-11-22T+5:31:00Z",
    };
    struct cv_err e;
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t t = 42;
        assert_int_equal(cv_clock_parse(bad[i], &t, &e), CV_INVALID);
        assert_true(t == 42);
    }
    int64_t t = 0;
    assert_int_equal(cv_clock_parse(NULL, &t, &e), CV_INVALID);
}

static void times_go_round(void **state)
{
    (void)state;
    char out[CV_CLOCK_TEXT_LEN];
    for (int64_t t = -62167219200; t <= 253402300799; t += 86399 * 37) {
        int64_t back = 0;
        assert_int_equal(cv_clock_parse(cv_clock_format(t, out), &back, NULL),
                         CV_OK);
        assert_true(back == t);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } fine[] = {
        {"90s", 90},
        {"15m", 900},
        {"8h", 8 * 3600},
        {"30d", 30 * DAY},
        {"0s", 0},
        {"007m", 420},
        {"36525d", 36525 * DAY},
        {"3155760000s", 3155760000},
    };
    int64_t s = 0;
    for (size_t i = 0; i < COUNT(fine); i++) {
        assert_int_equal(cv_clock_parse_duration(fine[i].text, false, &s, NULL),
                         CV_OK);
        assert_true(s == fine[i].s);
    }
    assert_int_equal(cv_clock_parse_duration("7", true, &s, NULL), CV_OK);
    assert_true(s == 7 * DAY);
    assert_int_equal(cv_clock_parse_duration("7h", true, &s, NULL), CV_OK);
    assert_true(s == 7 * 3600);
}

static void what_is_no_duration(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "s",
        "-1d",
        "+1d",
        "1.5h",
        "1w",
        "1D",
        "1 d",
        " 1d",
        "1d ",
        "1d2h",
        "1ms",
        "1y",
        "0x1d",
        "36526d",
        "3155760001s",
        "99999999999999999999s",
        "-1",
        "1sec",
        "18446744073709551617s",
    };
    struct cv_err e;
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t s = 42;
        assert_int_equal(cv_clock_parse_duration(bad[i], true, &s, &e),
                         CV_USAGE);
        assert_true(s == 42);
    }
    int64_t s = 0;
    assert_int_equal(cv_clock_parse_duration("7", false, &s, &e), CV_USAGE);
    assert_int_equal(cv_clock_parse_duration(NULL, true, &s, &e), CV_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(now),
        cmocka_unit_test(formatting),
        cmocka_unit_test(parsing),
        cmocka_unit_test(what_is_no_time),
        cmocka_unit_test(times_go_round),
        cmocka_unit_test(durations),
        cmocka_unit_test(what_is_no_duration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
