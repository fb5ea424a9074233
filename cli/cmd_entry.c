/* list, show, rename, label, rm. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/entry_view.h"
#include "cli/prompt.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <string.h>

static enum cv_status no_memory(cJSON *parameters, struct cv_err *err)
{
    cJSON_Delete(parameters);
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Calls `method` and shows the entry that it answers with. */
static enum cv_status call_entry(struct cv_cli *cli, const char *method,
                                 cJSON *parameters, struct cv_err *err)
{
    const cJSON *entry;
    enum cv_status s = cv_call_member(cli, method, parameters, "entry",
                                      CV_JSON_OBJECT, &entry, err);

    return s == CV_OK ? cv_output_table_object(&cli->out, &cv_entry_view_one,
                                               entry, err)
                      : s;
}

CV_CMD(entry_list)
{
    const char *within = cv_args_value(args, "expires-within");
    const char *pattern = args->n_operands > 0 ? args->operands[0] : NULL;
    const cJSON *items;
    cJSON *labels, *parameters;
    int64_t within_s = 0;
    enum cv_status s = CV_OK;

    if (within != NULL) {
        s = cv_clock_parse_duration(within, true, &within_s, err);
        if (s != CV_OK) {
            cv_err_prefix(err, "--expires-within");
        }
    }
    if (s == CV_OK && pattern != NULL) {
        s = cv_check_shown(pattern, "PATTERN", CV_LIMIT_PATTERN, err);
    }
    if (s == CV_OK) {
        s = cv_check_labels(args, true, &labels, err);
    }
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_item(parameters, "labels", labels) ||
        !cv_json_add_str(parameters, "pattern", pattern) ||
        (within != NULL &&
         !cv_json_add_int(parameters, "expires_within", within_s))) {
        return no_memory(parameters, err);
    }
    s = cv_call_items(cli, "List", parameters, &items, err);
    return s == CV_OK ? cv_output_table_list(&cli->out, &cv_entry_view_list,
                                             items, err)
                      : s;
}

CV_CMD(entry_show)
{
    cJSON *parameters;
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_str(parameters, "name", args->operands[0])) {
        return no_memory(parameters, err);
    }
    return call_entry(cli, "Show", parameters, err);
}

CV_CMD(entry_rename)
{
    cJSON *parameters;
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (s == CV_OK) {
        s = cv_check_name(args->operands[1], err);
    }
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_str(parameters, "name", args->operands[0]) ||
        !cv_json_add_str(parameters, "new_name", args->operands[1])) {
        return no_memory(parameters, err);
    }
    return call_entry(cli, "Rename", parameters, err);
}

/* "K-" takes a label away. */
static enum cv_status take_label(const char *text, cJSON *set, cJSON *gone,
                                 struct cv_err *err)
{
    size_t len = strlen(text);
    char key[CV_LIMIT_LABEL + 1];
    cJSON *item;

    if (strchr(text, '=') != NULL || len < 2 || text[len - 1] != '-' ||
        len > sizeof(key)) {
        return cv_check_label(text, set, false, err);
    }
    memcpy(key, text, len - 1);
    key[len - 1] = '\0';
    item = cJSON_CreateString(key);
    if (item == NULL || !cJSON_AddItemToArray(gone, item)) {
        cJSON_Delete(item);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

/* A label cannot be set and taken away in one go. */
static enum cv_status check_apart(const cJSON *set, const cJSON *gone,
                                  struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, gone)
    {
        if (cJSON_GetObjectItemCaseSensitive(set, item->valuestring) != NULL) {
            enum cv_status s =
                cv_fail(err, CV_USAGE, "label %s is both set and taken away",
                        item->valuestring);

            cv_err_state(err, "no label was changed");
            return s;
        }
    }
    return CV_OK;
}

CV_CMD(entry_label)
{
    cJSON *parameters = cv_cli_parameters(cli);
    cJSON *set = cJSON_AddObjectToObject(parameters, "set");
    cJSON *gone = cJSON_AddArrayToObject(parameters, "remove");
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (set == NULL || gone == NULL ||
        !cv_json_add_str(parameters, "name", args->operands[0])) {
        return no_memory(parameters, err);
    }
    for (size_t i = 1; i < args->n_operands && s == CV_OK; i++) {
        s = take_label(args->operands[i], set, gone, err);
    }
    if (s == CV_OK) {
        s = check_apart(set, gone, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    return call_entry(cli, "Label", parameters, err);
}

static enum cv_status confirm_rm(struct cv_cli *cli, const struct cv_args *args,
                                 struct cv_err *err)
{
    if (cli->dry_run) {
        return CV_OK;
    }
    if (args->n_operands == 1 && cv_args_has(args, "keep-key")) {
        return cv_prompt_confirm(cli, err, "Remove %s for good?",
                                 args->operands[0]);
    }
    if (args->n_operands == 1) {
        return cv_prompt_confirm(cli, err, "Remove %s and its key for good?",
                                 args->operands[0]);
    }
    return cv_prompt_confirm(cli, err,
                             "Remove these %zu entries and their keys for "
                             "good?",
                             args->n_operands);
}

CV_CMD(entry_rm)
{
    const cJSON *items;
    cJSON *parameters, *names;
    enum cv_status s = CV_OK;

    if (cv_args_has(args, "keep-key") && cv_args_has(args, "destroy-key")) {
        s = cv_fail(err, CV_USAGE,
                    "--keep-key and --destroy-key: a key stays or goes");
        cv_err_state(err, "nothing was removed");
    }
    for (size_t i = 0; i < args->n_operands && s == CV_OK; i++) {
        s = cv_check_name(args->operands[i], err);
    }
    if (s == CV_OK) {
        s = confirm_rm(cli, args, err);
    }
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    names = cJSON_AddArrayToObject(parameters, "names");
    for (size_t i = 0; i < args->n_operands; i++) {
        cJSON *name = cJSON_CreateString(args->operands[i]);

        if (name == NULL || !cJSON_AddItemToArray(names, name)) {
            cJSON_Delete(name);
            return no_memory(parameters, err);
        }
    }
    if (!cv_json_add_bool(parameters, "dry_run", cli->dry_run) ||
        !cv_json_add_bool(parameters, "keep_key",
                          cv_args_has(args, "keep-key")) ||
        !cv_json_add_bool(parameters, "destroy_key",
                          cv_args_has(args, "destroy-key"))) {
        return no_memory(parameters, err);
    }
    s = cv_call_member(cli, "Remove", parameters, "items", CV_JSON_ARRAY,
                       &items, err);
    if (s != CV_OK) {
        return s;
    }
    cv_output_note(&cli->out,
                   cli->dry_run ? "these would be removed:" : "removed:");
    return cv_output_table_list(&cli->out, &cv_entry_view_list, items, err);
}
