/* The user's own kubeconfig: which file it is, and what is put into it. It is
 * read and rewritten by an intake that runs as the caller (cli/intake_merge.h).
 */
#ifndef CERTVAULT_CLI_KUBE_FILE_H
#define CERTVAULT_CLI_KUBE_FILE_H

#include "cli/keyless.h"

/* Puts the cluster, user and context of `k` into `file` (NULL: the one that
 * `kubectl config` would change). CV_EXISTS: something of that name is there
 * that is not ours (--yes replaces it); CV_INVALID: a file that cannot be read
 * or changed; CV_BUSY: kubectl is at it; CV_IO. The file is what it was on
 * failure. */
CV_MUST_USE enum cv_status cv_kube_file_merge(struct cv_cli *cli,
                                              const char *file,
                                              const struct cv_keyless *k,
                                              struct cv_err *err);

/* Takes out what is ours of the entry `name` (and, where given, the context
 * alone). CV_NOT_FOUND: nothing is. */
CV_MUST_USE enum cv_status
cv_kube_file_unmerge(struct cv_cli *cli, const char *file, const char *name,
                     const char *context, struct cv_err *err);

#endif
