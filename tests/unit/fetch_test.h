/* What the tests of vault/fetch share. */
#ifndef CERTVAULT_TESTS_UNIT_FETCH_TEST_H
#define CERTVAULT_TESTS_UNIT_FETCH_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* cmocka's assert_string_equal, saying which case failed. */
#define assert_text(id, found, wanted)                                        \
    do {                                                                      \
        if (strcmp((found), (wanted)) != 0) {                                 \
            print_error("%s: \"%s\", not \"%s\"\n", (id), (found), (wanted)); \
        }                                                                     \
        assert_string_equal((found), (wanted));                               \
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

/* A JSON text on the heap; cJSON_Delete. */
static inline cJSON *parse(const char *text)
{
    struct cv_err e;
    cJSON *json = NULL;

    cv_err_init(&e);
    assert_ok(cv_json_parse(
                  NULL, (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                  &json, &e),
              &e);
    return json;
}

/* A JSON file of tests/data; cJSON_Delete. */
static inline cJSON *read_json(const char *name)
{
    char path[512];
    struct cv_buf text;
    struct cv_err e;
    cJSON *json = NULL;
    int fd = -1;

    cv_err_init(&e);
    (void)snprintf(path, sizeof(path), "%s/%s", CV_TEST_DATA, name);
    cv_buf_init(&text, NULL, CV_MIB(8));
    assert_ok(cv_file_open_input(path, &fd, &e), &e);
    assert_ok(cv_file_read(fd, name, &text, &e), &e);
    cv_file_close(&fd);
    assert_ok(cv_json_parse(NULL, cv_buf_bytes(&text), &json, &e), &e);
    cv_buf_wipe(&text);
    return json;
}

static inline const cJSON *at(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* A text member, NULL where it is null or absent. */
static inline const char *text_at(const cJSON *object, const char *key)
{
    const cJSON *m = at(object, key);

    return cJSON_IsString(m) ? m->valuestring : NULL;
}

#endif
