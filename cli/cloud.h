/* What the caller has to log in to a cloud with, gathered into the wire's Cloud
 * object, unread: intake finds the credentials in it. */
#ifndef CERTVAULT_CLI_CLOUD_H
#define CERTVAULT_CLI_CLOUD_H

#include "cli/cli.h"

/* Checks the cloud's flags (CV_USAGE), then reads files, environment and, for
 * an IAM user, the terminal. *out lives in `arena`. With --as-service nothing
 * of the caller's is sent, and naming an endpoint or credentials is CV_USAGE.
 */
CV_MUST_USE enum cv_status cv_cloud_gather(struct cv_cli *cli,
                                           const struct cv_args *args,
                                           struct cv_arena *arena, cJSON **out,
                                           struct cv_err *err);

/* The checks alone. */
CV_MUST_USE enum cv_status cv_cloud_check(const struct cv_args *args,
                                          struct cv_err *err);

#endif
