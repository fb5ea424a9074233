/* The methods of io.certvault.Intake that use the network: Clusters, Find,
 * Fetch ask the cloud, Deliver hands leaves of the record to a sink
 * (intake_sink.h). One session is kept between calls that name the same cloud,
 * so that a one-time passcode serves a whole command. */
#ifndef CERTVAULT_CLI_INTAKE_METHODS_H
#define CERTVAULT_CLI_INTAKE_METHODS_H

#include "cli/intake_sink.h"
#include "vault/fetch/session.h"
#include "vault/wire/serve.h"

/* The context of the methods; zeroed at first. */
struct cv_intake_methods_state {
    struct cv_session *session;
    struct cv_intake_sink *sink;
};

extern const struct cv_interface cv_intake_methods;

/* Wipes what is kept. */
void cv_intake_methods_end(struct cv_intake_methods_state *state);

#endif
