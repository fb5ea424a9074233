/* Torn tails: what is one, and what is damage. */
#include "audit_test.h"

#include "vault/audit/wal_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cv_log *open_log(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    return log;
}

static enum cv_status try_open(const struct audit_vault *v,
                               enum cv_log_mode mode)
{
    struct cv_log *log = NULL;
    struct cv_err err;
    enum cv_status status;

    cv_err_init(&err);
    status = cv_log_open(v->fd, mode, &log, &err);
    assert_int_equal(status == CV_OK, log != NULL);
    assert_int_equal(err.status, status);
    cv_log_close(log);
    return status;
}

static enum cv_status append_one(struct cv_log *log, uint64_t *seq)
{
    cJSON *leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
    enum cv_status status = cv_log_append(log, leaf, seq, NULL);

    cJSON_Delete(leaf);
    return status;
}

static size_t size_of(const struct audit_vault *v, const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(v->fd, name, &st, 0), 0);
    return (size_t)st.st_size;
}

/* Cut at every byte of the last frame: a torn tail, which the next writer
 * drops; covered by a checkpoint: damage. */
static void test_cut_everywhere(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    size_t len, last;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 4);
    bytes = audit_test_read(&v, "audit/log", &len);
    last = audit_test_frame(bytes, len, 3);
    cv_log_close(log);
    for (size_t cut = last + 1; cut < len; cut += cut - last < 12 ? 1 : 37) {
        audit_test_write(&v, "audit/log", bytes, cut);
        log = open_log(&v);
        assert_int_equal(cv_log_size(log), 3);
        assert_int_equal(cv_log_torn(log), cut - last);
        assert_int_equal(size_of(&v, "audit/log"), cut);
        assert_int_equal(append_one(log, NULL), CV_OK);
        assert_int_equal(cv_log_commit(log, NULL), CV_OK);
        assert_int_equal(cv_log_torn(log), 0);
        cv_log_close(log);
        log = open_log(&v);
        assert_int_equal(cv_log_size(log), 4);
        cv_log_close(log);
    }
    audit_test_write(&v, "audit/log", bytes, len);
    log = open_log(&v);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    for (size_t cut = last; cut < len; cut += 53) {
        audit_test_write(&v, "audit/log", bytes, cut);
        assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    }
    free(bytes);
    audit_test_remove(&v);
}

/* Zeros where sectors never got to the disk. */
static void test_zero_tails(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    size_t len, third, boundary;
    uint8_t *bytes, *copy;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 8);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    copy = calloc(1, len + 2000);
    assert_non_null(copy);
    third = audit_test_frame(bytes, len, 3);
    boundary = (third + 511) / 512 * 512;
    /* from a boundary in frame 3 to the end */
    memcpy(copy, bytes, boundary);
    audit_test_write(&v, "audit/log", copy, len);
    log = open_log(&v);
    assert_int_equal(cv_log_size(log), 3);
    assert_int_equal(cv_log_torn(log), len - third);
    cv_log_close(log);
    /* nothing of frame 3 at all */
    memset(copy, 0, len);
    memcpy(copy, bytes, third);
    audit_test_write(&v, "audit/log", copy, len);
    log = open_log(&v);
    assert_int_equal(cv_log_size(log), 3);
    cv_log_close(log);
    /* zeros behind a whole log: the next write's sectors */
    memset(copy, 0, len + 2000);
    memcpy(copy, bytes, len);
    audit_test_write(&v, "audit/log", copy, len + 2000);
    log = open_log(&v);
    assert_int_equal(cv_log_size(log), 8);
    assert_int_equal(cv_log_torn(log), 2000);
    cv_log_close(log);
    /* zeros that begin inside a sector and end in it */
    memcpy(copy, bytes, len);
    memset(copy + boundary - 20, 0, 10);
    audit_test_write(&v, "audit/log", copy, len);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    /* a changed frame, and zeros behind it that are none of it */
    memset(copy, 0, len + 2000);
    memcpy(copy, bytes, len);
    copy[third + 100] ^= 1;
    audit_test_write(&v, "audit/log", copy,
                     audit_test_frame(bytes, len, 4) + 2000);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    memset(copy + audit_test_frame(bytes, len, 4), 0,
           len + 2000 - audit_test_frame(bytes, len, 4));
    audit_test_write(&v, "audit/log", copy,
                     audit_test_frame(bytes, len, 4) + 2000);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    /* a hole of a whole sector, with frames behind it */
    memcpy(copy, bytes, len);
    memset(copy + boundary, 0, 512);
    audit_test_write(&v, "audit/log", copy, len);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    free(copy);
    free(bytes);
    audit_test_remove(&v);
}

