/* token list, objects, probe, login, change-pin. Every one is `admin`. */
#include "vault/broker/held_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/question_internal.h"

#include <string.h>
#include <unistd.h>

#define LONGEST 1024 /* of a token's URI in the record */

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status add_str(cJSON *object, const char *key, const char *text,
                              struct cv_err *err)
{
    return cv_json_add_str(object, key, text)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Begins a request that names a token; `fields` (`n` of them) are its own. */
static enum cv_status begin(struct cv_broker *b, const cJSON *parameters,
                            const struct cv_json_field *fields, size_t n,
                            struct cv_ask *ask, struct cv_err *err)
{
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "the request", fields, n, true, err);
    }
    return s;
}

/* The record says which token it is about, unless the URI says more than that:
 * what is in it then could be a PIN in the wrong place. */
static enum cv_status add_token(cJSON *details, const char *uri,
                                struct cv_err *err)
{
    return uri != NULL && strlen(uri) <= LONGEST && cv_held_uri_is_token(uri)
               ? add_str(details, "token", uri, err)
               : CV_OK;
}

static enum cv_status read_token(struct cv_ask *ask, const char *uri,
                                 struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *question = cv_question_of_read(ask);
    enum cv_status s =
        question != NULL ? add_token(question, uri, err) : no_memory(err);

    (void)cv_json_use(before);
    if (s == CV_OK) {
        ask->question = question;
        s = cv_ask_read(ask, NULL, err);
        ask->question = NULL;
    }
    cJSON_Delete(question);
    return s;
}

/* Reads are decided like other reads, and do not wait for their leaf. */
static enum cv_status end_read(struct cv_ask *ask, enum cv_status s,
                               struct cv_err *err)
{
    if (s != CV_OK) {
        if (err->audit_seq >= 0) {
            ask->seq = err->audit_seq;
        }
        cv_ask_refused(ask, err);
    }
    return s;
}

CV_BROKER_METHOD(token_list)
{
    struct cv_broker *b = context;
    const char *uri = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, false, &uri, CV_LIMIT_TOKEN_URI},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *out = cv_reply_parameters(reply);
    cJSON *items = cJSON_AddArrayToObject(out, "items");
    cJSON *failed = cJSON_AddArrayToObject(out, "failed");
    struct cv_ask ask;
    enum cv_status s =
        begin(b, parameters, CV_BROKER_FIELDS(fields), &ask, err);

    if (s == CV_OK) {
        s = read_token(&ask, uri, err);
    }
    if (s == CV_OK) {
        s = cv_module_tokens(b, uri, items, failed, err);
    }
    return end_read(&ask, s, err);
}

/* Moves the member `from` of an answer to `to` of ours. */
static enum cv_status hand_on(struct cv_message *answer, const char *from,
                              struct cv_reply *reply, const char *to,
                              struct cv_err *err)
{
    cJSON *item = cJSON_Duplicate(
        cJSON_GetObjectItemCaseSensitive(answer->tree, from), true);

    return cv_json_add_item(cv_reply_parameters(reply), to, item)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "a module's answer has no %s", from);
}

