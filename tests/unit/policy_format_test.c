/* Policies and how they are written: tests/data/policy/format.txt. */
#include "policy/format.h"

#include "tests/unit/policy_blocks.h"

static void ask(const char *question, struct cv_buf *answer)
{
    struct cv_buf again;
    struct cv_err err;
    /* In a place of its very length, for the address checker. */
    struct cv_bytes asked = bytes_of(question);
    uint8_t *exact = malloc(asked.len);
    assert_non_null(exact);
    memcpy(exact, asked.data, asked.len);
    asked.data = exact;
    cv_err_init(&err);
    enum cv_status st = cv_format_policy(asked, answer, &err);
    free(exact);
    if (st != CV_OK) {
        cv_buf_add_format(answer, "%s\n", err.text);
        return;
    }
    /* Twice changes nothing more. */
    cv_buf_init(&again, NULL, CV_MIB(1));
    assert_int_equal(cv_format_policy(cv_buf_bytes(answer), &again, NULL),
                     CV_OK);
    assert_string_equal(cv_buf_text(&again), cv_buf_text(answer));
    cv_buf_wipe(&again);
}

static void writes_tidily(void **state)
{
    (void)state;
    blocks_ask("format.txt", 44, ask);
}

/* A list stays on one line of up to 100 characters. */
static void breaks_long_lines(void **state)
{
    struct cv_buf text, out;
    (void)state;
    for (size_t len = 70; len < 90; len++) {
        cv_buf_init(&text, NULL, CV_MIB(1));
        cv_buf_init(&out, NULL, CV_MIB(1));
        cv_buf_add_str(&text, "metadata: {name: ");
        for (size_t i = 0; i < len; i++)
            cv_buf_add_char(&text, 'x');
        cv_buf_add_str(&text, ", version: 1}\n");
        assert_int_equal(cv_format_policy(cv_buf_bytes(&text), &out, NULL),
                         CV_OK);
        assert_int_equal(strncmp(cv_buf_text(&out), "metadata: {", 11) == 0,
                         text.len - 1 <= 100);
        cv_buf_wipe(&text);
        cv_buf_wipe(&out);
    }
}

/* What a caller's buffer does not hold is no success. */
static void says_that_there_is_no_room(void **state)
{
    static const char *const texts[] = {"kind: Policy\n", "{\"a\": 1}\n"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct cv_buf out;
        struct cv_err err;
        cv_err_init(&err);
        cv_buf_init(&out, NULL, 4);
        assert_int_not_equal(cv_format_policy(bytes_of(texts[i]), &out, &err),
                             CV_OK);
        assert_true(err.text[0] != '\0');
        cv_buf_wipe(&out);
    }
}

/* A mapping of more keys than are sorted is left alone. */
static void sorts_so_many(void **state)
{
    (void)state;
    for (int n = 64; n <= 65; n++) {
        struct cv_buf text, out;
        cv_buf_init(&text, NULL, CV_MIB(1));
        cv_buf_init(&out, NULL, CV_MIB(1));
        for (int i = 0; i < n; i++)
            cv_buf_add_format(&text, "k%d: v\n", i);
        assert_int_equal(cv_format_policy(cv_buf_bytes(&text), &out, NULL),
                         n == 64 ? CV_OK : CV_INTERNAL);
        if (n == 64)
            assert_string_equal(cv_buf_text(&out), cv_buf_text(&text));
        cv_buf_wipe(&text);
        cv_buf_wipe(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_tidily),
        cmocka_unit_test(breaks_long_lines),
        cmocka_unit_test(sorts_so_many),
        cmocka_unit_test(says_that_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
