/* What witnesses signed: their own lines alone are picked out of an answer, and
 * only what verifies is believed. */
#include "audit_test.h"

#include "vault/audit/anchored.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DASH "\xe2\x80\x94 "
#define WHEN 1795000000

struct witness {
    struct cv_note_key key;
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
};

struct bed {
    struct audit_vault v;
    struct cv_log *log;
    struct witness w, other;
    struct cv_buf note; /* the log's checkpoint */
};

static struct cv_bytes of(const struct cv_buf *b)
{
    return (struct cv_bytes){b->data, b->len};
}

static void make_witness(const char *name, struct witness *w)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];

    (void)crypto_sign_keypair(public_key, w->secret);
    assert_int_equal(
        cv_note_key_make(name, CV_NOTE_COSIGNATURE, public_key, &w->key, NULL),
        CV_OK);
}

/* The line of `w` under `note`, appended to `out`. */
static void cosign(const struct witness *w, struct cv_bytes note,
                   uint64_t time_s, struct cv_buf *out)
{
    const uint8_t *end = memmem(note.data, note.len, "\n\n", 2);
    uint8_t blob[4 + 8 + crypto_sign_BYTES];
    struct cv_buf text;

    assert_non_null(end);
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_add_format(&text, "cosignature/v1\ntime %llu\n",
                      (unsigned long long)time_s);
    cv_buf_add(&text, note.data, (size_t)(end + 1 - note.data));
    memcpy(blob, w->key.id, 4);
    for (unsigned i = 0; i < 8; i++) {
        blob[4 + i] = (uint8_t)(time_s >> (56 - 8 * i));
    }
    (void)crypto_sign_detached(blob + 12, NULL, text.data, text.len, w->secret);
    cv_buf_add_format(out, DASH "%s ", w->key.name);
    cv_encode_base64((struct cv_bytes){blob, sizeof(blob)}, out);
    cv_buf_add_char(out, '\n');
    cv_buf_wipe(&text);
}

static void keep(struct bed *b, const struct witness *w, struct cv_bytes note)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "audit/cosigned/%02x%02x%02x%02x",
                   w->key.id[0], w->key.id[1], w->key.id[2], w->key.id[3]);
    audit_test_write(&b->v, name, note.data, note.len);
}

static int set_up(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));
    struct cv_checkpoint c;

    assert_non_null(b);
    audit_test_vault(&b->v);
    assert_int_equal(cv_log_open(b->v.fd, CV_LOG_WRITE, &b->log, NULL), CV_OK);
    audit_test_fill(b->log, 5);
    audit_test_checkpoint(&b->v, b->log);
    cv_buf_init(&b->note, NULL, CV_LIMIT_NOTE);
    assert_int_equal(
        cv_checkpoint_read(b->v.fd, &b->v.key, &c, &b->note, NULL, NULL),
        CV_OK);
    assert_int_equal(mkdirat(b->v.fd, "audit/cosigned", 0700), 0);
    make_witness("w.example/1", &b->w);
    make_witness("w.example/2", &b->other);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *b = *state;

    cv_buf_wipe(&b->note);
    cv_log_close(b->log);
    audit_test_remove(&b->v);
    free(b);
    return 0;
}

