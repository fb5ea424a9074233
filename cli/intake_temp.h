/* The file that a kubeconfig is written to before it gets the name: a
 * ".certvault.<8 hex>.tmp" beside it, 0600 and locked (flock(2)) by who writes
 * it. So one that nobody holds is of a run that was killed, and the next one
 * takes it away. */
#ifndef CERTVAULT_CLI_INTAKE_TEMP_H
#define CERTVAULT_CLI_INTAKE_TEMP_H

#include "vault/base/err.h"

#include <stdbool.h>

struct cv_intake_temp {
    int folder; /* borrowed */
    int fd;     /* -1: none */
    char name[32];
};

#define CV_INTAKE_TEMP_NONE ((struct cv_intake_temp){.folder = -1, .fd = -1})

/* Makes an empty one in `folder`. CV_IO. */
CV_MUST_USE enum cv_status
cv_intake_temp_make(int folder, struct cv_intake_temp *out, struct cv_err *err);

/* Lets it go: after it got another name (`keep`), or with its name. */
void cv_intake_temp_end(struct cv_intake_temp *temp, bool keep);

/* Removes those of killed runs of this user from `folder`: regular files with
 * one name, ours, that nobody holds. Of what cannot be looked at none. */
void cv_intake_temp_sweep(int folder);

#endif
