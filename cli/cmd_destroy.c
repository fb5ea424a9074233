/* destroy: the end of a vault, after it was told what goes with it. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/output_table.h"
#include "cli/prompt.h"
#include "vault/base/limits.h"

#include <string.h>

static const struct cv_output_column columns[] = {
    {"vault", "vault_id", NULL, NULL},
    {"folder", "folder", NULL, NULL},
    {"entries", "entries", NULL, NULL},
    {"names", "names", NULL, NULL},
    {"keys destroyed on tokens", "keys_destroyed", NULL, NULL},
    {"keys left on tokens", "keys_left", NULL, NULL},
    {"records", "records", NULL, NULL},
    {"record goes too", "with_record", NULL, NULL},
    {"destroyed", "destroyed", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "Destroyed",
    .name = "vault_id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static int64_t number_of(const cJSON *tree, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, key);

    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

static enum cv_status ask_broker(struct cv_cli *cli, const struct cv_args *args,
                                 bool dry_run, const cJSON **answer,
                                 struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);

    if (!cv_json_add_bool(parameters, "dry_run", dry_run) ||
        !cv_json_add_bool(parameters, "keep_keys",
                          cv_args_has(args, "keep-keys")) ||
        !cv_json_add_bool(parameters, "with_record",
                          cv_args_has(args, "with-record"))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_call_simple(cli, "Destroy", parameters, answer, err);
}

/* "name (uri)" for each. */
static void add_all(cJSON *list, const cJSON *keys)
{
    const cJSON *key;

    cJSON_ArrayForEach(key, keys)
    {
        const char *name = cv_output_table_text(key, "name");
        const char *uri = cv_output_table_text(key, "token_uri");
        struct cv_buf text;

        cv_buf_init(&text, NULL, CV_KIB(8));
        cv_buf_add_format(&text, "%s (%s)", name ? name : "?", uri ? uri : "?");
        (void)cJSON_AddItemToArray(list,
                                   cJSON_CreateString(cv_buf_text(&text)));
        cv_buf_wipe(&text);
    }
}

static const cJSON *shown(struct cv_cli *cli, const struct cv_args *args,
                          const cJSON *stock, bool done, struct cv_err *err)
{
    cJSON *view_of = cJSON_Duplicate(stock, true);
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(stock, "token_keys");
    cJSON *gone = cJSON_AddArrayToObject(view_of, "keys_destroyed");
    cJSON *left = cJSON_AddArrayToObject(view_of, "keys_left");

    add_all(cv_args_has(args, "keep-keys") ? left : gone, keys);
    add_all(left, cJSON_GetObjectItemCaseSensitive(stock, "kept_keys"));
    cJSON_DeleteItemFromObjectCaseSensitive(view_of, "token_keys");
    cJSON_DeleteItemFromObjectCaseSensitive(view_of, "kept_keys");
    (void)cv_json_add_bool(view_of, "with_record",
                           cv_args_has(args, "with-record"));
    (void)cv_json_add_bool(view_of, "destroyed", done);
    return cv_cli_keep(cli, view_of, err);
}

static void tell(struct cv_cli *cli, const cJSON *view_of, const char *key,
                 const char *what)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(view_of, key);
    struct cv_buf text;

    if (cJSON_GetArraySize(list) == 0) {
        return;
    }
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_output_table_cell(list, &text);
    cv_output_warn(&cli->out, "%s: %s", what, cv_buf_text(&text));
    cv_buf_wipe(&text);
}

static enum cv_status confirm(struct cv_cli *cli, const struct cv_args *args,
                              const cJSON *stock, const cJSON *view_of,
                              struct cv_err *err)
{
    const char *folder = cv_output_table_text(stock, "folder");

    tell(cli, view_of, "names", "entries that go, with their keys");
    tell(cli, view_of, "keys_destroyed", "keys on tokens that are destroyed");
    tell(cli, view_of, "keys_left", "keys that stay on their tokens");
    return cv_prompt_confirm(
        cli, err, "Destroy the vault in %s, its %lld entries%s, for good?",
        folder ? folder : "?", (long long)number_of(stock, "entries"),
        cv_args_has(args, "with-record") ? " and its record" : "");
}

/* Entries whose keys are on tokens go first, each with a record of its own. A
 * token that is not there stops it before anything else is touched. */
static enum cv_status remove_keys(struct cv_cli *cli, const cJSON *keys,
                                  struct cv_err *err)
{
    const cJSON *key = keys->child, *answer;
    enum cv_status s = CV_OK;

    while (key != NULL && s == CV_OK) {
        cJSON *parameters = cv_cli_parameters(cli);
        cJSON *names = cJSON_AddArrayToObject(parameters, "names");

        for (int n = 0; key != NULL && n < CV_LIMIT_TOKEN_BATCH; n++) {
            (void)cJSON_AddItemToArray(
                names, cJSON_CreateString(cv_output_table_text(key, "name")));
            key = key->next;
        }
        s = cv_call_simple(cli, "Remove", parameters, &answer, err);
    }
    if (s != CV_OK) {
        cv_err_state(err, "the vault is there; certvault list says which of "
                          "its entries still are");
        if (err->hint[0] == '\0') {
            cv_err_hint(err, "--keep-keys leaves keys where they are");
        }
    }
    return s;
}

CV_CMD(destroy)
{
    const cJSON *stock, *view_of, *answer;
    enum cv_status s = ask_broker(cli, args, true, &stock, err);

    if (s != CV_OK) {
        return s;
    }
    view_of = shown(cli, args, stock, false, err);
    if (view_of == NULL || cli->dry_run) {
        return view_of == NULL
                   ? CV_INTERNAL
                   : cv_output_table_object(&cli->out, &view, view_of, err);
    }
    s = confirm(cli, args, stock, view_of, err);
    if (s == CV_OK && !cv_args_has(args, "keep-keys")) {
        s = remove_keys(
            cli, cJSON_GetObjectItemCaseSensitive(stock, "token_keys"), err);
    }
    if (s == CV_OK) {
        s = ask_broker(cli, args, false, &answer, err);
    }
    if (s == CV_OK) {
        view_of = shown(cli, args, stock, true, err);
        s = view_of != NULL
                ? cv_output_table_object(&cli->out, &view, view_of, err)
                : CV_INTERNAL;
    }
    return s;
}
