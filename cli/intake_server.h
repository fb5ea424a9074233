/* The method of io.certvault.Intake that looks which key a server shows:
 * ServerKey (vault/fetch/server_key.h). */
#ifndef CERTVAULT_CLI_INTAKE_SERVER_H
#define CERTVAULT_CLI_INTAKE_SERVER_H

#include "vault/wire/serve.h"

CV_MUST_USE enum cv_status cv_intake_server_key(void *context,
                                                const cJSON *parameters,
                                                struct cv_reply *reply,
                                                struct cv_err *err);

#endif
