#include "vault/base/clock.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/sign_internal.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <string.h>

/* For how long a token that was ready is taken to be ready. */
#define READY_MS 1000

static enum cv_status read_sign(const cJSON *parameters, struct cv_sign *sign,
                                struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &sign->name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &sign->ask.context, CV_LIMIT_URL},
        {"purpose", CV_JSON_STRING, true, &sign->purpose, 32},
        {"algorithm", CV_JSON_STRING, true, &sign->algorithm, 32},
        {"data", CV_JSON_STRING, true, &sign->data,
         CV_LIMIT_SIGN_DATA * 4 / 3 + 4},
        CV_BROKER_ASK_FIELDS,
    };

    return cv_json_read(parameters, "Sign", CV_BROKER_FIELDS(fields), true,
                        err);
}

static struct cv_sign *sign_of(struct cv_together_call *call)
{
    return (struct cv_sign *)call;
}

static void begin(struct cv_broker *b, const cJSON *parameters,
                  struct cv_together_call *call)
{
    static const cJSON none = {.type = cJSON_Object};
    const cJSON *p = parameters != NULL ? parameters : &none;
    struct cv_sign *sign = sign_of(call);

    call->ask = &sign->ask;
    sign->call.status =
        cv_ask_begin(b, CV_ACTION_USE, p, &sign->ask, &sign->call.err);
    if (sign->call.status == CV_OK) {
        sign->call.status = read_sign(p, sign, &sign->call.err);
    }
}

void cv_sign_end(struct cv_broker *b, struct cv_together_call *call)
{
    struct cv_sign *sign = sign_of(call);

    (void)b;
    cv_store_entry_free(sign->row);
    cJSON_Delete(sign->doc);
}

static enum cv_status check_context(const struct cv_sign *sign,
                                    struct cv_err *err)
{
    const cJSON *item;

    if (sign->ask.context == NULL) {
        return CV_OK;
    }
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(sign->doc, "contexts"))
    {
        if (strcmp(cv_entry_text(item, "name"), sign->ask.context) == 0) {
            return CV_OK;
        }
    }
    return cv_fail(err, CV_NOT_FOUND, "the entry has no such context");
}

/* Entered. */
static enum cv_status load(struct cv_broker *b, struct cv_sign *sign)
{
    enum cv_status s = cv_broker_load_entry(b, sign->name, true, &sign->row,
                                            &sign->doc, &sign->call.err);

    sign->ask.doc = sign->doc;
    if (s == CV_OK) {
        s = check_context(sign, &sign->call.err);
    }
    /* Under a grant he was told of it. */
    if (s != CV_OK && sign->grant == NULL) {
        s = cv_ask_tell(&sign->ask, sign->doc, sign->name, s, &sign->call.err);
        sign->ask.context = NULL;
    }
    if (s == CV_OK) {
        sign->on_token = cv_entry_token_has(sign->doc);
    }
    return s;
}

/* What is signed for whoever asks could not be held to a grant's limits. */
static enum cv_status check_limits(struct cv_sign *sign)
{
    const struct cv_decide_result *r = &sign->ask.result;
    const struct cv_policy_grant *g = &r->grant;
    /* A handshake is a session, and consent to a use is consent to a grant. */
    const bool held = strncmp(sign->purpose, "tls", 3) == 0 &&
                      (r->approvals_needed > 0 || r->limit.sessions > 0);
    enum cv_status s;

    if (sign->grant != NULL ||
        (!g->read_only && g->verbs == NULL && g->namespaces == NULL &&
         g->resources == NULL && !held)) {
        return CV_OK;
    }
    s = cv_fail(&sign->call.err, CV_DENIED,
                "the policy gives it with limits, which only the relay keeps");
    cv_err_state(&sign->call.err, "nothing was done; the denial is recorded");
    cv_err_hint(&sign->call.err, "certvault exec %s -- COMMAND", sign->name);
    return s;
}

