/* unlock, lock, status: the vault and the broker that holds it. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/cmd_agent.h"
#include "cli/connect.h"
#include "cli/output_table.h"
#include "cli/unlock.h"

static const struct cv_output_column status_columns[] = {
    {"vault", "vault_id", NULL, NULL},
    {"folder", "folder", NULL, NULL},
    {"broker", "mode", NULL, NULL},
    {"version", "version", NULL, NULL},
    {"locked", "locked", NULL, NULL},
    {"entries", "entries", NULL, NULL},
    {"log size", "log_size", NULL, NULL},
    {"policy", "policy", NULL, NULL},
    {"seccomp", "seccomp", NULL, NULL},
    {"landlock ABI", "landlock_abi", NULL, NULL},
};

static const struct cv_output_view status_view = {
    .kind = "Status",
    .name = "vault_id",
    .columns = status_columns,
    .n_columns = sizeof(status_columns) / sizeof(status_columns[0]),
};

CV_CMD(vault_status)
{
    const cJSON *status;
    enum cv_status s = cv_call_member(cli, "Status", cJSON_CreateObject(),
                                      "status", CV_JSON_OBJECT, &status, err);

    (void)args;
    return s == CV_OK
               ? cv_output_table_object(&cli->out, &status_view, status, err)
               : s;
}

/* The vault says by itself which slots it has when something needs it open;
 * SlotList tells the same to those who may ask. */
CV_CMD(vault_unlock)
{
    const cJSON *slots;
    enum cv_status s = cv_connect_open(cli, false, err);

    (void)args;
    if (s != CV_OK) {
        return s;
    }
    if (!cv_connect_greets(cli)->locked) {
        cv_output_note(&cli->out, "it is open already");
        return CV_OK;
    }
    s = cv_call_member(cli, "SlotList", cv_cli_parameters(cli), "items",
                       CV_JSON_ARRAY, &slots, err);
    if (s == CV_OK) {
        s = cv_unlock_run(cli, slots, err);
    }
    if (s == CV_OK && cv_connect_is_private(cli)) {
        cv_output_note(&cli->out, "it opens; this broker was for one command, "
                                  "so it is locked again");
    }
    return s;
}

CV_CMD(vault_lock)
{
    const cJSON *answer;
    enum cv_status s;

    if (cv_args_has(args, "all")) {
        return cv_cmd_agent_lock_all(cli, err);
    }
    /* What does not run holds no key. */
    cli->no_start = true;
    s = cv_call_simple(cli, "Lock", cv_cli_parameters(cli), &answer, err);
    if (s == CV_OK && cv_connect_is_private(cli)) {
        cv_output_note(&cli->out, "no agent runs for this vault: nothing was "
                                  "unlocked");
    }
    return s;
}