/* `method` of the module, about one token. */
static enum cv_status call_on(struct cv_broker *b, const char *uri,
                              const char *method, bool destructive,
                              struct cv_message *answer, struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();

    *answer = (struct cv_message){0};
    if (!cv_json_add_str(p, "token", uri) ||
        (strcmp(method, "Probe") == 0 &&
         !cv_json_add_bool(p, "destructive", destructive))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_module_call(b, uri, method, p, 0, answer, err);
}

/* What is not finished there, and what is not explained. */
static enum cv_status add_pending(struct cv_broker *b, const char *uri,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_module_token token;
    struct cv_held_rows rows;
    enum cv_status s = cv_module_token(b, uri, &token, NULL, err);

    if (s == CV_OK) {
        s = cv_held_rows(b, token.uri, &rows, err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (!cv_json_add_item(cv_reply_parameters(reply), "pending",
                          cv_held_rows_view(&rows))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_held_rows_free(&rows);
    return s;
}

CV_BROKER_METHOD(token_objects)
{
    struct cv_broker *b = context;
    const char *uri = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_message answer = {0};
    struct cv_ask ask;
    enum cv_status s =
        begin(b, parameters, CV_BROKER_FIELDS(fields), &ask, err);

    if (s == CV_OK) {
        s = read_token(&ask, uri, err);
    }
    if (s == CV_OK) {
        s = cv_module_need_login(b, uri, reply, err);
    }
    if (s == CV_OK) {
        s = call_on(b, uri, "Objects", false, &answer, err);
    }
    if (s == CV_OK) {
        s = hand_on(&answer, "objects", reply, "items", err);
    }
    cv_message_free(&answer);
    if (s == CV_OK) {
        s = add_pending(b, uri, reply, err);
    }
    return end_read(&ask, s, err);
}

/* A change is decided and its leaf durable before anything is done; then
 * `act`; then how it went. */
typedef enum cv_status act_fn(struct cv_broker *b, void *what,
                              struct cv_reply *reply, struct cv_err *err);

static enum cv_status decide(struct cv_ask *ask, const cJSON *details,
                             struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_ask_decide(ask, NULL, details, err);
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        cv_broker_leave(b);
    }
    return s;
}

static enum cv_status change(struct cv_ask *ask, const cJSON *details,
                             act_fn *act, void *what, struct cv_reply *reply,
                             struct cv_err *err)
{
    enum cv_status s;

    /* `init` on a token logs in before there is a record. */
    if (ask->broker->vault == NULL) {
        return act(ask->broker, what, reply, err);
    }
    s = decide(ask, details, err);
    if (s == CV_OK) {
        s = act(ask->broker, what, reply, err);
        cv_ask_outcome_now(ask, s, details);
    }
    return s;
}

/* Before anything is asked for, so that a caller who may not gets no prompt. */
static enum cv_status may(struct cv_ask *ask, struct cv_err *err)
{
    const struct cv_broker *b = ask->broker;
    enum cv_status s;

    if (b->vault == NULL && b->folder != -1 && b->unopened.status == CV_OK &&
        b->caller->peer.uid == geteuid()) {
        return CV_OK;
    }
    s = cv_broker_enter(ask->broker, err);
    if (s == CV_OK) {
        s = cv_ask_check(ask, NULL, NULL, err);
        cv_broker_leave(ask->broker);
    }
    return s;
}

static enum cv_status details_of(const char *method, const char *token,
                                 cJSON **out, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    enum cv_status s;

    *out = cJSON_CreateObject();
    s = add_str(*out, "method", method, err);
    if (s == CV_OK) {
        s = add_token(*out, token, err);
    }
    (void)cv_json_use(before);
    return s;
}

struct probe {
    const char *uri;
    bool destructive;
};

static enum cv_status probe(struct cv_broker *b, void *what,
                            struct cv_reply *reply, struct cv_err *err)
{
    const struct probe *p = what;
    struct cv_message answer;
    enum cv_status s =
        call_on(b, p->uri, "Probe", p->destructive, &answer, err);

    if (s == CV_OK) {
        s = hand_on(&answer, "report", reply, "report", err);
    }
    cv_message_free(&answer);
    return s;
}

CV_BROKER_METHOD(token_probe)
{
    struct cv_broker *b = context;
    struct probe what = {NULL, false};
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &what.uri, CV_LIMIT_TOKEN_URI},
        {"destructive", CV_JSON_BOOL, true, &what.destructive, 0},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *details = NULL;
    struct cv_ask ask;
    enum cv_status s =
        begin(b, parameters, CV_BROKER_FIELDS(fields), &ask, err);

    if (s == CV_OK) {
        s = may(&ask, err);
    }
    if (s == CV_OK && what.destructive) {
        s = cv_module_need_login(b, what.uri, reply, err);
    }
    if (s == CV_OK) {
        s = details_of("TokenProbe", what.uri, &details, err);
        (void)cv_json_add_bool(details, "destructive", what.destructive);
    }
    if (s == CV_OK) {
        s = change(&ask, details, probe, &what, reply, err);
    }
    cJSON_Delete(details);
    return end_read(&ask, s, err);
}

/* Logging in, and changing what one logs in with. */
struct login {
    const char *uri, *source;
    const char *secret;
    const cJSON *old_pin, *new_pin;
    struct cv_ledger_wish wish;
    struct cv_module_token token;
};

static bool is_human(const char *source)
{
    return strcmp(source, "tty") == 0 || strcmp(source, "pinentry") == 0 ||
           strcmp(source, "reader") == 0;
}

/* No PIN is given: the token wants none, as far as the caller knows. */
#define NONE "none"

static enum cv_status check_source(struct login *l, struct cv_err *err)
{
    static const char *const known[] = {"tty", "pinentry", "reader",     "file",
                                        "fd",  "command",  "credential", NONE};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i], l->source) == 0) {
            l->wish.human = is_human(l->source);
            return CV_OK;
        }
    }
    return cv_fail(err, CV_INVALID, "no such source of a PIN");
}

/* The token as it is now goes into the answer; a failure to tell it is none. */
static void tell_token(struct cv_broker *b, const struct login *l,
                       struct cv_reply *reply)
{
    struct cv_module_token now;
    cJSON *raw = NULL;

    if (cv_module_token(b, l->token.uri, &now, &raw, NULL) == CV_OK) {
        (void)cv_json_add_item(cv_reply_parameters(reply), "token",
                               cJSON_Duplicate(raw, true));
    }
    cJSON_Delete(raw);
}

/* A login that failed somewhere else is still on record: only a login that
 * works takes it off, so the one that is there is given up for it. */
static enum cv_status give_up(struct cv_broker *b, struct login *l,
                              struct cv_err *err)
{
    struct cv_message answer;
    enum cv_status s = call_on(b, l->token.uri, "Logout", false, &answer, err);

    cv_message_free(&answer);
    return s;
}

static enum cv_status log_in(struct cv_broker *b, void *what,
                             struct cv_reply *reply, struct cv_err *err)
{
    struct login *l = what;
    cJSON *p = cJSON_CreateObject();
    enum cv_status s = CV_OK;

