/* What must not lie in the vault's own folder. */
#ifndef CERTVAULT_CLI_INSIDE_H
#define CERTVAULT_CLI_INSIDE_H

#include "cli/cli.h"

/* CV_USAGE where the file at `path` (it need not be there) lies in the vault's
 * folder, or below it; `hint` says where it belongs. Of a broker that was
 * named by its address the folder is not looked at: it need not be ours. */
CV_MUST_USE enum cv_status cv_inside_check(struct cv_cli *cli, const char *path,
                                           const char *hint,
                                           struct cv_err *err);

/* The same of a file that a command writes. */
CV_MUST_USE enum cv_status cv_inside_check_output(struct cv_cli *cli,
                                                  const char *path,
                                                  struct cv_err *err);

/* The same for a key slot "file:PATH"; of other slots nothing is asked. */
CV_MUST_USE enum cv_status
cv_inside_check_slot(struct cv_cli *cli, const char *spec, struct cv_err *err);

#endif
