/* token list, objects, probe, login, change-pin. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/output_table.h"
#include "cli/pin.h"
#include "cli/prompt.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

static bool is_true(const cJSON *item, const char *path)
{
    return cJSON_IsTrue(cv_output_table_at(item, path));
}

static void pin_cell(const cJSON *item, struct cv_buf *out)
{
    const char *word = "ok";

    if (!is_true(item, "initialized") ||
        !is_true(item, "user_pin.initialized")) {
        word = "not set";
    } else if (is_true(item, "user_pin.locked")) {
        word = "locked";
    } else if (is_true(item, "user_pin.final_try")) {
        word = "last try";
    } else if (is_true(item, "user_pin.count_low")) {
        word = "a wrong one was given";
    } else if (is_true(item, "protected_path")) {
        word = "on the reader";
    }
    cv_buf_add_str(out, word);
}

static int pin_color(const cJSON *item)
{
    return is_true(item, "user_pin.locked") ||
                   is_true(item, "user_pin.final_try") ||
                   is_true(item, "user_pin.count_low")
               ? 31
               : 0;
}

static const struct cv_output_column token_columns[] = {
    {"TOKEN", "label", NULL, NULL},   {"MODEL", "model", NULL, NULL},
    {"SERIAL", "serial", NULL, NULL}, {"PIN", NULL, pin_cell, pin_color},
    {"MODULE", "module", NULL, NULL}, {"URI", "uri", NULL, NULL},
};

static const struct cv_output_view token_list_view = {
    .kind = "TokenList",
    .name = "uri",
    .columns = token_columns,
    .n_columns = sizeof(token_columns) / sizeof(token_columns[0]),
    .none = "no tokens",
};

static const struct cv_output_view token_view = {
    .kind = "Token",
    .name = "uri",
    .columns = token_columns,
    .n_columns = sizeof(token_columns) / sizeof(token_columns[0]),
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* TokenList, narrowed to `uri` (NULL: all). *items is the run's. A module that
 * does not answer keeps none of the others from being told. */
static enum cv_status ask_tokens(struct cv_cli *cli, const char *uri,
                                 const cJSON **items, const cJSON **failed,
                                 struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const cJSON *answer = NULL;
    enum cv_status s;

    *items = *failed = NULL;
    if (!cv_json_add_str(parameters, "uri", uri)) {
        cJSON_Delete(parameters);
        return no_memory(err);
    }
    s = cv_call_simple(cli, "TokenList", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    *items = cJSON_GetObjectItemCaseSensitive(answer, "items");
    if (!cJSON_IsArray(*items)) {
        return cv_fail(err, CV_INVALID, "the broker's answer has no items");
    }
    /* Where the token that was meant is there, the others do not matter. */
    if (uri == NULL || cJSON_GetArraySize(*items) == 0) {
        *failed = cJSON_GetObjectItemCaseSensitive(answer, "failed");
    }
    return CV_OK;
}

static void tell_failed(struct cv_cli *cli, const cJSON *failed)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, failed)
    {
        const char *name = cv_output_table_text(item, "name");
        const char *why = cv_output_table_text(item, "error");

        cv_output_warn(&cli->out, "%s: %s", name != NULL ? name : "?",
                       why != NULL ? why : "?");
    }
}

CV_CMD(token_list)
{
    const cJSON *items, *failed;
    enum cv_status s =
        ask_tokens(cli, args->n_operands > 0 ? args->operands[0] : NULL, &items,
                   &failed, err);

    tell_failed(cli, failed);
    return s == CV_OK
               ? cv_output_table_list(&cli->out, &token_list_view, items, err)
               : s;
}

/* Whether a module that is not asked now has it is known in a while. */
static enum cv_status not_there(struct cv_cli *cli, const cJSON *failed,
                                struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s;

    cJSON_ArrayForEach(item, failed)
    {
        const cJSON *after =
            cJSON_GetObjectItemCaseSensitive(item, "retry_after");
        const char *why = cv_output_table_text(item, "error");

        if (cJSON_IsNumber(after)) {
            s = cv_fail(err, CV_BUSY, "%s", why != NULL ? why : "?");
            cv_err_state(err, "its module is not asked again for %d s",
                         (int)after->valuedouble + 1);
            if (err != NULL) {
                err->retry_after_s = after->valuedouble;
            }
            return s;
        }
    }
    tell_failed(cli, failed);
    s = cv_fail(err, CV_NOT_FOUND, "no token fits this URI");
    cv_err_hint(err, "certvault token list shows the tokens and their URIs");
    return s;
}

