/* Zeros ahead of the log's end: who keeps them, who drops them, who passes them
 * over, and what is not taken for them. */
#include "audit_test.h"

#include "vault/audit/log_internal.h"
#include "vault/audit/query_internal.h"
#include "vault/audit/tiles.h"
#include "vault/audit/verify.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool full; /* there is no room for zeros */

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (full && len > 0 && *(const uint8_t *)data == 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, data, len, at);
}

static struct cv_log *open_log(const struct audit_vault *v, bool stays)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    if (stays) {
        cv_log_stay(log);
    }
    return log;
}

static uint64_t file_size(const struct audit_vault *v)
{
    struct stat st;

    assert_int_equal(fstatat(v->fd, "audit/log", &st, 0), 0);
    return (uint64_t)st.st_size;
}

static enum cv_status count(void *ctx, const struct cv_query_cursor *at,
                            struct cv_bytes leaf, struct cv_err *err)
{
    (void)at;
    (void)leaf;
    (void)err;
    ++*(uint64_t *)ctx;
    return CV_OK;
}

static void can_be_read(struct audit_vault *v, uint64_t n, const char *tail)
{
    struct cv_query_cursor at = {0};
    struct cv_log *log = NULL;
    cJSON *report = NULL;
    uint64_t found = 0;
    struct cv_err err;

    cv_err_init(&err);
    assert_int_equal(cv_query_scan(v->fd, &at, count, &found, &err), CV_OK);
    assert_int_equal(found, n);
    assert_int_equal(cv_log_open(v->fd, CV_LOG_READ, &log, &err), CV_OK);
    assert_int_equal(cv_log_size(log), n);
    assert_int_equal(cv_log_bytes(log), at.offset);
    cv_log_close(log);
    assert_int_equal(cv_verify_log(v->fd, NULL, &report, &err), CV_OK);
    assert_string_equal(
        cJSON_GetObjectItemCaseSensitive(report, "tail")->valuestring, tail);
    cJSON_Delete(report);
}

static void test_kept(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    uint64_t size;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v, true);
    audit_test_fill(log, 1);
    size = file_size(&v);
    assert_int_equal(size, CV_LOG_STEP);
    assert_int_equal(size % CV_WAL_STEP, 0);
    for (unsigned i = 2; i < 50; i++) {
        audit_test_fill(log, 1);
        assert_int_equal(file_size(&v), size);
        assert_int_equal(cv_log_refresh(log, NULL), CV_OK);
    }
    can_be_read(&v, 49, "clean");
    audit_test_checkpoint(&v, log);
    assert_int_equal(cv_tiles_update(v.fd, 49, NULL), CV_OK);
    audit_test_fill(log, 2000);
    assert_true(file_size(&v) > size && file_size(&v) % CV_WAL_STEP == 0);
    can_be_read(&v, 2049, "clean");
    assert_int_equal(cv_log_trim(log, NULL), CV_OK);
    assert_int_equal(file_size(&v), cv_log_bytes(log));
    audit_test_fill(log, 1);
    assert_int_equal(file_size(&v), cv_log_bytes(log));
    cv_log_close(log);
    can_be_read(&v, 2050, "clean");
    audit_test_remove(&v);
}

/* Who was killed leaves them to the next. */
static void test_left(void **state)
{
    struct audit_vault v;
    struct cv_log *log;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v, true);
    audit_test_fill(log, 3);
    cv_log_close(log);
    assert_int_equal(file_size(&v), CV_LOG_STEP);
    log = open_log(&v, true);
    assert_int_equal(cv_log_torn(log), 0);
    audit_test_fill(log, 3);
    cv_log_close(log);
    assert_int_equal(file_size(&v), CV_LOG_STEP);
    log = open_log(&v, false);
    audit_test_fill(log, 3);
    assert_int_equal(file_size(&v), cv_log_bytes(log));
    cv_log_close(log);
    can_be_read(&v, 9, "clean");
    audit_test_remove(&v);
}

