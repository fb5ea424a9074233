/* Logins to tokens: what stands in their way, and making them. */
#include "vault/broker/module_internal.h"
#include "vault/broker/service_internal.h"

#include <stdio.h>
#include <string.h>

static enum cv_status read_token(const cJSON *json, struct cv_module_token *out,
                                 struct cv_err *err)
{
    const char *uri = NULL, *identity = NULL, *label = NULL, *serial = NULL;
    const cJSON *pin = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, sizeof(out->uri) - 1},
        {"identity", CV_JSON_STRING, true, &identity, CV_LEDGER_TOKEN},
        {"label", CV_JSON_STRING, true, &label, sizeof(out->label) - 1},
        {"serial", CV_JSON_STRING, true, &serial, sizeof(out->serial) - 1},
        {"login_required", CV_JSON_BOOL, true, &out->login_required, 0},
        {"logged_in", CV_JSON_BOOL, true, &out->logged_in, 0},
        {"held", CV_JSON_BOOL, true, &out->held, 0},
        {"protected_path", CV_JSON_BOOL, true, &out->protected_path, 0},
        {"user_pin", CV_JSON_OBJECT, true, &pin, 0},
    };
    const struct cv_json_field pin_fields[] = {
        {"initialized", CV_JSON_BOOL, true, &out->initialized, 0},
        {"count_low", CV_JSON_BOOL, true, &out->count_low, 0},
        {"final_try", CV_JSON_BOOL, true, &out->final, 0},
        {"locked", CV_JSON_BOOL, true, &out->locked, 0},
    };
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    s = cv_json_read(json, "a token", CV_BROKER_FIELDS(fields), false, err);
    if (s == CV_OK) {
        s = cv_json_read(pin, "a token", CV_BROKER_FIELDS(pin_fields), false,
                         err);
    }
    if (s == CV_OK) {
        (void)snprintf(out->uri, sizeof(out->uri), "%s", uri);
        (void)snprintf(out->identity, sizeof(out->identity), "%s", identity);
        (void)snprintf(out->label, sizeof(out->label), "%s", label);
        (void)snprintf(out->serial, sizeof(out->serial), "%s", serial);
    }
    return s;
}

enum cv_status cv_module_token(struct cv_broker *b, const char *token_uri,
                               struct cv_module_token *out, cJSON **raw,
                               struct cv_err *err)
{
    cJSON *tokens;
    enum cv_status s = cv_module_look(b, token_uri, &tokens, err);

    if (s == CV_OK && cJSON_GetArraySize(tokens) == 0) {
        s = cv_fail(err, CV_NOT_FOUND, "the token is not there");
        cv_err_hint(err, "put it in its reader; certvault token list shows "
                         "what there is");
    } else if (s == CV_OK && cJSON_GetArraySize(tokens) > 1) {
        s = cv_fail(err, CV_INVALID, "%d tokens fit this URI",
                    cJSON_GetArraySize(tokens));
        cv_err_hint(err, "name its serial number too: serial=...; certvault "
                         "token list shows the URIs");
    }
    if (s == CV_OK) {
        s = read_token(cJSON_GetArrayItem(tokens, 0), out, err);
    }
    if (s == CV_OK) {
        cv_module_remember(b, out->uri, token_uri);
    }
    if (s == CV_OK && raw != NULL) {
        struct cv_arena *before = cv_json_use(NULL);

        *raw = cJSON_Duplicate(cJSON_GetArrayItem(tokens, 0), true);
        (void)cv_json_use(before);
        if (*raw == NULL) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cJSON_Delete(tokens);
    return s;
}

/* What the token itself says against trying a PIN. */
static enum cv_status token_forbids(const struct cv_module_token *t,
                                    struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (t->locked) {
        s = cv_fail(err, CV_AUTH, "the PIN of the token \"%s\" is locked",
                    t->label);
        cv_err_hint(err, "unlock it with its PUK or SO PIN, with the tool of "
                         "whoever made the token");
    } else if (t->final) {
        s = cv_fail(err, CV_AUTH,
                    "the token \"%s\" says that the next wrong PIN locks it",
                    t->label);
        cv_err_hint(err, "certvault never spends the last try: log in once "
                         "with the token's own tool, then again here");
    } else if (!t->initialized) {
        s = cv_fail(err, CV_UNAVAILABLE, "the token \"%s\" has no PIN yet",
                    t->label);
        cv_err_hint(err, "set one with the token's own tool");
    }
    if (s != CV_OK) {
        cv_err_state(err, "no PIN was tried");
    }
    return s;
}

static enum cv_ledger_end end_of(enum cv_status s,
                                 const struct cv_message *reply)
{
    if (s == CV_OK) {
        return CV_LEDGER_GOOD;
    }
    return cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(reply->tree, "tried"))
               ? CV_LEDGER_UNTRIED
               : CV_LEDGER_NOT_GOOD;
}

