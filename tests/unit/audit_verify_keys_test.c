/* `audit verify` beside checkpoints of other times and keys that change. */
#include "audit_report.h"

#include "vault/audit/kept.h"
#include "vault/audit/rotation.h"
#include "vault/audit/verify.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"

#include <sodium.h>
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

static void sign_by(const struct cv_note_key *key, const uint8_t *sk,
                    struct cv_bytes text, struct cv_buf *line)
{
    uint8_t blob[4 + crypto_sign_BYTES];

    memcpy(blob, key->id, sizeof key->id);
    (void)crypto_sign_detached(blob + 4, NULL, text.data, text.len, sk);
    cv_buf_add_format(line, "\xe2\x80\x94 %s ", key->name);
    cv_encode_base64((struct cv_bytes){blob, sizeof blob}, line);
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

#define OP "0123456789abcdef0123456789abcdef"

/* Draws another key of the log and appends the leaf that both sign. */
static void rotate(struct audit_vault *v, struct cv_log *log)
{
    struct cv_rotation r = {.from = v->key};
    struct cv_arena *arena = NULL;
    struct cv_bytes seeds[2];
    struct cv_buf file, text, lines[2];
    uint8_t pk[32], sk[64];
    cJSON *leaf = audit_test_leaf(CV_LEAF_OUTCOME, OP, "admin", NULL, 9);
    cJSON *details = cJSON_CreateObject();

    assert_int_equal(cv_arena_new(65536, &arena, NULL), CV_OK);
    assert_int_equal(
        cv_logkey_next_draw(v->key.name, arena, &file, &r.to, NULL), CV_OK);
    assert_int_equal(cv_logkey_next_write(v->fd, &file, NULL), CV_OK);
    assert_int_equal(
        cv_logkey_read_seed(v->fd, &r.from, arena, &seeds[0], NULL), CV_OK);
    assert_int_equal(cv_logkey_next_seed(v->fd, &r.to, arena, &seeds[1], NULL),
                     CV_OK);
    cv_buf_init(&text, NULL, 4096);
    cv_rotation_text(&r, &text);
    for (int i = 0; i < 2; i++) {
        (void)crypto_sign_seed_keypair(pk, sk, seeds[i].data);
        cv_buf_init(&lines[i], NULL, 4096);
        sign_by(i == 0 ? &r.from : &r.to, sk, cv_buf_bytes(&text), &lines[i]);
    }
    assert_int_equal(cv_rotation_details(&r, cv_buf_text(&lines[0]),
                                         cv_buf_text(&lines[1]), details, NULL),
                     CV_OK);
    cJSON_DeleteItemFromObject(leaf, "details");
    assert_true(cJSON_AddItemToObject(leaf, "details", details));
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
    for (int i = 0; i < 2; i++) {
        cv_buf_wipe(&lines[i]);
    }
    cv_buf_wipe(&text);
    cv_arena_free(arena);
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
    leaf = audit_test_leaf(CV_LEAF_DECISION, OP, "admin", NULL, 8);
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
    rotate(&v, log);
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