/* Agents and private brokers write by turns. The size may be what it was. */
static void test_by_turns(void **state)
{
    struct cv_log *logs[4];
    struct audit_vault v;
    uint64_t n = 0;

    (void)state;
    audit_test_vault(&v);
    for (unsigned i = 0; i < 4; i++) {
        logs[i] = open_log(&v, i < 2);
    }
    for (unsigned i = 0; i < 200; i++) {
        struct cv_log *log = logs[(i * 7 + i / 5) % 4];

        assert_int_equal(cv_log_refresh(log, NULL), CV_OK);
        assert_int_equal(cv_log_size(log), n);
        audit_test_fill(log, i % 3 + 1);
        n += i % 3 + 1;
    }
    can_be_read(&v, n, "clean");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(cv_log_refresh(logs[i], NULL), CV_OK);
        assert_int_equal(cv_log_trim(logs[i], NULL), CV_OK);
        assert_int_equal(file_size(&v), cv_log_bytes(logs[i]));
        cv_log_close(logs[i]);
    }
    audit_test_remove(&v);
}

static enum cv_status try_open(const struct audit_vault *v, uint64_t *torn)
{
    struct cv_log *log = NULL;
    enum cv_status status = cv_log_open(v->fd, CV_LOG_WRITE, &log, NULL);

    *torn = status == CV_OK ? cv_log_torn(log) : 0;
    cv_log_close(log);
    return status;
}

static void test_tails(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    uint8_t *bytes, *copy;
    size_t len, last;
    uint64_t torn;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v, false);
    audit_test_fill(log, 5);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    last = audit_test_frame(bytes, len, 4);
    copy = calloc(1, CV_WAL_STEP * 2);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    /* up to a whole step, and another */
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
    can_be_read(&v, 5, "clean");
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP * 2);
    can_be_read(&v, 5, "clean");
    /* not up to one: sectors that never got there */
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP - 512);
    assert_int_equal(try_open(&v, &torn), CV_OK);
    assert_int_equal(torn, CV_WAL_STEP - 512 - len);
    can_be_read(&v, 5, "torn");
    /* zeros that were being put there, to the end of the log's own sector */
    audit_test_write(&v, "audit/log", copy, (len / 512 + 1) * 512);
    assert_int_equal(try_open(&v, &torn), CV_OK);
    assert_int_equal(torn, (len / 512 + 1) * 512 - len);
    audit_test_write(&v, "audit/log", copy, (len / 512 + 1) * 512 - 1);
    assert_int_equal(
        try_open(&v, &torn),
        (len / 512 + 1) * 512 - 1 - len < CV_WAL_HEADER ? CV_OK : CV_INTEGRITY);
    /* not zeros alone: damage */
    copy[CV_WAL_STEP - 1] = 1;
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
    assert_int_equal(try_open(&v, &torn), CV_INTEGRITY);
    copy[CV_WAL_STEP - 1] = 0;
    /* a frame that was cut off in them: torn, and gone with the next */
    memset(copy + last + 200, 0, len - last - 200);
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
    assert_int_equal(try_open(&v, &torn), CV_OK);
    assert_int_equal(torn, CV_WAL_STEP - last);
    can_be_read(&v, 4, "torn");
    log = open_log(&v, true);
    audit_test_fill(log, 1);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    can_be_read(&v, 5, "clean");
    /* zeros where a checkpoint says that there are records: damage */
    memset(copy + last, 0, len - last);
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
    assert_int_equal(try_open(&v, &torn), CV_INTEGRITY);
    free(copy);
    free(bytes);
    audit_test_remove(&v);
}

/* A sector that did not get to the disk, before others that did: where zeros
 * are kept ahead it is the end, elsewhere damage. */
static void test_hole(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    uint8_t *bytes, *copy;
    size_t len, at, hole;
    uint64_t torn;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v, false);
    audit_test_fill(log, 12);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    copy = calloc(1, CV_WAL_STEP);
    assert_non_null(copy);
    for (unsigned i = 2; i < 8; i++) {
        at = audit_test_frame(bytes, len, i);
        hole = (at / 512 + 1) * 512;
        memcpy(copy, bytes, len);
        memset(copy + hole, 0, 512);
        assert_true(hole + 512 < len);
        assert_true(hole < audit_test_frame(bytes, len, i + 1));
        audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
        assert_int_equal(try_open(&v, &torn), CV_OK);
        assert_int_equal(torn, CV_WAL_STEP - at);
        can_be_read(&v, i, "torn");
        audit_test_write(&v, "audit/log", copy, len);
        assert_int_equal(try_open(&v, &torn), CV_INTEGRITY);
        /* another byte is no hole */
        memcpy(copy, bytes, len);
        copy[hole] ^= 1;
        audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
        assert_int_equal(try_open(&v, &torn), CV_INTEGRITY);
        /* the header's own sector */
        memcpy(copy, bytes, len);
        memset(copy + at, 0, hole - at);
        audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
        assert_int_equal(try_open(&v, &torn), CV_OK);
        assert_int_equal(torn, CV_WAL_STEP - at);
    }
    audit_test_write(&v, "audit/log", bytes, len);
    log = open_log(&v, true);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    audit_test_write(&v, "audit/log", copy, CV_WAL_STEP);
    assert_int_equal(try_open(&v, &torn), CV_INTEGRITY);
    free(copy);
    free(bytes);
    audit_test_remove(&v);
}

