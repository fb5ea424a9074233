/* certvaultd --offline: io.certvault.Offline over descriptor 3, for what needs
 * no vault, no network and no token. Descriptor 4 is the vault's folder where
 * its log is verified, or the backup that is restored, and 5 the folder that it
 * is restored into. */
#ifndef CERTVAULT_CLI_BROKER_OFFLINE_H
#define CERTVAULT_CLI_BROKER_OFFLINE_H

#include "vault/base/err.h"

/* Serves until descriptor 3 closes. Locks the process down first. */
CV_MUST_USE enum cv_status cv_broker_offline_run(struct cv_err *err);

#endif
