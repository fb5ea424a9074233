/* vault/base/err.h and vault/base/utf8.h */
#include "vault/base/err.h"
#include "vault/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void exit_codes_and_words(void **state)
{
    (void)state;
    static const struct {
        enum cv_status status;
        int code;
        const char *word;
    } table[] = {
        {CV_OK, 0, "ok"},
        {CV_FAILED, 1, "failed"},
        {CV_INTERNAL, 1, "internal"},
        {CV_USAGE, 64, "usage"},
        {CV_INVALID, 65, "invalid"},
        {CV_EXISTS, 65, "exists"},
        {CV_EXPIRED, 65, "expired"},
        {CV_NOT_FOUND, 66, "not-found"},
        {CV_UNAVAILABLE, 69, "unavailable"},
        {CV_LOCKED, 69, "locked"},
        {CV_AUTH, 69, "auth"},
        {CV_INTEGRITY, 70, "integrity"},
        {CV_IO, 74, "io"},
        {CV_BUSY, 75, "busy"},
        {CV_REMOTE, 76, "remote"},
        {CV_DENIED, 77, "denied"},
        {CV_CONFIG, 78, "config"},
        {CV_INTERRUPTED, 130, "interrupted"},
    };
    assert_int_equal(sizeof(table) / sizeof(table[0]), CV_STATUS_COUNT);
    for (size_t i = 0; i < CV_STATUS_COUNT; i++) {
        assert_int_equal(table[i].status, i);
        assert_int_equal(cv_err_exit_code(table[i].status), table[i].code);
        assert_string_equal(cv_err_code_name(table[i].status), table[i].word);
        if (i > 0) {
            assert_int_equal(cv_err_from_code_name(table[i].word), i);
        }
    }
    assert_int_equal(cv_err_exit_code(CV_STATUS_COUNT), 1);
    assert_string_equal(cv_err_code_name(CV_STATUS_COUNT), "internal");
}

static void no_word_reads_as_success(void **state)
{
    (void)state;
    assert_int_equal(cv_err_from_code_name("ok"), CV_INTERNAL);
    assert_int_equal(cv_err_from_code_name(""), CV_INTERNAL);
    assert_int_equal(cv_err_from_code_name("Denied"), CV_INTERNAL);
    assert_int_equal(cv_err_from_code_name(NULL), CV_INTERNAL);
}

static enum cv_status failing(struct cv_err *err)
{
    return cv_fail(err, CV_DENIED, "rule %d says no", 7);
}

static void fail_fills_all(void **state)
{
    (void)state;
    struct cv_err e;
    memset(&e, 0x5a, sizeof(e));
    assert_int_equal(failing(&e), CV_DENIED);
    assert_int_equal(e.status, CV_DENIED);
    assert_int_equal(e.domain, CV_DOMAIN_NONE);
    assert_string_equal(e.text, "rule 7 says no");
    assert_string_equal(e.hint, "");
    assert_string_equal(e.state, "");
    assert_string_equal(e.request_id, "");
    assert_true(e.audit_seq == -1);
    assert_true(e.retry_after_s < 0);
    assert_int_equal(e.n_frames, 1);
    assert_non_null(strstr(e.frames[0].file, "base_err_test.c"));
    assert_true(e.frames[0].line > 0);
}

static void null_is_fine(void **state)
{
    (void)state;
    cv_err_init(NULL);
    assert_int_equal(failing(NULL), CV_DENIED);
    errno = ENOENT;
    assert_int_equal(cv_fail_errno(NULL, CV_IO, "x"), CV_IO);
    assert_int_equal(cv_pass(NULL, CV_IO), CV_IO);
    cv_err_hint(NULL, "x");
    cv_err_state(NULL, "x");
    cv_err_prefix(NULL, "x");
}

