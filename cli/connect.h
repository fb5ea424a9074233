/* Reaching the broker: which one, and the first words.
 *
 * --broker decides; else a vault that was named (by --vault, CERTVAULT_DIR or
 * the configuration) is opened by the service, if the service's greeting names
 * that folder, or by its agent; with neither, one's own vault in the default
 * folder if it exists, else the service if its socket does. An agent that does
 * not run is started, but not with --no-input: then, and with --no-agent, a
 * private broker is started on a socket pair, as the caller, and ends with the
 * run. So it is for a vault that is yet to be made. */
#ifndef CERTVAULT_CLI_CONNECT_H
#define CERTVAULT_CLI_CONNECT_H

#include "cli/cli.h"
#include "vault/wire/client.h"

/* What a broker said of itself. Texts are borrowed until the run ends. */
struct cv_connect_greeting {
    const char *vault_id; /* NULL: there is no vault yet */
    const char *folder;
    const char *mode;
    const char *version;
    const char *state;
    const char *public_key; /* base64; NULL: there is no vault yet */
    const char *token_uri;  /* where keys go, as init was told; NULL: sealed */
    const char *build;      /* an agent's; see cv_process_identity */
    bool locked;
    bool log_key_gone; /* told to the vault's owner alone */
    int64_t pid;
};

/* Reaches the broker unless that was done, and greets it. `absent`: a folder
 * without a vault will do (init). CV_USAGE (an address that is none),
 * CV_NOT_FOUND (no vault; hint init), CV_UNAVAILABLE, CV_CONFIG (a socket that
 * is not to be trusted), and what the broker answers. */
CV_MUST_USE enum cv_status cv_connect_open(struct cv_cli *cli, bool absent,
                                           struct cv_err *err);

/* After cv_connect_open. */
struct cv_channel *cv_connect_channel(const struct cv_cli *cli);
const struct cv_connect_greeting *cv_connect_greets(const struct cv_cli *cli);

/* Is it a private broker? */
bool cv_connect_is_private(const struct cv_cli *cli);

/* Does it run as the user who asks: a private broker, that user's agent, one
 * that listens by itself as that user? Any other is told secrets that the user
 * names, never files that it names itself. */
bool cv_connect_is_own(const struct cv_cli *cli);

/* The vault's folder that a private broker would open, absolute, without
 * reaching anything. CV_USAGE where --broker says otherwise; CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_connect_folder(struct cv_cli *cli, char *out,
                                             size_t out_len,
                                             struct cv_err *err);

/* The same, of a folder that need not be there. */
CV_MUST_USE enum cv_status cv_connect_place(struct cv_cli *cli, char *out,
                                            size_t out_len, struct cv_err *err);

/* Connects to the agent of `folder` (absolute), started where `start`. Without
 * one that runs it is CV_OK and cv_connect_is_open says no. `idle` as in
 * cv_agent_reach. */
CV_MUST_USE enum cv_status cv_connect_agent(struct cv_cli *cli,
                                            const char *folder, bool start,
                                            const char *idle,
                                            struct cv_err *err);

/* The same at the socket `path`, which must be ours. */
CV_MUST_USE enum cv_status
cv_connect_socket(struct cv_cli *cli, const char *path, struct cv_err *err);

bool cv_connect_is_open(const struct cv_cli *cli);

/* Leaves the broker, so that another can be reached. */
void cv_connect_close(struct cv_cli *cli);

/* Closes the connection and waits for a private broker, which commits and signs
 * what there is. NULL is fine. */
void cv_connect_free(struct cv_connect *connect, struct cv_output *out);

#endif
