/* A report's table of who did what, beyond what it keeps: pairs that have no
 * room are counted, those that are there go on being counted, and nothing
 * searches without an end. */
#include "cli/report_sum.h"
#include "vault/base/json.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEPT 8192 /* half of the table's places */

static unsigned long seq;

static void add(struct cv_report_sum *sum, const char *user, const char *entry,
                const char *rest)
{
    char leaf[512];

    (void)snprintf(leaf, sizeof leaf,
                   "{\"actor\":{\"user\":\"%s\"},\"entry\":\"%s\",%s,\"seq\":"
                   "%lu,\"time\":\"2026-11-22T00:00:00Z\"}",
                   user, entry, rest, seq++);
    assert_int_equal(
        cv_report_sum_add(
            sum, (struct cv_bytes){(const uint8_t *)leaf, strlen(leaf)}, NULL),
        CV_OK);
}

static void add_use(struct cv_report_sum *sum, unsigned i)
{
    char user[32], entry[32];

    (void)snprintf(user, sizeof user, "user%u", i % 100);
    (void)snprintf(entry, sizeof entry, "entry-%u", i / 100);
    add(sum, user, entry,
        "\"action\":\"use\",\"decision\":\"permit\",\"phase\":\"decision\"");
}

static int number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return item == NULL ? 0 : (int)item->valuedouble;
}

static const cJSON *list(struct cv_report_sum *sum, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(cv_report_sum_get(sum), key);
}

static void test_more_pairs_than_places(void **state)
{
    struct cv_report_sum *sum = cv_report_sum_new();
    const cJSON *use;
    int counted = 0;

    (void)state;
    assert_non_null(sum);
    (void)alarm(120); /* it hung once */
    for (unsigned i = 0; i < KEPT + 10000; i++) {
        add_use(sum, i);
    }
    assert_int_equal(cJSON_GetArraySize(list(sum, "uses")), KEPT);
    assert_int_equal(number(cv_report_sum_get(sum), "uses_omitted"), 10000);
    add_use(sum, 5);
    add_use(sum, KEPT + 5);
    assert_int_equal(number(cv_report_sum_get(sum), "uses_omitted"), 10001);
    cJSON_ArrayForEach(use, list(sum, "uses"))
    {
        counted += number(use, "uses");
    }
    assert_int_equal(counted, KEPT + 1);
    cv_report_sum_free(sum);
}

/* The lists that share the table's places with it. */
static void test_others_in_a_full_table(void **state)
{
    struct cv_report_sum *sum = cv_report_sum_new();
    const cJSON *export;
    char rest[160];
    int ok = 0;

    (void)state;
    assert_non_null(sum);
    (void)alarm(120);
    for (unsigned i = 0; i < KEPT; i++) {
        add_use(sum, i);
    }
    add(sum, "bob", "x",
        "\"action\":\"use\",\"decision\":\"deny\",\"details\":{\"count\":7},"
        "\"phase\":\"decision\"");
    assert_int_equal(cJSON_GetArraySize(list(sum, "denials")), 0);
    assert_int_equal(number(cv_report_sum_get(sum), "denials_omitted"), 1);
    for (int i = 0; i < 2 * CV_REPORT_SUM_ITEMS; i++) {
        (void)snprintf(rest, sizeof rest,
                       "\"action\":\"export\",\"decision\":\"permit\",\"op\":"
                       "\"%d\",\"phase\":\"decision\"",
                       i);
        add(sum, "user0", "entry-0", rest);
        (void)snprintf(rest, sizeof rest,
                       "\"action\":\"export\",\"op\":\"%d\",\"outcome\":\"ok\","
                       "\"phase\":\"outcome\"",
                       i);
        add(sum, "user0", "entry-0", rest);
    }
    cJSON_ArrayForEach(export, list(sum, "exports"))
    {
        ok += cJSON_HasObjectItem(export, "outcome");
    }
    assert_int_equal(cJSON_GetArraySize(list(sum, "exports")),
                     CV_REPORT_SUM_ITEMS);
    assert_int_equal(ok, CV_REPORT_SUM_ITEMS);
    assert_int_equal(number(cv_report_sum_get(sum), "exports_omitted"),
                     CV_REPORT_SUM_ITEMS);
    cv_report_sum_free(sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_pairs_than_places),
        cmocka_unit_test(test_others_in_a_full_table),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