/* The size that it must have is that of the zeros too. */
static void test_place(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_err err;
    cJSON *leaf;
    char path[200];

    (void)state;
    audit_test_vault(&v);
    (void)snprintf(path, sizeof path, "%s/audit/log", v.path);
    for (int longer = 0; longer < 2; longer++) {
        log = open_log(&v, true);
        audit_test_fill(log, 2);
        cv_err_init(&err);
        leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
        assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
        cJSON_Delete(leaf);
        assert_int_equal(
            truncate(path, longer ? CV_LOG_STEP * 2 : CV_LOG_STEP / 2), 0);
        assert_int_equal(cv_log_commit(log, &err), CV_IO);
        assert_non_null(strstr(err.text, longer ? "lock" : "shorter"));
        cv_log_close(log);
    }
    can_be_read(&v, 4, "clean");
    audit_test_remove(&v);
}

static void test_no_room(void **state)
{
    struct audit_vault v;
    struct cv_log *log;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v, true);
    full = true;
    for (unsigned i = 0; i < 5; i++) {
        audit_test_fill(log, 1);
        assert_int_equal(file_size(&v), cv_log_bytes(log));
    }
    full = false;
    audit_test_fill(log, 1);
    assert_int_equal(file_size(&v), CV_LOG_STEP);
    cv_log_close(log);
    can_be_read(&v, 6, "clean");
    audit_test_remove(&v);
}

/* A reader holds no lock: whatever moment it looks at, it sees a whole log. */
static void test_read_while_written(void **state)
{
    struct audit_vault v;
    uint64_t last = 0;
    int status = 0;
    pid_t writer;

    (void)state;
    audit_test_vault(&v);
    writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        struct cv_log *log = open_log(&v, true);

        for (unsigned i = 0; i < 400; i++) {
            audit_test_fill(log, i * 13 % 29 + 1);
        }
        (void)!cv_log_trim(log, NULL);
        cv_log_close(log);
        _exit(0);
    }
    while (waitpid(writer, &status, WNOHANG) == 0) {
        struct cv_query_cursor at = {0};
        uint64_t found = 0;
        struct cv_err err;

        cv_err_init(&err);
        if (cv_query_scan(v.fd, &at, count, &found, &err) != CV_OK) {
            fail_msg("after %llu: %s", (unsigned long long)found, err.text);
        }
        assert_true(found >= last);
        last = found;
    }
    assert_int_equal(status, 0);
    can_be_read(&v, 6009, "clean");
    audit_test_remove(&v);
}

/* Two brokers, one of which stays: what the other wrote is seen without its
 * lock, by the file's bytes. Neither size nor time tells of it. */
static void test_behind(void **state)
{
    struct audit_vault v;
    struct cv_log *stays, *other;
    struct stat before, after;
    struct timespec times[2];

    (void)state;
    audit_test_vault(&v);
    stays = open_log(&v, true);
    audit_test_fill(stays, 2);
    assert_false(cv_log_is_behind(stays));
    for (int i = 0; i < 2; i++) {
        other = open_log(&v, true);
        assert_int_equal(fstatat(v.fd, "audit/log", &before, 0), 0);
        audit_test_fill(other, 2);
        times[0] = before.st_atim;
        times[1] = before.st_mtim;
        assert_int_equal(utimensat(v.fd, "audit/log", times, 0), 0);
        assert_int_equal(fstatat(v.fd, "audit/log", &after, 0), 0);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
        assert_true(cv_log_is_behind(stays));
        assert_false(cv_log_is_behind(other));
        cv_log_close(other);
        assert_int_equal(cv_log_refresh(stays, NULL), CV_OK);
        assert_false(cv_log_is_behind(stays));
    }
    cv_log_close(stays);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_by_turns),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_read_while_written),
        cmocka_unit_test(test_behind),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
