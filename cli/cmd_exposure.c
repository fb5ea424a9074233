/* audit exposure: what somebody has that still works. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/leaves.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"

#include <string.h>

#define ACTOR_LEN 63

/* Of a grant or an export its user; of the policy whom the rules match. */
static void who_cell(const cJSON *item, struct cv_buf *out)
{
    static const char *const paths[] = {"actor.user", "user", "group",
                                        "everyone"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *text = cv_output_table_text(item, paths[i]);

        if (text != NULL) {
            cv_buf_add_str(out, strcmp(paths[i], "group") == 0 ? "group " : "");
            cv_buf_add_str(out, text);
            return;
        }
    }
}

static void until_cell(const cJSON *item, struct cv_buf *out)
{
    const char *expires = cv_output_table_text(item, "expires");
    const char *not_after = cv_output_table_text(item, "not_after");

    cv_buf_add_str(out, expires != NULL     ? expires
                        : not_after != NULL ? not_after
                                            : "");
}

/* A grant's id, an export's record, or what the policy lets them do. */
static void what_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *may;

    cJSON_ArrayForEach(may, cv_output_table_at(item, "may"))
    {
        cv_buf_add_str(out, out->len > 0 ? " " : "");
        cv_buf_add_str(out, may->string);
        cv_buf_add_str(out, cJSON_IsString(may) &&
                                    strcmp(may->valuestring, "if") == 0
                                ? " (on terms)"
                                : "");
    }
    if (cv_output_table_at(item, "seq") != NULL) {
        cv_buf_add_str(out, "record ");
        cv_output_table_cell(cv_output_table_at(item, "seq"), out);
    } else if (cv_output_table_text(item, "id") != NULL) {
        cv_buf_add_str(out, cv_output_table_text(item, "context"));
    }
}

static const struct cv_output_column columns[] = {
    {"KIND", "kind", NULL, NULL},      {"WHO", NULL, who_cell, NULL},
    {"ENTRY", "entry", NULL, NULL},    {"WHAT", NULL, what_cell, NULL},
    {"UNTIL", NULL, until_cell, NULL}, {"ENDED BY", "ended_by", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "ExposureList",
    .name = "entry",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
    .none = "nothing that still works",
};

/* A typing error reads like somebody who has nothing. The answer stands, with
 * or without this. */
static void warn_unknown(struct cv_cli *cli, const char *actor)
{
    cJSON *parameters = cv_cli_parameters(cli);
    cJSON *filter = cJSON_AddObjectToObject(parameters, "filter");
    const cJSON *items;

    if (!cv_json_add_str(filter, "actor", actor) ||
        !cv_json_add_int(filter, "limit", 1)) {
        cJSON_Delete(parameters);
        return;
    }
    if (cv_call_items(cli, "AuditQuery", parameters, &items, NULL) == CV_OK &&
        cJSON_GetArraySize(items) == 0) {
        cv_output_warn(&cli->out,
                       "no record knows an actor %s: a user's name as records "
                       "have it, or a uid",
                       actor);
    }
}

CV_CMD(audit_exposure)
{
    const char *actor = cv_args_value(args, "actor");
    cJSON *parameters;
    const cJSON *answer, *items;
    char archived[160];
    enum cv_status s = cv_check_shown(actor, "--actor", ACTOR_LEN, err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_str(parameters, "actor", actor)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_call_simple(cli, "AuditExposure", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    items = cJSON_GetObjectItemCaseSensitive(answer, "items");
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "complete"))) {
        cv_output_note(&cli->out, "this host did not tell all users and "
                                  "members of groups: more may be let in");
    }
    if (cv_call_member(cli, "AuditStatus", cJSON_CreateObject(), "status",
                       CV_JSON_OBJECT, &answer, NULL) == CV_OK &&
        cv_leaves_archived(answer, INT64_MIN, archived, sizeof(archived))) {
        cv_output_note(&cli->out, "%s", archived);
    }
    if (actor != NULL) {
        warn_unknown(cli, actor);
    }
    return cv_output_table_list(&cli->out, &view, items, err);
}
