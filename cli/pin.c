#include "cli/pin.h"

#include "cli/config.h"
#include "cli/connect.h"
#include "cli/output_table.h"
#include "cli/pin_kind.h"
#include "cli/pin_source.h"
#include "cli/pinentry.h"
#include "cli/prompt.h"
#include "cli/unlock.h"
#include "vault/base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A person may have to find the card. */
#define LOGIN_MS (10 * 60 * 1000)

enum cv_status cv_pin_check(const char *source, struct cv_err *err)
{
    const char *rest;
    enum cv_status s;

    if (cv_pin_kind_read(source, &rest) != NULL) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "this is no source of a PIN");
    cv_err_hint(err, "tty, file:PATH, fd:N, command:WORDS or credential:NAME");
    return s;
}

static enum cv_status two_tokens(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_USAGE,
                "this command must log in to two tokens, and one PIN was "
                "given");

    cv_err_state(err, "no PIN was given to the second token");
    cv_err_hint(err, "name a source for each in the configuration: pin: "
                     "{URI: source}");
    return s;
}

/* What is given for one token must not go to another. */
static enum cv_status only_one(struct cv_cli *cli, const char *uri,
                               struct cv_err *err)
{
    if (cli->pin_for == NULL) {
        cJSON *kept = cv_cli_keep(cli, cJSON_CreateString(uri), err);

        cli->pin_for = kept != NULL ? kept->valuestring : NULL;
        return kept != NULL ? CV_OK : CV_INTERNAL;
    }
    return strcmp(cli->pin_for, uri) == 0 ? CV_OK : two_tokens(err);
}

/* The configuration's source for this token; NULL: none. */
static enum cv_status configured(struct cv_cli *cli, const char *uri,
                                 const char **source, struct cv_err *err)
{
    const cJSON *tree, *item;
    enum cv_status s = cv_config_load(cli, &tree, err);

    *source = NULL;
    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(tree, "pin"))
    {
        if (cJSON_IsString(item) && *source == NULL &&
            cv_pin_source_fits(item->string, uri)) {
            *source = item->valuestring;
        }
    }
    return *source != NULL ? cv_pin_check(*source, err) : CV_OK;
}

static enum cv_status nobody(const struct cv_cli *cli, const char *label,
                             struct cv_err *err)
{
    enum cv_status s = cv_fail(
        err, CV_LOCKED, "the PIN of the token \"%s\" is wanted%s", label,
        cli->no_input ? ", and --no-input forbids asking"
                      : ", and there is no terminal to ask on");

    cv_err_state(err, "nothing was done");
    cv_err_hint(err, "give it with --pin-source file:FILE, or pin: in the "
                     "configuration");
    return s;
}

/* Where the PIN of a token comes from. */
enum origin { BY_FLAG, BY_CONFIGURATION, BY_URI, BY_FILE, BY_ASKING };

/* A URI that says nothing of a token means the only one there is. */
static const char *by_uri(struct cv_cli *cli, const char *given,
                          const char *uri)
{
    return given != NULL && cv_pin_source_allows(given, uri) &&
                   (cJSON_GetArraySize(cli->pin_also) == 0 ||
                    cv_pin_source_fits(given, uri))
               ? cv_pin_source_of_uri(cli, given)
               : NULL;
}

static enum cv_status source_of(struct cv_cli *cli, const char *uri,
                                enum origin *from, const char **source,
                                struct cv_err *err)
{
    enum cv_status s;

    *from = BY_FLAG;
    *source = cli->pin_source;
    if (*source != NULL) {
        return CV_OK;
    }
    *from = BY_CONFIGURATION;
    s = configured(cli, uri, source, err);
    if (s != CV_OK || *source != NULL) {
        return s;
    }
    *from = BY_URI;
    *source = by_uri(cli, cli->token_uri, uri);
    if (*source == NULL) {
        *source = by_uri(cli, cli->log_uri, uri);
    }
    if (*source == NULL) {
        *from = cli->pin_file != NULL ? BY_FILE : BY_ASKING;
        *source = cli->pin_file;
    }
    return CV_OK;
}

