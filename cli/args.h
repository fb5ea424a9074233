/* The command line, taken apart by the table of commands.
 *
 * Global flags may stand before or after the command's words; "--" ends the
 * flags. A long flag is matched whole: an abbreviation that works today means
 * something else tomorrow. Where a flag that takes one value is given twice the
 * last one counts. */
#ifndef CERTVAULT_CLI_ARGS_H
#define CERTVAULT_CLI_ARGS_H

#include "cli/command.h"

struct cv_arg {
    const struct cv_option *option;
    const char *value; /* NULL for a flag without argument; borrowed */
};

struct cv_args {
    const struct cv_command *command; /* NULL: none was named */
    struct cv_arg *flags;
    size_t n_flags;
    const char **operands; /* borrowed from argv */
    size_t n_operands;
    bool help; /* --help was among the flags */
};

/* Takes `argv` (`argc` of them, the program's name first) apart; *args borrows
 * its strings. CV_USAGE; nothing that stood behind a flag is ever in the text.
 * On failure *args is as far as it got and is freed all the same. */
CV_MUST_USE enum cv_status cv_args_parse(int argc, char *const *argv,
                                         struct cv_args *args,
                                         struct cv_err *err);

/* Frees what cv_args_parse made; a zeroed one is fine. */
void cv_args_free(struct cv_args *args);

/* Was the flag `name` given? */
bool cv_args_has(const struct cv_args *args, const char *name);

/* The last value of the flag `name`; NULL where it was not given. */
const char *cv_args_value(const struct cv_args *args, const char *name);

/* Calls for values in their order: *at begins at 0; NULL at the end. */
const char *cv_args_next(const struct cv_args *args, const char *name,
                         size_t *at);

#endif
