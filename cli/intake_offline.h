/* The methods of io.certvault.Intake that need no network: Read, Strip. They
 * work on descriptor 4, a file, a pipe or a folder of the caller's. */
#ifndef CERTVAULT_CLI_INTAKE_OFFLINE_H
#define CERTVAULT_CLI_INTAKE_OFFLINE_H

#include "vault/wire/serve.h"

/* The context of the methods is not used. */
extern const struct cv_interface cv_intake_offline;

/* Where they read. */
#define CV_INTAKE_OFFLINE_INPUT 4

#endif