/* A length that was changed makes its frame reach behind the end: no torn
 * tail, though it is short. */
static void test_length_flips(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    size_t len, at;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 10);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    at = audit_test_frame(bytes, len, 5);
    for (int bit = 0; bit < 32; bit++) {
        bytes[at + (size_t)bit / 8] ^= (uint8_t)(1 << bit % 8);
        audit_test_write(&v, "audit/log", bytes, len);
        if (try_open(&v, CV_LOG_WRITE) != CV_INTEGRITY) {
            fail_msg("bit %d of a length", bit);
        }
        bytes[at + (size_t)bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    audit_test_write(&v, "audit/log", bytes, len);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_OK);
    free(bytes);
    audit_test_remove(&v);
}

/* Bytes behind a whole log, one kind after the other. */
static void test_garbage(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        size_t zeros; /* behind them */
        enum cv_status want;
    } tails[] = {
        {"abc", 3, 0, CV_OK}, /* a header cut off */
        {"\x05\0\0\0\1\2\3\4{\"a\"", 12, 0, CV_OK},
        {"\x05\0\0\0\1\2\3\4{\"a\"x", 13, 0, CV_INTEGRITY}, /* whole */
        {"\x50\0\0\0\1\2\3\4\x80\x81", 10, 0, CV_INTEGRITY},
        {"\0\0\1\0\1\2\3\4{\"a\"", 12, 0, CV_INTEGRITY}, /* 65,536 */
        {"garbage, not a frame", 20, 0, CV_INTEGRITY},
        {"garbage, not a frame", 20, 2000, CV_INTEGRITY},
        {"", 0, 5, CV_OK},
        {"", 0, 2000, CV_OK},
    };
    struct audit_vault v;
    struct cv_log *log;
    size_t len;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 2);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        size_t all = len + tails[i].len + tails[i].zeros;
        uint8_t *copy = calloc(1, all);
        enum cv_status got;

        assert_non_null(copy);
        memcpy(copy, bytes, len);
        memcpy(copy + len, tails[i].bytes, tails[i].len);
        audit_test_write(&v, "audit/log", copy, all);
        free(copy);
        got = try_open(&v, CV_LOG_WRITE);
        if (got != tails[i].want) {
            fail_msg("tail %zu: %d", i, got);
        }
    }
    free(bytes);
    audit_test_remove(&v);
}

/* Another process made a checkpoint over what is torn now. */
static void test_refresh_covered(void **state)
{
    struct audit_vault v;
    struct cv_log *a, *b;
    size_t len;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    a = open_log(&v);
    b = open_log(&v);
    audit_test_fill(a, 4);
    assert_int_equal(cv_log_refresh(b, NULL), CV_OK);
    audit_test_fill(b, 2);
    bytes = audit_test_read(&v, "audit/log", &len);
    audit_test_write(&v, "audit/log", bytes, len - 10);
    assert_int_equal(cv_log_refresh(a, NULL), CV_OK);
    assert_int_equal(cv_log_size(a), 5);
    audit_test_write(&v, "audit/log", bytes, len);
    cv_log_close(a);
    a = open_log(&v);
    audit_test_fill(b, 2);
    audit_test_checkpoint(&v, b);
    free(bytes);
    bytes = audit_test_read(&v, "audit/log", &len);
    audit_test_write(&v, "audit/log", bytes, len - 10);
    assert_int_equal(cv_log_refresh(a, NULL), CV_INTEGRITY);
    assert_false(cv_log_alive(a));
    free(bytes);
    cv_log_close(a);
    cv_log_close(b);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_zero_tails),
        cmocka_unit_test(test_length_flips),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_refresh_covered),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
