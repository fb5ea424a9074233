/* `audit key --all` and `audit key rotate`. */
#include "vault/broker/rotate.h"

#include "vault/audit/logkey_token.h"
#include "vault/audit/rotation.h"
#include "vault/base/limits.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/module_internal.h"

#include <string.h>

#define TOKEN "token:"

static bool add_key(cJSON *out, const char *name, const struct cv_note_key *key)
{
    struct cv_buf text;
    bool ok;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(key, &text);
    ok = text.status == CV_OK && cv_json_add_str(out, name, cv_buf_text(&text));
    cv_buf_wipe(&text);
    return ok;
}

/* The decision, durable. `before` is the log's key of now, `left` its URI where
 * it is on a token. */
static enum cv_status decide(struct cv_ask *ask, struct cv_note_key *before,
                             struct cv_buf *left, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    cJSON *details;
    enum cv_status s = cv_broker_enter(b, err);

    if (s != CV_OK) {
        return s;
    }
    *before = b->vault->log_key;
    (void)!cv_logkey_token_uri(b->vault->dir, false, before, left, NULL);
    details = cJSON_CreateObject();
    s = cv_json_add_str(details, "method", "AuditKeyRotate")
            ? cv_ask_decide(ask, NULL, details, err)
            : cv_fail(err, CV_INTERNAL, "memory is gone");
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    cJSON_Delete(details);
    cv_broker_leave(b);
    return s;
}

/* The leaf, durable. */
static enum cv_status commit(struct cv_ask *ask,
                             struct cv_rotate_change *prepared,
                             struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_broker_enter(b, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_rotate_begin(ask, prepared, err);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s == CV_OK) {
        s = cv_rotate_look(b->vault, err);
    }
    cv_broker_leave(b);
    return s;
}

/* It is permitted: what comes of it is recorded. */
static enum cv_status change(struct cv_ask *ask, const char *uri,
                             struct cv_err *err)
{
    struct cv_rotate_change prepared;
    bool lost;
    enum cv_status s = cv_rotate_prepare(ask->broker, uri, &prepared, err);

    if (s == CV_OK) {
        s = commit(ask, &prepared, err);
    }
    lost = s != CV_OK && prepared.queued &&
           cv_rotate_is_lost(ask->broker, &prepared, err);
    cv_rotate_end(ask->broker, &prepared, err);
    if (s != CV_OK && (!prepared.queued || lost)) {
        cv_ask_outcome_now(ask, s, NULL);
    }
    return s;
}

/* `file`, or `token:` and the URI of a token or of a key on it. */
static enum cv_status check_to(const char *to, const char **uri,
                               struct cv_err *err)
{
    enum cv_status s;

    *uri = NULL;
    if (to == NULL || strcmp(to, "file") == 0) {
        return CV_OK;
    }
    if (strncmp(to, TOKEN "pkcs11:", strlen(TOKEN "pkcs11:")) == 0) {
        *uri = to + strlen(TOKEN);
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "there is no such place for the log's key");
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "file, or token:pkcs11:...");
    return s;
}

/* The tokens of both keys, before anything is decided or made; who may not has
 * nobody asked for a PIN. */
static enum cv_status need_tokens(struct cv_ask *ask, const char *uri,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_ask_check(ask, NULL, NULL, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = cv_signer_need(b, reply, err);
    }
    if (s == CV_LOCKED && uri != NULL) {
        cv_module_need_also(b, uri, reply);
    } else if (s == CV_OK && uri != NULL) {
        s = cv_module_need_login(b, uri, reply, err);
    }
    return s;
}

static enum cv_status tell(struct cv_broker *b,
                           const struct cv_note_key *before,
                           const struct cv_buf *left, struct cv_reply *reply,
                           struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);

    return add_key(out, "old_vkey", before) &&
                   add_key(out, "vkey",
                           b->vault->rotating ? &b->vault->next_key
                                              : &b->vault->log_key) &&
                   cv_json_add_bool(out, "finished", !b->vault->rotating) &&
                   (left->len == 0 ||
                    cv_json_add_str(out, "old_token_uri", cv_buf_text(left)))
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_BROKER_METHOD(audit_key_rotate)
{
    struct cv_broker *b = context;
    const char *to = NULL, *uri = NULL;
    const struct cv_json_field fields[] = {
        {"to", CV_JSON_STRING, false, &to, CV_LIMIT_TOKEN_URI + sizeof(TOKEN)},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_note_key before = {.name = ""};
    struct cv_buf left;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    cv_buf_init(&left, NULL, CV_LIMIT_TOKEN_URI + 1);
    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditKeyRotate", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = check_to(to, &uri, err);
    }
    if (s == CV_OK && b->vault != NULL && cv_backup_is_log_key_sealed(b)) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK) {
        s = need_tokens(&ask, uri, reply, err);
    }
    if (s == CV_OK) {
        cv_signer_clean(b);
        s = decide(&ask, &before, &left, err);
    }
    if (s == CV_OK) {
        s = change(&ask, uri, err);
    }
    if (s == CV_OK) {
        cv_broker_checkpoint(b);
        cv_signer_clean(b);
        s = tell(b, &before, &left, reply, err);
    } else {
        cv_ask_refused(&ask, err);
    }
    cv_buf_wipe(&left);
    return s;
}

CV_BROKER_METHOD(audit_keys)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    cJSON *items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    return s == CV_OK
               ? cv_rotation_list(b->vault->dir, &b->vault->log_key, items, err)
               : s;
}
