#include "vault/broker/settings.h"

#include "vault/broker/helper.h"

#include <stdio.h>

enum cv_status cv_settings_ask(struct cv_helper *settings, const char *method,
                               cJSON *parameters, struct cv_message *reply,
                               struct cv_err *err)
{
    char full[64];
    enum cv_status s;

    (void)snprintf(full, sizeof(full), "%s.%s", CV_SETTINGS_INTERFACE, method);
    s = cv_helper_call(settings, full, parameters, CV_CLIENT_SECRET_OUT, reply,
                       err);
    cv_helper_stop(settings);
    return s;
}
