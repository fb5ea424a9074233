/* Never two checkpoints that contradict each other: what another process stored
 * between the signing and the storing counts (compare and swap), and what lies
 * there must fit the log before anything is signed. */
#include "audit_test.h"

#include "vault/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "audit/checkpoint"

struct rig {
    struct audit_vault v;
    struct cv_log *log;
    struct cv_buf text; /* what is to be signed */
    char line[512];
};

static void begin(struct rig *r)
{
    struct cv_err err;

    cv_err_init(&err);
    audit_test_vault(&r->v);
    r->log = audit_test_open(&r->v);
    audit_test_fill(r->log, 4);
    cv_buf_init(&r->text, NULL, 4096);
    assert_int_equal(cv_checkpoint_begin(r->log, &r->text, &err), CV_OK);
    assert_true(r->text.len > 0);
    audit_test_sign(&r->v, cv_buf_bytes(&r->text), r->line, sizeof r->line);
}

static void end(struct rig *r)
{
    cv_buf_wipe(&r->text);
    cv_log_close(r->log);
    audit_test_remove(&r->v);
}

/* Somebody with the log's key stores a checkpoint of `more` leaves than ours,
 * with another root. */
static void store_other(struct rig *r, uint64_t more)
{
    struct cv_checkpoint c;
    struct cv_buf text, note;
    struct cv_err err;
    char line[512];

    cv_err_init(&err);
    cv_buf_init(&text, NULL, 4096);
    cv_buf_init(&note, NULL, 4096);
    assert_int_equal(cv_checkpoint_parse(cv_buf_bytes(&r->text), &c, &err),
                     CV_OK);
    c.size += more;
    c.root[0] ^= 1;
    cv_checkpoint_text(&c, &text);
    audit_test_sign(&r->v, cv_buf_bytes(&text), line, sizeof line);
    assert_int_equal(cv_note_join(cv_buf_bytes(&text), line, &note, &err),
                     CV_OK);
    audit_test_write(&r->v, FILE_NAME, note.data, note.len);
    cv_buf_wipe(&note);
    cv_buf_wipe(&text);
}

static enum cv_status finish(struct rig *r, bool commit)
{
    struct cv_bytes text = cv_buf_bytes(&r->text);
    struct cv_err err;

    cv_err_init(&err);
    return commit ? cv_checkpoint_commit(r->log, text, r->line, &err)
                  : cv_checkpoint_finish(r->log, text, r->line, &err);
}

static void stays(struct rig *r, const uint8_t *before, size_t len)
{
    size_t now_len;
    uint8_t *now = audit_test_read(&r->v, FILE_NAME, &now_len);

    assert_int_equal(now_len, len);
    assert_memory_equal(now, before, len);
    free(now);
}

/* Stored meanwhile: `more` leaves than ours, another root. */
static void meanwhile(uint64_t more, bool commit, enum cv_status expected)
{
    struct rig r;
    uint8_t *other;
    size_t len;

    begin(&r);
    store_other(&r, more);
    other = audit_test_read(&r.v, FILE_NAME, &len);
    assert_int_equal(finish(&r, commit), expected);
    stays(&r, other, len);
    free(other);
    end(&r);
}

static void another_root_meanwhile(void **state)
{
    (void)state;
    meanwhile(0, false, CV_INTEGRITY);
    meanwhile(0, true, CV_INTEGRITY);
}

/* It is kept: an older one never takes its place. */
static void a_later_one_meanwhile(void **state)
{
    (void)state;
    meanwhile(1, false, CV_OK);
    meanwhile(1, true, CV_OK);
}

static void what_does_not_fit_is_not_signed_over(void **state)
{
    (void)state;
    for (uint64_t more = 0; more < 2; more++) {
        struct rig r;
        struct cv_buf text;
        struct cv_err err;

        cv_err_init(&err);
        begin(&r);
        store_other(&r, more);
        cv_buf_init(&text, NULL, 4096);
        assert_int_equal(cv_checkpoint_begin(r.log, &text, &err), CV_INTEGRITY);
        assert_int_equal(text.len, 0);
        cv_buf_wipe(&text);
        end(&r);
    }
}

/* The signature of another text, and the text of another log. */
static void what_is_not_ours(void **state)
{
    struct rig r, other;

    (void)state;
    begin(&r);
    begin(&other);
    memcpy(r.line, other.line, sizeof r.line);
    assert_int_equal(finish(&r, false), CV_INTEGRITY);
    end(&r);
    begin(&r);
    cv_buf_wipe(&r.text);
    cv_buf_init(&r.text, NULL, 4096);
    cv_buf_add(&r.text, other.text.data, other.text.len);
    assert_int_equal(finish(&r, false), CV_INTEGRITY);
    end(&other);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_root_meanwhile),
        cmocka_unit_test(a_later_one_meanwhile),
        cmocka_unit_test(what_does_not_fit_is_not_signed_over),
        cmocka_unit_test(what_is_not_ours),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
