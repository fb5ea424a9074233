/* `audit key --all` and `audit key rotate`. */
#include "vault/broker/rotate.h"

#include "vault/audit/rotation.h"
#include "vault/base/limits.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/broker_internal.h"

#include <string.h>

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

/* Entered. The decision, durable. */
static enum cv_status decide(struct cv_ask *ask, struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = cv_json_add_str(details, "method", "AuditKeyRotate")
                           ? cv_ask_decide(ask, NULL, details, err)
                           : cv_fail(err, CV_INTERNAL, "memory is gone");

    cJSON_Delete(details);
    return s == CV_OK ? cv_broker_commit(ask->broker, err) : s;
}

/* Entered, and permitted: what comes of it is recorded. */
static enum cv_status change(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct cv_err own;
    enum cv_status s = cv_rotate_begin(ask, err);

    if (s != CV_OK) {
        cv_err_init(&own);
        if (cv_ask_outcome(ask, s, NULL, &own) == CV_OK) {
            (void)!cv_broker_commit(b, &own);
        }
        return s;
    }
    s = cv_broker_commit(b, err);
    return s == CV_OK ? cv_rotate_look(b->vault, err) : s;
}

static enum cv_status check_to(const char *to, struct cv_err *err)
{
    if (to == NULL || strcmp(to, "file") == 0) {
        return CV_OK;
    }
    cv_fail(err, CV_CONFIG, "the log's key cannot be put on a token yet");
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "without --to the new key is in the vault's folder, like "
                     "the one before it");
    return CV_CONFIG;
}

CV_BROKER_METHOD(audit_key_rotate)
{
    struct cv_broker *b = context;
    const char *to = NULL;
    const struct cv_json_field fields[] = {
        {"to", CV_JSON_STRING, false, &to, CV_LIMIT_TOKEN_URI},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_note_key before;
    struct cv_ask ask;
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditKeyRotate", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = check_to(to, err);
    }
    if (s == CV_OK && b->vault != NULL && cv_backup_is_log_key_sealed(b)) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    before = b->vault->log_key;
    s = decide(&ask, err);
    if (s == CV_OK) {
        s = change(&ask, err);
    }
    cv_broker_leave(b);
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    cv_broker_checkpoint(b);
    if (!add_key(out, "old_vkey", &before) ||
        !add_key(out, "vkey",
                 b->vault->rotating ? &b->vault->next_key
                                    : &b->vault->log_key) ||
        !cv_json_add_bool(out, "finished", !b->vault->rotating)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
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
