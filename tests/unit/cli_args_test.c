/* The command line, taken apart. */
#include "cli/args.h"
#include "vault/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAX 12

/* Parses the words of `line`, parted by blanks, behind a program's name. */
static enum cv_status parse(const char *line, struct cv_args *args,
                            struct cv_err *err)
{
    static char copy[256];
    static char name[] = "certvault";
    char *argv[MAX] = {name};
    int argc = 1;

    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *p = copy; *p != '\0';) {
        size_t n = strcspn(p, " ");

        argv[argc++] = p;
        assert_true(argc < MAX);
        p += n;
        if (*p != '\0') {
            *p++ = '\0';
        }
    }
    cv_err_init(err);
    return cv_args_parse(argc, argv, args, err);
}

static void check(const char *line, const char *command, const char *flag,
                  const char *value, const char *operand)
{
    struct cv_args args;
    struct cv_err err;

    assert_int_equal(parse(line, &args, &err), CV_OK);
    assert_string_equal(args.command->name, command);
    if (flag != NULL) {
        assert_true(cv_args_has(&args, flag));
    }
    if (value != NULL) {
        assert_string_equal(cv_args_value(&args, flag), value);
    }
    assert_int_equal(args.n_operands, operand != NULL ? 1 : 0);
    if (operand != NULL) {
        assert_string_equal(args.operands[0], operand);
    }
    cv_args_free(&args);
}

static void takes_flags_anywhere(void **state)
{
    (void)state;
    check("show a", "show", NULL, NULL, "a");
    check("--vault d show a", "show", "vault", "d", "a");
    check("show --vault d a", "show", "vault", "d", "a");
    check("show a --vault=d", "show", "vault", "d", "a");
    check("show a --vault=", "show", "vault", "", "a");
    check("-o json show a", "show", "o", "json", "a");
    check("show -ojson a", "show", "o", "json", "a");
    check("show a -o=json", "show", "o", "json", "a");
    check("-qvo yaml show a", "show", "o", "yaml", "a");
    check("show a -v", "show", "verbose", NULL, "a");
    check("show -- --vault", "show", NULL, NULL, "--vault");
    check("import -", "import", NULL, NULL, "-");
    check("slot -q list", "slot list", "quiet", NULL, NULL);
    check("--vault d slot --yes remove s1", "slot remove", "yes", NULL, "s1");
    check("fetch --duration -1", "fetch", "duration", "-1", NULL);
    check("audit tail -fn 3", "audit tail", "last", "3", NULL);
    check("--vault a list --vault b", "list", "vault", "b", NULL);
}

static void refuse(const char *line, const char *words)
{
    struct cv_args args;
    struct cv_err err;

    assert_int_equal(parse(line, &args, &err), CV_USAGE);
    assert_non_null(strstr(err.text, words));
    cv_args_free(&args);
}

static void hint(const char *line, const char *whole)
{
    struct cv_args args;
    struct cv_err err;

    assert_int_equal(parse(line, &args, &err), CV_USAGE);
    assert_string_equal(err.hint, whole);
    cv_args_free(&args);
}

static void names_what_was_meant(void **state)
{
#define MEANT(name) \
    "did you mean certvault " name "? certvault --help names all"
    (void)state;
    hint("lst", MEANT("list"));
    hint("exprot prod", MEANT("export"));
    hint("shwo prod --reason x", MEANT("show"));
    hint("audit verfy", MEANT("audit verify"));
    hint("audti verify", MEANT("audit"));
    hint("list --expire-within 5", "did you mean --expires-within?");
    hint("list --vualt d", "did you mean --vault?");
    /* Far from all, or as near to two. */
    hint("q", "see certvault --help");
    hint("nothing", "see certvault --help");
    hint("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "a",
         "see certvault --help");
    hint("audit", "see certvault audit --help");
    hint("audit x", "see certvault audit --help");
    hint("audit prod-export", "see certvault audit --help");
    hint("list --zz", "see certvault list --help");
    hint("list --wait-for", "see certvault list --help");
#undef MEANT
}

