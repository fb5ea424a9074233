/* vault/base/arena.h and vault/base/buf.h */
#include "vault/base/buf.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int start(void **state)
{
    (void)state;
    return cv_arena_start(NULL) == CV_OK ? 0 : -1;
}

static struct cv_arena *new_arena(size_t ceiling)
{
    struct cv_arena *a = NULL;
    assert_int_equal(cv_arena_new(ceiling, &a, NULL), CV_OK);
    assert_non_null(a);
    return a;
}

static void pieces_are_zero_aligned_and_apart(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(CV_MIB(8));
    static uint8_t *pieces[600];
    size_t lens[600];
    for (size_t i = 0; i < 600; i++) {
        lens[i] = i % 7 == 0 ? i * 37 : i;
        pieces[i] = cv_arena_alloc(a, lens[i], NULL);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        assert_true(cv_arena_owns(a, pieces[i]));
        for (size_t k = 0; k < lens[i]; k++) {
            assert_int_equal(pieces[i][k], 0);
        }
        memset(pieces[i], (int)(i & 0xff), lens[i]);
    }
    for (size_t i = 0; i < 600; i++) {
        for (size_t k = 0; k < lens[i]; k++) {
            assert_int_equal(pieces[i][k], i & 0xff);
        }
    }
    int outside = 0;
    assert_false(cv_arena_owns(a, &outside));
    assert_false(cv_arena_owns(NULL, &outside));
    cv_arena_free(a);
    cv_arena_free(NULL);
}

static void large_pieces(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(CV_MIB(8));
    uint8_t *big = cv_arena_alloc(a, CV_MIB(2), NULL);
    assert_non_null(big);
    big[0] = 1;
    big[CV_MIB(2) - 1] = 1;
    uint8_t *small = cv_arena_alloc(a, 1, NULL);
    assert_non_null(small);
    assert_true(cv_arena_owns(a, big + CV_MIB(2) - 1));
    cv_arena_free(a);
}

static void the_ceiling_holds(void **state)
{
    (void)state;
    struct cv_err e;
    cv_err_init(&e);
    struct cv_arena *a = new_arena(4096);
    assert_null(cv_arena_alloc(a, 4097, &e));
    assert_int_equal(e.status, CV_INVALID);
    assert_non_null(cv_arena_alloc(a, 4000, &e));
    assert_true(cv_arena_used(a) >= 4000);
    assert_null(cv_arena_alloc(a, 100, &e));
    assert_non_null(cv_arena_alloc(a, 96, &e));
    assert_null(cv_arena_alloc(a, 0, &e));
    assert_null(cv_arena_alloc(a, SIZE_MAX, &e));
    assert_null(cv_arena_alloc(a, SIZE_MAX - 15, &e));
    assert_null(cv_arena_copy(a, "x", SIZE_MAX, &e));
    assert_int_equal(e.status, CV_INVALID);
    cv_arena_free(a);
}

static void copies(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(4096);
    char *copy = cv_arena_copy(a, "ab\0cd", 5, NULL);
    assert_memory_equal(copy, "ab\0cd\0", 6);
    copy = cv_arena_copy(a, NULL, 0, NULL);
    assert_string_equal(copy, "");
    cv_arena_free(a);
}

static void growing_in_place(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(8192);
    uint8_t *p = cv_arena_grow(a, NULL, 0, 10, NULL);
    memset(p, 7, 10);
    assert_ptr_equal(cv_arena_grow(a, p, 10, 100, NULL), p);
    assert_ptr_equal(cv_arena_grow(a, p, 100, 1000, NULL), p);
    assert_int_equal(p[9], 7);
    assert_int_equal(p[10], 0);
    assert_int_equal(p[999], 0);
    cv_arena_free(a);
}

static void growing_elsewhere_wipes(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(8192);
    uint8_t *p = cv_arena_alloc(a, 64, NULL);
    memset(p, 7, 64);
    uint8_t *behind = cv_arena_alloc(a, 16, NULL);
    behind[0] = 9;
    uint8_t *q = cv_arena_grow(a, p, 64, 128, NULL);
    assert_ptr_not_equal(p, q);
    for (int i = 0; i < 128; i++) {
        assert_int_equal(q[i], i < 64 ? 7 : 0);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(p[i], 0);
    }
    assert_int_equal(behind[0], 9);
    /* What cannot grow stays as it is. */
    struct cv_err e;
    cv_err_init(&e);
    assert_null(cv_arena_grow(a, q, 128, 9000, &e));
    assert_int_equal(e.status, CV_INVALID);
    assert_int_equal(q[63], 7);
    cv_arena_free(a);
}