/* Before the first login: has each of the others a source of its own? */
static enum cv_status others_have(struct cv_cli *cli, const char *uri,
                                  enum origin from, struct cv_err *err)
{
    bool given = from == BY_FLAG || from == BY_FILE;
    const cJSON *item;

    cJSON_ArrayForEach(item, cli->pin_also)
    {
        const char *other = cv_output_table_text(item, "token_uri");
        const char *label = cv_output_table_text(item, "label");
        const char *source;
        enum origin its;
        enum cv_status s;

        if (other == NULL || strcmp(other, uri) == 0 ||
            cJSON_IsTrue(
                cJSON_GetObjectItemCaseSensitive(item, "protected_path"))) {
            continue;
        }
        s = source_of(cli, other, &its, &source, err);
        if (s == CV_OK && (its == BY_FLAG || its == BY_FILE)) {
            s = given ? two_tokens(err) : CV_OK;
            given = true;
        } else if (s == CV_OK && its == BY_ASKING && !cv_prompt_possible(cli) &&
                   !cv_pinentry_possible(cli)) {
            s = nobody(cli, label != NULL ? label : "", err);
        }
        if (s != CV_OK) {
            return s;
        }
    }
    return CV_OK;
}

static enum cv_status find_source(struct cv_cli *cli, const char *uri,
                                  const char **source, bool *file,
                                  struct cv_err *err)
{
    enum origin from = BY_ASKING;
    enum cv_status s = source_of(cli, uri, &from, source, err);

    *file = from == BY_URI || from == BY_FILE;
    if (s == CV_OK) {
        s = others_have(cli, uri, from, err);
    }
    return s == CV_OK && (from == BY_FLAG || from == BY_FILE)
               ? only_one(cli, uri, err)
               : s;
}

/* The warning stands in the question: it is the last thing that is read. */
static enum cv_status ask(struct cv_cli *cli, const struct cv_pin_token *token,
                          const char *what, bool tty_only,
                          struct cv_arena *arena, struct cv_pin *out,
                          struct cv_err *err)
{
    char question[200];
    enum cv_status s;

    (void)snprintf(question, sizeof(question),
                   "%s of the token \"%s\"%s: ", what, token->label,
                   token->count_low ? " (a wrong one was given before)" : "");
    if (cv_prompt_possible(cli)) {
        out->source = "tty";
        return cv_prompt_secret(cli, question, arena, &out->secret, err);
    }
    if (!tty_only && cv_pinentry_possible(cli)) {
        out->source = "pinentry";
        cv_prompt_begin(cli);
        s = cv_pinentry_ask(question, arena, &out->secret, err);
        cv_prompt_end();
        return s;
    }
    return nobody(cli, token->label, err);
}

static enum cv_status on_reader(struct cv_cli *cli,
                                const struct cv_pin_token *token,
                                struct cv_pin *out, struct cv_err *err)
{
    if (cli->no_input) {
        return nobody(cli, token->label, err);
    }
    *out = (struct cv_pin){"reader", {NULL, 0}};
    cv_output_note(&cli->out, "enter the PIN of the token \"%s\" on its reader",
                   token->label);
    return CV_OK;
}

enum cv_status cv_pin_get(struct cv_cli *cli, const struct cv_pin_token *token,
                          struct cv_arena *arena, struct cv_pin *out,
                          struct cv_err *err)
{
    const char *source = NULL, *rest;
    char file[4200];
    bool is_file = false;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (token->protected_path) {
        return on_reader(cli, token, out, err);
    }
    s = find_source(cli, token->uri, &source, &is_file, err);
    if (s != CV_OK) {
        return s;
    }
    if (source == NULL || (!is_file && strcmp(source, "tty") == 0)) {
        return ask(cli, token, "PIN", source != NULL, arena, out, err);
    }
    if (is_file) {
        (void)snprintf(file, sizeof(file), "file:%s", source);
        source = file;
    }
    out->source = cv_pin_kind_read(source, &rest);
    s = cv_pin_source_read(cli, source, arena, &out->secret, err);
    if (s != CV_OK) {
        cv_err_state(err, "no PIN was tried");
    }
    return s;
}