static void picks_its_own_lines(void **state)
{
    struct bed *b = *state;
    struct witness twin; /* the same name, another key */
    struct cv_buf answer, own, picked;

    make_witness(b->w.key.name, &twin);
    cv_buf_init(&answer, NULL, CV_KIB(64));
    cv_buf_init(&own, NULL, CV_KIB(64));
    cv_buf_init(&picked, NULL, CV_KIB(64));
    cosign(&b->w, of(&b->note), WHEN, &own);
    cosign(&b->other, of(&b->note), WHEN, &answer);
    cosign(&twin, of(&b->note), WHEN, &answer);
    cv_buf_add(&answer, own.data, own.len);
    cv_buf_add_str(&answer, "\n\nhello\n" DASH "w.example/1 \n" DASH
                            "w.example/1 !!!\n" DASH "w.example/1 AAAA\n" DASH
                            "w.example/10 AAAA\n" DASH "w.example/1");
    cv_anchored_pick(of(&answer), &b->w.key, &picked);
    assert_int_equal(picked.len, own.len);
    assert_memory_equal(picked.data, own.data, own.len);
    /* Without the last LF it is given one. */
    cv_buf_wipe(&picked);
    cv_anchored_pick((struct cv_bytes){own.data, own.len - 1}, &b->w.key,
                     &picked);
    assert_int_equal(picked.len, own.len);
    assert_memory_equal(picked.data, own.data, own.len);
    cv_buf_wipe(&picked);
    cv_anchored_pick((struct cv_bytes){NULL, 0}, &b->w.key, &picked);
    assert_int_equal(picked.len, 0);
    cv_buf_wipe(&answer);
    cv_buf_wipe(&own);
}

static enum cv_status time_of(struct bed *b, const struct witness *w,
                              uint64_t signed_s, int64_t *time_s)
{
    struct cv_buf note;
    enum cv_status s;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&note, b->note.data, b->note.len);
    cosign(w, of(&b->note), signed_s, &note);
    s = cv_anchored_time(of(&note), &b->w.key, time_s, NULL);
    cv_buf_wipe(&note);
    return s;
}

static void tells_the_time_that_was_signed(void **state)
{
    struct bed *b = *state;
    struct cv_buf note;
    int64_t time_s = 1;

    assert_int_equal(time_of(b, &b->w, WHEN, &time_s), CV_OK);
    assert_int_equal(time_s, WHEN);
    assert_int_equal(time_of(b, &b->other, WHEN, &time_s), CV_NOT_FOUND);
    assert_int_equal(time_s, 0);
    assert_int_equal(time_of(b, &b->w, 0, &time_s), CV_INTEGRITY);
    assert_int_equal(time_of(b, &b->w, (uint64_t)INT64_MAX + 1, &time_s),
                     CV_INTEGRITY);
    assert_int_equal(time_of(b, &b->w, INT64_MAX, &time_s), CV_OK);
    assert_int_equal(
        cv_anchored_time((struct cv_bytes){NULL, 0}, &b->w.key, &time_s, NULL),
        CV_NOT_FOUND);
    /* No byte of line or text may be another. */
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&note, b->note.data, b->note.len);
    cosign(&b->w, of(&b->note), WHEN, &note);
    for (size_t i = 0; i < note.len; i++) {
        note.data[i] ^= 1;
        if (cv_anchored_time(of(&note), &b->w.key, &time_s, NULL) == CV_OK) {
            /* The log's own line is not the witness' to answer for. */
            assert_true(i >= b->note.len - 120 && i < b->note.len);
        }
        note.data[i] ^= 1;
    }
    assert_int_equal(cv_anchored_time(of(&note), &b->w.key, &time_s, NULL),
                     CV_OK);
    cv_buf_wipe(&note);
}

static void reads_what_was_kept(void **state)
{
    struct bed *b = *state;
    const struct cv_note_key keys[] = {b->other.key, b->w.key};
    struct cv_anchored found;
    struct cv_buf note;

    assert_int_equal(
        cv_anchored_read(b->v.fd, &b->v.key, keys, 2, &found, NULL), CV_OK);
    assert_int_equal(found.n, 0);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&note, b->note.data, b->note.len);
    cosign(&b->w, of(&b->note), WHEN, &note);
    keep(b, &b->w, of(&note));
    assert_int_equal(
        cv_anchored_read(b->v.fd, &b->v.key, keys, 2, &found, NULL), CV_OK);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.at[0].name, "w.example/1");
    assert_int_equal(found.at[0].size, 5);
    assert_int_equal(found.at[0].time_s, WHEN);
    /* Under another's name it is nothing of that one. */
    keep(b, &b->other, of(&note));
    assert_int_equal(
        cv_anchored_read(b->v.fd, &b->v.key, keys, 2, &found, NULL),
        CV_INTEGRITY);
    keep(b, &b->other, (struct cv_bytes){NULL, 0});
    assert_int_equal(
        cv_anchored_read(b->v.fd, &b->v.key, keys, 2, &found, NULL),
        CV_INTEGRITY);
    cv_buf_wipe(&note);
}

