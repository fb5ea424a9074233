/* What somebody may have meant who typed a name that does not exist. */
#ifndef CERTVAULT_CLI_NEAREST_H
#define CERTVAULT_CLI_NEAREST_H

#include "cli/command.h"

/* The command, or group of commands, whose name is nearest to the words as
 * typed (`second` may be NULL); *len of its bytes are the name. NULL where
 * nothing is near, or where two are equally so. */
const char *cv_nearest_command(const char *first, const char *second,
                               size_t *len);

/* The flag nearest to `name` (`len` bytes, without "--") of those that
 * `command` takes and those that all take; `command` may be NULL. */
const char *cv_nearest_flag(const struct cv_command *command, const char *name,
                            size_t len);

#endif