enum cv_status cv_pin_get_new(struct cv_cli *cli,
                              const struct cv_pin_token *token,
                              const char *source, struct cv_arena *arena,
                              struct cv_pin *out, struct cv_err *err)
{
    struct cv_pin again = {0};
    const char *rest;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (token->protected_path) {
        out->source = "reader";
        return CV_OK;
    }
    if (source != NULL && strcmp(source, "tty") != 0) {
        out->source = cv_pin_kind_read(source, &rest);
        return cv_pin_source_read(cli, source, arena, &out->secret, err);
    }
    s = ask(cli, token, "new PIN", true, arena, out, err);
    if (s == CV_LOCKED && err != NULL) {
        (void)cv_fail(err, s, "a new PIN of the token \"%s\" is wanted%s",
                      token->label,
                      cli->no_input ? ", and --no-input forbids asking"
                                    : ", and there is no terminal to ask on");
        cv_err_state(err, "the PIN is what it was");
        cv_err_hint(err, "give it with --new-pin-source file:FILE");
    }
    if (s == CV_OK) {
        s = ask(cli, token, "the same again, new PIN", true, arena, &again,
                err);
    }
    if (s == CV_OK && !cv_bytes_equal(out->secret, again.secret)) {
        s = cv_fail(err, CV_INVALID, "the two new PINs differ");
        cv_err_state(err, "the PIN is what it was");
    }
    return s;
}

enum cv_status cv_pin_expect(struct cv_cli *cli, const cJSON *failure,
                             struct cv_err *err)
{
    const cJSON *also = cJSON_GetObjectItemCaseSensitive(failure, "also");

    if (!cJSON_IsArray(also)) {
        return CV_OK;
    }
    cli->pin_also = cv_cli_keep(cli, cJSON_Duplicate(also, true), err);
    return cli->pin_also != NULL ? CV_OK : CV_INTERNAL;
}

bool cv_pin_is_required(const cJSON *failure)
{
    return cJSON_IsString(
        cJSON_GetObjectItemCaseSensitive(failure, "token_uri"));
}

cJSON *cv_pin_json(const struct cv_pin *pin, struct cv_arena *arena)
{
    struct cv_arena *before = cv_json_use(arena);
    cJSON *o = cJSON_CreateObject();

    if (o != NULL && pin->secret.data != NULL &&
        !cv_json_add_base64(o, "secret", pin->secret)) {
        cJSON_Delete(o);
        o = NULL;
    }
    (void)cv_json_use(before);
    return o;
}

/* One TokenLogin. *attempts: how many logins failed in a row, where the broker
 * says that it cannot tell what is left; else 0. */
