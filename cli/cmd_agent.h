/* Of the agents, what other commands want. */
#ifndef CERTVAULT_CLI_CMD_AGENT_H
#define CERTVAULT_CLI_CMD_AGENT_H

#include "cli/cli.h"

/* Locks all agents of this user; their folders go into the array `locked`
 * (NULL: nowhere). As what the first says that refuses. */
CV_MUST_USE enum cv_status
cv_cmd_agent_lock_all(struct cv_cli *cli, cJSON *locked, struct cv_err *err);

#endif