static void errno_is_told(void **state)
{
    (void)state;
    struct cv_err e;
    errno = ENOSPC;
    assert_int_equal(cv_fail_errno(&e, CV_IO, "cannot write %s", "it"), CV_IO);
    assert_int_equal(e.domain, CV_DOMAIN_ERRNO);
    assert_int_equal(e.native, ENOSPC);
    assert_string_equal(e.text, "cannot write it: No space left on device");
    assert_int_equal(errno, ENOSPC);

    /* A text that fills all leaves room for the reason. */
    char lots[2 * CV_ERR_TEXT_LEN];
    memset(lots, 'a', sizeof(lots) - 1);
    lots[sizeof(lots) - 1] = '\0';
    cv_fail_errno(&e, CV_IO, "%s", lots);
    assert_int_equal(strlen(e.text), CV_ERR_TEXT_LEN - 1);
    assert_non_null(strstr(e.text, "a: No space left on device"));
}

static void native_number_is_kept(void **state)
{
    (void)state;
    struct cv_err e;
    cv_fail_native(&e, CV_REMOTE, CV_DOMAIN_HTTP, 429, "too many requests");
    assert_int_equal(e.domain, CV_DOMAIN_HTTP);
    assert_int_equal(e.native, 429);
}

static void texts_are_cleaned(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a\nb\tc\x1b[31m", "a?b?c?[31m"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff\xfe:", "??:"},
        {"a\xc2\x9b"
         "b",
         "a??b"}, /* C1 */
        {"a\xe2\x80\xae"
         "b",
         "a???b"}, /* U+202E */
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"a\x7f", "a?"},
    };
    struct cv_err e;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cv_fail(&e, CV_INVALID, "%s", cases[i][0]);
        assert_string_equal(e.text, cases[i][1]);
        cv_err_hint(&e, "%s", cases[i][0]);
        assert_string_equal(e.hint, cases[i][1]);
        cv_err_state(&e, "%s", cases[i][0]);
        assert_string_equal(e.state, cases[i][1]);
    }
}

static void a_cut_character_goes(void **state)
{
    (void)state;
    struct cv_err e;
    for (size_t shift = 0; shift < 4; shift++) {
        char lots[CV_ERR_TEXT_LEN + 64];
        memset(lots, 'a', shift);
        size_t n = shift;
        while (n + 3 < sizeof(lots)) {
            memcpy(lots + n, "\xe2\x82\xac", 3);
            n += 3;
        }
        lots[n] = '\0';
        cv_fail(&e, CV_INVALID, "%s", lots);
        size_t len = strlen(e.text);
        assert_true(len >= CV_ERR_TEXT_LEN - 4);
        assert_memory_equal(e.text + len - 3, "\xe2\x82\xac", 3);
    }
}

static void own_text_as_argument(void **state)
{
    (void)state;
    struct cv_err e;
    cv_fail(&e, CV_IO, "inner");
    cv_err_hint(&e, "do this");
    cv_fail(&e, CV_INTEGRITY, "outer: %s", e.text);
    assert_string_equal(e.text, "outer: inner");
    cv_err_hint(&e, "again: %s", e.text);
    assert_string_equal(e.hint, "again: outer: inner");
    cv_err_prefix(&e, "file %s", e.text);
    assert_string_equal(e.text, "file outer: inner: outer: inner");
}

static void frames_end(void **state)
{
    (void)state;
    struct cv_err e;
    cv_fail(&e, CV_IO, "x");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(cv_pass(&e, CV_IO), CV_IO);
    }
    assert_int_equal(e.n_frames, CV_ERR_FRAMES);
    cv_err_init(&e);
    assert_int_equal(cv_pass(&e, CV_OK), CV_OK);
    assert_int_equal(e.n_frames, 0);
}

