/* What lint calls covered is covered: all short globs against all short texts.
 */
#include "tests/unit/policy_test.h"

#include "policy/lint_internal.h"

#include "vault/base/name.h"

#include <string.h>

#define LETTERS "ab*?"
#define LONGEST 3
#define TEXTS                                                      \
    4 /* letters of a text: the globs' own, and one that they lack \
       */

/* The n-th string over `letters`, shortest first; false: longer than `max`. */
static bool nth(size_t n, const char *letters, size_t max, char *out)
{
    size_t base = strlen(letters);
    size_t len = 0;
    size_t count = 1;
    while (n >= count) {
        n -= count;
        count *= base;
        if (++len > max)
            return false;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = letters[n % base];
        n /= base;
    }
    out[len] = '\0';
    return true;
}

static bool is_within(const char *a, const char *b)
{
    char text[TEXTS + 1];
    for (size_t n = 0; nth(n, "abc", TEXTS, text); n++) {
        if (cv_name_glob(a, text) && !cv_name_glob(b, text))
            return false;
    }
    return true;
}

static void test_globs(void **state)
{
    char a[LONGEST + 1];
    char b[LONGEST + 1];
    size_t covered = 0;
    (void)state;
    for (size_t n = 0; nth(n, LETTERS, LONGEST, a); n++) {
        for (size_t m = 0; nth(m, LETTERS, LONGEST, b); m++) {
            if (!cv_lint_cover_glob(a, b))
                continue;
            covered++;
            if (!is_within(a, b))
                fail_msg("%s is not within %s", a, b);
        }
    }
    assert_true(covered > 500);
}

static void test_globs_that_are(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},         {"a", "a"},           {"a", "?"},
        {"a", "*"},       {"*", "*"},           {"?", "*"},
        {"prod-*", "*"},  {"prod-a", "prod-*"}, {"prod-a*", "prod-*"},
        {"a*b*c", "a*c"}, {"a?c", "a*"},        {"*x", "*"},
        {"a*", "a**"},    {"ab*", "?b*"},       {"aXbYb", "a*b"},
    };
    static const char *const none[][2] = {
        {"*", "?"},
        {"*", "a*"},
        {"?", "a"},
        {"a", ""},
        {"", "?"},
        {"a*", "a?*"},
        {"prod-*", "prod-a*"},
        {"*a", "*b"},
        {"a*b", "a?b"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_true(cv_lint_cover_glob(pairs[i][0], pairs[i][1]));
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(cv_lint_cover_glob(none[i][0], none[i][1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_globs_that_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