static void growing_large_gives_back(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(CV_MIB(7));
    uint8_t *first = cv_arena_alloc(a, 16, NULL);
    first[0] = 1;
    size_t len = CV_KIB(64);
    uint8_t *p = cv_arena_alloc(a, len, NULL);
    memset(p, 3, len);
    /* Without giving back the sum of all sizes would be above the ceiling. */
    while (len < CV_MIB(3)) {
        uint8_t *old = p;
        p = cv_arena_grow(a, p, len, len + CV_KIB(256), NULL);
        assert_non_null(p);
        if (p != old) {
            assert_false(cv_arena_owns(a, old));
        }
        len += CV_KIB(256);
    }
    assert_int_equal(p[CV_KIB(64) - 1], 3);
    assert_int_equal(p[CV_KIB(64)], 0);
    assert_int_equal(first[0], 1);
    assert_true(cv_arena_used(a) < CV_MIB(4));
    cv_arena_free(a);
}

/* What the kernel can read at `p`: false where nobody can. */
static bool within_reach(const void *p)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    bool reached = write(ends[1], p, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return reached;
}

/* The next arena may get the same memory: wiped, and not before. */
static void freed_memory(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct cv_arena *a[6];
        uint8_t *p[6];
        for (int i = 0; i < 6; i++) {
            a[i] = new_arena(CV_KIB(64));
            p[i] = cv_arena_alloc(a[i], 8000, NULL);
            assert_non_null(p[i]);
            for (int k = 0; k < 8000; k++) {
                assert_int_equal(p[i][k], 0);
            }
            memset(p[i], 0x5a, 8000);
        }
        for (int i = 0; i < 6; i++) {
            assert_true(within_reach(p[i]));
            cv_arena_free(a[i]);
            assert_false(within_reach(p[i]));
        }
    }
}

/* What is kept for the arenas to come holds nothing of the one before: also
 * where the next one has less in it. */
static void what_is_kept_is_wiped(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(CV_KIB(64));
    uint8_t *old = cv_arena_alloc(a, 8000, NULL);
    assert_non_null(old);
    memset(old, 0x5a, 8000);
    cv_arena_free(a);
    a = new_arena(CV_KIB(64));
    const volatile uint8_t *p = cv_arena_alloc(a, 16, NULL);
    assert_ptr_equal(p, old);
    for (int k = 0; k < 8000; k++) {
        assert_int_equal(p[k], 0);
    }
    cv_arena_free(a);
}

/* Runs `body` in a child without the right to lock memory; its exit code. */
static int without_locking(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
            (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))) {
            _exit(99);
        }
        _exit(body());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int refuses_unlocked(void)
{
    struct cv_err e;
    cv_err_init(&e);
    struct cv_arena *a = NULL;
    if (cv_arena_new(4096, &a, &e) != CV_OK ||
        cv_arena_alloc(a, 1, &e) != NULL) {
        return 1;
    }
    if (e.status != CV_UNAVAILABLE || strstr(e.hint, "LimitMEMLOCK") == NULL) {
        return 2;
    }
    struct cv_buf b;
    cv_buf_init(&b, a, 100);
    cv_buf_add_str(&b, "secret");
    if (cv_buf_status(&b, "it", &e) != CV_UNAVAILABLE || e.hint[0] == '\0') {
        return 3;
    }
    cv_arena_free(a);
    return 0;
}

static int goes_on_when_allowed(void)
{
    struct cv_arena *a = NULL;
    cv_arena_allow_unlocked();
    if (cv_arena_new(4096, &a, NULL) != CV_OK ||
        cv_arena_alloc(a, 1, NULL) == NULL) {
        return 1;
    }
    cv_arena_free(a);
    return 0;
}

static void memory_that_cannot_be_locked(void **state)
{
    (void)state;
    assert_int_equal(without_locking(refuses_unlocked), 0);
    assert_int_equal(without_locking(goes_on_when_allowed), 0);
}

static void comparing(void **state)
{
    (void)state;
    const uint8_t x[] = {1, 2, 3};
    const uint8_t y[] = {1, 2, 4};
    struct cv_bytes a = {x, 3};
    struct cv_bytes b = {y, 3};
    struct cv_bytes shorter = {x, 2};
    struct cv_bytes none = {NULL, 0};
    assert_true(cv_bytes_equal(a, a));
    assert_false(cv_bytes_equal(a, b));
    assert_false(cv_bytes_equal(a, shorter));
    assert_false(cv_bytes_equal(a, none));
    assert_true(cv_bytes_equal(none, none));
}