static void refuses_what_is_not_known(void **state)
{
    (void)state;
    refuse("nothing", "unknown command");
    refuse("slot nothing", "unknown command");
    refuse("slot", "wants a word");
    refuse("list --nothing", "unknown flag --nothing");
    refuse("list -Z", "unknown flag -Z");
    refuse("list --labe a=b", "unknown flag --labe");
    refuse("list --labels a=b", "unknown flag --labels");
    refuse("list --duration 1", "unknown flag --duration");
    refuse("--duration 1 fetch", "unknown flag --duration");
    refuse("list --o json", "unknown flag --o");
    refuse("list --yes=1", "takes no value");
    refuse("list --label", "wants a value");
    refuse("list -o", "wants a value");
    refuse("show", "show wants NAME");
    refuse("show a b", "show takes NAME");
    refuse("version x", "no operand");
    refuse("exec a", "exec wants NAME -- COMMAND");
    refuse("revoke a", "not in this version");
    refuse("renew a", "renew is not in this version");
}

static void never_repeats_a_secret(void **state)
{
    static const char *const lines[] = {
        "list --sk s3cret",       "list --sk=s3cret",
        "--password=s3cret list", "list --token s3cret",
        "list --pin=s3cret",      "show a?pin-value=s3cret",
        "list --frob=s3cret",     "list a b --yes=s3cret",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct cv_args args;
        struct cv_err err;

        assert_int_equal(parse(lines[i], &args, &err), CV_USAGE);
        assert_null(strstr(err.text, "s3cret"));
        assert_null(strstr(err.hint, "s3cret"));
        cv_args_free(&args);
    }
}

static void gives_values_in_their_order(void **state)
{
    struct cv_args args;
    struct cv_err err;
    size_t at = 0;

    (void)state;
    assert_int_equal(parse("list --label a=1 -q --label b=2", &args, &err),
                     CV_OK);
    assert_string_equal(cv_args_next(&args, "label", &at), "a=1");
    assert_string_equal(cv_args_next(&args, "label", &at), "b=2");
    assert_null(cv_args_next(&args, "label", &at));
    assert_null(cv_args_value(&args, "quiet"));
    assert_true(cv_args_has(&args, "quiet"));
    assert_false(cv_args_has(&args, "vault"));
    cv_args_free(&args);
}

static void help_needs_nothing_else(void **state)
{
    struct cv_args args;
    struct cv_err err;

    (void)state;
    assert_int_equal(parse("--help", &args, &err), CV_OK);
    assert_true(args.help);
    assert_null(args.command);
    cv_args_free(&args);
    assert_int_equal(parse("show -h", &args, &err), CV_OK);
    assert_string_equal(args.command->name, "show");
    cv_args_free(&args);
    assert_int_equal(parse("slot --help", &args, &err), CV_OK);
    assert_null(args.command);
    assert_string_equal(args.operands[0], "slot");
    cv_args_free(&args);
}

/* The table itself: what parsing and help take for granted. */
static void the_table_is_sound(void **state)
{
    (void)state;
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        assert_non_null(c->run);
        assert_non_null(c->examples);
        assert_true(c->max == -1 || c->max >= c->min);
        assert_true((c->max != 0) == (c->operands[0] != '\0') ||
                    strcmp(c->name, "fetch") == 0);
        for (const struct cv_command *d = c + 1; d->name; d++) {
            assert_string_not_equal(c->name, d->name);
        }
        for (const struct cv_option *o = c->options; o && o->name; o++) {
            assert_non_null(o->help);
            assert_null(
                cv_command_option(cv_command_global, o->name, strlen(o->name)));
            assert_null(cv_command_letter(cv_command_global, o->letter));
            /* --token is a URI here; where a command has none it is taken for
             * a cloud's token, which must not be typed. */
            if (strcmp(o->name, "token") != 0) {
                assert_false(
                    cv_command_is_secret_flag(o->name, strlen(o->name)));
            }
            for (const struct cv_option *p = o + 1; p->name; p++) {
                assert_string_not_equal(o->name, p->name);
            }
        }
    }
}

static void an_empty_argv(void **state)
{
    char *argv[] = {NULL};
    struct cv_args args;
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    assert_int_equal(cv_args_parse(0, argv, &args, &err), CV_OK);
    assert_null(args.command);
    cv_args_free(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_flags_anywhere),
        cmocka_unit_test(refuses_what_is_not_known),
        cmocka_unit_test(names_what_was_meant),
        cmocka_unit_test(never_repeats_a_secret),
        cmocka_unit_test(gives_values_in_their_order),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(an_empty_argv),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
