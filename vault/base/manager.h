/* Telling a service manager how it goes (sd_notify(3): datagrams of lines to
 * the socket that NOTIFY_SOCKET names), without its library.
 *
 * One for the process: there is one service manager. Where it was started by
 * none, every call does nothing. Nothing here waits, and nobody reads an
 * answer: a manager that is gone is no reason to stop serving. */
#ifndef CERTVAULT_BASE_MANAGER_H
#define CERTVAULT_BASE_MANAGER_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Takes what the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say
 * (NULL: not set) and connects: before the sandbox closes. CV_CONFIG: they say
 * what no manager says, or nobody listens there. */
CV_MUST_USE enum cv_status cv_manager_open(const char *path, const char *usec,
                                           const char *pid, struct cv_err *err);

/* It serves. `status` (may be NULL) is shown by `systemctl status`: no secrets,
 * no line feeds. */
void cv_manager_ready(const char *status);

/* It reads its configuration again; ends with cv_manager_ready. */
void cv_manager_reloading(void);

/* It ends. */
void cv_manager_stopping(void);

/* Shown by `systemctl status`; as above. */
void cv_manager_status(const char *status);

/* Tells the watchdog that it lives, where half of the time for it has passed;
 * `now`: at once, because what comes next may take long. */
void cv_manager_feed(bool now);

/* In how many ms cv_manager_feed is to be called again at the latest; -1: no
 * watchdog. */
int64_t cv_manager_rest_ms(void);

#endif