static enum cv_status send(struct cv_cli *cli, const char *uri,
                           const struct cv_pin *pin, struct cv_arena *arena,
                           bool anew, int64_t despite, int64_t *attempts,
                           const cJSON **token, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(arena);
    cJSON *p = cv_cli_parameters(cli);
    struct cv_message reply = {0};
    const struct cv_json_field fields[] = {
        {"attempts", CV_JSON_INT, false, attempts, 0},
    };
    bool ok = cv_json_add_str(p, "token_uri", uri) &&
              cv_json_add_str(p, "source", pin->source) &&
              (pin->secret.data == NULL ||
               cv_json_add_base64(p, "secret", pin->secret)) &&
              cv_json_add_bool(p, "anew", anew) &&
              (despite == 0 || cv_json_add_int(p, "despite", despite));
    enum cv_status s;

    *attempts = 0;
    if (ok) {
        s = cv_client_call(cv_connect_channel(cli),
                           "io.certvault.Broker.TokenLogin", p,
                           CV_CLIENT_SECRET_IN, LOGIN_MS, &reply, err);
    } else {
        cJSON_Delete(p);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    (void)cv_json_use(before);
    if (s != CV_OK && reply.tree != NULL) {
        (void)!cv_json_read(reply.tree, "an error", fields, 1, false, NULL);
    }
    if (s == CV_OK && token != NULL) {
        *token = cJSON_GetObjectItemCaseSensitive(
            cv_cli_keep(cli, cJSON_Duplicate(reply.tree, true), err), "token");
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_pin_login(struct cv_cli *cli,
                            const struct cv_pin_token *wanted,
                            const cJSON **token, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_pin pin;
    int64_t attempts = 0, unused;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    *token = NULL;
    if (s == CV_OK) {
        s = cv_pin_get(cli, wanted, arena, &pin, err);
    }
    if (s == CV_OK) {
        s = send(cli, wanted->uri, &pin, arena, true, 0, &attempts, token, err);
    }
    if (s == CV_AUTH && attempts > 0 && strcmp(pin.source, "tty") == 0 &&
        cv_prompt_confirm(cli, NULL,
                          "%" PRId64 " logins to this token failed in a row, "
                          "and it does not tell how many tries are left: a "
                          "wrong PIN may lock it. Try all the same?",
                          attempts) == CV_OK) {
        cv_err_init(err);
        s = send(cli, wanted->uri, &pin, arena, true, attempts, &unused, token,
                 err);
    }
    cv_arena_free(arena);
    return s;
}

/* Once for each token: a PIN that did not help does not help again. */
static enum cv_status first_time(struct cv_cli *cli, const char *uri,
                                 struct cv_err *err)
{
    const cJSON *item;

    if (cli->logged_in == NULL) {
        cli->logged_in = cv_cli_keep(cli, cJSON_CreateArray(), err);
    }
    cJSON_ArrayForEach(item, cli->logged_in)
    {
        if (strcmp(item->valuestring, uri) == 0) {
            return cv_fail(err, CV_UNAVAILABLE,
                           "the token asks for its PIN again, right after a "
                           "login");
        }
    }
    return cli->logged_in != NULL &&
                   cJSON_AddItemToArray(cli->logged_in, cJSON_CreateString(uri))
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status
log_in(struct cv_cli *cli, const struct cv_pin_token *token, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_pin pin;
    int64_t attempts;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (s == CV_OK) {
        s = cv_pin_get(cli, token, arena, &pin, err);
    }
    if (s == CV_OK) {
        s = send(cli, token->uri, &pin, arena, false, 0, &attempts, NULL, err);
    }
    cv_arena_free(arena);
    return s;
}

enum cv_status cv_pin_answer(struct cv_cli *cli, const cJSON *failure,
                             struct cv_err *err)
{
    struct cv_pin_token token = {.label = ""};
    bool granted = true;
    const struct cv_json_field fields[] = {
        {"token_uri", CV_JSON_STRING, true, &token.uri, CV_LIMIT_TOKEN_URI},
        {"label", CV_JSON_STRING, true, &token.label, 64},
        {"count_low", CV_JSON_BOOL, true, &token.count_low, 0},
        {"protected_path", CV_JSON_BOOL, true, &token.protected_path, 0},
    };
    enum cv_status s =
        cv_json_read(failure, "PinRequired", fields,
                     sizeof(fields) / sizeof(fields[0]), false, err);

    if (s == CV_OK) {
        s = first_time(cli, token.uri, err);
    }
    if (s == CV_OK) {
        s = cv_unlock_turn(cli, token.uri, &granted, err);
    }
    return s == CV_OK && granted ? log_in(cli, &token, err) : s;
}