/* The one token that the command is about. */
static enum cv_status one_token(struct cv_cli *cli, const char *uri,
                                struct cv_pin_token *out, const cJSON **token,
                                struct cv_err *err)
{
    const cJSON *items, *failed;
    enum cv_status s = ask_tokens(cli, uri, &items, &failed, err);

    if (s != CV_OK) {
        return s;
    }
    if (cJSON_GetArraySize(items) == 0) {
        return not_there(cli, failed, err);
    }
    if (cJSON_GetArraySize(items) > 1) {
        s = cv_fail(err, CV_INVALID, "%d tokens fit this URI",
                    cJSON_GetArraySize(items));
        cv_err_hint(err,
                    "certvault token list shows the tokens and their URIs");
        return s;
    }
    *token = cJSON_GetArrayItem(items, 0);
    out->uri = cv_output_table_text(*token, "uri");
    out->label = cv_output_table_text(*token, "label");
    out->count_low = is_true(*token, "user_pin.count_low");
    out->protected_path = is_true(*token, "protected_path");
    return out->uri != NULL && out->label != NULL
               ? CV_OK
               : cv_fail(err, CV_INVALID, "the broker's answer is no token");
}

static void key_cell(const cJSON *item, struct cv_buf *out)
{
    const char *type = cv_output_table_text(item, "key_type");
    const cJSON *bits = cv_output_table_at(item, "bits");

    if (type != NULL) {
        cv_buf_add_str(out, type);
        if (strcmp(type, "rsa") == 0 && cJSON_IsNumber(bits)) {
            cv_buf_add_format(out, "-%d", bits->valueint);
        }
    }
}

/* The attributes that are set. */
static void flags_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *flag;
    bool first = true;

    cJSON_ArrayForEach(flag,
                       cJSON_GetObjectItemCaseSensitive(item, "attributes"))
    {
        if (cJSON_IsTrue(flag)) {
            cv_buf_add_str(out, first ? "" : " ");
            cv_buf_add_str(out, flag->string);
            first = false;
        }
    }
}

static const struct cv_output_column object_columns[] = {
    {"CLASS", "class", NULL, NULL},    {"LABEL", "label", NULL, NULL},
    {"ID", "id", NULL, NULL},          {"KEY", NULL, key_cell, NULL},
    {"FLAGS", NULL, flags_cell, NULL},
};

static const struct cv_output_view object_view = {
    .kind = "ObjectList",
    .name = "id",
    .columns = object_columns,
    .n_columns = sizeof(object_columns) / sizeof(object_columns[0]),
    .none = "no objects",
};

static enum cv_status parameters_of(struct cv_cli *cli, const char *uri,
                                    cJSON **out, struct cv_err *err)
{
    *out = cv_cli_parameters(cli);
    cli->token_uri = uri;
    if (!cv_json_add_str(*out, "uri", uri)) {
        cJSON_Delete(*out);
        *out = NULL;
        return no_memory(err);
    }
    return CV_OK;
}

/* What was cut off on it, and what nobody can explain. */
static void tell_pending(struct cv_cli *cli, const cJSON *pending)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, pending)
    {
        const char *kind = cv_output_table_text(item, "kind");
        const char *entry = cv_output_table_text(item, "entry");
        const cJSON *objects =
            cJSON_GetObjectItemCaseSensitive(item, "objects");

        if (objects != NULL) {
            cv_output_warn(&cli->out,
                           "%d objects are not explained: what of them is "
                           "still the same at the next login is destroyed",
                           cJSON_GetArraySize(objects));
        } else {
            cv_output_warn(&cli->out, "%s of %s was cut off and is not ended",
                           kind != NULL ? kind : "a change",
                           entry != NULL ? entry : "a key");
        }
    }
}

CV_CMD(token_objects)
{
    cJSON *parameters;
    const cJSON *items = NULL, *answer = NULL;
    enum cv_status s = parameters_of(cli, args->operands[0], &parameters, err);

    if (s == CV_OK) {
        s = cv_call_simple(cli, "TokenObjects", parameters, &answer, err);
    }
    if (s == CV_OK) {
        tell_pending(cli, cJSON_GetObjectItemCaseSensitive(answer, "pending"));
        items = cJSON_GetObjectItemCaseSensitive(answer, "items");
    }
    return s == CV_OK
               ? cv_output_table_list(&cli->out, &object_view, items, err)
               : s;
}

