#include "tests/unit/policy_test.h"

#include "policy/pattern.h"

#include <time.h>

static const struct {
    const char *pattern;
    const char *text;
    bool matches;
} cases[] = {
    {"OPS-[0-9]+", "OPS-1", true},
    {"OPS-[0-9]+", "OPS-", false},
    {"OPS-[0-9]+", "xOPS-1", false},
    {"OPS-[0-9]+", "OPS-1x", false},
    {"OPS-[0-9]+", "", false},
    {"^OPS-[0-9]+$", "OPS-12", true},
    {"a^b", "ab", false},
    {"a$|b", "a", true},
    {"(^a|b)c", "ac", true},
    {"b(^a|b)c", "bac", false},
    {"a|b|cd", "b", true},
    {"a|b|cd", "cd", true},
    {"a|b|cd", "bd", false},
    {"(a|b)*", "", true},
    {"(a|b)*", "abba", true},
    {"(a*)*", "aaa", true},
    {"(a*)+b", "b", true},
    {"a?b", "b", true},
    {"a?b", "aab", false},
    {"a{3}", "aaa", true},
    {"a{3}", "aa", false},
    {"a{3}", "aaaa", false},
    {"a{2,}", "a", false},
    {"a{2,}", "aaaaaaaa", true},
    {"a{0,2}", "", true},
    {"a{0,2}", "aa", true},
    {"a{0,2}", "aaa", false},
    {"a{0}b", "b", true},
    {"a{0}b", "ab", false},
    {"(ab){1,2}c", "ababc", true},
    {"(ab){1,2}c", "abababc", false},
    {".", "\xc3", true},
    {".", "", false},
    {"..", "\xc3\xa9", true},
    {"[abc]", "b", true},
    {"[^abc]", "b", false},
    {"[^abc]", "d", true},
    {"[]]", "]", true},
    {"[^]]", "]", false},
    {"[a-]", "-", true},
    {"[-a]", "-", true},
    {"[a^]", "^", true},
    {"[a-cx-z]+", "axbz", true},
    {"[a-cx-z]", "d", false},
    {"[[:digit:]]{2}", "42", true},
    {"[[:alpha:]_]+", "a_Z", true},
    {"[[:alpha:]]", "4", false},
    {"[^[:space:]]", " ", false},
    {"[[:xdigit:]]+", "09afAF", true},
    {"[[:xdigit:]]", "g", false},
    {"[[:punct:]]", "@", true},
    {"[[:punct:]]", "a", false},
    {"[[:upper:][:digit:]]", "a", false},
    {"[*.?]", "?", true},
    {"a\\.b", "a.b", true},
    {"a\\.b", "axb", false},
    {"\\(\\)\\[\\]\\{\\}\\|\\*\\+\\?\\^\\$\\\\", "()[]{}|*+?^$\\", true},
    {"OPS", "ops", false},
    {"a}", "a}", true},
    {"]", "]", true},
};

static void matches_whole_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cv_pattern *p = NULL;
        struct cv_err err;
        cv_err_init(&err);
        if (cv_pattern_compile(cases[i].pattern, &p, &err) != CV_OK)
            fail_msg("%s: %s", cases[i].pattern, err.text);
        if (cv_pattern_matches(p, cases[i].text, strlen(cases[i].text)) !=
            cases[i].matches)
            fail_msg("%s against \"%s\"", cases[i].pattern, cases[i].text);
        cv_pattern_free(p);
    }
}