enum cv_status cv_module_login(struct cv_broker *b,
                               const struct cv_module_token *token,
                               const struct cv_ledger_wish *wish,
                               const char *method, cJSON *parameters,
                               struct cv_err *err)
{
    struct cv_ledger_wish complete = *wish;
    struct cv_ledger_attempt attempt;
    struct cv_message reply = {0};
    enum cv_status s = token_forbids(token, err);

    complete.token = token->identity;
    complete.uri = token->uri;
    complete.told = token->count_low;
    complete.first = b->vault == NULL;
    if (s == CV_OK && token->count_low && !wish->human) {
        s = cv_fail(err, CV_AUTH,
                    "the token \"%s\" says that a wrong PIN was given: few "
                    "tries are left",
                    token->label);
        cv_err_state(err, "no PIN was tried");
        if (b->vault != NULL) {
            cv_err_hint(err, "log in by hand: certvault token login '%s'",
                        token->uri);
        } else {
            cv_err_hint(err, "run this on a terminal and type the PIN");
        }
    }
    if (s == CV_OK) {
        s = cv_ledger_begin(cv_broker_logins(b), &complete, &attempt, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_module_call(b, token->uri, method, parameters, CV_CLIENT_SECRET_IN,
                       &reply, err);
    cv_ledger_finish(&attempt, end_of(s, &reply));
    cv_message_free(&reply);
    if (s == CV_LOCKED) {
        s = CV_AUTH;
    }
    if (s != CV_OK && err != NULL) {
        err->status = s;
    }
    return s;
}

/* Somebody else logged the token out, or it was pulled and put back: the
 * process that logged in has its PIN, which was right. */
static enum cv_status relogin(struct cv_broker *b,
                              const struct cv_module_token *t,
                              struct cv_err *err)
{
    const struct cv_ledger_wish wish = {.human = false};
    cJSON *parameters = cJSON_CreateObject();

    if (!cv_json_add_str(parameters, "token", t->uri)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_module_login(b, t, &wish, "Relogin", parameters, err);
}

static enum cv_status pin_required(const struct cv_module_token *t,
                                   struct cv_reply *reply, struct cv_err *err)
{
    cJSON *f = reply != NULL ? cv_reply_failure(reply) : NULL;
    enum cv_status s;

    if (reply != NULL) {
        cv_reply_name_error(reply, "PinRequired");
        if (!cv_json_add_str(f, "token_uri", t->uri) ||
            !cv_json_add_str(f, "label", t->label) ||
            !cv_json_add_str(f, "serial", t->serial) ||
            !cv_json_add_bool(f, "count_low", t->count_low) ||
            !cv_json_add_bool(f, "final", t->final) ||
            !cv_json_add_bool(f, "protected_path", t->protected_path)) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    s = cv_fail(err, CV_LOCKED, "the PIN of the token \"%s\" is wanted",
                t->label);
    cv_err_state(err, "nothing was done");
    cv_err_hint(err, "give it with --pin-source file:F, in the configuration "
                     "(pin:), or run this on a terminal");
    return s;
}

enum cv_status cv_module_need_login(struct cv_broker *b, const char *token_uri,
                                    struct cv_reply *reply, struct cv_err *err)
{
    struct cv_module_token token;
    enum cv_status s = cv_module_token(b, token_uri, &token, NULL, err);

    if (s != CV_OK || token.logged_in || !token.login_required) {
        return s;
    }
    s = token_forbids(&token, err);
    if (s == CV_OK && b->vault != NULL) {
        s = cv_ledger_look(cv_broker_logins(b), token.identity, token.uri, err);
    }
    if (s == CV_OK && token.held && !token.count_low) {
        s = relogin(b, &token, err);
        if (s == CV_OK || s == CV_AUTH) {
            return s;
        }
        /* It did not get as far as the token, and the PIN is forgotten. */
        cv_err_init(err);
        s = CV_OK;
    }
    if (s == CV_OK && !token.count_low && b->vault != NULL) {
        s = cv_service_login(b, &token, err);
        if (s != CV_LOCKED) {
            return s;
        }
        cv_err_init(err);
        s = CV_OK;
    }
    return s == CV_OK ? pin_required(&token, reply, err) : s;
}