/* A checkpoint that the witness signed and that is another log's. */
static void takes_no_other_log(void **state)
{
    struct bed *b = *state;
    struct cv_note_key other = b->v.key;
    struct cv_anchored found;
    struct cv_buf note;

    assert_int_equal(cv_note_key_make("another.example", CV_NOTE_ED25519,
                                      b->v.key.public_key, &other, NULL),
                     CV_OK);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&note, b->note.data, b->note.len);
    cosign(&b->w, of(&b->note), WHEN, &note);
    keep(b, &b->w, of(&note));
    assert_int_equal(
        cv_anchored_read(b->v.fd, &other, &b->w.key, 1, &found, NULL),
        CV_INTEGRITY);
    cv_buf_wipe(&note);
}

struct seen {
    char names[CV_ANCHORED_MOST][9];
    size_t n, stop_at;
};

static enum cv_status see(void *ctx, const char *name, struct cv_bytes note,
                          struct cv_err *err)
{
    struct seen *s = ctx;

    (void)note;
    assert_true(s->n < CV_ANCHORED_MOST);
    (void)snprintf(s->names[s->n++], 9, "%s", name);
    return s->n == s->stop_at ? cv_fail(err, CV_BUSY, "enough") : CV_OK;
}

static void goes_through_the_files(void **state)
{
    static const char *const none[] = {"0000000", "000000000", "0000000G",
                                       "0000000A", ".0000000"};
    struct bed *b = *state;
    struct seen s = {.n = 0};
    char name[64];

    for (unsigned i = 0; i < CV_ANCHORED_MOST + 4; i++) {
        (void)snprintf(name, sizeof(name), "audit/cosigned/%08x",
                       i * 2654435761u);
        audit_test_write(&b->v, name, "x", 1);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        (void)snprintf(name, sizeof(name), "audit/cosigned/%s", none[i]);
        audit_test_write(&b->v, name, "x", 1);
    }
    assert_int_equal(cv_anchored_each(b->v.fd, see, &s, NULL), CV_OK);
    assert_int_equal(s.n, CV_ANCHORED_MOST);
    for (size_t i = 1; i < s.n; i++) {
        assert_true(strcmp(s.names[i - 1], s.names[i]) < 0);
    }
    s = (struct seen){.stop_at = 3};
    assert_int_equal(cv_anchored_each(b->v.fd, see, &s, NULL), CV_BUSY);
    assert_int_equal(s.n, 3);
}

static void no_folder_is_none(void **state)
{
    struct bed *b = *state;
    struct seen s = {.n = 0};

    assert_int_equal(unlinkat(b->v.fd, "audit/cosigned", AT_REMOVEDIR), 0);
    assert_int_equal(cv_anchored_each(b->v.fd, see, &s, NULL), CV_OK);
    assert_int_equal(s.n, 0);
    assert_int_equal(symlinkat("/tmp", b->v.fd, "audit/cosigned"), 0);
    assert_int_equal(cv_anchored_each(b->v.fd, see, &s, NULL), CV_IO);
    assert_int_equal(unlinkat(b->v.fd, "audit/cosigned", 0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(picks_its_own_lines),    TEST(tells_the_time_that_was_signed),
        TEST(reads_what_was_kept),    TEST(takes_no_other_log),
        TEST(goes_through_the_files), TEST(no_folder_is_none),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
