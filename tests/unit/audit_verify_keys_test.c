/* `audit verify` beside checkpoints of other times and keys that change. */
#include "audit_report.h"
#include "audit_rotate.h"

#include "vault/audit/kept.h"
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

/* The log's key changes between what was read of it and the end. */
static void test_rotated_meanwhile(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_verify_options options = {.progress = take_next, .context = &v};
    cJSON *leaf, *report;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 4);
    leaf = audit_test_leaf(CV_LEAF_DECISION, AUDIT_ROTATE_OP, "admin", NULL, 8);
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
    audit_rotate_leaf(&v, log);
    cv_log_close(log);
    report = audit_report_run(&v, &options, CV_OK);
    cJSON_Delete(report);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn_below_a_kept_one),
        cmocka_unit_test(test_rotated_meanwhile),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
