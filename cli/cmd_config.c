/* config check, show. */
#include "cli/cmd.h"
#include "cli/config.h"
#include "cli/output_table.h"

#include <string.h>

static enum cv_status load(struct cv_cli *cli, const cJSON **tree,
                           struct cv_err *err)
{
    enum cv_status s = cv_config_load(cli, tree, err);

    if (s == CV_OK && *tree == NULL) {
        cv_output_note(&cli->out,
                       "there is no configuration at %s; that is "
                       "fine",
                       cv_config_path(cli));
    }
    return s;
}

CV_CMD(config_check)
{
    const cJSON *tree;
    enum cv_status s = load(cli, &tree, err);

    (void)args;
    if (s != CV_OK || tree == NULL) {
        return s;
    }
    return cv_output_line(&cli->out, err, "%s: ok", cv_config_path(cli));
}

CV_CMD(config_show)
{
    const cJSON *tree;
    cJSON *empty;
    enum cv_status s = load(cli, &tree, err);

    (void)args;
    if (s != CV_OK) {
        return s;
    }
    if (tree == NULL) {
        empty = cv_cli_keep(cli, cJSON_CreateObject(), err);
        tree = empty;
    }
    if (tree == NULL) {
        return CV_INTERNAL;
    }
    if (cli->out.format == CV_OUTPUT_TABLE) {
        cli->out.format = CV_OUTPUT_YAML;
    }
    return cv_output_document(&cli->out, tree, err);
}
