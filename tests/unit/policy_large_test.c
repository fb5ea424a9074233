/* Policies as large as they may be, and larger. */
#include "tests/unit/policy_test.h"

/* As large as a policy may be, and one byte more. */
static void is_so_large(void **state)
{
    static const char rule[] = HEAD "- {name: r, effect: permit, subjects: "
                                    "{uids: [0]}, actions: [use]}\n#";
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct cv_policy *p = NULL;
        size_t len = CV_LIMIT_POLICY + more;
        char *text = malloc(len);
        assert_non_null(text);
        memset(text, 'x', len);
        memcpy(text, rule, strlen(rule));
        assert_int_equal(
            cv_policy_parse((struct cv_bytes){(const uint8_t *)text, len}, &p,
                            NULL, NULL),
            more == 0 ? CV_OK : CV_INVALID);
        cv_policy_free(p);
        free(text);
    }
}

/* All ticket expressions together: 1,024 of the largest. */
static void patterns_are_so_large(void **state)
{
    (void)state;
    for (int n = 1024; n <= 1025; n++) {
        struct cv_policy *p = NULL;
        struct cv_err err;
        struct cv_buf b;
        cv_err_init(&err);
        cv_buf_init(&b, NULL, CV_MIB(4));
        cv_buf_add_str(&b, HEAD);
        for (int i = 0; i < n; i++)
            cv_buf_add_format(&b,
                              "- {name: r%d, effect: permit, subjects: {uids: "
                              "[0]}, actions: [use], when: {ticket: "
                              "\"(x{255}){4}xxx\"}}\n",
                              i);
        assert_int_equal(cv_policy_parse(cv_buf_bytes(&b), &p, NULL, &err),
                         n == 1024 ? CV_OK : CV_INVALID);
        assert_int_equal(strstr(err.text, "too big together") != NULL,
                         n > 1024);
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_so_large),
        cmocka_unit_test(patterns_are_so_large),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
