/* `audit verify` beside checkpoints of other times and keys that change. */
#include "audit_report.h"
#include "audit_rotate.h"

#include "vault/audit/kept.h"
#include "vault/audit/query_internal.h"
#include "vault/audit/rotation.h"
#include "vault/audit/verify.h"
#include "vault/base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void is_fine(const struct audit_vault *v, const char *checkpoint,
                    const char *tail, int records)
{
    cJSON *report = audit_report_run(v, NULL, CV_OK);

    assert_string_equal(audit_report_text(report, "checkpoint"), checkpoint);
    assert_string_equal(audit_report_text(report, "tail"), tail);
    assert_string_equal(audit_report_text(report, "anchored"), "none");
    assert_int_equal(audit_report_at(report, "records")->valuedouble, records);
    assert_int_equal(audit_report_at(report, "size")->valuedouble, records);
    cJSON_Delete(report);
}

/* Kept checkpoints are written with the hour; this one has just struck. */
static void keep(struct audit_vault *v)
{
    size_t len;
    uint8_t *note = audit_test_read(v, "audit/checkpoint", &len);

    cv_kept_add(v->fd, (struct cv_bytes){note, len});
    free(note);
}

/* The last checkpoint is of an earlier time, and the log is cut off below one
 * that was kept: that is no torn tail, and no writer drops it. */
static void test_torn_below_a_kept_one(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    uint8_t *old_note, *bytes;
    size_t old_len, len;
    cJSON *report;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 4);
    audit_test_checkpoint(&v, log);
    old_note = audit_test_read(&v, "audit/checkpoint", &old_len);
    audit_test_fill(log, 4);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    audit_test_write(&v, "audit/log", bytes, len - 3);
    keep(&v);
    audit_test_write(&v, "audit/checkpoint", old_note, old_len);
    report = audit_report_run(&v, NULL, CV_INTEGRITY);
    assert_string_equal(audit_report_text(report, "tail"), "clean");
    cJSON_Delete(report);
    audit_report_finds(&v, "kept");
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_INTEGRITY);
    /* By another's signature it says nothing. */
    assert_int_equal(unlinkat(v.fd, CV_KEPT_PATH, 0), 0);
    old_note[old_len - 10] ^= 1;
    cv_kept_add(v.fd, (struct cv_bytes){old_note, old_len});
    is_fine(&v, "valid", "torn", 7);
    cv_log_close(audit_test_open(&v));
    free(bytes);
    free(old_note);
    audit_test_remove(&v);
}

static void take_next(void *context, const struct cv_verify_progress *now)
{
    struct audit_vault *v = context;
    struct cv_note_key next;

    (void)now;
    if (cv_logkey_next_read(v->fd, &next, NULL) == CV_OK) {
        assert_int_equal(cv_logkey_next_take(v->fd, &next, NULL), CV_OK);
    }
}

/* The decision that a change of keys has before its leaf. */
static void decide_change(struct cv_log *log)
{
    cJSON *leaf =
        audit_test_leaf(CV_LEAF_DECISION, AUDIT_ROTATE_OP, "admin", NULL, 8);

    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
}

/* The log's key changes between what was read of it and the end. */
static void test_rotated_meanwhile(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_verify_options options = {.progress = take_next, .context = &v};
    cJSON *report;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 4);
    decide_change(log);
    audit_rotate_leaf(&v, log);
    cv_log_close(log);
    report = audit_report_run(&v, &options, CV_OK);
    cJSON_Delete(report);
    audit_test_remove(&v);
}

static enum cv_status take_change(void *ctx, const struct cv_query_cursor *at,
                                  struct cv_bytes leaf, struct cv_err *err)
{
    enum cv_status s = cv_rotation_chain_take(ctx, leaf, err);

    (void)at;
    return s == CV_NOT_FOUND ? CV_OK : s;
}

/* As many as a key that is changed each week has in six years. */
#define CHANGES 300
static void test_many_changes(void **state)
{
    struct cv_rotation_chain chain = {NULL, 0};
    struct cv_query_cursor from = {0, 0};
    struct audit_vault v;
    struct cv_log *log;
    cJSON *items = cJSON_CreateArray();

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    for (int i = 0; i < CHANGES; i++) {
        audit_rotate(&v, log);
    }
    cv_log_close(log);
    assert_int_equal(cv_query_scan(v.fd, &from, take_change, &chain, NULL),
                     CV_OK);
    assert_int_equal(chain.n, CHANGES + 1);
    assert_int_equal(cv_rotation_list(v.fd, &v.key, items, NULL), CV_OK);
    assert_int_equal(cJSON_GetArraySize(items), CHANGES + 1);
    cJSON_Delete(items);
    cv_rotation_chain_free(&chain);
    audit_test_remove(&v);
}

/* Of the store's key: the log's, or one before it; none that comes after, as
 * where the log's folder was put back to a time before. */
static void test_the_stores_key(void **state)
{
    struct cv_verify_options options = {.vkey = NULL};
    struct cv_buf first, second;
    struct audit_vault v;
    struct cv_log *log;
    uint8_t *note, *pub, *secret;
    size_t note_len, pub_len, secret_len;

    (void)state;
    cv_buf_init(&first, NULL, 1024);
    cv_buf_init(&second, NULL, 1024);
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 2);
    audit_test_checkpoint(&v, log);
    note = audit_test_read(&v, "audit/checkpoint", &note_len);
    pub = audit_test_read(&v, "audit/key.pub", &pub_len);
    secret = audit_test_read(&v, "audit/log.key", &secret_len);
    cv_note_key_text(&v.key, &first);
    decide_change(log);
    audit_rotate(&v, log);
    cv_note_key_text(&v.key, &second);
    cv_log_close(log);
    options.store_key = cv_buf_text(&first);
    cJSON_Delete(audit_report_run(&v, &options, CV_OK));
    options.store_key = cv_buf_text(&second);
    cJSON_Delete(audit_report_run(&v, &options, CV_OK));
    /* The change was under way, it seems. */
    audit_test_write(&v, "audit/checkpoint", note, note_len);
    audit_test_write(&v, "audit/key.pub", pub, pub_len);
    audit_test_write(&v, "audit/log.key.next", secret, secret_len);
    cJSON_Delete(audit_report_run(&v, &options, CV_INTEGRITY));
    options.store_key = cv_buf_text(&first);
    cJSON_Delete(audit_report_run(&v, &options, CV_OK));
    free(note);
    free(pub);
    free(secret);
    cv_buf_wipe(&first);
    cv_buf_wipe(&second);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn_below_a_kept_one),
        cmocka_unit_test(test_rotated_meanwhile),
        cmocka_unit_test(test_many_changes),
        cmocka_unit_test(test_the_stores_key),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
