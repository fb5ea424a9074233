/* Waiting for approval (--wait). */
#ifndef CERTVAULT_CLI_WAIT_H
#define CERTVAULT_CLI_WAIT_H

#include "cli/cli.h"

/* Is this the answer of a call that waits for approval? Its request_id is the
 * request's. */
bool cv_wait_is_for(const struct cv_err *err);

/* Asks about the request `id` until it is answered. CV_OK: it is approved.
 * CV_DENIED: denied, or withdrawn; CV_BUSY: its time is over, it was used by
 * another call, or a signal wants this one to end. */
CV_MUST_USE enum cv_status cv_wait_run(struct cv_cli *cli, const char *id,
                                       struct cv_err *err);

#endif
