/* Asking the human, on /dev/tty alone: standard input may be anything. */
#ifndef CERTVAULT_CLI_PROMPT_H
#define CERTVAULT_CLI_PROMPT_H

#include "cli/cli.h"

/* Asks for a secret without echo; *out lies in `arena`, without the line end.
 * CV_LOCKED where nobody may or can be asked (--no-input, no terminal), with a
 * hint; CV_INVALID (empty, too long). */
CV_MUST_USE enum cv_status cv_prompt_secret(struct cv_cli *cli,
                                            const char *question,
                                            struct cv_arena *arena,
                                            struct cv_bytes *out,
                                            struct cv_err *err);

/* Asks for a new passphrase twice, until both are equal (three rounds at most,
 * then CV_INVALID). */
CV_MUST_USE enum cv_status cv_prompt_new(struct cv_cli *cli,
                                         struct cv_arena *arena,
                                         struct cv_bytes *out,
                                         struct cv_err *err);

/* Asks "question [y/N]". CV_OK for yes (or --yes); CV_USAGE where nobody may or
 * can be asked; CV_FAILED for no. */
CV_MUST_USE enum cv_status
cv_prompt_confirm(struct cv_cli *cli, struct cv_err *err, const char *fmt, ...)
    CV_PRINTF(3, 4);

/* Around a question that is asked in another way: an interrupt says meanwhile
 * that it was not answered, and what there is (cli->unasked). */
void cv_prompt_begin(struct cv_cli *cli);
void cv_prompt_end(void);

/* Is there a terminal to ask on? */
bool cv_prompt_possible(const struct cv_cli *cli);

#endif
