/* policy key, sign. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/cmd_policy.h"
#include "cli/connect.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "cli/secret.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define KEY_FILE 1024
#define NAME_MAX_LEN 200

static const struct cv_output_column key_columns[] = {
    {"file", "file", NULL, NULL},
    {"verifier key", "vkey", NULL, NULL},
};

static const struct cv_output_view key_view = {
    .kind = "PolicyKey",
    .name = "vkey",
    .columns = key_columns,
    .n_columns = sizeof(key_columns) / sizeof(key_columns[0]),
};

static const struct cv_output_column sign_columns[] = {
    {"file", "file", NULL, NULL},
    {"version", "policy.version", NULL, NULL},
    {"sha256", "policy.sha256", NULL, NULL},
    {"vault", "vault_id", NULL, NULL},
    {"signer", "signer", NULL, NULL},
};

static const struct cv_output_view sign_view = {
    .kind = "PolicySignature",
    .name = "file",
    .columns = sign_columns,
    .n_columns = sizeof(sign_columns) / sizeof(sign_columns[0]),
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Writes the key file of `answer`, which carries it as base64. */
static enum cv_status write_key(const cJSON *answer, struct cv_arena *arena,
                                const char *path, struct cv_err *err)
{
    const char *secret = NULL, *vkey = NULL;
    const struct cv_json_field fields[] = {
        {"secret", CV_JSON_STRING, true, &secret, 2 * KEY_FILE},
        {"vkey", CV_JSON_STRING, true, &vkey, KEY_FILE},
    };
    const char *leaf;
    struct cv_buf file;
    int dir = -1;
    enum cv_status s = cv_json_read(answer, "PolicyKey", fields, 2, true, err);

    cv_buf_init(&file, arena, KEY_FILE + 2);
    if (s == CV_OK) {
        s = cv_decode_base64(secret, strlen(secret), false, "the key", &file,
                             err);
    }
    if (s == CV_OK) {
        s = cv_path_open_parent(path, &dir, &leaf, err);
    }
    if (s == CV_OK) {
        s = cv_file_create(dir, leaf, cv_buf_bytes(&file), 0600, err);
    }
    cv_file_close(&dir);
    return s;
}

/* Asks for the key and writes it; what may be shown is added to `shown`. */
static enum cv_status make_key(struct cv_cli *cli, const char *name,
                               const char *path, cJSON *shown,
                               struct cv_err *err)
{
    struct cv_offline *o = NULL;
    struct cv_arena *arena = NULL, *before;
    struct cv_message reply = {0};
    cJSON *parameters;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (s == CV_OK) {
        s = cv_offline_start(CV_OFFLINE_BROKER, cli, -1, &o, err);
    }
    if (s == CV_OK) {
        before = cv_json_use(arena);
        parameters = cJSON_CreateObject();
        (void)cv_json_add_str(parameters, "name", name);
        s = cv_offline_secret(o, "PolicyKey", parameters, &reply, err);
        (void)cv_json_use(before);
    }
    if (s == CV_OK) {
        s = write_key(reply.tree, arena, path, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(shown, "file", path) ||
         !cv_json_add_str(shown, "vkey",
                          cv_output_table_text(reply.tree, "vkey")))) {
        s = no_memory(err);
    }
    cv_message_free(&reply);
    cv_offline_free(o);
    cv_arena_free(arena);
    return s;
}

