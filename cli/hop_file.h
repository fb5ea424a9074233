/* The folder that holds a run's kubeconfig: RUNTIME/exec-<16 hex>/config, 0600
 * in 0700.
 *
 * Its owner holds a flock on it for life. One whose owner is gone is removed by
 * the next that is made. */
#ifndef CERTVAULT_CLI_HOP_FILE_H
#define CERTVAULT_CLI_HOP_FILE_H

#include "cli/runtime.h"
#include "vault/base/arena.h"

struct cv_hop_file {
    struct cv_runtime runtime;
    int dir; /* the folder, locked; -1: none */
    char leaf[32];
    char path[PATH_MAX + 48]; /* of the kubeconfig */
};

/* Makes it, after removing those that were left behind. CV_CONFIG (the runtime
 * folder is not to be trusted), CV_BUSY, CV_IO. Nothing is left on failure. */
CV_MUST_USE enum cv_status cv_hop_file_make(struct cv_hop_file *f,
                                            struct cv_bytes text,
                                            struct cv_err *err);

/* Removes it with all that is in it; one that was not made is fine. */
void cv_hop_file_remove(struct cv_hop_file *f);

#endif
