#include "cli/unlock.h"

#include "cli/connect.h"
#include "cli/pin.h"
#include "cli/prompt.h"
#include "cli/secret.h"
#include "vault/base/limits.h"

#include <string.h>

#define ROUNDS 3
/* How long others may take to type. */
#define TURN_MS (CV_LIMIT_CLIENT_IDLE_S * 1000)
#define UNLOCK_MS (CV_LIMIT_CALL_S * 1000)

static const char *text_of(const cJSON *slot, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(slot, key));
}

static bool has_kind(const cJSON *slots, const char *kind)
{
    const cJSON *slot;

    cJSON_ArrayForEach(slot, slots)
    {
        const char *have = text_of(slot, "kind");

        if (have != NULL && strcmp(have, kind) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status send_once(struct cv_cli *cli, struct cv_arena *arena,
                                const struct cv_secret_slot *key,
                                struct cv_message *reply, struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();

    *reply = (struct cv_message){0};
    if (!cv_json_add_item(parameters, "key", cv_secret_json(key, arena))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_client_call(cv_connect_channel(cli), "io.certvault.Broker.Unlock",
                          parameters, CV_CLIENT_SECRET_IN, UNLOCK_MS, reply,
                          err);
}

/* A key slot on a token may ask for the token's PIN first. */
static enum cv_status send(struct cv_cli *cli, struct cv_arena *arena,
                           const struct cv_secret_slot *key, struct cv_err *err)
{
    struct cv_message reply;
    enum cv_status s = send_once(cli, arena, key, &reply, err);

    if (s == CV_LOCKED && cv_pin_is_required(reply.tree)) {
        s = cv_pin_answer(cli, reply.tree, err);
        cv_message_free(&reply);
        if (s == CV_OK) {
            s = send_once(cli, arena, key, &reply, err);
        }
    }
    cv_message_free(&reply);
    return s;
}

static enum cv_status take_turn(struct cv_cli *cli, const char *subject,
                                bool wait, bool *granted, bool *busy,
                                struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"granted", CV_JSON_BOOL, true, granted, 0},
        {"busy", CV_JSON_BOOL, false, busy, 0},
    };
    cJSON *parameters = cJSON_CreateObject();
    struct cv_message reply;
    enum cv_status s;

    if (!cv_json_add_str(parameters, "subject", subject) ||
        !cv_json_add_bool(parameters, "wait", wait)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_client_call(cv_connect_channel(cli), "io.certvault.Broker.Prompt",
                       parameters, 0, TURN_MS, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Prompt", fields, 2, true, err);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_unlock_turn(struct cv_cli *cli, const char *subject,
                              bool *granted, struct cv_err *err)
{
    const char *mode = cv_connect_greets(cli)->mode;
    bool busy = false;
    enum cv_status s;

    *granted = true;
    /* Elsewhere nobody waits for anybody. */
    if (mode == NULL || strcmp(mode, "agent") != 0) {
        return CV_OK;
    }
    s = take_turn(cli, subject, false, granted, &busy, err);
    if (s == CV_OK && busy) {
        cv_output_note(&cli->out, "another command asks for what is wanted "
                                  "here: waiting for it");
        s = take_turn(cli, subject, true, granted, &busy, err);
    }
    return s;
}

static enum cv_status as_wrong(struct cv_err *err)
{
    if (err != NULL) {
        err->status = CV_AUTH;
    }
    return CV_AUTH;
}

/* What is no passphrase may be the recovery code. */
static enum cv_status send_phrase(struct cv_cli *cli, struct cv_arena *arena,
                                  const cJSON *slots, struct cv_bytes phrase,
                                  struct cv_err *err)
{
    struct cv_secret_slot key = {.kind = "passphrase", .secret = phrase};
    bool recovery = has_kind(slots, "recovery");
    enum cv_status s = CV_AUTH;

    if (!recovery || has_kind(slots, "passphrase")) {
        s = send(cli, arena, &key, err);
    }
    if (s == CV_AUTH && recovery) {
        struct cv_err wrong;

        cv_err_init(&wrong);
        key.kind = "recovery";
        s = send(cli, arena, &key, &wrong);
        /* What is no code at all is a wrong passphrase. */
        if (s != CV_OK && !has_kind(slots, "passphrase") && err != NULL) {
            *err = wrong;
        }
        s = s == CV_INVALID ? as_wrong(err) : s;
    }
    return s;
}

static enum cv_status by_file(struct cv_cli *cli, struct cv_arena *arena,
                              const char *path, struct cv_err *err)
{
    struct cv_secret_slot key = {0};
    enum cv_status s = cv_secret_key_file(cli, path, arena, &key, err);

    return s == CV_OK ? send(cli, arena, &key, err) : s;
}

static enum cv_status by_given(struct cv_cli *cli, struct cv_arena *arena,
                               const cJSON *slots, struct cv_err *err)
{
    struct cv_bytes phrase;
    enum cv_status s = CV_AUTH;

    if (cli->key_file != NULL) {
        s = by_file(cli, arena, cli->key_file, err);
    }
    if (s == CV_AUTH && cli->passphrase_file != NULL) {
        s = cv_secret_line(cli, cli->passphrase_file, CV_LIMIT_PASSPHRASE,
                           "the passphrase file", arena, &phrase, err);
        if (s == CV_OK) {
            s = send_phrase(cli, arena, slots, phrase, err);
        }
    }
    return s;
}

/* Opens by what the slots themselves name. CV_LOCKED: nothing of that kind. */
static enum cv_status by_slots(struct cv_cli *cli, struct cv_arena *arena,
                               const cJSON *slots, struct cv_err *err)
{
    enum cv_status s = CV_LOCKED;
    const cJSON *slot;

    cJSON_ArrayForEach(slot, slots)
    {
        const char *kind = text_of(slot, "kind");
        const char *path = text_of(slot, "path");
        const char *name = text_of(slot, "name");
        const char *uri = text_of(slot, "uri");
        struct cv_secret_slot key = {0};

        if (kind == NULL || s == CV_OK) {
            continue;
        }
        if ((strcmp(kind, "file") == 0 || strcmp(kind, "credential") == 0) &&
            !cv_connect_is_own(cli)) {
            s = cv_fail(err, CV_LOCKED,
                        "another user's broker names what opens it, and is "
                        "given nothing that it names");
        } else if (strcmp(kind, "file") == 0 && path != NULL) {
            s = by_file(cli, arena, path, err);
        } else if (strcmp(kind, "credential") == 0 && name != NULL) {
            s = cv_secret_credential(cli, name, arena, &key, err);
            s = s == CV_OK ? send(cli, arena, &key, err) : s;
        } else if (strcmp(kind, "token") == 0 && uri != NULL) {
            key = (struct cv_secret_slot){.kind = kind, .uri = uri};
            s = send(cli, arena, &key, err);
        }
    }
    return s;
}

static enum cv_status by_asking(struct cv_cli *cli, struct cv_arena *arena,
                                const cJSON *slots, struct cv_err *err)
{
    const char *question =
        has_kind(slots, "recovery") && !has_kind(slots, "passphrase")
            ? "Recovery code: "
            : "Passphrase: ";
    enum cv_status s = CV_AUTH;

    for (int i = 0; i < ROUNDS && s == CV_AUTH; i++) {
        struct cv_bytes phrase;

        if (i > 0) {
            cv_output_warn(&cli->out, "it does not open the vault");
        }
        s = cv_prompt_secret(cli, question, arena, &phrase, err);
        if (s == CV_OK) {
            s = send_phrase(cli, arena, slots, phrase, err);
        }
    }
    return s;
}

/* Asks, unless somebody else is asking: then it is enough to wait for that. */
static enum cv_status ask_in_turn(struct cv_cli *cli, struct cv_arena *arena,
                                  const cJSON *slots, struct cv_err *err)
{
    bool granted = true;
    enum cv_status s = cv_unlock_turn(cli, "unlock", &granted, err);

    return s == CV_OK && granted ? by_asking(cli, arena, slots, err) : s;
}

static enum cv_status open_by_any(struct cv_cli *cli, struct cv_arena *arena,
                                  const cJSON *slots, struct cv_err *err)
{
    bool typed = has_kind(slots, "passphrase") || has_kind(slots, "recovery");
    enum cv_status s;

    if (cli->key_file != NULL || cli->passphrase_file != NULL) {
        return by_given(cli, arena, slots, err);
    }
    s = by_slots(cli, arena, slots, err);
    if (s == CV_OK) {
        return CV_OK;
    }
    /* A key file that cannot be read is worth a word even where a passphrase
     * may be asked for. */
    if (typed && cv_prompt_possible(cli)) {
        if (s != CV_LOCKED && err != NULL) {
            cv_output_warn(&cli->out, "%s", err->text);
        }
        return ask_in_turn(cli, arena, slots, err);
    }
    if (s == CV_USAGE) {
        return s;
    }
    if (s != CV_AUTH &&
        (s != CV_LOCKED || (err != NULL && err->text[0] != '\0'))) {
        char why[CV_ERR_TEXT_LEN];

        (void)cv_err_quote(why, sizeof(why), err ? err->text : "",
                           err ? strlen(err->text) : 0);
        s = cv_fail(err, CV_LOCKED, "the vault is locked: %s", why);
        cv_err_hint(err, "name the key file with --key-file FILE");
        return s;
    }
    if (s == CV_LOCKED) {
        s = cv_fail(err, CV_LOCKED, "the vault is locked");
        cv_err_hint(err, "give --passphrase-file FILE or --key-file FILE");
    }
    return s;
}

enum cv_status cv_unlock_run(struct cv_cli *cli, const cJSON *slots,
                             struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (s == CV_OK) {
        if (err != NULL) {
            cv_err_init(err); /* of the call that found it locked */
        }
        s = open_by_any(cli, arena, slots, err);
    }
    cv_arena_free(arena);
    return s;
}
