/* What the commands about policies share. */
#ifndef CERTVAULT_CLI_CMD_POLICY_H
#define CERTVAULT_CLI_CMD_POLICY_H

#include "cli/cli.h"

/* Puts the text of the file `path` into `parameters` as `key`. CV_NOT_FOUND,
 * CV_INVALID. */
CV_MUST_USE enum cv_status
cv_cmd_policy_add_file(struct cv_cli *cli, cJSON *parameters, const char *key,
                       const char *path, struct cv_err *err);

/* Prints what PolicyDiff answered. */
CV_MUST_USE enum cv_status cv_cmd_policy_show_diff(struct cv_cli *cli,
                                                   const cJSON *diff,
                                                   struct cv_err *err);

#endif
