/* config check, show. */
#include "cli/cmd.h"
#include "cli/config.h"
#include "cli/config_schema.h"
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
                       cv_config_path(cli)[0] != '\0'
                           ? cv_config_path(cli)
                           : "all: neither XDG_CONFIG_HOME nor HOME leads to "
                             "a folder");
    }
    return s;
}

static void tell_later(void *context, const char *key)
{
    struct cv_cli *cli = context;

    cv_output_warn(&cli->out, "%s: known, and not used in this version", key);
}

CV_CMD(config_check)
{
    const cJSON *tree;
    enum cv_status s = load(cli, &tree, err);

    (void)args;
    if (s != CV_OK || tree == NULL) {
        return s;
    }
    s = cv_config_check_files(cli, err);
    if (s != CV_OK) {
        return s;
    }
    cv_config_schema_later(tree, tell_later, cli);
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
