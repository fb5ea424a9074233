/* Bundles: `audit prove --entry N ... --output DIR`, `audit verify --bundle`.
 */
#ifndef CERTVAULT_CLI_CMD_BUNDLE_H
#define CERTVAULT_CLI_CMD_BUNDLE_H

#include "cli/args.h"
#include "cli/cli.h"

/* Makes the bundle of --entry, --since and --until in the folder of --output,
 * which must not be there yet. It is checked before it gets its name; on
 * failure nothing is left of it. CV_USAGE, CV_EXISTS, CV_IO, or what the broker
 * says. */
CV_MUST_USE enum cv_status cv_cmd_bundle_make(struct cv_cli *cli,
                                              const struct cv_args *args,
                                              struct cv_err *err);

/* Checks the bundle of --bundle (by --key, and that --checkpoint is of the same
 * log), offline; prints the result. CV_INTEGRITY and the rest of
 * cv_bundle_check. */
CV_MUST_USE enum cv_status cv_cmd_bundle_verify(struct cv_cli *cli,
                                                const struct cv_args *args,
                                                struct cv_err *err);

#endif
