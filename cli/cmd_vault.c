/* unlock, lock: the vault and the broker that holds it. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/cmd_agent.h"
#include "cli/connect.h"
#include "cli/unlock.h"

/* Everybody may use the vault again; it is opened as ever. */
static enum cv_status thaw(struct cv_cli *cli, struct cv_err *err)
{
    const cJSON *answer;
    enum cv_status s;

    cli->no_start = true;
    s = cv_call_simple(cli, "UnlockAll", cv_cli_parameters(cli), &answer, err);
    if (s == CV_OK &&
        cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "was_frozen"))) {
        cv_output_note(&cli->out, "nothing was frozen");
    } else if (s == CV_OK) {
        cv_output_note(
            &cli->out, "the freeze has ended%s",
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "locked"))
                ? "; the vault is locked: certvault unlock opens it, where "
                  "the service does not by itself"
                : "");
    }
    return s;
}

/* The vault says by itself which slots it has when something needs it open;
 * SlotList tells the same to those who may ask. */
CV_CMD(vault_unlock)
{
    const cJSON *slots;
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

/* The vault is frozen, whoever serves it; and the agents of the user's other
 * vaults are locked, also where that failed. */
static enum cv_status freeze(struct cv_cli *cli, struct cv_err *err)
{
    const cJSON *answer;
    struct cv_err others;
    enum cv_status s, agents = CV_OK;

    cv_err_init(&others);
    cli->no_start = true;
    s = cv_call_simple(cli, "LockAll", cv_cli_parameters(cli), &answer, err);
    if (s == CV_OK) {
        cv_output_note(&cli->out, "frozen: %s", cv_connect_greets(cli)->folder);
    }
    if (cli->broker == NULL && !cli->no_agent) {
        cv_connect_close(cli);
        agents = cv_cmd_agent_lock_all(cli, &others);
    }
    if (s == CV_OK && agents != CV_OK) {
        *err = others;
    }
    return s == CV_OK ? agents : s;
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
    return s;
}
