/* What a cut leaves is taken away, also where a restored vault has the last
 * bundles alone. */
#include "audit_rotate.h"

#include "vault/audit/archived.h"
#include "vault/audit/query_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Over one folder of a thousand bundles, and two more. */
#define RECORDS (2002 * (uint64_t)CV_ARCHIVED_EVERY)

static void make_file(int vault, const char *path, size_t len)
{
    static const uint8_t text[8192] = {1};
    int fd = openat(vault, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static void make_folder(int vault, const char *path)
{
    assert_int_equal(mkdirat(vault, path, 0700), 0);
}

static bool is_there(int vault, const char *path)
{
    struct stat st;

    return fstatat(vault, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* As the broker does before it writes audit/archived. */
static void sign(struct audit_vault *v, struct cv_archived *a)
{
    char line[1024];
    struct cv_buf text;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_archived_draw(a);
    cv_archived_statement(a, v->key.name, &text);
    audit_test_sign(v, cv_buf_bytes(&text), line, sizeof line);
    cv_buf_wipe(&text);
    assert_int_equal(cv_archived_take_line(a, &v->key, line, NULL), CV_OK);
}

static void test_the_last_bundles_alone(void **state)
{
    struct audit_vault v;
    struct cv_archived a = {.offset = 8192, .seq = RECORDS};
    const uint8_t hash[CV_TREE_HASH] = {7};

    (void)state;
    audit_test_vault(&v);
    for (uint64_t i = 0; i < RECORDS; i++) {
        cv_tree_append(&a.tree, hash);
    }
    memset(a.digest, 'a', sizeof(a.digest) - 1);
    (void)snprintf(a.until, sizeof(a.until), "2024-01-01T00:00:00Z");
    make_file(v.fd, "audit/log", 8192);
    make_folder(v.fd, "audit/tile");
    make_folder(v.fd, "audit/tile/entries");
    make_folder(v.fd, "audit/tile/entries/x002");
    make_file(v.fd, "audit/tile/entries/x002/000", 1);
    make_file(v.fd, "audit/tile/entries/x002/001", 1);
    make_file(v.fd, "audit/tile/entries/x002/002", 1);
    sign(&v, &a);
    assert_int_equal(cv_archived_write(v.fd, &a, NULL), CV_OK);
    assert_int_equal(cv_archived_finish(v.fd, NULL), CV_OK);
    assert_false(is_there(v.fd, "audit/tile/entries/x002/000"));
    assert_false(is_there(v.fd, "audit/tile/entries/x002/001"));
    assert_true(is_there(v.fd, "audit/tile/entries/x002/002"));
    audit_test_remove(&v);
}

static void copy(struct cv_archived_copy *c)
{
    struct cv_buf out;

    do {
        cv_buf_init(&out, NULL, CV_KIB(64));
        assert_int_equal(cv_archived_copy_next(c, &out, NULL), CV_OK);
        cv_buf_wipe(&out);
    } while (!cv_archived_copy_is_done(c));
    cv_archived_copy_end(c);
}

/* Archives all that there was when the scan began. */
static enum cv_status cut_under(void *context, const struct cv_query_cursor *at,
                                struct cv_bytes leaf, struct cv_err *err)
{
    struct audit_vault *v = context;
    struct cv_archived_copy c;

    (void)leaf;
    (void)err;
    if (at->seq == 0) {
        assert_int_equal(cv_archived_copy_begin(v->fd, 1024, &c, NULL), CV_OK);
        copy(&c);
        c.now.seq = 1024;
        sign(v, &c.now);
        assert_int_equal(cv_archived_write(v->fd, &c.now, NULL), CV_OK);
        assert_int_equal(cv_archived_finish(v->fd, NULL), CV_OK);
    }
    return CV_OK;
}

/* The zeros of the hole are not the log's end. */
static void test_a_reader_under_the_cut(void **state)
{
    struct audit_vault v;
    struct cv_query_cursor at = {0, 0};
    struct cv_log *log = NULL;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    audit_test_fill(log, 1024);
    cv_log_close(log);
    assert_int_equal(cv_query_scan(v.fd, &at, cut_under, &v, NULL), CV_BUSY);
    assert_true(at.seq < 1024);
    audit_test_remove(&v);
}

/* An archive that another one overtook does not go on behind it. */
static void test_a_copy_under_the_cut(void **state)
{
    struct audit_vault v;
    struct cv_archived_copy first, other;
    struct cv_log *log = NULL;
    struct cv_buf out;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    audit_test_fill(log, 1024);
    cv_log_close(log);
    assert_int_equal(cv_archived_copy_begin(v.fd, 768, &other, NULL), CV_OK);
    assert_int_equal(cv_archived_copy_begin(v.fd, 512, &first, NULL), CV_OK);
    copy(&first);
    first.now.seq = 512;
    sign(&v, &first.now);
    assert_int_equal(cv_archived_write(v.fd, &first.now, NULL), CV_OK);
    cv_buf_init(&out, NULL, CV_KIB(64));
    assert_int_equal(cv_archived_copy_next(&other, &out, NULL), CV_BUSY);
    cv_buf_wipe(&out);
    audit_test_remove(&v);
}

/* What says where the log begins is written by somebody else, beside a broker
 * that has the log open: with the log's key, and without it. */
static void test_another_beside_it(void **state)
{
    struct audit_vault v;
    struct cv_archived_copy c;
    struct cv_log *log = NULL;
    struct cv_err err;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    audit_test_fill(log, 600);
    assert_int_equal(cv_log_refresh(log, NULL), CV_OK);
    audit_test_checkpoint(&v, log);
    assert_int_equal(cv_archived_copy_begin(v.fd, 256, &c, NULL), CV_OK);
    copy(&c);
    c.now.seq = 599;
    sign(&v, &c.now);
    assert_int_equal(cv_archived_write(v.fd, &c.now, NULL), CV_OK);
    assert_int_equal(cv_log_refresh(log, NULL), CV_OK);
    audit_test_fill(log, 2);
    c.now.seq = 600; /* which nobody signed */
    assert_int_equal(cv_archived_write(v.fd, &c.now, NULL), CV_OK);
    cv_err_init(&err);
    assert_int_equal(cv_log_refresh(log, &err), CV_INTEGRITY);
    assert_non_null(strstr(err.text, "no checkpoint is over"));
    assert_false(cv_log_alive(log));
    cv_log_close(log);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_INTEGRITY);
    audit_test_remove(&v);
}

/* Behind the log: a leaf that carries this one. */
static void carry(struct cv_log *log, const struct cv_carried_one *one)
{
    cJSON *leaf =
        audit_test_leaf(CV_LEAF_EVENT, AUDIT_ROTATE_OP, "admin", NULL, 9);
    cJSON *details = cv_carried_details(one);

    assert_non_null(details);
    cJSON_DeleteItemFromObject(leaf, "details");
    cJSON_DeleteItemFromObject(leaf, "decision");
    assert_true(cJSON_AddItemToObject(leaf, "details", details));
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
}

static enum cv_status take(void *context, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    enum cv_status status = cv_carried_take(context, leaf, err);

    (void)at;
    return status == CV_NOT_FOUND ? CV_OK : status;
}

/* The same two, in the order of their records, whoever has them. */
static void are_same(const struct cv_carried *a, const struct cv_carried *b,
                     bool met)
{
    assert_int_equal(a->n, 2);
    assert_int_equal(b->n, 2);
    assert_true(a->items[0].seq < a->items[1].seq);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(a->items[i].seq, b->items[i].seq);
        assert_int_equal(a->items[i].len, b->items[i].len);
        assert_memory_equal(a->items[i].leaf, b->items[i].leaf,
                            a->items[i].len);
        assert_true(b->items[i].met == met);
    }
}

/* What is archived of the changes of keys, also when what carries them is. */
static void test_changes_of_the_key(void **state)
{
    struct audit_vault v;
    struct cv_archived_copy c;
    struct cv_carried all = {0}, left = {0};
    struct cv_query_cursor at = {0, 0};
    struct cv_log *log = NULL;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    audit_test_fill(log, 100);
    audit_rotate(&v, log);
    audit_test_fill(log, 100);
    audit_rotate(&v, log);
    audit_test_fill(log, 100);
    assert_int_equal(cv_query_scan(v.fd, &at, take, &all, NULL), CV_OK);
    are_same(&all, &all, true);
    assert_int_equal(cv_archived_copy_begin(v.fd, 256, &c, NULL), CV_OK);
    copy(&c);
    are_same(&all, &c.changes, true);
    /* In whatever order, and more than once. */
    carry(log, &c.changes.items[1]);
    carry(log, &c.changes.items[0]);
    carry(log, &c.changes.items[1]);
    c.now.seq = cv_log_size(log);
    sign(&v, &c.now);
    assert_int_equal(cv_archived_write(v.fd, &c.now, NULL), CV_OK);
    cv_archived_copy_free(&c);
    at = (struct cv_query_cursor){0, 0};
    assert_int_equal(cv_query_scan(v.fd, &at, take, &left, NULL), CV_OK);
    are_same(&all, &left, false);
    cv_carried_free(&left);
    cv_carried_free(&all);
    cv_log_close(log);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_bundles_alone),
        cmocka_unit_test(test_a_reader_under_the_cut),
        cmocka_unit_test(test_a_copy_under_the_cut),
        cmocka_unit_test(test_another_beside_it),
        cmocka_unit_test(test_changes_of_the_key),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
