#include "vault/broker/module_internal.h"

static enum cv_status none(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_UNAVAILABLE, "tokens are not in this version");

    cv_err_state(err, "nothing was done");
    return s;
}

enum cv_status cv_module_call(struct cv_broker *b, const char *token_uri,
                              const char *method, cJSON *parameters,
                              unsigned flags, struct cv_message *reply,
                              struct cv_err *err)
{
    (void)b;
    (void)token_uri;
    (void)method;
    (void)flags;
    cJSON_Delete(parameters);
    *reply = (struct cv_message){0};
    return none(err);
}

enum cv_status cv_module_need_login(struct cv_broker *b, const char *token_uri,
                                    struct cv_reply *reply, struct cv_err *err)
{
    (void)b;
    (void)token_uri;
    (void)reply;
    return none(err);
}

void cv_module_stop_all(struct cv_broker *b)
{
    (void)b;
}
