/* Asking for a PIN in a window: the Assuan protocol of pinentry (GnuPG), spoken
 * with the program `pinentry` of the PATH, where there is one and a desktop. */
#ifndef CERTVAULT_CLI_PINENTRY_H
#define CERTVAULT_CLI_PINENTRY_H

#include "cli/cli.h"

/* Is there one, and may somebody be asked? */
bool cv_pinentry_possible(const struct cv_cli *cli);

/* Asks; *out lies in `arena`. Blocks as long as the window is open. CV_LOCKED
 * (closed, cancelled, not to be started), CV_INVALID (nothing typed, too
 * long). */
CV_MUST_USE enum cv_status cv_pinentry_ask(const char *description,
                                           struct cv_arena *arena,
                                           struct cv_bytes *out,
                                           struct cv_err *err);

#endif
