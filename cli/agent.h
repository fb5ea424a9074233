/* Reaching the agent of a vault, and starting it.
 *
 * One runs for each vault and user, at the socket that cli/runtime.h names. Of
 * several programs that want it at once, one starts it; the others wait at the
 * start lock and find it there. */
#ifndef CERTVAULT_CLI_AGENT_H
#define CERTVAULT_CLI_AGENT_H

#include "cli/cli.h"

#include <sys/types.h>

/* Connects to the agent of the vault in `folder` (absolute, no links). Where
 * none runs: with `start` it is started, else CV_OK with *fd -1.
 * CV_CONFIG (a runtime folder or socket that is not to be trusted), CV_BUSY
 * (somebody holds the start lock), CV_UNAVAILABLE, and what the agent says that
 * could not begin. `idle` (may be NULL): how long it is to stay, in seconds, as
 * text. */
CV_MUST_USE enum cv_status cv_agent_reach(struct cv_cli *cli,
                                          const char *folder, bool start,
                                          const char *idle, int *fd,
                                          struct cv_err *err);

/* Connects to the socket at `path` if a process of this user serves it.
 * *fd is -1 with CV_OK where nobody does. CV_CONFIG: somebody else. */
CV_MUST_USE enum cv_status cv_agent_connect(const char *path, int *fd,
                                            struct cv_err *err);

/* The socket at which the agent of `folder` is or would be; "" where that
 * cannot be told. */
void cv_agent_socket(const char *folder, char *out, size_t out_len);

/* Is an agent with this `build` (NULL: it told none) of our installation? */
bool cv_agent_is_ours(const char *build);

/* Tells the agent to end and waits until its process is gone. `idle`: only if
 * nobody else is connected (else CV_BUSY). */
struct cv_channel;
CV_MUST_USE enum cv_status cv_agent_stop(struct cv_channel *channel, pid_t pid,
                                         bool idle, struct cv_err *err);

#endif
