/* The runtime folder: where this user's sockets lie.
 *
 * $XDG_RUNTIME_DIR if it is ours and closed to others, else /run/user/UID, else
 * /tmp/certvault-UID, made 0700; in it a folder `certvault`, in which each
 * vault has the names HASH.sock and HASH.lock, HASH being the first 16 hex
 * digits of the SHA-256 of the vault's folder (realpath(3)). */
#ifndef CERTVAULT_CLI_RUNTIME_H
#define CERTVAULT_CLI_RUNTIME_H

#include "vault/base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/un.h>

/* The socket under which systemd hands out the default vault's agent. */
#define CV_RUNTIME_ACTIVATED "agent.sock"

#define CV_RUNTIME_LEAF 32

struct cv_runtime {
    int dir; /* the folder, open; -1: none */
    char folder[PATH_MAX];
};

/* What belongs to one vault. */
struct cv_runtime_names {
    char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    char socket_leaf[CV_RUNTIME_LEAF]; /* the same beneath the folder */
    char lock_leaf[CV_RUNTIME_LEAF];
};

/* Opens the folder, making it where `make`. CV_NOT_FOUND (it is not there, and
 * was not to be made), CV_CONFIG (it is a link, another user's, or open to
 * others), CV_IO. out->dir is -1 on failure. */
CV_MUST_USE enum cv_status cv_runtime_open(bool make, struct cv_runtime *out,
                                           struct cv_err *err);

void cv_runtime_close(struct cv_runtime *r);

/* The names for the vault in `vault`, an absolute path without links.
 * CV_CONFIG where the socket's path is longer than the kernel takes. */
CV_MUST_USE enum cv_status cv_runtime_name(const struct cv_runtime *r,
                                           const char *vault,
                                           struct cv_runtime_names *out,
                                           struct cv_err *err);

/* The path of the socket `leaf` in the folder, as above. */
CV_MUST_USE enum cv_status
cv_runtime_socket(const struct cv_runtime *r, const char *leaf,
                  char out[sizeof(((struct sockaddr_un *)NULL)->sun_path)],
                  struct cv_err *err);

/* Takes the vault's start lock (waits up to 30 s: CV_BUSY): whoever holds it
 * alone starts an agent or removes its socket. *fd is the caller's; closing it
 * gives the lock back. */
CV_MUST_USE enum cv_status cv_runtime_lock(const struct cv_runtime *r,
                                           const struct cv_runtime_names *names,
                                           int *fd, struct cv_err *err);

#endif
