/* help and version: what needs no broker. */
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/help.h"
#include "vault/base/limits.h"

CV_CMD(about_help)
{
    const struct cv_command *command = NULL;
    const char *group = NULL;
    struct cv_buf out;
    size_t used = 0;
    enum cv_status s;

    if (args->n_operands > 0) {
        command = cv_command_find(args->operands, args->n_operands, &used);
        group = args->operands[0];
    }
    if (args->n_operands > 0 && command == NULL &&
        (args->n_operands > 1 || !cv_command_is_group(group))) {
        s = cv_fail(err, CV_USAGE, "there is no help on that");
        cv_err_hint(err, "see certvault --help");
        return s;
    }
    cv_buf_init(&out, NULL, CV_KIB(64));
    if (command != NULL) {
        cv_help_command(cli->program, command, &out);
    } else {
        cv_help_all(cli->program, group, &out);
    }
    return cv_output_write_buf(&cli->out, &out, err);
}

CV_CMD(about_version)
{
    cJSON *doc;

    (void)args;
    if (cli->out.format != CV_OUTPUT_JSON &&
        cli->out.format != CV_OUTPUT_YAML) {
        return cv_output_line(&cli->out, err, "certvault %s", CV_VERSION);
    }
    doc = cv_cli_keep(cli, cJSON_CreateObject(), err);
    if (doc == NULL || !cv_json_add_str(doc, "version", CV_VERSION)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_output_document(&cli->out, doc, err);
}