static void fill(struct cv_buf *b)
{
    cv_buf_add_str(b, "one");
    cv_buf_add_char(b, ' ');
    cv_buf_add(b, "two", 3);
    cv_buf_add(b, NULL, 0);
    cv_buf_add_format(b, " %d%s", 3, "!");
    assert_string_equal(cv_buf_text(b), "one two 3!");
    assert_int_equal(b->len, 10);
    assert_int_equal(cv_buf_status(b, "it", NULL), CV_OK);
}

static void appending(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(CV_MIB(1));
    struct cv_buf b;
    for (int i = 0; i < 2; i++) {
        cv_buf_init(&b, i == 0 ? NULL : a, 1000);
        assert_string_equal(cv_buf_text(&b), "");
        assert_int_equal(cv_buf_bytes(&b).len, 0);
        fill(&b);
        for (int k = 0; k < 90; k++) {
            cv_buf_add(&b, "0123456789", 10);
        }
        assert_int_equal(b.len, 910);
        assert_memory_equal(b.data + 900, "0123456789", 11);
        assert_true(i == 0 || cv_arena_owns(a, b.data));
        cv_buf_wipe(&b);
        fill(&b);
        cv_buf_wipe(&b);
    }
    cv_arena_free(a);
}

static void the_ceiling_sticks(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_buf b;
    cv_buf_init(&b, NULL, 10);
    cv_buf_add(&b, "0123456789", 10);
    assert_int_equal(cv_buf_status(&b, "it", &e), CV_OK);
    cv_buf_add_char(&b, 'x');
    cv_buf_add(&b, "", 0);
    assert_int_equal(cv_buf_status(&b, "the file", &e), CV_INVALID);
    assert_non_null(strstr(e.text, "the file"));
    assert_non_null(strstr(e.text, "10 bytes"));
    assert_null(cv_buf_room(&b, 0));
    assert_string_equal(cv_buf_text(&b), "0123456789");
    cv_buf_wipe(&b);
    cv_buf_add_str(&b, "again");
    assert_int_equal(cv_buf_status(&b, "it", &e), CV_OK);
    cv_buf_add_format(&b, "%s", "too long");
    assert_int_equal(cv_buf_status(&b, "it", &e), CV_INVALID);
    cv_buf_wipe(&b);
    assert_null(cv_buf_room(&b, SIZE_MAX));
    cv_buf_wipe(&b);
}

static void the_arena_s_ceiling_sticks(void **state)
{
    (void)state;
    struct cv_arena *a = new_arena(1024);
    struct cv_buf b;
    cv_buf_init(&b, a, CV_MIB(1));
    for (int i = 0; i < 200; i++) {
        cv_buf_add(&b, "0123456789", 10);
    }
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_INVALID);
    cv_arena_free(a);
}

static void room_and_took(void **state)
{
    (void)state;
    struct cv_buf b;
    cv_buf_init(&b, NULL, 300);
    uint8_t *p = cv_buf_room(&b, 300);
    assert_non_null(p);
    memset(p, 'x', 300);
    cv_buf_took(&b, 3);
    assert_string_equal(cv_buf_text(&b), "xxx");
    /* More than there was room for is not believed. */
    cv_buf_took(&b, 298);
    assert_int_equal(b.len, 3);
    cv_buf_took(&b, SIZE_MAX);
    assert_int_equal(b.len, 3);
    assert_null(cv_buf_room(&b, 298));
    cv_buf_wipe(&b);
}

static void dropping(void **state)
{
    (void)state;
    struct cv_buf b;
    cv_buf_init(&b, NULL, 300);
    cv_buf_drop(&b, 5);
    cv_buf_add_str(&b, "secret rest");
    cv_buf_drop(&b, 7);
    assert_string_equal(cv_buf_text(&b), "rest");
    for (size_t i = 4; i < 11; i++) {
        assert_int_equal(b.data[i], 0);
    }
    cv_buf_drop(&b, 0);
    assert_string_equal(cv_buf_text(&b), "rest");
    cv_buf_drop(&b, 99);
    assert_int_equal(b.len, 0);
    cv_buf_wipe(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zero_aligned_and_apart),
        cmocka_unit_test(large_pieces),
        cmocka_unit_test(the_ceiling_holds),
        cmocka_unit_test(copies),
        cmocka_unit_test(growing_in_place),
        cmocka_unit_test(growing_elsewhere_wipes),
        cmocka_unit_test(growing_large_gives_back),
        cmocka_unit_test(freed_memory),
        cmocka_unit_test(what_is_kept_is_wiped),
        cmocka_unit_test(memory_that_cannot_be_locked),
        cmocka_unit_test(comparing),
        cmocka_unit_test(appending),
        cmocka_unit_test(the_ceiling_sticks),
        cmocka_unit_test(the_arena_s_ceiling_sticks),
        cmocka_unit_test(room_and_took),
        cmocka_unit_test(dropping),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
