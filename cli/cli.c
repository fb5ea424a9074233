#include "cli/cli.h"

#include "cli/config.h"
#include "cli/connect.h"
#include "cli/pin.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An empty variable is none. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *flag_or_environment(const struct cv_args *args,
                                       const char *flag, const char *name)
{
    const char *value = cv_args_value(args, flag);

    return value != NULL ? value : environment(name);
}

static enum cv_status check_words(const struct cv_cli *cli, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (cli->reason != NULL) {
        s = cv_name_check_words(cli->reason, CV_LIMIT_REASON, "the reason",
                                err);
    }
    if (s == CV_OK && cli->ticket != NULL) {
        s = cv_name_check_words(cli->ticket, CV_LIMIT_TICKET, "the ticket",
                                err);
    }
    return s;
}

static bool changes(const struct cv_args *args, unsigned traits)
{
    if ((traits & CV_TRAIT_WRITES) == 0) {
        return (traits & CV_TRAIT_CHANGES) != 0;
    }
    return cv_args_has(args, "output") || cv_args_has(args, "html") ||
           cv_args_has(args, "write") ||
           (args->n_operands > 0 && strcmp(args->operands[0], "rotate") == 0);
}

/* A command that would go on as if nothing had been said must not be told
 * --dry-run. */
static enum cv_status check_dry(const struct cv_args *args, struct cv_err *err)
{
    unsigned traits = args->command ? args->command->traits : 0;

    if (cv_args_has(args, "dry-run") && changes(args, traits) &&
        (traits & CV_TRAIT_DRY) == 0) {
        return cv_fail(err, CV_USAGE, "%s has no dry run; nothing was done",
                       args->command->name);
    }
    return CV_OK;
}

enum cv_status cv_cli_begin(struct cv_cli *cli, const struct cv_args *args,
                            struct cv_err *err)
{
    enum cv_status s;

    cli->vault = flag_or_environment(args, "vault", "CERTVAULT_DIR");
    cli->broker = flag_or_environment(args, "broker", "CERTVAULT_BROKER");
    cli->config = cv_args_value(args, "config");
    cli->reason = cv_args_value(args, "reason");
    cli->ticket = cv_args_value(args, "ticket");
    cli->passphrase_file = flag_or_environment(args, "passphrase-file",
                                               "CERTVAULT_PASSPHRASE_FILE");
    cli->key_file = flag_or_environment(args, "key-file", "CERTVAULT_KEY_FILE");
    cli->pin_source = cv_args_value(args, "pin-source");
    cli->pin_file = environment("CERTVAULT_PIN_FILE");
    cli->yes = cv_args_has(args, "yes");
    cli->dry_run = cv_args_has(args, "dry-run");
    cli->changes = args->command != NULL && !cli->dry_run &&
                   (args->command->traits & CV_TRAIT_STAYS) == 0 &&
                   changes(args, args->command->traits);
    cli->break_glass = cv_args_has(args, "break-glass");
    cli->wait = cv_args_has(args, "wait");
    cli->no_input = cv_args_has(args, "no-input");
    cli->no_agent = cv_args_has(args, "no-agent");
    cli->allow_unlocked = cv_args_has(args, "allow-unlocked");
    if (cli->allow_unlocked) {
        cv_arena_allow_unlocked();
    }
    cli->kept = cJSON_CreateArray();
    if (cli->kept == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = check_dry(args, err);
    if (s == CV_OK && cli->pin_source != NULL) {
        s = cv_pin_check(cli->pin_source, err);
    }
    return s == CV_OK ? check_words(cli, err) : s;
}

void cv_cli_end(struct cv_cli *cli)
{
    cv_connect_free(cli->connect, &cli->out);
    cli->connect = NULL;
    cv_config_free(cli->settings);
    cli->settings = NULL;
    cJSON_Delete(cli->kept);
    cli->kept = NULL;
    free(cli->excerpt);
    cli->excerpt = NULL;
}

void cv_cli_forget(struct cv_cli *cli)
{
    while (cli->kept != NULL && cli->kept->child != NULL) {
        cJSON_DeleteItemFromArray(cli->kept, 0);
    }
}

void cv_cli_note_excerpt(struct cv_cli *cli, const cJSON *parameters)
{
    const char *text = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(parameters, "excerpt"));
    const char *of = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(parameters, "of"));

    (void)snprintf(cli->error_of, sizeof(cli->error_of), "%s",
                   of != NULL ? of : "");
    if (text != NULL) {
        free(cli->excerpt);
        cli->excerpt = strdup(text);
    }
}

cJSON *cv_cli_keep(struct cv_cli *cli, cJSON *tree, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    bool kept = tree != NULL && cJSON_AddItemToArray(cli->kept, tree);

    (void)cv_json_use(before);
    if (!kept) {
        cJSON_Delete(tree);
        (void)cv_fail(err, CV_INTERNAL, "memory is gone");
        return NULL;
    }
    return tree;
}

cJSON *cv_cli_parameters(const struct cv_cli *cli)
{
    cJSON *parameters = cJSON_CreateObject();

    if (parameters != NULL &&
        (!cv_json_add_str(parameters, "reason", cli->reason) ||
         !cv_json_add_str(parameters, "ticket", cli->ticket) ||
         (cli->break_glass &&
          !cv_json_add_bool(parameters, "break_glass", true)))) {
        cJSON_Delete(parameters);
        return NULL;
    }
    return parameters;
}
