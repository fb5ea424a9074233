/* token list, objects, probe, login, change-pin. */
#include "vault/broker/module_internal.h"

/* Every one of them is `admin`. */
static enum cv_status unavailable(struct cv_broker *b, const cJSON *parameters,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_message answer;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    (void)reply;
    if (s == CV_OK) {
        s = cv_module_call(b, NULL, "Tokens", cJSON_CreateObject(), 0, &answer,
                           err);
        cv_message_free(&answer);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    return s;
}

CV_BROKER_METHOD(token_list)
{
    return unavailable(context, parameters, reply, err);
}

CV_BROKER_METHOD(token_objects)
{
    return unavailable(context, parameters, reply, err);
}

CV_BROKER_METHOD(token_probe)
{
    return unavailable(context, parameters, reply, err);
}

CV_BROKER_METHOD(token_login)
{
    return unavailable(context, parameters, reply, err);
}

CV_BROKER_METHOD(token_change_pin)
{
    return unavailable(context, parameters, reply, err);
}
