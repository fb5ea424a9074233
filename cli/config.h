/* The configuration file, read by certvaultd --offline when there is one.
 *
 * --config F, else $XDG_CONFIG_HOME/certvault/certvault.yaml. One that others
 * can write to is refused. */
#ifndef CERTVAULT_CLI_CONFIG_H
#define CERTVAULT_CLI_CONFIG_H

#include "cli/cli.h"

struct cv_config;

/* Frees; NULL is fine. */
void cv_config_free(struct cv_config *config);

/* Reads it unless that was done. *tree (the run's) is NULL where there is no
 * file. CV_NOT_FOUND (one named with --config is not there), CV_CONFIG (open to
 * others), CV_INVALID. */
CV_MUST_USE enum cv_status
cv_config_load(struct cv_cli *cli, const cJSON **tree, struct cv_err *err);

/* Looks at the files and the group that it names and a broker starts with, as
 * the broker does: config_files.h. Fails as cv_config_load, and as that. */
CV_MUST_USE enum cv_status cv_config_check_files(struct cv_cli *cli,
                                                 struct cv_err *err);

/* The file itself, unread, for whoever reads it by itself: *path (the run's) is
 * NULL where there is none. CV_NOT_FOUND as cv_config_load. */
CV_MUST_USE enum cv_status cv_config_find(struct cv_cli *cli, const char **path,
                                          struct cv_err *err);

/* The path that it was, or would be, read from; "" before cv_config_load. */
const char *cv_config_path(const struct cv_cli *cli);

/* The text at `path` ("cloud.endpoint"), the run's; NULL where it is not set.
 */
CV_MUST_USE enum cv_status cv_config_text(struct cv_cli *cli, const char *path,
                                          const char **out, struct cv_err *err);

#endif
