/* Memory that is gone: each case runs with its first allocation failing, then
 * its second, and so on until none fails. Every time it must say CV_INTERNAL,
 * and leak nothing (the leak check of the sanitizer build looks).
 *
 * The linker puts the functions below in the place of the allocators. */
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
char *__real_strndup(const char *text, size_t len);
void *__real_sodium_malloc(size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);
char *__wrap_strndup(const char *text, size_t len);
void *__wrap_sodium_malloc(size_t len);

/* How many succeed before one fails; -1: all. */
static int left = -1;
static bool failed;

static bool fails_now(void)
{
    if (left < 0) {
        return false;
    }
    if (left == 0) {
        failed = true;
        left = -1;
        return true;
    }
    left--;
    return false;
}

void *__wrap_malloc(size_t len)
{
    return fails_now() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    return fails_now() ? NULL : __real_calloc(n, len);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails_now() ? NULL : __real_strndup(text, len);
}

void *__wrap_sodium_malloc(size_t len)
{
    return fails_now() ? NULL : __real_sodium_malloc(len);
}

/* At least `least` allocations are made to fail. */
static void sweep(enum cv_status (*body)(struct cv_err *), int least)
{
    int n = 0;
    do {
        struct cv_err e;
        cv_err_init(&e);
        failed = false;
        left = n++;
        enum cv_status status = body(&e);
        left = -1;
        if (failed) {
            assert_int_equal(status, CV_INTERNAL);
            assert_int_equal(e.status, CV_INTERNAL);
            assert_true(e.text[0] != '\0');
        } else {
            assert_int_equal(status, CV_OK);
        }
    } while (failed);
    assert_true(n - 1 >= least);
}

static int start(void **state)
{
    (void)state;
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

static enum cv_status use_arena(struct cv_err *err)
{
    struct cv_arena *a = NULL;
    enum cv_status status = cv_arena_new(CV_MIB(4), &a, err);
    for (size_t len = 1; status == CV_OK && len < CV_MIB(1); len *= 4) {
        if (cv_arena_alloc(a, len, err) == NULL) {
            status = CV_INTERNAL;
        }
    }
    cv_arena_free(a);
    return status;
}

static enum cv_status use_buf(struct cv_err *err)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, 10000);
    for (int i = 0; i < 500; i++) {
        cv_buf_add_format(&b, "%d,", i);
    }
    enum cv_status status = cv_buf_status(&b, "it", err);
    cv_buf_wipe(&b);
    return status;
}

static enum cv_status use_buf_in_arena(struct cv_err *err)
{
    struct cv_arena *a = NULL;
    enum cv_status status = cv_arena_new(CV_MIB(4), &a, err);
    if (status == CV_OK) {
        struct cv_buf b;
        cv_buf_init(&b, a, CV_MIB(1));
        for (int i = 0; i < 9000; i++) {
            cv_buf_add_format(&b, "%d,", i);
        }
        status = cv_buf_status(&b, "it", err);
    }
    cv_arena_free(a);
    return status;
}

static enum cv_status parse_in(struct cv_arena *arena, struct cv_err *err)
{
    struct cv_buf text;
    cv_buf_init(&text, NULL, 10000);
    cv_buf_add_str(&text, "{\"a\":[1,\"x\",{\"b\":null}]");
    for (int i = 0; i < 200; i++) {
        cv_buf_add_format(&text, ",\"k%d\":true", i);
    }
    cv_buf_add_char(&text, '}');
    enum cv_status status = cv_buf_status(&text, "it", err);
    cJSON *tree = NULL;
    if (status == CV_OK) {
        status = cv_json_parse(arena, cv_buf_bytes(&text), &tree, err);
    }
    cJSON_Delete(tree);
    cv_buf_wipe(&text);
    return status;
}

static enum cv_status parse_on_heap(struct cv_err *err)
{
    return parse_in(NULL, err);
}

static enum cv_status parse_in_arena(struct cv_err *err)
{
    struct cv_arena *a = NULL;
    enum cv_status status = cv_arena_new(CV_MIB(4), &a, err);
    if (status == CV_OK) {
        status = parse_in(a, err);
    }
    cv_arena_free(a);
    return status;
}

