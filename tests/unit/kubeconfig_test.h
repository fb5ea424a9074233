/* What the tests of vault/yaml and vault/kubeconfig share. */
#ifndef CERTVAULT_TESTS_UNIT_KUBECONFIG_TEST_H
#define CERTVAULT_TESTS_UNIT_KUBECONFIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(s) ((struct cv_bytes){(const uint8_t *)(s), strlen(s)})
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Fails the test with what the error says. */
#define assert_ok(s, e)                                                   \
    do {                                                                  \
        enum cv_status found_ = (s);                                      \
        if (found_ != CV_OK) {                                            \
            print_error("%s: %s\n", cv_err_code_name(found_), (e)->text); \
        }                                                                 \
        assert_int_equal(found_, CV_OK);                                  \
    } while (0)

/* The call was refused with this status, and the error's text holds `part`. */
#define assert_refused(s, wanted, e, part)                                    \
    do {                                                                      \
        enum cv_status found_ = (s);                                          \
        if (found_ != (wanted) || strstr((e)->text, (part)) == NULL) {        \
            print_error("%s: \"%s\", not \"%s\"\n", cv_err_code_name(found_), \
                        found_ == CV_OK ? "" : (e)->text, (part));            \
        }                                                                     \
        assert_int_equal(found_, (wanted));                                   \
        assert_non_null(strstr((e)->text, (part)));                           \
    } while (0)

static inline int setup(void **state)
{
    (void)state;
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_arena_allow_unlocked();
    cv_json_start();
    return 0;
}

static inline struct cv_arena *new_arena(void)
{
    struct cv_arena *arena = NULL;
    assert_int_equal(cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, NULL), CV_OK);
    return arena;
}

/* All of a file of tests/data; cv_buf_wipe. */
static inline struct cv_buf read_data(const char *name)
{
    char path[512];
    struct cv_buf text;
    struct cv_err e;
    int fd = -1;
    cv_err_init(&e);
    (void)snprintf(path, sizeof(path), "%s/%s", CV_TEST_DATA, name);
    cv_buf_init(&text, NULL, CV_MIB(8));
    assert_ok(cv_file_open_input(path, &fd, &e), &e);
    assert_ok(cv_file_read(fd, name, &text, &e), &e);
    cv_file_close(&fd);
    return text;
}

/* A JSON file of tests/data; cJSON_Delete. */
static inline cJSON *read_json(const char *name)
{
    struct cv_err e;
    cJSON *json = NULL;
    struct cv_buf text = read_data(name);
    cv_err_init(&e);
    assert_ok(cv_json_parse(NULL, cv_buf_bytes(&text), &json, &e), &e);
    cv_buf_wipe(&text);
    return json;
}

static inline const char *member(const cJSON *object, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsString(m));
    return m->valuestring;
}

/* A time most test certificates are valid at. */
static inline int64_t test_now(void)
{
    int64_t t = 0;
    assert_int_equal(cv_clock_parse("2027-06-01T00:00:00Z", &t, NULL), CV_OK);
    return t;
}

#endif
