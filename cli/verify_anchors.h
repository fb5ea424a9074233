/* The anchors of the log, for `audit verify`: what lies there is read as the
 * caller, who may read places that a broker's sandbox does not. */
#ifndef CERTVAULT_CLI_VERIFY_ANCHORS_H
#define CERTVAULT_CLI_VERIFY_ANCHORS_H

#include "cli/cli.h"

#include <cjson/cJSON.h>

/* Those that the configuration names, without witnesses (witnesses.h): adds
 * "anchors" to `parameters`, [{"kind", "place", "text"?, "unread"?}], with what
 * `file:` and `git:` have. `folder` is the vault's (its key names the log).
 * Blocks on files, and on git for half a minute at most. */
CV_MUST_USE enum cv_status cv_verify_anchors_add(struct cv_cli *cli, int folder,
                                                 cJSON *parameters,
                                                 struct cv_err *err);

/* A table's cell: each place, and how far it knows the log. */
void cv_verify_anchors_cell(const cJSON *report, struct cv_buf *out);

#endif
