/* Witnesses of the log, for the commands that verify it. */
#ifndef CERTVAULT_CLI_WITNESSES_H
#define CERTVAULT_CLI_WITNESSES_H

#include "cli/cli.h"

#include <cjson/cJSON.h>

/* Those that the configuration names are those to believe: adds their keys to
 * `parameters` as "witnesses". What the configuration cannot be read for. */
CV_MUST_USE enum cv_status
cv_witnesses_add(struct cv_cli *cli, cJSON *parameters, struct cv_err *err);

/* A table's cell: who of them signed, how much, when. */
void cv_witnesses_cell(const cJSON *report, struct cv_buf *out);

#endif
