/* The methods of io.certvault.Intake that ask the cloud: Clusters, Find, Fetch.
 * One session is kept between calls that name the same cloud, so that a
 * one-time passcode serves a whole command. */
#ifndef CERTVAULT_CLI_INTAKE_METHODS_H
#define CERTVAULT_CLI_INTAKE_METHODS_H

#include "vault/fetch/session.h"
#include "vault/wire/serve.h"

/* The context of the methods; zeroed at first. */
struct cv_intake_methods_state {
    struct cv_session *session;
};

extern const struct cv_interface cv_intake_methods;

/* Wipes what is kept. */
void cv_intake_methods_end(struct cv_intake_methods_state *state);

#endif
