/* slot list, add, remove, change, recovery. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/inside.h"
#include "cli/output_table.h"
#include "cli/prompt.h"
#include "cli/secret.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SLOT_ID_LEN 64

static const struct cv_output_column columns[] = {
    {"ID", "id", NULL, NULL},           {"KIND", "kind", NULL, NULL},
    {"PATH", "path", NULL, NULL},       {"NAME", "name", NULL, NULL},
    {"CREATED", "created", NULL, NULL}, {"TOKEN", "uri", NULL, NULL},
};

static const struct cv_output_view list_view = {
    .kind = "SlotList",
    .name = "id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
    .none = "no slots",
};

/* One slot is shown as a list of one: its own `kind` is what opens it, and must
 * not be taken for the document's. */
static enum cv_status show_one(struct cv_cli *cli, const cJSON *slot,
                               struct cv_err *err)
{
    cJSON *list = cJSON_CreateArray();
    cJSON *copy = cJSON_Duplicate(slot, true);
    enum cv_status s = CV_OK;

    if (copy == NULL || !cJSON_AddItemToArray(list, copy)) {
        cJSON_Delete(copy);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        s = cv_output_table_list(&cli->out, &list_view, list, err);
    }
    cJSON_Delete(list);
    return s;
}

CV_CMD(slot_list)
{
    const cJSON *items;
    enum cv_status s = cv_call_member(cli, "SlotList", cv_cli_parameters(cli),
                                      "items", CV_JSON_ARRAY, &items, err);

    (void)args;
    return s == CV_OK ? cv_output_table_list(&cli->out, &list_view, items, err)
                      : s;
}

/* Sends `method` with the new secret (and `id` where there is one) and shows
 * the slot. */
static enum cv_status send_key(struct cv_cli *cli, const char *method,
                               const char *id, const char *spec,
                               const char *file, struct cv_err *err)
{
    struct cv_call call = {.method = method};
    struct cv_secret_slot slot = {0};
    struct cv_message reply;
    struct cv_arena *arena = NULL;
    const cJSON *answer;
    bool made = false;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (s == CV_OK) {
        s = cv_secret_new(cli, spec, file, arena, &slot, &made, err);
    }
    if (made) {
        cli->unasked = "the vault is as it was; the new key file stays";
    }
    if (s == CV_OK) {
        call.arena = arena;
        call.parameters = cv_cli_parameters(cli);
        if (!cv_json_add_str(call.parameters, "id", id) ||
            !cv_json_add_item(call.parameters, "key",
                              cv_secret_json(&slot, arena))) {
            cJSON_Delete(call.parameters);
            call.parameters = NULL;
        }
        s = cv_call_run(cli, &call, &reply, err);
    }
    if (made && s != CV_OK && cv_secret_is_unused(s)) {
        (void)unlink(slot.path);
    }
    cv_arena_free(arena);
    if (s != CV_OK) {
        return s;
    }
    answer = cv_cli_keep(cli, reply.tree, err);
    return answer != NULL
               ? show_one(cli, cJSON_GetObjectItemCaseSensitive(answer, "slot"),
                          err)
               : CV_INTERNAL;
}

CV_CMD(slot_add)
{
    const char *spec = args->operands[0];
    enum cv_status s = cv_secret_check(spec, err);

    if (s == CV_OK) {
        s = cv_inside_check_slot(cli, spec, err);
    }
    return s == CV_OK
               ? send_key(cli, "SlotAdd", NULL, spec,
                          cv_args_value(args, "new-passphrase-file"), err)
               : s;
}

CV_CMD(slot_remove)
{
    const char *id = args->operands[0];
    cJSON *parameters;
    const cJSON *slot;
    enum cv_status s = cv_check_shown(id, "ID", SLOT_ID_LEN, err);

    if (s == CV_OK) {
        s = cv_prompt_confirm(
            cli, err, "Remove slot %s? It opens the vault no more.", id);
    }
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_str(parameters, "id", id)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_call_member(cli, "SlotRemove", parameters, "slot", CV_JSON_OBJECT,
                       &slot, err);
    return s == CV_OK ? show_one(cli, slot, err) : s;
}

/* Without --key the slot stays what it is: another passphrase, or the same
 * credential read anew. */
