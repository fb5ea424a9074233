/* vault/broker/archive.h: what was written is read back, and nothing else is
 * read at all. */
#include "vault/broker/archive.h"

#include "vault/base/json.h"

#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

struct whole {
    struct cv_buf data;
    struct cv_archive_head head;
    struct cv_buf parts[CV_ARCHIVE_PARTS]; /* as they were read */
};

static int setup_of(void **state, uint64_t store, bool archived, bool kept)
{
    static struct whole w;
    uint8_t digest[CV_ARCHIVE_DIGEST];

    *state = &w;
    memset(&w, 0, sizeof(w));
    cv_buf_init(&w.data, NULL, 1 << 20);
    memcpy(w.head.vault_id, "0123456789abcdef0123456789abcdef", 33);
    memcpy(w.head.program, "1.2.3", 6);
    w.head.created_s = 1795362341;
    w.head.leaves = 7;
    memset(w.head.root, 0x5a, sizeof(w.head.root));
    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        w.head.sizes[i] = (uint64_t)(40 + 7 * i);
        cv_buf_init(&w.parts[i], NULL, 1 << 20);
    }
    w.head.sizes[CV_ARCHIVE_STORE] = store;
    if (!archived) {
        w.head.sizes[CV_ARCHIVE_ARCHIVED] = 0;
        w.head.sizes[CV_ARCHIVE_HASHES] = 0;
    }
    if (!kept) {
        w.head.sizes[CV_ARCHIVE_KEPT] = 0;
    }
    cv_archive_write_head(&w.head, &w.data);
    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        for (uint64_t k = 0; k < w.head.sizes[i]; k++) {
            cv_buf_add_char(&w.data, (char)('a' + i + (int)(k % 7)));
        }
    }
    (void)crypto_hash_sha256(digest, w.data.data, w.data.len);
    cv_buf_add(&w.data, digest, sizeof(digest));
    assert_int_equal(w.data.status, CV_OK);
    return 0;
}

static int setup(void **state)
{
    return setup_of(state, 3000, true, true);
}

static int setup_second(void **state)
{
    return setup_of(state, 3000, true, false);
}

/* Checkpoints were kept, nothing was archived. */
static int setup_third(void **state)
{
    return setup_of(state, 3000, false, true);
}

/* More than one piece, of the first form. */
static int setup_large(void **state)
{
    return setup_of(state, 600000, false, false);
}

static int teardown(void **state)
{
    struct whole *w = *state;

    cv_buf_wipe(&w->data);
    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        cv_buf_wipe(&w->parts[i]);
    }
    return 0;
}

static enum cv_status keep(void *context, enum cv_archive_part part,
                           struct cv_bytes bytes, struct cv_err *err)
{
    struct whole *w = context;

    (void)err;
    cv_buf_add(&w->parts[part], bytes.data, bytes.len);
    return CV_OK;
}

static enum cv_status read_bytes(const uint8_t *data, size_t len,
                                 struct whole *into, struct cv_err *err)
{
    int fd = memfd_create("archive", 0);
    uint8_t digest[CV_ARCHIVE_DIGEST];
    struct cv_archive_head head;
    enum cv_status s;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    s = cv_archive_read(fd, &head, NULL, into != NULL ? keep : NULL, into,
                        digest, err);
    if (s == CV_OK && into != NULL) {
        assert_memory_equal(&head, &into->head, sizeof(head));
        assert_memory_equal(digest, data + len - 32, 32);
    }
    (void)close(fd);
    return s;
}

static void test_comes_back(void **state)
{
    struct whole *w = *state;

    assert_int_equal(cv_archive_size(&w->head), w->data.len);
    assert_int_equal(read_bytes(w->data.data, w->data.len, w, NULL), CV_OK);
    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        assert_int_equal(w->parts[i].len, w->head.sizes[i]);
        if (w->head.sizes[i] > 0) {
            assert_int_equal(w->parts[i].data[1], 'a' + i + 1);
        }
    }
}

