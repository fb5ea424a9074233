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

struct cv_connect_start {
    const char *folder; /* absolute */
    const char *config; /* the configuration; NULL: none */
    bool create;        /* makes the folder */
    bool allow_unlocked;
};

/* Starts a private broker; *fd is this end of its socket. */
CV_MUST_USE enum cv_status cv_connect_start(const struct cv_connect_start *how,
                                            int *fd, pid_t *pid,
                                            struct cv_err *err);

#endif
