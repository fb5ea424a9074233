/* What certvaultd --offline does with policy files: keys that sign them,
 * signatures, findings, tidying. Methods of io.certvault.Offline. */
#ifndef CERTVAULT_CLI_POLICY_OFFLINE_H
#define CERTVAULT_CLI_POLICY_OFFLINE_H

#include "vault/wire/serve.h"

/* Before the process is locked down: forks the one that looks names up for
 * `lint`, which then takes them for known where it fails. */
void cv_policy_offline_begin(void);

#define CV_POLICY_OFFLINE(name)                                         \
    enum cv_status cv_policy_offline_##name(                            \
        void *context, const cJSON *parameters, struct cv_reply *reply, \
        struct cv_err *err)

CV_POLICY_OFFLINE(key);
CV_POLICY_OFFLINE(note);
CV_POLICY_OFFLINE(sign);
CV_POLICY_OFFLINE(lint);
CV_POLICY_OFFLINE(format);
CV_POLICY_OFFLINE(group);

#endif