static bool add_details(cJSON *details, const struct cv_sign *sign)
{
    return cv_json_add_str(details, "purpose", sign->purpose) &&
           cv_json_add_str(details, "algorithm", sign->algorithm) &&
           (sign->grant == NULL ||
            (cv_json_add_str(details, "grant", sign->grant->id) &&
             cv_json_add_str(details, "server", sign->server) &&
             cv_json_add_str(details, "server_spki", sign->server_spki)));
}

/* Entered. What would only fail for want of a secret leaves no permit: the
 * method itself says then what is wanted. */
static enum cv_status decide(struct cv_broker *b, struct cv_sign *sign)
{
    cJSON *details;
    enum cv_status s =
        cv_ask_check(&sign->ask, sign->doc, NULL, &sign->call.err);

    if (s == CV_OK) {
        s = check_limits(sign);
    }
    if (s != CV_OK) {
        return s;
    }

    if (!sign->on_token && !(b->unlocked && b->token.channel != NULL)) {
        return CV_LOCKED;
    }
    details = cJSON_CreateObject();
    if (!add_details(details, sign)) {
        cJSON_Delete(details);
        return cv_fail(&sign->call.err, CV_INTERNAL, "memory is gone");
    }
    s = cv_ask_decide(&sign->ask, sign->doc, details, &sign->call.err);
    cJSON_Delete(details);
    return s;
}

/* A token that signed for this entry a moment ago is not asked whether it would
 * again: should it have lost its login since, the signature fails, and the next
 * one asks. */
static bool is_ready(const struct cv_broker *b, const struct cv_sign *sign)
{
    return strcmp(b->ready_name, sign->name) == 0 &&
           cv_clock_boot_ms() < b->ready_until_ms;
}

static enum cv_status need_login(struct cv_broker *b, struct cv_sign *sign)
{
    enum cv_status s =
        cv_module_need_entry(b, sign->token, NULL, &sign->call.err);

    if (s == CV_OK) {
        (void)snprintf(b->ready_name, sizeof(b->ready_name), "%s", sign->name);
        (void)snprintf(b->ready_token, sizeof(b->ready_token), "%s",
                       sign->token);
        b->ready_until_ms = cv_clock_boot_ms() + READY_MS;
    }
    return s;
}

/* Not entered. Which tokens must be logged in to is found out before the
 * vault's lock is taken: it may take a while. */
void cv_sign_look(struct cv_broker *b, struct cv_together_call *call)
{
    struct cv_sign *sign = sign_of(call);
    struct cv_store_entry *row = NULL;
    cJSON *doc = NULL;

    if (b->vault == NULL) {
        return;
    }
    if (is_ready(b, sign)) {
        (void)snprintf(sign->token, sizeof(sign->token), "%s", b->ready_token);
        return;
    }
    /* Nobody is asked for a PIN who would be denied. */
    if (cv_broker_load_entry(b, sign->name, false, &row, &doc, NULL) == CV_OK &&
        cv_entry_token_has(doc) &&
        (sign->grant != NULL || (cv_broker_policy_load(b, NULL) == CV_OK &&
                                 cv_ask_would(&sign->ask, doc)))) {
        (void)snprintf(sign->token, sizeof(sign->token), "%s",
                       cv_entry_token_uri(doc));
        sign->call.status = need_login(b, sign);
    }
    cv_store_entry_free(row);
    cJSON_Delete(doc);
}

void cv_sign_decide(struct cv_broker *b, struct cv_together_call *call)
{
    struct cv_sign *sign = sign_of(call);

    call->status = load(b, sign);
    if (call->status == CV_OK) {
        call->status = decide(b, sign);
    }
}

const struct cv_together_kind cv_sign_kind = {
    .method = CV_INTERFACE_BROKER ".Sign",
    .size = sizeof(struct cv_sign),
    .begin = begin,
    .look = cv_sign_look,
    .decide = cv_sign_decide,
    .end = cv_sign_end,
};