/* A line of the probe's table. */
static const struct cv_output_column probe_columns[] = {
    {"WHAT", "what", NULL, NULL},
    {"LISTED", "listed", NULL, NULL},
    {"WORKS", "works", NULL, NULL},
    {"ANSWER", "answer", NULL, NULL},
};

static const struct cv_output_view probe_table = {
    .kind = "TokenReport",
    .name = "what",
    .columns = probe_columns,
    .n_columns = sizeof(probe_columns) / sizeof(probe_columns[0]),
};

static const struct cv_output_view probe_view = {
    .kind = "TokenReport",
    .name = "label",
    .columns = probe_columns,
    .n_columns = 0,
};

static const char *yes_no(const cJSON *flag)
{
    return cJSON_IsTrue(flag) ? "yes" : cJSON_IsFalse(flag) ? "no" : "-";
}

static bool add_line(cJSON *rows, const char *what, const cJSON *result,
                     const char *answer)
{
    const char *rv = cv_output_table_text(result, "rv");
    cJSON *row = cJSON_CreateObject();

    if (answer == NULL) {
        answer = rv != NULL ? rv : "";
    }
    return cv_json_add_str(row, "what", what) &&
           cv_json_add_str(row, "listed",
                           yes_no(cv_output_table_at(result, "listed"))) &&
           cv_json_add_str(row, "works",
                           yes_no(cv_output_table_at(result, "works"))) &&
           cv_json_add_str(row, "answer", answer) &&
           cJSON_AddItemToArray(rows, row);
}

static bool add_keys(cJSON *rows, const cJSON *keys)
{
    static const char *const does[] = {"generate", "import", "sign"};
    const cJSON *key;
    bool ok = true;

    cJSON_ArrayForEach(key, keys)
    {
        const char *kind = cv_output_table_text(key, "kind");

        for (size_t i = 0; i < sizeof(does) / sizeof(does[0]) && ok; i++) {
            const cJSON *result =
                cJSON_GetObjectItemCaseSensitive(key, does[i]);
            const char *way = i == 1 ? cv_output_table_text(key, "way") : NULL;
            char what[64];

            (void)snprintf(what, sizeof(what), "%s %s", does[i],
                           kind != NULL ? kind : "?");
            ok = add_line(rows, what, result,
                          is_true(result, "works") ? way : NULL);
        }
    }
    return ok;
}

static bool add_attacks(cJSON *rows, const cJSON *findings)
{
    const cJSON *attack;
    bool ok = true;

    cJSON_ArrayForEach(attack,
                       cJSON_GetObjectItemCaseSensitive(findings, "attacks"))
    {
        const char *name = cv_output_table_text(attack, "name");
        const char *result = cv_output_table_text(attack, "result");
        char what[80];

        (void)snprintf(what, sizeof(what), "attack %s",
                       name != NULL ? name : "?");
        ok = ok && add_line(rows, what, NULL, result != NULL ? result : "?");
    }
    return ok;
}

static cJSON *probe_rows(const cJSON *report)
{
    static const char *const single[] = {"certificates", "public_keys", "data",
                                         "random"};
    cJSON *rows = cJSON_CreateArray();
    const cJSON *item;
    bool ok = add_keys(rows, cJSON_GetObjectItemCaseSensitive(report, "keys"));

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "unwrap"))
    {
        const char *name = cv_output_table_text(item, "mechanism");
        char what[80];

        (void)snprintf(what, sizeof(what), "unwrap %s",
                       name != NULL ? name : "?");
        ok = ok && add_line(rows, what, item, NULL);
    }
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        ok = ok && add_line(rows, single[i],
                            cJSON_GetObjectItemCaseSensitive(report, single[i]),
                            NULL);
    }
    ok = ok && add_attacks(
                   rows, cJSON_GetObjectItemCaseSensitive(report, "findings"));
    ok = ok && add_line(rows, "lets keys out", NULL,
                        yes_no(cv_output_table_at(report, "leaky")));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "lies"))
    {
        ok = ok && cJSON_IsString(item) &&
             add_line(rows, "lie", NULL, item->valuestring);
    }
    if (!ok) {
        cJSON_Delete(rows);
        return NULL;
    }
    return rows;
}

