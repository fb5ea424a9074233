/* What a changing command says of what it did, where a document was asked for.
 */
#ifndef CERTVAULT_CLI_DONE_H
#define CERTVAULT_CLI_DONE_H

#include "cli/cli.h"

/* Prints `object` as {"apiVersion", "kind": `kind`, ...}, or with -o name its
 * member `name` ("folder"); nothing as a table: there the notes say it. `ok`
 * false: memory was gone while it was made. CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_done_print(struct cv_cli *cli, const char *kind,
                                         const char *name, const cJSON *object,
                                         bool ok, struct cv_err *err);

#endif