/* By the process that holds the sealed vault. */
static enum cv_status sign_sealed(struct cv_broker *b, struct cv_sign *sign,
                                  struct cv_message *answer, struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();

    if (!cv_json_add_item(p, "key",
                          cv_broker_sealed(b, sign->row, sign->doc)) ||
        !cv_json_add_str(p, "purpose", sign->purpose) ||
        !cv_json_add_str(p, "algorithm", sign->algorithm) ||
        !cv_json_add_str(p, "data", sign->data)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_broker_token(b, "Sign", p, 0, answer, err);
}

/* By its token: found anew, used, verified there. */
static enum cv_status sign_on_token(struct cv_broker *b, struct cv_sign *sign,
                                    struct cv_message *answer,
                                    struct cv_err *err)
{
    const cJSON *ref = cv_entry_token_ref(sign->doc);
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_item(p, "key", cJSON_Duplicate(ref, true)) ||
        !cv_json_add_str(p, "purpose", sign->purpose) ||
        !cv_json_add_str(p, "algorithm", sign->algorithm) ||
        !cv_json_add_str(p, "data", sign->data)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_module_call(b, cv_entry_token_uri(sign->doc), "Sign", p, 0, answer,
                       err);
    if (s == CV_OK) {
        cv_held_found(b, sign->doc);
        return s;
    }
    b->ready_until_ms = 0;
    if (s == CV_NOT_FOUND && answer->tree != NULL) {
        cv_held_missed(b, sign->doc);
    }
    return s;
}

static enum cv_status make(struct cv_broker *b, struct cv_sign *sign,
                           struct cv_reply *reply, struct cv_err *err)
{
    const char *signature = NULL;
    const struct cv_json_field fields[] = {
        {"signature", CV_JSON_STRING, true, &signature, CV_KIB(8)},
    };
    struct cv_message answer = {0};
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s = sign->on_token ? sign_on_token(b, sign, &answer, err)
                                      : sign_sealed(b, sign, &answer, err);

    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "Sign", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "signature", signature) ||
                       !cv_json_add_int(out, "audit_seq", sign->ask.seq))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_message_free(&answer);
    return s;
}

/* It was refused: says why, and what secret is wanted. */
static enum cv_status refuse(struct cv_broker *b, struct cv_sign *sign,
                             struct cv_reply *reply, struct cv_err *err)
{
    *err = sign->call.err;
    if (sign->call.status == CV_LOCKED && sign->token[0] == '\0') {
        enum cv_status s = cv_broker_need_open(b, reply, err);

        /* Nothing was signed: an answer without an error would say so. */
        return s != CV_OK
                   ? s
                   : cv_fail(err, CV_BUSY, "the vault is open only now: again");
    }
    /* Asked again, for what is to be told of the PIN. */
    if (sign->call.status == CV_LOCKED) {
        enum cv_status s = cv_module_need_login(b, sign->token, reply, err);

        return s != CV_OK ? s
                          : cv_fail(err, CV_BUSY,
                                    "the token is logged in only now: again");
    }
    return sign->call.status;
}

enum cv_status cv_sign_make(struct cv_broker *b, struct cv_sign *sign,
                            struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s;

    b->caller = sign->call.caller;
    if (sign->call.status != CV_OK) {
        return refuse(b, sign, reply, err);
    }
    s = make(b, sign, reply, err);
    /* A freeze may have come while the token worked. */
    if (s == CV_OK) {
        s = cv_freeze_check(&sign->ask, err);
    }
    if (s == CV_OK) {
        s = cv_reply_send(reply, err);
    }
    cv_ask_outcome_later(&sign->ask, s, NULL);
    return s;
}

CV_BROKER_METHOD(sign)
{
    struct cv_broker *b = context;

    (void)parameters;
    return b->together != NULL
               ? cv_sign_make(b, sign_of(b->together), reply, err)
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}