static enum cv_status same_kind(struct cv_cli *cli, const char *id, char *spec,
                                size_t spec_len, struct cv_err *err)
{
    const cJSON *items, *slot;
    enum cv_status s = cv_call_member(cli, "SlotList", cv_cli_parameters(cli),
                                      "items", CV_JSON_ARRAY, &items, err);

    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(slot, items)
    {
        const char *have = cv_output_table_text(slot, "id");
        const char *kind = cv_output_table_text(slot, "kind");
        const char *name = cv_output_table_text(slot, "name");

        if (have == NULL || kind == NULL || strcmp(have, id) != 0) {
            continue;
        }
        if (strcmp(kind, "passphrase") == 0) {
            (void)snprintf(spec, spec_len, "passphrase");
            return CV_OK;
        }
        if (strcmp(kind, "credential") == 0 && name != NULL) {
            (void)snprintf(spec, spec_len, "credential:%s", name);
            return CV_OK;
        }
        s = cv_fail(err, CV_USAGE, "say what opens it from now on");
        cv_err_hint(err, "--key passphrase, --key file:PATH; a new recovery "
                         "code: slot recovery");
        return s;
    }
    s = cv_fail(err, CV_NOT_FOUND, "there is no slot of that id");
    cv_err_hint(err, "certvault slot list");
    return s;
}

CV_CMD(slot_change)
{
    const char *id = args->operands[0];
    const char *spec = cv_args_value(args, "key");
    char same[300];
    enum cv_status s = cv_check_shown(id, "ID", SLOT_ID_LEN, err);

    if (s == CV_OK && spec != NULL) {
        s = cv_secret_check(spec, err);
    }
    if (s == CV_OK && spec != NULL) {
        s = cv_inside_check_slot(cli, spec, err);
    }
    if (s == CV_OK && spec == NULL) {
        s = same_kind(cli, id, same, sizeof(same), err);
        spec = same;
    }
    return s == CV_OK
               ? send_key(cli, "SlotChange", id, spec,
                          cv_args_value(args, "new-passphrase-file"), err)
               : s;
}

/* Not by the trees that other documents are made of: those are not in the
 * arena. Letters, digits and dashes: nothing to quote. */
static void add_code(enum cv_output_format format, const char *id,
                     const char *code, struct cv_buf *out)
{
    static const char *const around[][3] = {
        [CV_OUTPUT_TABLE] = {"", NULL, "\n"},
        [CV_OUTPUT_JSON] = {"{\"apiVersion\":\"certvault/v1\","
                            "\"kind\":\"RecoveryCode\",\"slot\":\"",
                            "\",\"recovery_code\":\"", "\"}\n"},
        [CV_OUTPUT_YAML] = {"apiVersion: certvault/v1\nkind: RecoveryCode\n"
                            "slot: \"",
                            "\"\nrecovery_code: \"", "\"\n"},
        [CV_OUTPUT_NAME] = {"", NULL, "\n"},
    };
    const char *const *words = around[format];

    cv_buf_add_str(out, words[0]);
    if (words[1] != NULL) {
        cv_output_escape(out, id);
        cv_buf_add_str(out, words[1]);
    }
    cv_output_escape(out, code);
    cv_buf_add_str(out, words[2]);
}

/* The code goes straight from the answer's arena to standard output. */
static enum cv_status print_code(struct cv_cli *cli, const cJSON *answer,
                                 struct cv_err *err)
{
    const char *secret = cv_output_table_text(answer, "secret");
    const char *id = cv_output_table_text(answer, "slot.id");
    struct cv_arena *arena = NULL;
    struct cv_buf code, text;
    enum cv_status s = cv_arena_new(CV_KIB(64), &arena, err);

    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&code, arena, CV_KIB(1));
    cv_buf_init(&text, arena, CV_KIB(4));
    s = cv_decode_base64(secret ? secret : "", secret ? strlen(secret) : 0,
                         false, "the recovery code", &code, err);
    if (s == CV_OK) {
        add_code(cli->out.format, id, cv_buf_text(&code), &text);
    }
    if (s == CV_OK) {
        s = cv_buf_status(&text, "the recovery code", err);
    }
    if (s == CV_OK) {
        s = cv_output_write(&cli->out, cv_buf_bytes(&text), err);
    }
    cv_arena_free(arena);
    if (s == CV_OK) {
        cv_output_note(&cli->out,
                       "slot %s: write the code down and keep it "
                       "away from this host; it is not shown again",
                       id ? id : "?");
    } else {
        cv_err_hint(err, "the code is lost: slot remove %s", id ? id : "");
    }
    return s;
}

CV_CMD(slot_recovery)
{
    const struct cv_call call = {
        .method = "SlotRecovery",
        .parameters = cv_cli_parameters(cli),
        .secret_out = true,
    };
    struct cv_message reply;
    enum cv_status s;

    (void)args;
    cli->cut_off = "a recovery slot may be there whose code nobody saw: "
                   "certvault slot list, certvault slot remove ID";
    if (cli->out.lost != CV_OK) {
        cJSON_Delete(call.parameters);
        return cv_fail(err, cli->out.lost, "standard output is closed");
    }
    s = cv_call_run(cli, &call, &reply, err);
    if (s == CV_OK) {
        s = print_code(cli, reply.tree, err);
        cv_message_free(&reply);
    }
    return s;
}
