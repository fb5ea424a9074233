/* certvault: the command line. It stores no secret and links neither network
 * nor parsers; what it asks for, a broker does or refuses. */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/foreground.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/pin_source.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* kubectl calls its plugins by a name of their own. */
static const char *program_name(int argc, char *const *argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

    return strcmp(name, "kubectl-certvault") == 0 ? "kubectl certvault"
                                                  : "certvault";
}

/* What -o says behind the place where the command line stopped making sense:
 * a script that asked for JSON gets its error as JSON. */
static const char *format_behind(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-ojson") == 0 || strcmp(argv[i], "-o=json") == 0 ||
            (strcmp(argv[i], "-o") == 0 && i + 1 < argc &&
             strcmp(argv[i + 1], "json") == 0)) {
            return "json";
        }
    }
    return NULL;
}

static enum cv_status begin_output(struct cv_cli *cli,
                                   const struct cv_args *args,
                                   const char *otherwise, bool lost,
                                   struct cv_err *err)
{
    const char *format = cv_args_value(args, "o");

    format = format != NULL ? format : otherwise;

    cli->out.quiet = cv_args_has(args, "quiet");
    cli->out.verbose = cv_args_has(args, "verbose");
    cli->out.format_given = format != NULL;
    cv_output_begin(&cli->out, cv_args_has(args, "no-color"), lost);
    return format != NULL ? cv_output_parse(format, &cli->out.format, err)
                          : CV_OK;
}

static enum cv_status show_help(struct cv_cli *cli, const struct cv_args *args,
                                struct cv_err *err)
{
    const char *group = args->n_operands > 0 ? args->operands[0] : NULL;
    struct cv_buf out;

    cv_buf_init(&out, NULL, CV_KIB(64));
    if (args->command != NULL) {
        cv_help_command(cli->program, args->command, &out);
    } else {
        cv_help_all(cli->program,
                    group != NULL && cv_command_is_group(group) ? group : NULL,
                    &out);
    }
    return cv_output_write_buf(&cli->out, &out, err);
}

static enum cv_status run(struct cv_cli *cli, const struct cv_args *args,
                          struct cv_err *err)
{
    enum cv_status s;

    if (args->help) {
        return show_help(cli, args, err);
    }
    if (cv_args_has(args, "version")) {
        return cv_cmd_about_version(cli, args, err);
    }
    if (args->command == NULL) {
        s = cv_fail(err, CV_USAGE, "no command");
        cv_err_hint(err, "%s --help lists the commands", cli->program);
        return s;
    }
    s = cv_cli_begin(cli, args, err);
    return s == CV_OK ? args->command->run(cli, args, err) : s;
}

/* A command that runs another one keeps for it what was inherited (a shell's
 * <(...) is a descriptor). */
static void begin(const struct cv_args *args, int argc, char *const *argv)
{
    int held = cv_pin_source_hold(argc, argv);
    bool runs = args->command != NULL && args->command->run == cv_cmd_exec;

    cv_foreground_remember();
    cv_process_begin(runs ? INT_MAX : held);
    cv_interrupt_begin();
}

int main(int argc, char **argv)
{
    bool lost = fcntl(STDOUT_FILENO, F_GETFD) == -1 && errno == EBADF;
    struct cv_cli cli = {.program = program_name(argc, argv)};
    struct cv_args args;
    struct cv_err err, late;
    enum cv_status s, parsed;

    cv_err_init(&err);
    cv_err_init(&late);
    parsed = cv_args_parse(argc, argv, &args, &err);
    begin(&args, argc, argv);
    s = begin_output(&cli, &args,
                     parsed == CV_OK ? NULL : format_behind(argc, argv), lost,
                     parsed == CV_OK ? &err : &late);
    if (parsed != CV_OK) {
        s = parsed;
    }
    if (s == CV_OK) {
        s = run(&cli, &args, &err);
    }
    if (s == CV_OK) {
        s = cv_output_end(&cli.out, &err);
    }
    /* A private broker ends before the last word is said. */
    char *excerpt = cli.excerpt;
    cli.excerpt = NULL;
    cv_cli_end(&cli);
    if (s != CV_OK) {
        cv_output_error(&cli.out, &err);
        cv_output_excerpt(&cli.out, excerpt);
    }
    free(excerpt);
    cv_args_free(&args);
    return cli.exit_code != 0 ? cli.exit_code : cv_err_exit_code(s);
}
