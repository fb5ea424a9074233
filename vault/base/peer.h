/* Who is at the other end of a Unix socket. */
#ifndef CERTVAULT_BASE_PEER_H
#define CERTVAULT_BASE_PEER_H

#include "vault/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CV_PEER_GROUPS 256

/* Decisions use uid, gid and groups alone; pid, exe and tty are hints. */
struct cv_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid;       /* hint: it had that when it was connected */
    size_t n_groups; /* supplementary groups */
    gid_t groups[CV_PEER_GROUPS];
    char exe[128];    /* hint: path; "(name)", the name that the
                         program goes by, where the path is not
                         shown to us; "" where /proc tells neither */
    char tty[32];     /* hint: "pts/3"; "" where it has none */
    int64_t loginuid; /* hint; -1: none */
};

/* The uid at the other end of a connected socket, and nothing else. CV_DENIED
 * when the kernel does not tell. */
CV_MUST_USE enum cv_status cv_peer_uid(int socket, uid_t *uid,
                                       struct cv_err *err);

/* Reads SO_PEERCRED and SO_PEERGROUPS (unix(7)) of a connected socket, as they
 * were when it was connected, and no hints. CV_DENIED when the kernel does not
 * tell, or there are more groups than CV_PEER_GROUPS: an error must never read
 * as a yes. */
CV_MUST_USE enum cv_status cv_peer_who(int socket, struct cv_peer *out,
                                       struct cv_err *err);

/* Adds the hints: printable ASCII, read from /proc by pid. The socket keeps
 * hold of the process that was connected (SO_PEERPIDFD): where it has ended
 * there are none, for what goes by its number may be another by now. A kernel
 * before 6.5 cannot tell; there the hints may be another's. */
void cv_peer_hints(int socket, struct cv_peer *peer);

/* Both. */
CV_MUST_USE enum cv_status cv_peer_read(int socket, struct cv_peer *out,
                                        struct cv_err *err);

#endif
