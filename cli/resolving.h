/* What a locked-down program must be able to read to resolve host names. */
#ifndef CERTVAULT_CLI_RESOLVING_H
#define CERTVAULT_CLI_RESOLVING_H

#include "vault/base/sandbox.h"

#define CV_RESOLVING_FOLDERS 15

/* Writes them, to be read alone, into the first places of `out`. */
void cv_resolving_folders(struct cv_sandbox_folder out[CV_RESOLVING_FOLDERS]);

#endif
