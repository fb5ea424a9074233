/* What `audit verify --proof` does; the rest of the file is commands. */
#ifndef CERTVAULT_CLI_CMD_PROVE_H
#define CERTVAULT_CLI_CMD_PROVE_H

#include "cli/args.h"
#include "cli/cli.h"

/* Checks the proof file of --proof for the record of --record by the key of
 * --key, offline; prints the result. CV_USAGE, CV_INTEGRITY (it proves
 * nothing), CV_INVALID. */
CV_MUST_USE enum cv_status cv_cmd_prove_verify(struct cv_cli *cli,
                                               const struct cv_args *args,
                                               struct cv_err *err);

#endif
