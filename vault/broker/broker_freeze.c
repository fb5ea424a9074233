/* LockAll, UnlockAll: nobody uses the vault; and everybody may again. Decided
 * like any change: whoever may lock everybody out may also not. */
#include "vault/broker/broker_internal.h"

static enum cv_status run(struct cv_broker *b, const cJSON *parameters,
                          const char *method, bool frozen,
                          struct cv_reply *reply, struct cv_err *err)
{
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    cJSON *details = cJSON_CreateObject();
    bool before = false;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    (void)cv_json_add_str(details, "method", method);
    /* One that came while a token was at work has not shut everything yet. */
    cv_freeze_tick(b);
    if (s == CV_OK) {
        s = cv_json_read(parameters, method, CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        before = b->freeze.is;
        ask.urgent = true;
        s = cv_ask_decide(&ask, NULL, details, err);
        if (s == CV_OK) {
            s = cv_freeze_set(&ask, frozen, details, err);
        }
        cv_broker_leave(b);
    }
    /* Also where its outcome could not be recorded: the freeze stands. */
    cv_freeze_tick(b);
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    } else if (!cv_freeze_add(b, cv_reply_parameters(reply)) ||
               !cv_json_add_bool(cv_reply_parameters(reply), "was_frozen",
                                 before) ||
               !cv_json_add_bool(cv_reply_parameters(reply), "locked",
                                 !b->unlocked)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_Delete(details);
    return s;
}

CV_BROKER_METHOD(lock_all)
{
    return run(context, parameters, "LockAll", true, reply, err);
}

CV_BROKER_METHOD(unlock_all)
{
    return run(context, parameters, "UnlockAll", false, reply, err);
}
