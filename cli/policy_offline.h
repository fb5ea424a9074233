/* What certvaultd --offline does with policy files: keys that sign them,
 * signatures, findings, tidying. Methods of io.certvault.Offline. */
#ifndef CERTVAULT_CLI_POLICY_OFFLINE_H
#define CERTVAULT_CLI_POLICY_OFFLINE_H

#include "vault/wire/serve.h"

#define CV_POLICY_OFFLINE(name)                                         \
    enum cv_status cv_policy_offline_##name(                            \
        void *context, const cJSON *parameters, struct cv_reply *reply, \
        struct cv_err *err)

CV_POLICY_OFFLINE(key);
CV_POLICY_OFFLINE(note);
CV_POLICY_OFFLINE(sign);

#endif
