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
    {"a$b", "ab", false},
    {"a*$", "", true},
    {"$a", "a", false},
    {"^$", "", true},
    {"^$", "a", false},
    {"(a|$)b", "b", false},
    {"(a|^)b", "b", true},
    {"a(b|^c)", "ac", false},
    {"a(b|c$)", "ac", true},
    {"(a$|b)c", "ac", false},
    {"(x^|y)z", "xz", false},
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
    {"a{2,}", "aa", true},
    {"a{0,}b", "b", true},
    {"a{1,}b", "b", false},
    {"a{10}", "aaaaaaaaaa", true},
    {"a{10}", "a", false},
    {"a{2,10}", "aaaaaaaaaa", true},
    {"a{2,10}", "aaaaaaaaaaa", false},
    {"(ab|c){2}", "abc", true},
    {"(ab|c){2}", "ab", false},
    {"(a|b|c)d|e", "bd", true},
    {"(a|b|c)d|e", "e", true},
    {"(a|b|c)d|e", "be", false},
    {"x(a|b)?y", "xy", true},
    {"x(a|b)?y", "xby", true},
    {"x(a|b)?y", "xaby", false},
    {"x(a|bc)+y", "xbcay", true},
    {"x(a|bc)+y", "xy", false},
    {"x(a|bc)*y", "xy", true},
    {"[ab][cd]", "bd", true},
    {"[ab][cd]", "db", false},
    {"([ab]|[cd]){2}", "ad", true},
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
    {"[^-a]", "-", false},
    {"[!-/]", "-", true},
    {"[!-/]", "0", false},
    {"[a-a]", "a", true},
    {"[a-a]", "b", false},
    {"[%--]", "-", true},
    {"[%--]", "&", true},
    {"[a[]", "[", true},
    {"[[x]", "[", true},
    {"[:a:]", ":", true},
    {"[.=]", "=", true},
    {"[a-cx-z]+", "axbz", true},
    {"[a-cx-z]", "d", false},
    {"[[:digit:]]{2}", "42", true},
    {"[[:alnum:]]{6}", "09AZaz", true},
    {"[[:alnum:]]", "/", false},
    {"[[:alnum:]]", ":", false},
    {"[[:alnum:]]", "@", false},
    {"[[:alnum:]]", "[", false},
    {"[[:alnum:]]", "`", false},
    {"[[:alnum:]]", "{", false},
    {"[[:blank:]]{2}", " \t", true},
    {"[[:blank:]]", "\n", false},
    {"[[:cntrl:]]{3}", "\1\37\177", true},
    {"[[:cntrl:]]", " ", false},
    {"[[:graph:]]{2}", "!~", true},
    {"[[:graph:]]", " ", false},
    {"[[:graph:]]", "\177", false},
    {"[[:lower:]]{2}", "az", true},
    {"[[:lower:]]", "A", false},
    {"[[:upper:]]{2}", "AZ", true},
    {"[[:print:]]{2}", " ~", true},
    {"[[:print:]]", "\37", false},
    {"[[:punct:]]{8}", "!/:@[`{~", true},
    {"[[:punct:]]", " ", false},
    {"[[:space:]]{6}", "\t\n\v\f\r ", true},
    {"[[:space:]]", "\10", false},
    {"[[:space:]]", "\16", false},
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
    {"~ ", "~ ", true},
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
    {"[z-a", "character 3: this range goes nowhere"},
    {"[!-[x]", "goes nowhere"},
    {"[!-\\]]", "goes nowhere"},
    {"[a-", "not closed"},
    {"[a", "character 3: a bracket"},
    {"[^", "not closed"},
    {"[[:alpha:", "no such class"},
    {"[[:alpha", "no such class"},
    {"[[:", "no such class"},
    {"[[:]", "no such class"},
    {"[[::]]", "no such class"},
    {"[[:alph:]]", "no such class"},
    {"[[:alphaa:]]", "no such class"},
    {"[[:ALPHA:]]", "no such class"},
    {"[[.", "collating"},
    {"[[=", "collating"},
    {"a\\0", "before punctuation"},
    {"a\\9", "back-references"},
    {"a{1,2", "{m}"},
    {"a{1,2x", "{m}"},
    {"a{1x}", "{m}"},
    {"a{1,", "{m}"},
    {"a{:}", "{m}"},
    {"a{/}", "{m}"},
    {"(x{200}){6}", "too big"},
    {"(x{200}){1,6}", "too big"},
    {"(x{200}){0,6}", "too big"},
    {"(x{200}){5,}x{30}", "too big"},
    {"(x{255}){4}x{4}", "too big"},
    {"(x{255}){4}xxx?", "too big"},
    {"(x{255}){4}x{2}y*", "too big"},
    {"(x{255}){4}x(a|b)", "too big"},
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

/* 64 bracket expressions, all negated, are the most. */
static void has_so_many_classes(void **state)
{
    char text[CV_LIMIT_PATTERN + 1];
    char same[64];
    struct cv_pattern *p;
    (void)state;
    for (size_t i = 0; i < 64; i++)
        memcpy(text + 4 * i, "[^a]", 4);
    text[CV_LIMIT_PATTERN] = '\0';
    memset(same, 'b', sizeof(same));
    assert_int_equal(cv_pattern_compile(text, &p, NULL), CV_OK);
    assert_true(cv_pattern_matches(p, same, sizeof(same)));
    for (size_t i = 0; i < sizeof(same); i++) {
        same[i] = 'a';
        assert_false(cv_pattern_matches(p, same, sizeof(same)));
        same[i] = '\xff';
        assert_true(cv_pattern_matches(p, same, sizeof(same)));
    }
    cv_pattern_free(p);
    for (size_t i = 0; i < 65; i++)
        memcpy(text + 3 * i, "[a]", 4);
    assert_int_equal(cv_pattern_compile(text, &p, NULL), CV_INVALID);
}

/* No step more than it takes, the last one included. */
static void is_small(void **state)
{
    static const struct {
        const char *pattern;
        size_t size;
    } sizes[] = {{"a", 2},      {"a+", 3},       {"a*", 4},     {"a?", 3},
                 {"a{2}", 3},   {"a{2,}", 4},    {"a{1,}", 3},  {"a{0,}", 4},
                 {"a{1,3}", 6}, {"a{0,2}", 5},   {"a|b", 5},    {"a|b|c", 8},
                 {"(ab)+", 4},  {"(a|b){2}", 9}, {"^[ab].$", 5}};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct cv_pattern *p;
        assert_int_equal(cv_pattern_compile(sizes[i].pattern, &p, NULL), CV_OK);
        if (cv_pattern_size(p) != sizes[i].size)
            fail_msg("%s: %zu", sizes[i].pattern, cv_pattern_size(p));
        cv_pattern_free(p);
    }
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
        cmocka_unit_test(has_so_many_classes),
        cmocka_unit_test(is_small),
        cmocka_unit_test(bombs_are_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