static void quoting(void **state)
{
    (void)state;
    char out[8];
    assert_string_equal(cv_err_quote(out, sizeof(out), "abc", 3), "abc");
    assert_string_equal(cv_err_quote(out, sizeof(out), "", 0), "");
    assert_string_equal(cv_err_quote(out, sizeof(out), "abcdefg", 7),
                        "abcdefg");
    assert_string_equal(cv_err_quote(out, sizeof(out), "abcdefgh", 8),
                        "abcd...");
    assert_string_equal(cv_err_quote(out, sizeof(out), "a\0\xc3\xa9\x7f", 5),
                        "a????");
    assert_string_equal(cv_err_quote(out, 1, "abc", 3), "");
    assert_string_equal(cv_err_quote(out, 3, "abc", 3), "..");
    assert_string_equal(cv_err_quote(out, 0, "abc", 3), "");
}

static void utf8_one_by_one(void **state)
{
    (void)state;
    /* Every code point, encoded by the plain rule, is read back; and every
     * surrogate is not. */
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        uint8_t b[4];
        size_t n = 0;
        if (c < 0x80) {
            b[n++] = (uint8_t)c;
        } else if (c < 0x800) {
            b[n++] = (uint8_t)(0xc0 | c >> 6);
        } else if (c < 0x10000) {
            b[n++] = (uint8_t)(0xe0 | c >> 12);
        } else {
            b[n++] = (uint8_t)(0xf0 | c >> 18);
        }
        size_t whole = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t left = whole - n; left > 0; left--) {
            b[n++] = (uint8_t)(0x80 | (c >> (6 * (left - 1)) & 0x3f));
        }
        uint32_t got = 0;
        size_t want = c >= 0xd800 && c <= 0xdfff ? 0 : whole;
        assert_int_equal(cv_utf8_next(b, whole, &got), want);
        if (want > 0) {
            assert_int_equal(got, c);
            assert_int_equal(cv_utf8_next(b, whole - 1, &got), 0);
        }
    }
}

static void utf8_bad_forms(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3z",
        "\xe2\x82z",
        "\xf0\x9f\x98z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t got = 0;
        assert_int_equal(
            cv_utf8_next((const uint8_t *)bad[i], strlen(bad[i]), &got), 0);
    }
}

static void utf8_whole_texts(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool good;
    } texts[] = {
        {"", 0, true},
        {"a", 1, true},
        {"\xc3\xa9z\n", 4, true},
        {"\xf0\x9f\x98\x80", 4, true},
        {"a\0b", 3, false},
        {"a\xc3", 2, false},
        {"ab\xff", 3, false},
        {"\xc0\x80", 2, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(cv_utf8_is_text((struct cv_bytes){
                             (const uint8_t *)texts[i].bytes, texts[i].len}),
                         texts[i].good);
    }
}

static void utf8_what_is_shown(void **state)
{
    (void)state;
    static const uint32_t hidden[] = {
        0,      0x1b,   0x1f,   0x7f,   0x80,   0x9b,   0x9f,   0x61c,
        0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069,
    };
    static const uint32_t fine[] = {
        0x20,   0x7e,   0xa0,   0x61b,  0x61d,  0x200d,   0x2010,
        0x2027, 0x202f, 0x2065, 0x206a, 0xfeff, 0x10ffff,
    };
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        assert_false(cv_utf8_is_shown(hidden[i]));
    }
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        assert_true(cv_utf8_is_shown(fine[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_and_words),
        cmocka_unit_test(no_word_reads_as_success),
        cmocka_unit_test(fail_fills_all),
        cmocka_unit_test(null_is_fine),
        cmocka_unit_test(errno_is_told),
        cmocka_unit_test(native_number_is_kept),
        cmocka_unit_test(texts_are_cleaned),
        cmocka_unit_test(a_cut_character_goes),
        cmocka_unit_test(own_text_as_argument),
        cmocka_unit_test(frames_end),
        cmocka_unit_test(quoting),
        cmocka_unit_test(utf8_one_by_one),
        cmocka_unit_test(utf8_bad_forms),
        cmocka_unit_test(utf8_whole_texts),
        cmocka_unit_test(utf8_what_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
