/* Opening the vault when the broker says that it is locked. */
#ifndef CERTVAULT_CLI_UNLOCK_H
#define CERTVAULT_CLI_UNLOCK_H

#include "cli/cli.h"

/* Sends Unlock with what would open one of `slots` (the wire's array of Slot;
 * NULL: none are told): --key-file or --passphrase-file where given, else the
 * key file or systemd credential that a slot names, else a passphrase asked for
 * on the terminal, three times at most. What was typed or in the file is also
 * tried as recovery code where there is such a slot. CV_LOCKED (nobody to ask),
 * CV_AUTH (it opens no slot), and what reading files says. */
CV_MUST_USE enum cv_status cv_unlock_run(struct cv_cli *cli, const cJSON *slots,
                                         struct cv_err *err);

/* Before a human is asked for what opens `subject` ("unlock", or a token's
 * URI): waits while another command asks the agent's user the same. *granted
 * false: it is open now, and the call that was refused is to be repeated. */
CV_MUST_USE enum cv_status cv_unlock_turn(struct cv_cli *cli,
                                          const char *subject, bool *granted,
                                          struct cv_err *err);

#endif
