/* The examples of --help and of the manual, held against the parser: each is a
 * command line that it takes. */
#include "cli/args.h"
#include "vault/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS 40
#define LINE 2000

/* A line as a shell takes it apart: quotes, backslashes; what stands behind a
 * redirection, a pipe or a comment is not ours. */
struct line {
    char text[LINE];
    char *words[WORDS];
    int n;
};

static void split(const char *from, struct line *out)
{
    char *to = out->text, quote = '\0';
    bool inside = false;

    out->n = 0;
    for (; *from != '\0'; from++) {
        if (quote == '\0' && !inside && strchr("<>|#&;", *from) != NULL) {
            break;
        }
        if (quote == '\0' && (*from == ' ' || *from == '\n')) {
            *to++ = '\0';
            inside = false;
            continue;
        }
        if (!inside) {
            assert_true(out->n < WORDS - 1);
            out->words[out->n++] = to;
            inside = true;
        }
        if (quote == '\0' && (*from == '\'' || *from == '"')) {
            quote = *from;
        } else if (quote != '\0' && *from == quote) {
            quote = '\0';
        } else {
            *to++ = *from;
        }
    }
    assert_int_equal(quote, '\0');
    *to = '\0';
    out->words[out->n] = NULL;
}

/* "a|b" */
static bool is_one_of(const char *words, const char *word)
{
    const size_t len = strlen(word);

    for (const char *p = words; p != NULL; p = strchr(p, '|')) {
        p += *p == '|';
        if (strncmp(p, word, len) == 0 && (p[len] == '|' || p[len] == '\0')) {
            return true;
        }
    }
    return false;
}

/* `text` without the program's name; `wanted`: the command that it is of, or
 * NULL. */
static void check(const char *text, const struct cv_command *wanted)
{
    struct line line = {.n = 0};
    struct cv_args args;
    struct cv_err err;
    char *argv[WORDS + 1] = {(char *)(uintptr_t) "certvault"};

    split(text, &line);
    memcpy(argv + 1, line.words, sizeof(*argv) * (size_t)(line.n + 1));
    cv_err_init(&err);
    if (cv_args_parse(line.n + 1, argv, &args, &err) != CV_OK) {
        fail_msg("%s: %s", text, err.text);
    }
    if (args.command == NULL || (wanted != NULL && args.command != wanted)) {
        fail_msg("%s: is of another command", text);
        return;
    }
    for (size_t i = 0; i < args.n_flags; i++) {
        const struct cv_option *o = args.flags[i].option;

        if (o->kind == CV_KIND_WORDS && args.flags[i].value != NULL &&
            !is_one_of(o->words, args.flags[i].value)) {
            fail_msg("%s: --%s takes %s", text, o->name, o->words);
        }
    }
    if (args.command->kind == CV_KIND_WORDS && args.n_operands > 0 &&
        !is_one_of(args.command->words, args.operands[0])) {
        fail_msg("%s: it takes %s", text, args.command->words);
    }
    cv_args_free(&args);
}

/* The next line of *at, those that go on behind a backslash put together. */
static bool next(const char **at, char out[LINE])
{
    size_t n = 0;

    while (**at != '\0') {
        const size_t len = strcspn(*at, "\n");
        const bool more = len > 0 && (*at)[len - 1] == '\\';

        assert_true(n + len < LINE - 1);
        memcpy(out + n, *at, more ? len - 1 : len);
        n += more ? len - 1 : len;
        *at += len + ((*at)[len] == '\n');
        if (!more) {
            out[n] = '\0';
            return true;
        }
    }
    return false;
}

static void those_of_help(void **state)
{
    char line[LINE] = "";
    size_t n = 0;

    (void)state;
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        const struct cv_command *of = c;
        const char *at = c->examples;

        assert_non_null(at);
        /* What comes behind the first may be what one does then. */
        for (; next(&at, line); of = NULL) {
            check(line, of);
            n++;
        }
    }
    assert_true(n > 100);
}

/* \e at the end of a line is roff's backslash. */
static char *manual(void)
{
    static char text[1 << 20];
    FILE *f = fopen(CV_TEST_DATA "/../../cli/man/certvault.1", "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f);
    assert_true(n > 0 && n < sizeof(text) - 1);
    text[n] = '\0';
    for (char *p = text; (p = strstr(p, "\\e\n")) != NULL; p++) {
        memmove(p + 1, p + 2, strlen(p + 2) + 1);
    }
    return text;
}

static void those_of_the_manual(void **state)
{
    const char *at = strstr(manual(), ".Sh EXAMPLES\n");
    char line[LINE] = "";
    size_t n = 0;

    (void)state;
    assert_non_null(at);
    while (next(&at, line) && strcmp(line, ".Ed") != 0) {
        if (strncmp(line, "certvault ", 10) == 0) {
            check(line + 10, NULL);
            n++;
        }
    }
    assert_true(n >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_of_help),
        cmocka_unit_test(those_of_the_manual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
