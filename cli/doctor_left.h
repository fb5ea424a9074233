/* What doctor finds of runs that were killed: files that were to get a name, in
 * the folders of the user's kubeconfigs and in the vault's. A later run of the
 * same user takes its own away from the former; what another's run left (with
 * sudo, as a rule) nobody does, and it may hold a kubeconfig with its keys. */
#ifndef CERTVAULT_CLI_DOCTOR_LEFT_H
#define CERTVAULT_CLI_DOCTOR_LEFT_H

#include "cli/doctor_host.h"

/* A line for each, with the command that removes it; none is fine. Nothing is
 * removed. `vault`: its folder, or NULL. */
void cv_doctor_left_run(struct cv_doctor_host *d, const char *vault);

#endif
