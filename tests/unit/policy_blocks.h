/* Questions and answers in one file of tests/data/policy:
 *
 *     == NAME
 *     question
 *     --
 *     answer
 *
 * Both are whole lines; an empty one stands between two such blocks. */
#ifndef CERTVAULT_TESTS_POLICY_BLOCKS_H
#define CERTVAULT_TESTS_POLICY_BLOCKS_H

#include "tests/unit/policy_test.h"

typedef void blocks_fn(const char *question, struct cv_buf *answer);

static inline char *blocks_read(const char *name)
{
    static char text[256 * 1024];
    char path[512];
    (void)snprintf(path, sizeof(path), CV_TEST_DATA "/policy/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f);
    assert_true(len > 0 && len < sizeof(text) - 1);
    text[len] = '\0';
    return text;
}

/* The next line that is `line`, or begins with it; NULL: none does. */
static inline char *blocks_line(char *text, const char *line)
{
    size_t len = strlen(line);
    while (text != NULL && strncmp(text, line, len) != 0) {
        text = strchr(text, '\n');
        text = text != NULL ? text + 1 : NULL;
    }
    return text;
}

/* Asks all; there are `count` of them. Every answer that differs is shown. */
static inline void blocks_ask(const char *file, size_t count, blocks_fn *ask)
{
    size_t n = 0, wrong = 0;
    char *next = blocks_line(blocks_read(file), "== ");
    while (next != NULL) {
        char *name = next;
        char *question = strchr(name, '\n') + 1;
        char *expected = blocks_line(question, "--\n");
        struct cv_buf answer;
        assert_non_null(expected);
        next = blocks_line(expected, "== ");
        if (next != NULL)
            next[-1] = '\0';
        question[-1] = '\0';
        expected[0] = '\0';
        expected += 3;
        cv_buf_init(&answer, NULL, CV_MIB(1));
        ask(question, &answer);
        if (strcmp(cv_buf_text(&answer), expected) != 0) {
            (void)printf("%s\n--\n%s\n", name, cv_buf_text(&answer));
            wrong++;
        }
        cv_buf_wipe(&answer);
        n++;
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(n, count);
}

#endif