static const struct {
    const char *pattern;
    const char *says;
} refused[] = {
    {"", "something is missing"},
    {"a|", "something is missing"},
    {"|a", "something is missing"},
    {"a||b", "something is missing"},
    {"()", "something is missing"},
    {"(a|)", "something is missing"},
    {"*a", "nothing to repeat"},
    {"(+a)", "nothing to repeat"},
    {"a|?b", "nothing to repeat"},
    {"{2}", "nothing to repeat"},
    {"a**", "cannot be repeated"},
    {"a+?", "cannot be repeated"},
    {"a{2}{3}", "cannot be repeated"},
    {"^*a", "cannot be repeated"},
    {"a$+", "cannot be repeated"},
    {"(a)\\1", "character 5: back-references"},
    {"\\d+", "before punctuation"},
    {"\\bx", "before punctuation"},
    {"\\<x", "before punctuation"},
    {"a\\", "before punctuation"},
    {"(a", "not closed"},
    {"((a)", "not closed"},
    {"a)", "was not opened"},
    {"[a", "not closed"},
    {"[]", "not closed"},
    {"[^]", "not closed"},
    {"[z-a]", "goes nowhere"},
    {"[a-[:digit:]]", "goes nowhere"},
    {"[\\d]", "backslash"},
    {"[[:digits:]]", "no such class"},
    {"[[:digit:]", "not closed"},
    {"[[:digit]]", "no such class"},
    {"[[.a.]]", "collating"},
    {"[[=a=]]", "collating"},
    {"a{", "{m}"},
    {"a{}", "{m}"},
    {"a{,2}", "{m}"},
    {"a{2", "{m}"},
    {"a{3,2}", "{m}"},
    {"a{256}", "{m}"},
    {"a{1,256}", "{m}"},
    {"a{x}", "{m}"},
    {"a{99999999999}", "{m}"},
    {"caf\xc3\xa9", "printable ASCII"},
    {"a\tb", "printable ASCII"},
    {"(a{255}){255}", "too big"},
    {"((((a{9}){9}){9}){9}){9}", "too big"},
    {"(((((((((((((((((a)))))))))))))))))", "too deep"},
};

static void refuses_what_is_undefined(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct cv_pattern *p = (struct cv_pattern *)1;
        struct cv_err err;
        cv_err_init(&err);
        assert_int_equal(cv_pattern_compile(refused[i].pattern, &p, &err),
                         CV_INVALID);
        assert_null(p);
        if (strstr(err.text, refused[i].says) == NULL)
            fail_msg("%s: %s", refused[i].pattern, err.text);
    }
}

static void has_ceilings(void **state)
{
    (void)state;
    char text[300];
    struct cv_pattern *p;
    memset(text, 'a', sizeof(text));
    text[256] = '\0';
    assert_int_equal(cv_pattern_compile(text, &p, NULL), CV_OK);
    assert_int_equal(cv_pattern_size(p), 257);
    cv_pattern_free(p);
    text[256] = 'a';
    text[257] = '\0';
    assert_int_equal(cv_pattern_compile(text, &p, NULL), CV_INVALID);
    /* The biggest program there can be: 4 * 255 + 3 characters and the end. */
    assert_int_equal(cv_pattern_compile("(a{255}){4}bcd", &p, NULL), CV_OK);
    assert_int_equal(cv_pattern_size(p), CV_PATTERN_SIZE);
    cv_pattern_free(p);
    assert_int_equal(cv_pattern_compile("(a{255}){4}bcde", &p, NULL),
                     CV_INVALID);
    /* 16 groups deep is the most. */
    assert_int_equal(
        cv_pattern_compile("((((((((((((((((a))))))))))))))))", &p, NULL),
        CV_OK);
    assert_true(cv_pattern_matches(p, "a", 1));
    cv_pattern_free(p);
    cv_pattern_free(NULL);
}

/* H82: what takes a backtracking matcher the age of the universe. */
static void bombs_are_linear(void **state)
{
    (void)state;
    static const char *const bombs[] = {
        "(a*)*b",         "(a+)+b",    "(a|a)*b",          "(a|aa)+b",
        "(a?){60}a{60}b", "((a*)*)*b", ".*.*.*.*.*.*.*.*b"};
    char text[4096];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        struct cv_pattern *p;
        assert_int_equal(cv_pattern_compile(bombs[i], &p, NULL), CV_OK);
        clock_t before = clock();
        assert_false(cv_pattern_matches(p, text, sizeof(text)));
        double s = (double)(clock() - before) / CLOCKS_PER_SEC;
        if (s > 2)
            fail_msg("%s took %.1f s", bombs[i], s);
        cv_pattern_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_whole_texts),
        cmocka_unit_test(refuses_what_is_undefined),
        cmocka_unit_test(has_ceilings),
        cmocka_unit_test(bombs_are_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
