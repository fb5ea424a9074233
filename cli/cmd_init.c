/* init: a new vault. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/inside.h"
#include "cli/interrupt.h"
#include "cli/output_table.h"
#include "cli/place.h"
#include "cli/secret.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define ORIGIN_LEN 255
#define TOKEN "token:"

static const struct cv_output_column columns[] = {
    {"vault", "vault_id", NULL, NULL},
    {"folder", "folder", NULL, NULL},
    {"public key", "public_key", NULL, NULL},
    {"slot", "slot.id", NULL, NULL},
    {"opened by", "slot.kind", NULL, NULL},
    {"key file", "slot.path", NULL, NULL},
    {"log signed by", "log_key_uri", NULL, NULL},
    {"keys go to", "token_uri", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "Vault",
    .name = "vault_id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

/* Who may sign policies. */
static bool add_signers(cJSON *parameters, const struct cv_args *args)
{
    cJSON *list = NULL;
    const char *vkey;
    size_t at = 0;

    while ((vkey = cv_args_next(args, "policy-signer", &at)) != NULL) {
        char room[CV_CHECK_VKEY];
        cJSON *item = cJSON_CreateString(cv_check_vkey(vkey, room));

        if (list == NULL) {
            list = cJSON_AddArrayToObject(parameters, "policy_signers");
        }
        if (list == NULL || item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
    }
    return true;
}

/* A vault that is there is told before a passphrase is asked for. */
static enum cv_status check_absent(struct cv_cli *cli, struct cv_err *err)
{
    const struct cv_connect_greeting *g;
    enum cv_status s = cv_connect_open(cli, true, err);

    if (s != CV_OK) {
        return s;
    }
    g = cv_connect_greets(cli);
    if (g->vault_id != NULL) {
        s = cv_fail(err, CV_EXISTS, "there is a vault in %s already",
                    g->folder ? g->folder : "that folder");
        cv_err_state(err, "it was not touched");
        cv_err_hint(err, "another one: certvault --vault DIR init");
    }
    return s;
}

/* A broker that ended over it says nothing of the key that it had made. */
static void tell_log_key(const struct cv_cli *cli, enum cv_status s,
                         struct cv_err *err)
{
    if (cli->log_uri != NULL && s == CV_UNAVAILABLE && err->state[0] == '\0') {
        cv_err_state(err, "no vault was made, or certvault status shows it; if "
                          "the token was asked for the log's key already, it "
                          "may have one of the label certvault:log:...");
        cv_err_hint(err, "init may be run again and makes another; the "
                         "token's own tool destroys what is left");
    }
}

static enum cv_status make(struct cv_cli *cli, const struct cv_args *args,
                           struct cv_arena *arena,
                           const struct cv_secret_slot *slot,
                           struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();
    struct cv_call call = {.method = "Init", .arena = arena, .absent = true};
    struct cv_message reply;
    const cJSON *answer;
    enum cv_status s;

    if (!cv_json_add_item(parameters, "key", cv_secret_json(slot, arena)) ||
        !cv_json_add_str(parameters, "log_origin",
                         cv_args_value(args, "log-origin")) ||
        !cv_json_add_str(parameters, "log_key", cli->log_uri) ||
        !cv_json_add_str(parameters, "token_uri",
                         cv_args_value(args, "token")) ||
        !add_signers(parameters, args)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    call.parameters = parameters;
    s = cv_call_run(cli, &call, &reply, err);
    if (s != CV_OK) {
        tell_log_key(cli, s, err);
        return s;
    }
    answer = cv_cli_keep(cli, reply.tree, err);
    if (answer == NULL) {
        return CV_INTERNAL;
    }
    s = cv_output_table_object(&cli->out, &view, answer, err);
    if (s == CV_OK) {
        cv_output_note(&cli->out, "without what opens it the vault is lost: "
                                  "certvault slot recovery makes a recovery "
                                  "code");
    }
    return s;
}

/* A token, or a key that is on it. */
static enum cv_status read_log_key(struct cv_cli *cli, const char *spec,
                                   struct cv_err *err)
{
    enum cv_status s;

    if (spec == NULL || strcmp(spec, "file") == 0) {
        return CV_OK;
    }
    if (strncmp(spec, TOKEN "pkcs11:", strlen(TOKEN "pkcs11:")) == 0) {
        cli->log_uri = spec + strlen(TOKEN);
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "there is no such place for the log's key");
    cv_err_hint(err, "--log-key token:pkcs11:...; without it the key is in the "
                     "vault's folder");
    return s;
}

/* The folder that this run is about to make; "": it is there, or another
 * broker's. */
static void find_new_folder(struct cv_cli *cli, char *out, size_t out_len)
{
    if (cv_connect_place(cli, out, out_len, NULL) != CV_OK ||
        access(out, F_OK) == 0 || errno != ENOENT) {
        out[0] = '\0';
    }
    cv_interrupt_drop_folder(out[0] != '\0' ? out : NULL);
}

/* A broker that made no vault leaves the folder that it made for one. Of
 * several at once another may be about to use it. */
static void drop_new_folder(struct cv_cli *cli, const char *folder,
                            enum cv_status s)
{
    if (folder[0] != '\0' && s != CV_OK && s != CV_EXISTS && s != CV_BUSY) {
        cv_connect_close(cli);
        (void)rmdir(folder);
    }
    cv_interrupt_drop_folder(NULL);
}

CV_CMD(init)
{
    char folder[PATH_MAX];
    const char *spec = cv_args_value(args, "key");
    const char *file = cv_args_value(args, "new-passphrase-file");
    struct cv_secret_slot slot = {0};
    struct cv_arena *arena = NULL;
    bool made = false;
    enum cv_status s = cv_check_shown(cv_args_value(args, "log-origin"),
                                      "log-origin", ORIGIN_LEN, err);

    spec = spec != NULL ? spec : "passphrase";
    if (file == NULL && strcmp(spec, "passphrase") == 0) {
        file = cli->passphrase_file;
    }
    if (s == CV_OK) {
        s = cv_secret_check(spec, err);
    }
    if (s == CV_OK) {
        s = cv_inside_check_slot(cli, spec, err);
    }
    if (s == CV_OK) {
        s = read_log_key(cli, cv_args_value(args, "log-key"), err);
    }
    if (s == CV_OK && cv_args_has(args, "token")) {
        s = cv_place_uri(cv_args_value(args, "token"), "token", err);
    }
    cli->unasked = "no vault was made";
    find_new_folder(cli, folder, sizeof(folder));
    if (s == CV_OK) {
        s = check_absent(cli, err);
    }
    if (s == CV_OK) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_secret_new(cli, spec, file, arena, &slot, &made, err);
        if (s == CV_LOCKED) {
            cv_err_hint(err, "give the passphrase with --new-passphrase-file "
                             "FILE; --key file:FILE: a key file opens it");
        }
    }
    if (made) {
        cli->unasked = "no vault was made; the new key file stays";
    }
    if (s == CV_OK) {
        s = make(cli, args, arena, &slot, err);
    }
    if (made && s == CV_EXISTS) {
        cv_err_state(err, "nothing was changed; the key file that was made "
                          "stays: another init may have taken it for its own");
    } else if (made && s != CV_OK && cv_secret_is_unused(s)) {
        (void)unlink(slot.path);
    }
    cv_arena_free(arena);
    drop_new_folder(cli, folder, s);
    return s;
}
