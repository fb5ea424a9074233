/* What reading a policy says of what is wrong, to the word:
 * tests/data/policy/refusals.txt. */
#include "tests/unit/policy_blocks.h"

static void ask(const char *question, struct cv_buf *answer)
{
    static struct cv_policy_notes notes;
    struct cv_policy *policy = NULL;
    struct cv_buf text;
    struct cv_err err;
    cv_err_init(&err);
    memset(&notes, 0, sizeof(notes));
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_buf_add_str(&text, HEAD);
    cv_buf_add_str(&text, question);
    enum cv_status st =
        cv_policy_parse(cv_buf_bytes(&text), &policy, &notes, &err);
    if (st == CV_OK) {
        cv_buf_add_str(answer, "taken\n");
        assert_int_equal(notes.error_line, 0);
    } else {
        assert_int_equal(st, CV_INVALID);
        assert_null(policy);
        cv_buf_add_format(answer, "%u:%u %s\n", notes.error_line,
                          notes.error_column, err.text);
        if (err.hint[0] != '\0')
            cv_buf_add_format(answer, "hint: %s\n", err.hint);
    }
    for (size_t i = 0; i < notes.n_warnings; i++)
        cv_buf_add_format(answer, "warning %u: %s\n", notes.warnings[i].line,
                          notes.warnings[i].text);
    cv_policy_free(policy);
    cv_buf_wipe(&text);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    blocks_ask("refusals.txt", 310, ask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