    if (!cv_json_add_str(p, "token", l->token.uri) ||
        !cv_json_add_str(p, "secret", l->secret) ||
        !cv_json_add_bool(p, "human", l->wish.human)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (l->token.logged_in) {
        s = give_up(b, l, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(p);
        return s;
    }
    s = cv_module_login(b, &l->token, &l->wish, "Login", p, err);
    if (s == CV_OK) {
        cv_held_logged_in(b, l->token.uri);
        cv_signer_ready(b);
        tell_token(b, l, reply);
    }
    return s;
}

static enum cv_status change_pin(struct cv_broker *b, void *what,
                                 struct cv_reply *reply, struct cv_err *err)
{
    struct login *l = what;
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "token", l->token.uri) ||
        !cv_json_add_item(p, "old", cJSON_Duplicate(l->old_pin, true)) ||
        !cv_json_add_item(p, "new", cJSON_Duplicate(l->new_pin, true))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    l->wish.anew = l->wish.human;
    s = cv_module_login(b, &l->token, &l->wish, "ChangePin", p, err);
    if (s == CV_OK) {
        tell_token(b, l, reply);
    }
    return s;
}

/* Logins since the last good one. */
static int64_t attempts_of(struct cv_broker *b, const struct login *l)
{
    return b->vault != NULL
               ? cv_ledger_attempts(cv_broker_logins(b), l->token.identity)
               : 0;
}

static enum cv_status run_login(struct cv_broker *b, struct cv_ask *ask,
                                struct login *l, const char *method,
                                struct cv_reply *reply, struct cv_err *err)
{
    bool pin = strcmp(method, "TokenLogin") != 0;
    int64_t before = 0;
    cJSON *details = NULL;
    enum cv_status s = check_source(l, err);

    if (s == CV_OK) {
        s = may(ask, err);
    }
    if (s == CV_OK) {
        s = cv_module_token(b, l->uri, &l->token, NULL, err);
    }
    if (s == CV_OK && !pin &&
        (!l->token.login_required ||
         (l->token.logged_in && b->vault != NULL &&
          cv_ledger_look(cv_broker_logins(b), l->token.identity, l->token.uri,
                         NULL) == CV_OK))) {
        tell_token(b, l, reply);
        return CV_OK;
    }
    if (s == CV_OK && strcmp(l->source, NONE) == 0) {
        s = cv_fail(err, CV_INVALID, "this token wants a PIN");
    }
    if (s == CV_OK) {
        s = details_of(method, l->token.uri, &details, err);
        (void)cv_json_add_str(details, "pin_source", l->source);
    }
    if (s == CV_OK) {
        before = attempts_of(b, l);
        s = change(ask, details, pin ? change_pin : log_in, l, reply, err);
    }
    /* Nothing was tried, because nobody can tell what is left: whoever wants to
     * go on says how many failed. */
    if (s == CV_AUTH && !l->token.count_low && before >= CV_LEDGER_BLIND &&
        attempts_of(b, l) == before) {
        (void)cv_json_add_int(cv_reply_failure(reply), "attempts", before);
    }
    cJSON_Delete(details);
    return s;
}

CV_BROKER_METHOD(token_login)
{
    struct cv_broker *b = context;
    struct login l = {0};
    const struct cv_json_field fields[] = {
        {"token_uri", CV_JSON_STRING, true, &l.uri, CV_LIMIT_TOKEN_URI},
        {"secret", CV_JSON_STRING, false, &l.secret,
         CV_LIMIT_PASSPHRASE / 3 * 4 + 8},
        {"source", CV_JSON_STRING, true, &l.source, 16},
        {"anew", CV_JSON_BOOL, false, &l.wish.anew, 0},
        {"despite", CV_JSON_INT, false, &l.wish.despite, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s =
        begin(b, parameters, CV_BROKER_FIELDS(fields), &ask, err);

    if (s == CV_OK) {
        s = run_login(b, &ask, &l, "TokenLogin", reply, err);
    }
    if (s == CV_OK) {
        cv_prompt_done(&b->prompt, l.uri);
        cv_signer_clean(b);
    }
    return end_read(&ask, s, err);
}

CV_BROKER_METHOD(token_change_pin)
{
    struct cv_broker *b = context;
    struct login l = {0};
    const struct cv_json_field fields[] = {
        {"token_uri", CV_JSON_STRING, true, &l.uri, CV_LIMIT_TOKEN_URI},
        {"old", CV_JSON_OBJECT, true, &l.old_pin, 0},
        {"new", CV_JSON_OBJECT, true, &l.new_pin, 0},
        {"source", CV_JSON_STRING, true, &l.source, 16},
        {"despite", CV_JSON_INT, false, &l.wish.despite, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s =
        begin(b, parameters, CV_BROKER_FIELDS(fields), &ask, err);

    if (s == CV_OK) {
        s = run_login(b, &ask, &l, "TokenChangePin", reply, err);
    }
    return end_read(&ask, s, err);
}
