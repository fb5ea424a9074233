/* How a socket is reached; for connect.c alone. */
#ifndef CERTVAULT_CLI_CONNECT_INTERNAL_H
#define CERTVAULT_CLI_CONNECT_INTERNAL_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* Connects to the Unix socket at `path` and checks who serves it: this user,
 * root, or the owner of a folder that nobody else can write to. CV_UNAVAILABLE
 * (nobody there), CV_CONFIG (not to be trusted), CV_USAGE (too long). */
CV_MUST_USE enum cv_status cv_connect_unix(const char *path, int *fd,
                                           struct cv_err *err);

/* Starts a private broker for `folder`, which it makes where `create`; *fd is
 * this end of its socket. */
CV_MUST_USE enum cv_status cv_connect_start(const char *folder, bool create,
                                            bool allow_unlocked, int *fd,
                                            pid_t *pid, struct cv_err *err);

#endif
