/* Help texts, made of the table of commands. */
#ifndef CERTVAULT_CLI_HELP_H
#define CERTVAULT_CLI_HELP_H

#include "cli/command.h"
#include "vault/base/buf.h"

/* Appends the list of commands and the global flags; with `group` ("slot"),
 * only that group's commands. */
void cv_help_all(const char *program, const char *group, struct cv_buf *out);

/* Appends one command's synopsis, flags and examples. */
void cv_help_command(const char *program, const struct cv_command *command,
                     struct cv_buf *out);

#endif
