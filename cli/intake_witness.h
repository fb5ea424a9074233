/* The method of io.certvault.Intake that speaks to a C2SP tlog-witness
 * (c2sp.org/tlog-witness): AddCheckpoint sends one request and hands back what
 * came, which the broker judges. */
#ifndef CERTVAULT_CLI_INTAKE_WITNESS_H
#define CERTVAULT_CLI_INTAKE_WITNESS_H

#include "vault/wire/serve.h"

CV_MUST_USE enum cv_status cv_intake_witness_add(void *context,
                                                 const cJSON *parameters,
                                                 struct cv_reply *reply,
                                                 struct cv_err *err);

#endif
