/* grants list, revoke: what lives in the broker that stays. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"

#define USER_LEN 63

static const struct cv_output_column columns[] = {
    {"ID", "id", NULL, NULL},           {"USER", "actor.user", NULL, NULL},
    {"KIND", "kind", NULL, NULL},       {"ENTRY", "entry", NULL, NULL},
    {"CONTEXT", "context", NULL, NULL}, {"READ-ONLY", "read_only", NULL, NULL},
    {"EXPIRES", "expires", NULL, NULL}, {"REQUESTS", "requests", NULL, NULL},
    {"RULE", "rule", NULL, NULL},       {"REASON", "reason", NULL, NULL},
    {"TICKET", "ticket", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "GrantList",
    .name = "id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
    .none = "no grants",
};

static enum cv_status show(struct cv_cli *cli, const char *method,
                           cJSON *parameters, struct cv_err *err)
{
    const cJSON *items;
    enum cv_status s;

    /* What does not run has given none. */
    cli->no_start = true;
    s = cv_call_member(cli, method, parameters, "items", CV_JSON_ARRAY, &items,
                       err);
    return s == CV_OK ? cv_output_table_list(&cli->out, &view, items, err) : s;
}

CV_CMD(grants_list)
{
    cJSON *parameters = cv_cli_parameters(cli);

    if (!cv_json_add_bool(parameters, "all", cv_args_has(args, "all"))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return show(cli, "Grants", parameters, err);
}

static cJSON *ids_of(const struct cv_args *args)
{
    cJSON *ids = cJSON_CreateArray();

    for (size_t i = 0; i < args->n_operands; i++) {
        if (!cJSON_AddItemToArray(ids, cJSON_CreateString(args->operands[i]))) {
            cJSON_Delete(ids);
            return NULL;
        }
    }
    return ids;
}

CV_CMD(grants_revoke)
{
    const char *user = cv_args_value(args, "user");
    cJSON *parameters;
    enum cv_status s = cv_check_shown(user, "--user", USER_LEN, err);

    if (s == CV_OK && (user == NULL) == (args->n_operands == 0)) {
        s = cv_fail(err, CV_USAGE, "grants revoke: IDs, or --user");
        cv_err_hint(err, "certvault grants list names those that live");
    }
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (user != NULL ? !cv_json_add_str(parameters, "user", user)
                     : !cv_json_add_item(parameters, "ids", ids_of(args))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return show(cli, "GrantsRevoke", parameters, err);
}
