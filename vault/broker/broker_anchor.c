/* Anchoring on demand: `audit anchor`. */
#include "vault/audit/checkpoint.h"
#include "vault/broker/anchor.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/broker_internal.h"

/* Entered and left; decided and recorded before anything is sent. */
static enum cv_status permit(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_broker_enter(b, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_ask_decide(ask, NULL, NULL, err);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s == CV_OK) {
        s = cv_ask_outcome(ask, CV_OK, NULL, err);
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    cv_broker_leave(b);
    return s;
}

CV_BROKER_METHOD(audit_anchor)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditAnchor", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK && b->vault != NULL && cv_backup_is_log_key_sealed(b)) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK) {
        s = cv_signer_need(b, reply, err);
    }
    if (s == CV_OK) {
        s = permit(&ask, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    if (b->options->programs.anchors == NULL) {
        s = cv_fail(err, CV_NOT_FOUND, "no anchors are configured");
        cv_err_hint(err, "audit: {anchors: [...]} in the configuration; "
                         "certvault-config(5)");
        return s;
    }
    cv_broker_checkpoint(b);
    cv_anchor_ask(b);
    (void)cv_anchor_tick(b);
    return cv_anchor_add_list(b, cv_reply_parameters(reply))
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* How they stand, for who waits; not decided, as Status. */
CV_BROKER_METHOD(audit_anchors)
{
    struct cv_broker *b = context;
    enum cv_status s =
        cv_json_read(parameters, "AuditAnchors", NULL, 0, true, err);

    if (s != CV_OK) {
        return s;
    }
    (void)cv_anchor_tick(b);
    return cv_anchor_add_list(b, cv_reply_parameters(reply))
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}