static enum cv_status write_tree(struct cv_err *err)
{
    const uint8_t bytes[] = {1, 2, 3};
    struct cv_bytes data = {bytes, sizeof(bytes)};
    cJSON *o = cJSON_CreateObject();
    cJSON *inner = cJSON_CreateObject();
    bool ok = cv_json_add_str(inner, "text", "x") &&
              cv_json_add_int(inner, "count", 1);
    ok = cv_json_add_item(o, "inner", inner) && ok;
    ok = ok && cv_json_add_bool(o, "yes", true) &&
         cv_json_add_base64(o, "base64", data) &&
         cv_json_add_hex(o, "hex", data);
    enum cv_status status = CV_OK;
    if (!ok) {
        status = cv_fail(err, CV_INTERNAL, "out of memory");
    } else {
        struct cv_buf b;
        cv_buf_init(&b, NULL, 10000);
        cv_json_write(o, CV_JSON_CANONICAL, &b);
        status = cv_buf_status(&b, "it", err);
        cv_buf_wipe(&b);
    }
    cJSON_Delete(o);
    return status;
}

static enum cv_status write_err(struct cv_err *err)
{
    struct cv_err e;
    cv_fail(&e, CV_BUSY, "x");
    cv_err_hint(&e, "x");
    e.audit_seq = 1;
    e.retry_after_s = 1;
    cJSON *o = cv_json_from_err(&e);
    enum cv_status status = CV_OK;
    if (o == NULL) {
        status = cv_fail(err, CV_INTERNAL, "out of memory");
    }
    cJSON_Delete(o);
    return status;
}

static enum cv_status decode(struct cv_err *err)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, 100);
    enum cv_status status = cv_decode_base64("Zm9v", 4, false, "it", &b, err);
    cv_buf_wipe(&b);
    return status;
}

/* With an arena in use nothing of a message goes over the heap: the first
 * allocation there would fail. */
static void secrets_stay_in_the_arena(void **state)
{
    (void)state;
    struct cv_arena *a = NULL;
    static const char text[] = "{\"key\":\"secret\",\"list\":[1,2,{}]}";
    struct cv_bytes data = {(const uint8_t *)text, sizeof(text) - 1};
    assert_int_equal(cv_arena_new(CV_MIB(1), &a, NULL), CV_OK);
    assert_non_null(cv_arena_alloc(a, 1, NULL));
    (void)cv_json_use(a);
    failed = false;
    left = 0;
    cJSON *tree = NULL;
    bool ok = cv_json_parse(a, data, &tree, NULL) == CV_OK &&
              cv_json_add_base64(tree, "base64", data) &&
              cv_json_add_hex(tree, "hex", data) &&
              cv_json_add_str(tree, "text", text);
    struct cv_buf b;
    cv_buf_init(&b, a, CV_KIB(100));
    cv_json_write(tree, CV_JSON_COMPACT, &b);
    ok = ok && cv_buf_status(&b, "it", NULL) == CV_OK;
    left = -1;
    (void)cv_json_use(NULL);
    assert_true(ok);
    assert_false(failed);
    cv_arena_free(a);
}

static char place[] = "/tmp/certvault-memory-XXXXXX";

static enum cv_status use_files(struct cv_err *err)
{
    char path[64];
    struct cv_bytes data = {(const uint8_t *)"x", 1};
    (void)snprintf(path, sizeof(path), "%s/a/b", place);
    int fd = -1;
    enum cv_status status = cv_file_make_folder(path, &fd, err);
    cv_file_close(&fd);
    if (status == CV_OK) {
        (void)snprintf(path, sizeof(path), "%s/a/b/c", place);
        status = cv_file_replace(AT_FDCWD, path, data, 0, err);
    }
    return status;
}

static void files(void **state)
{
    (void)state;
    char path[64];
    assert_non_null(mkdtemp(place));
    sweep(use_files, 3);
    static const char *const made[] = {"a/b/c", "a/b", "a", ""};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", place, made[i]);
        assert_int_equal(remove(path), 0);
    }
}

#define SWEEP(body, least)                 \
    static void sweep_##body(void **state) \
    {                                      \
        (void)state;                       \
        sweep(body, least);                \
    }

SWEEP(use_arena, 5)
SWEEP(use_buf, 4)
SWEEP(use_buf_in_arena, 5)
SWEEP(parse_on_heap, 200)
SWEEP(parse_in_arena, 5)
SWEEP(write_tree, 10)
SWEEP(write_err, 9)
SWEEP(decode, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweep_use_arena),
        cmocka_unit_test(sweep_use_buf),
        cmocka_unit_test(sweep_use_buf_in_arena),
        cmocka_unit_test(sweep_parse_on_heap),
        cmocka_unit_test(sweep_parse_in_arena),
        cmocka_unit_test(sweep_write_tree),
        cmocka_unit_test(sweep_write_err),
        cmocka_unit_test(sweep_decode),
        cmocka_unit_test(secrets_stay_in_the_arena),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
