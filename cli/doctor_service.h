/* What doctor finds out about certvault as a service of systemd, by files
 * alone: nothing is asked of systemd, and no socket is connected to, which
 * would start what lies behind it. */
#ifndef CERTVAULT_CLI_DOCTOR_SERVICE_H
#define CERTVAULT_CLI_DOCTOR_SERVICE_H

#include "cli/doctor_host.h"

/* Are the units there, all of them, enabled, not masked; is its key's
 * credential there; does somebody listen at its sockets? `root` is put before
 * every path but those below /proc: "" for this host. Without units: one line
 * that says so. */
void cv_doctor_service_run(struct cv_doctor_host *d, const char *root);

#endif
