/* unlock, lock: the vault and the broker that holds it. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/cmd_agent.h"
#include "cli/connect.h"
#include "cli/done.h"

/* What it was done to, for a document: the run's. */
static cJSON *lock_object(struct cv_cli *cli, bool locked, struct cv_err *err)
{
    const struct cv_connect_greeting *told = cv_connect_greets(cli);
    cJSON *o = cv_cli_keep(cli, cJSON_CreateObject(), err);

    return cv_json_add_str(o, "folder", told->folder) &&
                   cv_json_add_str(o, "vault_id", told->vault_id) &&
                   cv_json_add_bool(o, "locked", locked)
               ? o
               : NULL;
}

static enum cv_status print_lock(struct cv_cli *cli, bool locked,
                                 struct cv_err *err)
{
    const cJSON *o = lock_object(cli, locked, err);

    return cv_done_print(cli, "VaultLock", "folder", o, o != NULL, err);
}

/* Everybody may use the vault again; it is opened as ever. */
static enum cv_status thaw(struct cv_cli *cli, struct cv_err *err)
{
    const cJSON *answer;
    cJSON *o;
    bool locked;
    enum cv_status s;

    cli->no_start = true;
    s = cv_call_simple(cli, "UnlockAll", cv_cli_parameters(cli), &answer, err);
    if (s != CV_OK) {
        return s;
    }
    locked = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "locked"));
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "was_frozen"))) {
        cv_output_note(&cli->out, "nothing was frozen");
    } else {
        cv_output_note(&cli->out, "the freeze has ended%s",
                       locked ? "; the vault is locked: certvault unlock opens "
                                "it, where the service does not by itself"
                              : "");
    }
    o = lock_object(cli, locked, err);
    return cv_done_print(cli, "VaultLock", "folder", o,
                         cv_json_add_bool(o, "frozen", false), err);
}

/* The call says that it is locked, and is opened like any. */
CV_CMD(vault_unlock)
{
    const cJSON *answer;
    enum cv_status s;

    if (cv_args_has(args, "all")) {
        return thaw(cli, err);
    }
    s = cv_connect_open(cli, false, err);
    if (s != CV_OK) {
        return s;
    }
    if (!cv_connect_greets(cli)->locked) {
        cv_output_note(&cli->out, "it is open already");
        return print_lock(cli, false, err);
    }
    s = cv_call_simple(cli, "Unlock", cJSON_CreateObject(), &answer, err);
    if (s == CV_OK && cv_connect_is_private(cli)) {
        cv_output_note(&cli->out, "it opens; this broker was for one command, "
                                  "so it is locked again");
    }
    return s == CV_OK ? print_lock(cli, cv_connect_is_private(cli), err) : s;
}

/* The vault is frozen, whoever serves it; and the agents of the user's other
 * vaults are locked, also where that failed. */
static enum cv_status freeze(struct cv_cli *cli, struct cv_err *err)
{
    const cJSON *answer;
    cJSON *o = NULL, *locked = NULL;
    struct cv_err others;
    enum cv_status s, agents = CV_OK;

    cv_err_init(&others);
    cli->no_start = true;
    s = cv_call_simple(cli, "LockAll", cv_cli_parameters(cli), &answer, err);
    if (s == CV_OK) {
        cv_output_note(&cli->out, "frozen: %s", cv_connect_greets(cli)->folder);
        o = lock_object(cli, true, err);
        (void)cv_json_add_bool(o, "frozen", true);
        locked = cJSON_AddArrayToObject(o, "agents");
    }
    if (cli->broker == NULL && !cli->no_agent) {
        cv_connect_close(cli);
        agents = cv_cmd_agent_lock_all(cli, locked, &others);
    }
    if (s == CV_OK && agents != CV_OK) {
        *err = others;
        return agents;
    }
    return s == CV_OK ? cv_done_print(cli, "VaultLock", "folder", o,
                                      locked != NULL, err)
                      : s;
}

CV_CMD(vault_lock)
{
    const cJSON *answer;
    enum cv_status s;

    if (cv_args_has(args, "all")) {
        return freeze(cli, err);
    }
    /* What does not run holds no key. */
    cli->no_start = true;
    s = cv_call_simple(cli, "Lock", cv_cli_parameters(cli), &answer, err);
    if (s == CV_OK && cv_connect_is_private(cli)) {
        cv_output_note(&cli->out, "no agent runs for this vault: nothing was "
                                  "unlocked");
    }
    return s == CV_OK ? print_lock(cli, true, err) : s;
}
