/* What a person typed, checked. */
#include "cli/check.h"
#include "vault/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void days(void **state)
{
    static const struct {
        const char *text;
        int64_t days; /* 0: refused */
    } cases[] = {
        {"1", 1},
        {"30", 30},
        {"1827", 1827},
        {"-1", -1},
        {"30d", 30},
        {"48h", 2},
        {"86400s", 1},
        {"0", 0},
        {"-2", 0},
        {"1828", 0},
        {"1828d", 0},
        {"", 0},
        {"1e2", 0},
        {"\"30\"", 0},
        {"8h", 0},
        {"1.5", 0},
        {"0x10", 0},
        {" 1", 0},
        {"1 ", 0},
        {"+1", 0},
        {"-1d", 0},
        {"--1", 0},
        {"9223372036854775808", 0},
        {"18446744073709551617", 0},
        {"36893488147419103233", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t got = 0;
        enum cv_status s = cv_check_days(cases[i].text, &got, NULL);

        assert_int_equal(s, cases[i].days ? CV_OK : CV_USAGE);
        if (cases[i].days != 0) {
            assert_int_equal(got, cases[i].days);
        }
    }
}

static void ids(void **state)
{
    static const char uuid[] = "4d1ecb2c-229a-11e8-9c75-0255ac100ceb";
    static const char *const bad[] = {
        "",
        "4d1ecb2c",
        "4d1ecb2c-229a-11e8-9c75-0255ac100ceb0",
        "4d1ecb2c-229a-11e8-9c75-0255ac100ce",
        "4d1ecb2c-229a-11e8-9c750-255ac100ceb",
        "4d1ecb2cx229a-11e8-9c75-0255ac100ceb",
        "4d1ecb2c-229a-11e8-9c75-0255ac100ceg",
        "../d1ecb-229a-11e8-9c75-0255ac100ceb",
    };

    (void)state;
    assert_int_equal(cv_check_cluster(uuid, NULL), CV_OK);
    assert_int_equal(cv_check_cluster(NULL, NULL), CV_OK);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_check_cluster(bad[i], NULL), CV_USAGE);
        assert_int_equal(cv_check_project(bad[i], NULL), CV_USAGE);
    }
    assert_int_equal(cv_check_project("0123456789abcdef0123456789abcdef", NULL),
                     CV_OK);
    assert_int_equal(cv_check_project("0123456789ABCDEF0123456789abcdef", NULL),
                     CV_USAGE);
    assert_int_equal(cv_check_region("eu-west-101", NULL), CV_OK);
    assert_int_equal(cv_check_region("eu_de", NULL), CV_OK);
    assert_int_equal(cv_check_region("", NULL), CV_USAGE);
    assert_int_equal(cv_check_region("-x", NULL), CV_USAGE);
    assert_int_equal(cv_check_region("a.b", NULL), CV_USAGE);
}

static void urls(void **state)
{
    static const char *const bad[] = {"",
                                      "https://u@h",
                                      "https://h/ x",
                                      "https://h\n",
                                      "https://\xc3\xa4",
                                      "h\\x",
                                      "h\x7f"};

    (void)state;
    assert_int_equal(cv_check_url("https://h:5443/p", "endpoint", NULL), CV_OK);
    assert_int_equal(cv_check_url("h:1", "endpoint", NULL), CV_OK);
    assert_int_equal(cv_check_url(NULL, "endpoint", NULL), CV_OK);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_check_url(bad[i], "endpoint", NULL), CV_USAGE);
    }
}

static void templates(void **state)
{
    (void)state;
    assert_int_equal(cv_check_template("a", true, NULL), CV_OK);
    assert_int_equal(cv_check_template("{file}/{context}", true, NULL), CV_OK);
    assert_int_equal(cv_check_template("{context}", false, NULL), CV_OK);
    assert_int_equal(cv_check_template("{file}", false, NULL), CV_USAGE);
    assert_int_equal(cv_check_template("{other}", true, NULL), CV_USAGE);
    assert_int_equal(cv_check_template("", true, NULL), CV_USAGE);
    assert_int_equal(cv_check_template("-{context}", true, NULL), CV_USAGE);
    assert_int_equal(cv_check_template("a/../{context}", true, NULL), CV_USAGE);
}

