/* What a service manager hands to a program that it starts (systemd's
 * socket activation, sd_listen_fds(3)): sockets, from descriptor 3 up, and
 * where it wants to hear of it. */
#ifndef CERTVAULT_CLI_HANDED_H
#define CERTVAULT_CLI_HANDED_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Tells vault/base/manager.h what the environment says. CV_CONFIG. */
CV_MUST_USE enum cv_status cv_handed_manager(struct cv_err *err);

/* Was exactly one handed to this very process (LISTEN_PID, LISTEN_FDS)? */
bool cv_handed_is_one(void);

/* Does `fd` listen, and is it no connection? */
bool cv_handed_listens(int fd);

/* Makes sure that `fd` is a Unix stream socket that listens; nobody else
 * inherits it, and nothing waits in accept(2). CV_CONFIG, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_handed_check(int fd, struct cv_err *err);

/* Where it listens; "" where that has no path. */
void cv_handed_path(int fd, char *out, size_t out_len);

/* The relay's two: waits until the one user who owns the sockets' files has
 * connected to both, `listeners[0]` that is called relay-orders.sock,
 * `listeners[1]` relay-asks.sock, and closes them. Connections of others, and
 * those whose other end has gone, are dropped. Feeds the watchdog meanwhile.
 * CV_CONFIG: these are not the two sockets. */
CV_MUST_USE enum cv_status cv_handed_accept_two(const int listeners[2],
                                                int out[2], struct cv_err *err);

#endif