CV_CMD(token_probe)
{
    bool destructive = cv_args_has(args, "destructive-test");
    cJSON *parameters;
    const cJSON *report, *rows;
    enum cv_status s = CV_OK;

    if (destructive) {
        s = cv_prompt_confirm(
            cli, err,
            "Make, attack and destroy scratch objects on this "
            "token?");
    }
    if (s == CV_OK) {
        s = parameters_of(cli, args->operands[0], &parameters, err);
    }
    if (s == CV_OK &&
        !cv_json_add_bool(parameters, "destructive", destructive)) {
        cJSON_Delete(parameters);
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_call_member(cli, "TokenProbe", parameters, "report",
                           CV_JSON_OBJECT, &report, err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (cli->out.format != CV_OUTPUT_TABLE) {
        return cv_output_table_object(&cli->out, &probe_view, report, err);
    }
    rows = cv_cli_keep(cli, probe_rows(report), err);
    return rows != NULL
               ? cv_output_table_list(&cli->out, &probe_table, rows, err)
               : CV_INTERNAL;
}

/* Nothing is asked for, but what was cut off on it ends at its logins. */
static enum cv_status login_without_pin(struct cv_cli *cli, const char *uri,
                                        const cJSON **now, struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const cJSON *answer = NULL;
    enum cv_status s;

    if (!cv_json_add_str(parameters, "token_uri", uri) ||
        !cv_json_add_str(parameters, "source", "none")) {
        cJSON_Delete(parameters);
        return no_memory(err);
    }
    s = cv_call_simple(cli, "TokenLogin", parameters, &answer, err);
    *now = cJSON_GetObjectItemCaseSensitive(answer, "token");
    return s;
}

CV_CMD(token_login)
{
    struct cv_pin_token wanted = {.uri = NULL};
    const cJSON *token = NULL, *now = NULL;
    enum cv_status s;

    cli->token_uri = args->operands[0];
    s = one_token(cli, args->operands[0], &wanted, &token, err);
    if (s == CV_OK && !is_true(token, "login_required")) {
        cv_output_note(&cli->out, "the token \"%s\" wants no PIN",
                       wanted.label);
        s = login_without_pin(cli, wanted.uri, &now, err);
    } else if (s == CV_OK) {
        s = cv_pin_login(cli, &wanted, &now, err);
    }
    if (s == CV_OK && cv_connect_is_private(cli) &&
        is_true(token, "login_required")) {
        cv_output_note(&cli->out, "the PIN was right; the login ends with this "
                                  "command");
    }
    return s == CV_OK
               ? cv_output_table_object(&cli->out, &token_view,
                                        cJSON_IsObject(now) ? now : token, err)
               : s;
}

static enum cv_status send_change(struct cv_cli *cli,
                                  const struct cv_pin_token *wanted,
                                  const struct cv_pin *old_pin,
                                  const struct cv_pin *new_pin,
                                  struct cv_arena *arena, struct cv_err *err)
{
    struct cv_call call = {.method = "TokenChangePin", .arena = arena};
    struct cv_arena *before = cv_json_use(arena);
    struct cv_message reply;
    cJSON *p = cv_cli_parameters(cli);
    bool ok = cv_json_add_str(p, "token_uri", wanted->uri) &&
              cv_json_add_str(p, "source", old_pin->source) &&
              cv_json_add_item(p, "old", cv_pin_json(old_pin, arena)) &&
              cv_json_add_item(p, "new", cv_pin_json(new_pin, arena));
    enum cv_status s;

    (void)cv_json_use(before);
    if (!ok) {
        return no_memory(err);
    }
    call.parameters = p;
    s = cv_call_run(cli, &call, &reply, err);
    cv_message_free(&reply);
    return s;
}

CV_CMD(token_change_pin)
{
    const char *source = cv_args_value(args, "new-pin-source");
    struct cv_pin_token wanted = {.uri = NULL};
    struct cv_pin old_pin, new_pin;
    struct cv_arena *arena = NULL;
    const cJSON *token;
    enum cv_status s = source != NULL ? cv_pin_check(source, err) : CV_OK;

    cli->token_uri = args->operands[0];
    if (s == CV_OK) {
        s = one_token(cli, args->operands[0], &wanted, &token, err);
    }
    if (s == CV_OK) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_pin_get(cli, &wanted, arena, &old_pin, err);
    }
    if (s == CV_OK) {
        s = cv_pin_get_new(cli, &wanted, source, arena, &new_pin, err);
    }
    if (s == CV_OK) {
        s = send_change(cli, &wanted, &old_pin, &new_pin, arena, err);
    }
    cv_arena_free(arena);
    if (s == CV_OK) {
        cv_output_note(&cli->out, "the token \"%s\" has its new PIN",
                       wanted.label);
    }
    return s;
}
