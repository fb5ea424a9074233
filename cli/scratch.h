/* A folder of ours for a short while, in the runtime folder. */
#ifndef CERTVAULT_CLI_SCRATCH_H
#define CERTVAULT_CLI_SCRATCH_H

#include "vault/base/err.h"

#include <limits.h>

struct cv_scratch {
    char path[PATH_MAX];
    int dir; /* open */
};

/* Makes it, empty, 0700. CV_CONFIG (see cv_runtime_open), CV_IO. */
CV_MUST_USE enum cv_status cv_scratch_make(struct cv_scratch *out,
                                           struct cv_err *err);

/* Closes it and takes it away, if it is empty again. */
void cv_scratch_remove(struct cv_scratch *s);

#endif