CV_CMD(policy_sign_key)
{
    const char *name = cv_args_value(args, "name");
    cJSON *shown = cv_cli_keep(cli, cJSON_CreateObject(), err);
    enum cv_status s;

    if (shown == NULL) {
        return CV_INTERNAL;
    }
    name = name != NULL ? name : "policy";
    s = cv_check_shown(name, "name", NAME_MAX_LEN, err);
    if (s == CV_OK && (name[0] == '\0' || strpbrk(name, " +") != NULL)) {
        s = cv_fail(err, CV_USAGE,
                    "--name is not empty and has no blank and no +");
    }
    if (s == CV_OK) {
        s = make_key(cli, name, args->operands[0], shown, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_output_note(&cli->out, "whoever has this file may sign policies: keep "
                              "it away from the host that they are for");
    return cv_output_table_object(&cli->out, &key_view, shown, err);
}

/* For which vault? */
static enum cv_status find_vault(struct cv_cli *cli, const struct cv_args *args,
                                 const char **id, struct cv_err *err)
{
    const struct cv_connect_greeting *g;
    enum cv_status s;

    *id = cv_args_value(args, "vault-id");
    if (*id != NULL) {
        return CV_OK;
    }
    s = cv_connect_open(cli, false, err);
    if (s != CV_OK) {
        cv_err_hint(err, "without a vault at hand: --vault-id ID, as certvault "
                         "status shows it");
        return s;
    }
    g = cv_connect_greets(cli);
    *id = g->vault_id;
    return *id != NULL ? CV_OK
                       : cv_fail(err, CV_NOT_FOUND, "there is no vault here");
}

/* Signs `text`; *note is in the arena. */
static enum cv_status sign(struct cv_cli *cli, struct cv_offline *o,
                           const char *key, const char *text,
                           struct cv_arena *arena, struct cv_message *reply,
                           struct cv_err *err)
{
    struct cv_bytes secret;
    struct cv_arena *before;
    cJSON *parameters;
    enum cv_status s = cv_secret_read(cli, key, KEY_FILE, "the signing key",
                                      arena, &secret, err);

    if (s != CV_OK) {
        return s;
    }
    before = cv_json_use(arena);
    parameters = cJSON_CreateObject();
    if (!cv_json_add_str(parameters, "text", text) ||
        !cv_json_add_base64(parameters, "secret", secret)) {
        s = no_memory(err);
    } else {
        s = cv_offline_secret(o, "PolicySign", parameters, reply, err);
    }
    (void)cv_json_use(before);
    return s;
}

static enum cv_status write_note(const char *path, const char *note,
                                 struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)note, strlen(note)};
    const char *leaf;
    int dir = -1;
    enum cv_status s = cv_path_open_parent(path, &dir, &leaf, err);

    if (s == CV_OK) {
        s = cv_file_replace(dir, leaf, bytes, 0644, err);
    }
    cv_file_close(&dir);
    return s;
}

/* What is signed: `text` and `policy` of the answer, which the run keeps. */
static enum cv_status ask_note(struct cv_cli *cli, struct cv_offline *o,
                               const char *file, const char *vault_id,
                               const cJSON **answer, struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();
    struct cv_message reply = {0};
    enum cv_status s =
        cv_cmd_policy_add_file(cli, parameters, "text", file, err);

    if (s == CV_OK && !cv_json_add_str(parameters, "vault_id", vault_id)) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_call(o, "PolicyNote", parameters, &reply, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", file);
        cv_message_free(&reply);
        return s;
    }
    *answer = cv_cli_keep(cli, reply.tree, err);
    return *answer != NULL ? CV_OK : CV_INTERNAL;
}

static enum cv_status sign_file(struct cv_cli *cli, const char *file,
                                const char *key, const char *vault_id,
                                const char *output, struct cv_err *err)
{
    struct cv_offline *o = NULL;
    struct cv_arena *arena = NULL;
    struct cv_message reply = {0};
    const cJSON *about = NULL;
    cJSON *shown = cv_cli_keep(cli, cJSON_CreateObject(), err);
    enum cv_status s = shown != NULL ? CV_OK : CV_INTERNAL;

    if (s == CV_OK) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_offline_start(CV_OFFLINE_BROKER, cli, -1, &o, err);
    }
    if (s == CV_OK) {
        s = ask_note(cli, o, file, vault_id, &about, err);
    }
    if (s == CV_OK) {
        s = sign(cli, o, key, cv_output_table_text(about, "text"), arena,
                 &reply, err);
    }
    if (s == CV_OK) {
        s = write_note(output, cv_output_table_text(reply.tree, "note"), err);
    }
    if (s == CV_OK) {
        const cJSON *policy = cJSON_GetObjectItemCaseSensitive(about, "policy");

        (void)cv_json_add_str(shown, "file", output);
        (void)cv_json_add_str(shown, "vault_id", vault_id);
        (void)cv_json_add_str(shown, "signer",
                              cv_output_table_text(reply.tree, "signer"));
        (void)cv_json_add_item(shown, "policy", cJSON_Duplicate(policy, true));
        s = cv_output_table_object(&cli->out, &sign_view, shown, err);
    }
    cv_message_free(&reply);
    cv_offline_free(o);
    cv_arena_free(arena);
    return s;
}

CV_CMD(policy_sign)
{
    const char *file = args->operands[0];
    const char *key = cv_args_value(args, "key");
    const char *output = cv_args_value(args, "output");
    const char *vault_id = NULL;
    char beside[PATH_MAX];
    enum cv_status s = CV_OK;

    if (key == NULL) {
        s = cv_fail(err, CV_USAGE, "policy sign wants --key FILE");
        cv_err_hint(err, "certvault policy key FILE makes one");
        return s;
    }
    if (output == NULL) {
        if (strcmp(file, "-") == 0 || snprintf(beside, sizeof(beside), "%s.sig",
                                               file) >= (int)sizeof(beside)) {
            return cv_fail(err, CV_USAGE, "where to? --output FILE");
        }
        output = beside;
    }
    s = find_vault(cli, args, &vault_id, err);
    return s == CV_OK ? sign_file(cli, file, key, vault_id, output, err) : s;
}
