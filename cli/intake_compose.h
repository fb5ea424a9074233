/* intake --offline: identities and certificate requests of keys that are on a
 * token. No key is in any of it. */
#ifndef CERTVAULT_CLI_INTAKE_COMPOSE_H
#define CERTVAULT_CLI_INTAKE_COMPOSE_H

#include "vault/wire/serve.h"

CV_MUST_USE enum cv_status cv_intake_compose(void *context,
                                             const cJSON *parameters,
                                             struct cv_reply *reply,
                                             struct cv_err *err);
CV_MUST_USE enum cv_status cv_intake_compose_request(void *context,
                                                     const cJSON *parameters,
                                                     struct cv_reply *reply,
                                                     struct cv_err *err);
CV_MUST_USE enum cv_status cv_intake_compose_finish(void *context,
                                                    const cJSON *parameters,
                                                    struct cv_reply *reply,
                                                    struct cv_err *err);

#endif
