/* Datagrams to a syslog server, to a syslog daemon's socket or to systemd's
 * journal. Nobody acknowledges them: what a local socket took has arrived, what
 * went out over UDP may not. Blocking; one thread. */
#ifndef CERTVAULT_CLI_SINK_DATAGRAM_H
#define CERTVAULT_CLI_SINK_DATAGRAM_H

#include "cli/sink_target.h"
#include "vault/base/arena.h"

/* Connects. CV_REMOTE; *fd is -1 then. Resolving a name may take as long as
 * the host's resolver does. */
CV_MUST_USE enum cv_status cv_sink_datagram_open(const struct cv_sink_target *t,
                                                 int *fd, struct cv_err *err);

/* Sends one, waiting for room until `until_ms` (CLOCK_BOOTTIME). CV_REMOTE:
 * nobody is there, or it takes none. */
CV_MUST_USE enum cv_status cv_sink_datagram_send(int fd, struct cv_bytes bytes,
                                                 int64_t until_ms,
                                                 struct cv_err *err);

/* Did anybody refuse what was sent? Waits a moment where that comes over the
 * network. CV_REMOTE. */
CV_MUST_USE enum cv_status
cv_sink_datagram_settle(int fd, const struct cv_sink_target *t,
                        struct cv_err *err);

#endif
