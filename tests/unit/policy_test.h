/* What the tests of policies share. */
#ifndef CERTVAULT_TESTS_POLICY_TEST_H
#define CERTVAULT_TESTS_POLICY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/cases.h"
#include "policy/explain.h"

#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                   \
    "apiVersion: certvault/v1\nkind: Policy\n" \
    "metadata: {name: test, version: 7}\nrules:\n"

/* A Monday, 2026-11-23 10:00 UTC: 11:00 in Berlin. */
#define MONDAY_10 INT64_C(1795428000)

static inline int start(void **state)
{
    (void)state;
    assert_int_equal(cv_arena_start(NULL), CV_OK);
    cv_json_start();
    return 0;
}

static inline struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

/* tests/data/policy/zones.json */
static inline cJSON *all_zones(void)
{
    static char text[64 * 1024];
    cJSON *out = NULL;
    FILE *f = fopen(CV_TEST_DATA "/policy/zones.json", "rb");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof(text), f);
    (void)fclose(f);
    struct cv_bytes all = {(const uint8_t *)text, len};
    assert_int_equal(cv_json_parse(NULL, all, &out, NULL), CV_OK);
    return out;
}

static inline cJSON *numbers_of(const cJSON *names)
{
    static const struct {
        const char *name;
        double number;
    } known[] = {{"alice", 1001},  {"bob", 1002},   {"carol", 1003},
                 {"sre", 2001},    {"leads", 2002}, {"dev", 2003},
                 {"nobody", 65534}};
    cJSON *o = cJSON_CreateObject();
    const cJSON *item;
    cJSON_ArrayForEach(item, names)
    {
        cJSON *number = cJSON_CreateNull();
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (strcmp(known[i].name, item->valuestring) == 0) {
                cJSON_Delete(number);
                number = cJSON_CreateNumber(known[i].number);
            }
        }
        assert_true(cv_json_add_item(o, item->valuestring, number));
    }
    return o;
}

/* What a helper would find for the names of these tests; others are null. */
static inline cJSON *resolution_of(const struct cv_policy *policy)
{
    cJSON *o = cJSON_CreateObject();
    cJSON *names = cv_policy_names(policy);
    cJSON *zones = cv_policy_zones(policy);
    cJSON *files = all_zones();
    cJSON *wanted = cJSON_CreateObject();
    const cJSON *item;
    assert_true(cv_json_add_item(
        o, "users",
        numbers_of(cJSON_GetObjectItemCaseSensitive(names, "users"))));
    assert_true(cv_json_add_item(
        o, "groups",
        numbers_of(cJSON_GetObjectItemCaseSensitive(names, "groups"))));
    cJSON_ArrayForEach(item, zones)
    {
        const cJSON *file =
            cJSON_GetObjectItemCaseSensitive(files, item->valuestring);
        if (file != NULL)
            assert_true(
                cv_json_add_str(wanted, item->valuestring, file->valuestring));
    }
    assert_true(cv_json_add_item(o, "zones", wanted));
    cJSON_Delete(names);
    cJSON_Delete(zones);
    cJSON_Delete(files);
    return o;
}

/* Parsed and resolved; the test fails where that does. */
static inline struct cv_policy *policy_of(const char *text)
{
    struct cv_policy *policy = NULL;
    struct cv_err err;
    cv_err_init(&err);
    enum cv_status st = cv_policy_parse(bytes_of(text), &policy, NULL, &err);
    if (st != CV_OK)
        fail_msg("%s\n%s", err.text, text);
    cJSON *resolution = resolution_of(policy);
    st = cv_policy_resolve(policy, resolution, NULL, &err);
    cJSON_Delete(resolution);
    if (st != CV_OK)
        fail_msg("%s\n%s", err.text, text);
    return policy;
}

#endif