static void numbers(void **state)
{
    int64_t n = 0;

    (void)state;
    assert_int_equal(cv_check_number("7", "N", 0, 9, &n, NULL), CV_OK);
    assert_int_equal(n, 7);
    assert_int_equal(cv_check_number("0", "N", 1, 9, &n, NULL), CV_USAGE);
    assert_int_equal(cv_check_number("10", "N", 1, 9, &n, NULL), CV_USAGE);
    assert_int_equal(cv_check_number("", "N", 0, 9, &n, NULL), CV_USAGE);
    assert_int_equal(cv_check_number("-1", "N", 0, 9, &n, NULL), CV_USAGE);
    assert_int_equal(cv_check_number("99999999999999999999", "N", 0,
                                     CV_CHECK_SEQ_MAX, &n, NULL),
                     CV_USAGE);
}

static void times(void **state)
{
    const int64_t now = INT64_C(1700000000);
    int64_t t = 0;

    (void)state;
    assert_int_equal(cv_check_time("1h", "since", true, now, &t, NULL), CV_OK);
    assert_int_equal(t, now - 3600);
    assert_int_equal(cv_check_time("1970-01-02", "since", true, now, &t, NULL),
                     CV_OK);
    assert_int_equal(t, 86400);
    assert_int_equal(cv_check_time("1h", "expire-at", false, now, &t, NULL),
                     CV_USAGE);
    assert_int_equal(cv_check_time("1", "since", true, now, &t, NULL),
                     CV_USAGE);
    assert_int_equal(cv_check_time("soon", "since", true, now, &t, NULL),
                     CV_USAGE);
}

static void labels(void **state)
{
    cJSON *all = cJSON_CreateObject();

    (void)state;
    assert_int_equal(cv_check_label("a=1", all, false, NULL), CV_OK);
    assert_int_equal(cv_check_label("b=", all, false, NULL), CV_OK);
    assert_int_equal(cv_check_label("A=2", all, false, NULL), CV_OK);
    assert_int_equal(cv_check_label("a=2", all, false, NULL), CV_USAGE);
    assert_int_equal(cv_check_label("c", all, false, NULL), CV_USAGE);
    assert_int_equal(cv_check_label("c", all, true, NULL), CV_OK);
    assert_int_equal(cv_check_label("=1", all, true, NULL), CV_USAGE);
    assert_int_equal(cv_check_label("", all, true, NULL), CV_USAGE);
    assert_int_equal(cv_check_label("d=a b", all, true, NULL), CV_USAGE);
    assert_int_equal(cv_check_label("d=a=b", all, true, NULL), CV_USAGE);
    assert_int_equal(cJSON_GetArraySize(all), 4);
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(all, "c")));
    cJSON_Delete(all);
}

static void words(void **state)
{
    (void)state;
    assert_int_equal(cv_check_word("v3", "api", "v3|v3-get", NULL), CV_OK);
    assert_int_equal(cv_check_word("v3-get", "api", "v3|v3-get", NULL), CV_OK);
    assert_int_equal(cv_check_word("v3-", "api", "v3|v3-get", NULL), CV_USAGE);
    assert_int_equal(cv_check_word("", "api", "v3|v3-get", NULL), CV_USAGE);
}

static int start(void **state)
{
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    if (cv_arena_start(&err) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days),    cmocka_unit_test(ids),
        cmocka_unit_test(urls),    cmocka_unit_test(templates),
        cmocka_unit_test(numbers), cmocka_unit_test(times),
        cmocka_unit_test(labels),  cmocka_unit_test(words),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