/* Every bit of the head, and some behind it. */
static void test_changed(void **state)
{
    struct whole *w = *state;

    for (size_t at = 0; at < w->data.len;
         at += at < 1200 || at + 64 > w->data.len ? 1 : 977) {
        for (int bit = 0; bit < 8; bit += at < 1200 ? 1 : 7) {
            enum cv_status s;

            w->data.data[at] ^= (uint8_t)(1 << bit);
            s = read_bytes(w->data.data, w->data.len, NULL, NULL);
            assert_int_equal(s, at < 16 ? CV_INVALID : CV_INTEGRITY);
            w->data.data[at] ^= (uint8_t)(1 << bit);
        }
    }
}

static void test_cut_or_longer(void **state)
{
    struct whole *w = *state;

    for (size_t len = 0; len < w->data.len; len += len < 1200 ? 1 : 4999) {
        assert_int_equal(read_bytes(w->data.data, len, NULL, NULL),
                         len < 16 ? CV_INVALID : CV_INTEGRITY);
    }
    cv_buf_add_char(&w->data, 'x');
    assert_int_equal(read_bytes(w->data.data, w->data.len, NULL, NULL),
                     CV_INTEGRITY);
}

static void test_newer(void **state)
{
    struct whole *w = *state;
    struct cv_err err;

    cv_err_init(&err);
    w->data.data[19] = CV_ARCHIVE_VERSION_KEPT + 1;
    assert_int_equal(read_bytes(w->data.data, w->data.len, NULL, &err),
                     CV_INTEGRITY);
    assert_non_null(strstr(err.text, "newer"));
    assert_true(err.hint[0] != '\0');
}

/* The one form under the others' numbers. */
static void test_other_form(void **state)
{
    struct whole *w = *state;
    uint8_t own = w->data.data[19];

    for (uint8_t v = 0; v <= CV_ARCHIVE_VERSION_KEPT + 1; v++) {
        w->data.data[19] = v;
        assert_int_equal(read_bytes(w->data.data, w->data.len, NULL, NULL),
                         v == own ? CV_OK : CV_INTEGRITY);
    }
}

/* What is archived is there with its hashes, or neither is. */
static void test_half(void **state)
{
    static const enum cv_archive_part parts[] = {CV_ARCHIVE_ARCHIVED,
                                                 CV_ARCHIVE_HASHES};
    struct whole *w = *state;
    struct cv_buf half;

    for (int i = 0; i < 2; i++) {
        uint64_t was = w->head.sizes[parts[i]];

        cv_buf_init(&half, NULL, 1 << 20);
        w->head.sizes[parts[i]] = 0;
        cv_archive_write_head(&w->head, &half);
        cv_buf_add(&half, w->data.data, w->data.len);
        assert_int_equal(read_bytes(half.data, half.len, NULL, NULL),
                         CV_INTEGRITY);
        cv_buf_wipe(&half);
        w->head.sizes[parts[i]] = was;
    }
}

/* A length that no vault has is refused before anything is read for it. */
static void test_huge(void **state)
{
    struct whole *w = *state;
    struct cv_buf huge;

    cv_buf_init(&huge, NULL, 1 << 20);
    w->head.sizes[CV_ARCHIVE_LOG] = (uint64_t)1 << 50;
    cv_archive_write_head(&w->head, &huge);
    assert_int_equal(read_bytes(huge.data, huge.len, NULL, NULL), CV_INTEGRITY);
    cv_buf_wipe(&huge);
    w->head.sizes[CV_ARCHIVE_LOG] = 10;
    w->head.sizes[CV_ARCHIVE_KEY] = (uint64_t)1 << 30;
    cv_archive_write_head(&w->head, &huge);
    assert_int_equal(read_bytes(huge.data, huge.len, NULL, NULL), CV_INTEGRITY);
    cv_buf_wipe(&huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_back, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_comes_back, setup_second,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_comes_back, setup_third, teardown),
        cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_or_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_form, setup_second,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_other_form, setup_third, teardown),
        cmocka_unit_test_setup_teardown(test_other_form, setup_large, teardown),
        cmocka_unit_test_setup_teardown(test_half, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
    };

    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK) {
        return 1;
    }
    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
