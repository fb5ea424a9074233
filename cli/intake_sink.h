/* Deliver of io.certvault.Intake: a sink's half that speaks to the network. It
 * is handed finished bytes and hands them on; it decides nothing. */
#ifndef CERTVAULT_CLI_INTAKE_SINK_H
#define CERTVAULT_CLI_INTAKE_SINK_H

#include "vault/wire/serve.h"

/* One sink's connection, kept between calls. */
struct cv_intake_sink;

/* Serves one call; *sink (NULL at first) is what the next one goes on with. */
CV_MUST_USE enum cv_status cv_intake_sink_deliver(struct cv_intake_sink **sink,
                                                  const cJSON *parameters,
                                                  struct cv_reply *reply,
                                                  struct cv_err *err);

/* NULL is fine. */
void cv_intake_sink_free(struct cv_intake_sink *sink);

#endif
