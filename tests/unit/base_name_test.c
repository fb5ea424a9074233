/* vault/base/name.h */
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void names(void **state)
{
    (void)state;
    static const char *const fine[] = {"a",      "A0", "0",  "a.b_c/d-e",
                                       "prod-1", "x/", "a.", "a/.b"};
    static const char *const bad[] = {
        "",     ".a",   "/a",     "-a",  "_a",  "a b",         "a..b",
        "a//b", "a..",  "a//",    "a\n", "a:b", "caf\xc3\xa9", "a\x7f",
        "a*",   "a\\b", "a/../b", "a@b", "a%b", "a~",
    };
    struct cv_err e;
    for (size_t i = 0; i < COUNT(fine); i++) {
        assert_int_equal(cv_name_check(fine[i], NULL), CV_OK);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_name_check(bad[i], &e), CV_INVALID);
    }
    assert_int_equal(cv_name_check(NULL, &e), CV_INVALID);
    char longest[CV_LIMIT_NAME + 2];
    memset(longest, 'a', sizeof(longest));
    longest[CV_LIMIT_NAME + 1] = '\0';
    assert_int_equal(cv_name_check(longest, &e), CV_INVALID);
    longest[CV_LIMIT_NAME] = '\0';
    assert_int_equal(cv_name_check(longest, &e), CV_OK);
}

static void labels(void **state)
{
    (void)state;
    assert_int_equal(cv_name_check_label("env", "prod", NULL), CV_OK);
    assert_int_equal(cv_name_check_label("a/b.c", "", NULL), CV_OK);
    assert_int_equal(cv_name_check_label("a", "-._/", NULL), CV_OK);
    static const char *const bad[][2] = {
        {"", "x"},    {"-a", "x"},  {"a b", "x"}, {"a", "x y"},
        {"a", "x=y"}, {"a=b", "x"}, {"a", "\n"},  {"a\xc3\xa9", "x"},
        {NULL, "x"},  {"a", NULL},
    };
    struct cv_err e;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_name_check_label(bad[i][0], bad[i][1], &e),
                         CV_INVALID);
    }
    char longest[CV_LIMIT_LABEL + 2];
    memset(longest, 'a', sizeof(longest));
    longest[CV_LIMIT_LABEL + 1] = '\0';
    assert_int_equal(cv_name_check_label(longest, "x", &e), CV_INVALID);
    assert_int_equal(cv_name_check_label("x", longest, &e), CV_INVALID);
    longest[CV_LIMIT_LABEL] = '\0';
    assert_int_equal(cv_name_check_label(longest, longest, &e), CV_OK);
}

static void words(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "",
        "rotating the certificate, see OPS-123",
        "M\xc3\xbcller asked \xf0\x9f\x98\x80",
        "0123456789012345678901234567890123456789", /* 40: see below */
        "https://tickets.example.org/browse/OPS-123?x=1",
        "-- begin --",
    };
    struct cv_err e;
    for (size_t i = 0; i < COUNT(fine); i++) {
        enum cv_status want = i == 3 ? CV_INVALID : CV_OK;
        assert_int_equal(cv_name_check_words(fine[i], 256, "reason", &e), want);
    }
    static const char *const bad[] = {
        "a\nb",
        "a\tb",
        "a\x1b[0m",
        "a\x7f",
        "\xff",
        "a\xc2\x85",
        "a\xe2\x80\xae"
        "b",
        "a\xe2\x80\xa8",
        "a\xd8\x9c",
        "x -----BEGIN EC PRIVATE KEY----- y",
        "-----END CERTIFICATE",
        "key: MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp",
        "=========================="
        "==============",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_name_check_words(bad[i], 256, "the reason", &e),
                         CV_INVALID);
        assert_non_null(strstr(e.text, "the reason"));
        /* What was refused is never repeated. */
        assert_null(strstr(e.text, "MC4C"));
    }
    /* 39 in a row are fine. */
    assert_int_equal(
        cv_name_check_words("012345678901234567890123456789012345678 x", 256,
                            "it", &e),
        CV_OK);
    assert_int_equal(cv_name_check_words("abcde", 5, "it", &e), CV_OK);
    assert_int_equal(cv_name_check_words("abcdef", 5, "it", &e), CV_INVALID);
    assert_int_equal(cv_name_check_words(NULL, 5, "it", &e), CV_INVALID);
}

static void printable(void **state)
{
    (void)state;
    struct cv_bytes nul = {(const uint8_t *)"a\0b", 3};
    struct cv_bytes fine = {(const uint8_t *)"a b~", 4};
    struct cv_bytes none = {NULL, 0};
    struct cv_bytes cut = {(const uint8_t *)"\xc3\xa9", 1};
    assert_false(cv_name_is_printable(nul));
    assert_true(cv_name_is_printable(fine));
    assert_true(cv_name_is_printable(none));
    assert_false(cv_name_is_printable(cut));
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"a", "A", false},
        {"*", "", true},
        {"*", "abc", true},
        {"**", "", true},
        {"?", "", false},
        {"?", "a", true},
        {"?", "ab", false},
        {"??*", "ab", true},
        {"??*", "a", false},
        {"prod-*", "prod-1", true},
        {"prod-*", "prod-", true},
        {"prod-*", "prod", false},
        {"*-1", "prod-1", true},
        {"*-1", "prod-11", false},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "abc", true},
        {"a*b*c", "acb", false},
        {"*ab*ab", "abab", true},
        {"*ab*ab", "aab", false},
        {"a*", "ba", false},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"\\*", "*", false},
        {"*a", "aaaa", true},
        {"*?", "", false},
        {"*?", "x", true},
        {"x*y", "xy*", false},
        {"a/*", "a/b/c", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(cv_name_glob(cases[i].pattern, cases[i].text),
                         cases[i].match);
    }
}

/* The plain definition, to compare with. */
static bool slow_glob(const char *p, const char *t)
{
    if (*p == '\0') {
        return *t == '\0';
    }
    if (*p == '*') {
        return slow_glob(p + 1, t) || (*t != '\0' && slow_glob(p, t + 1));
    }
    return *t != '\0' && (*p == '?' || *p == *t) && slow_glob(p + 1, t + 1);
}

static void globs_as_defined(void **state)
{
    (void)state;
    static const char letters[] = "ab*?";
    for (unsigned i = 0; i < 1024; i++) {
        char pattern[6] = "";
        for (unsigned k = 0; k < 5; k++) {
            pattern[k] = letters[i >> (2 * k) & 3];
        }
        for (unsigned j = 0; j < 64; j++) {
            char text[8] = "";
            for (unsigned k = 0; k < 6; k++) {
                text[k] = (j >> k & 1) != 0 ? 'a' : 'b';
            }
            text[j % 7] = '\0';
            assert_int_equal(cv_name_glob(pattern, text),
                             slow_glob(pattern, text));
        }
    }
}

static void a_hostile_glob_ends(void **state)
{
    (void)state;
    char text[20001];
    memset(text, 'a', 20000);
    text[20000] = '\0';
    assert_false(cv_name_glob("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(labels),
        cmocka_unit_test(words),
        cmocka_unit_test(printable),
        cmocka_unit_test(globs),
        cmocka_unit_test(globs_as_defined),
        cmocka_unit_test(a_hostile_glob_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
