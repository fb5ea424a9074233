/* One run of the program: what the global flags said, how to print, and the
 * broker once it is reached.
 *
 * JSON trees that are not secret live on the heap and are given to the run
 * (cv_cli_keep), which frees them at its end; whatever is secret lives in an
 * arena that its command frees. */
#ifndef CERTVAULT_CLI_CLI_H
#define CERTVAULT_CLI_CLI_H

#include "cli/args.h"
#include "cli/output.h"
#include "vault/base/json.h"

struct cv_connect;
struct cv_config;

struct cv_cli {
    struct cv_output out;
    const char *program; /* "certvault", or "kubectl certvault" */
    const char *vault;   /* the folder as it was given; NULL: not given */
    const char *broker;  /* NULL: not given */
    const char *config;  /* --config; NULL: the default place */
    const char *reason;  /* NULL: none */
    const char *ticket;
    const char *passphrase_file; /* flag before environment; NULL: none */
    const char *key_file;
    const char *pin_source; /* --pin-source; NULL: none */
    const char *pin_file;   /* CERTVAULT_PIN_FILE; NULL: none */
    const char *token_uri;  /* as the command was given it; NULL: none */
    const char *log_uri;    /* likewise of the log's key, beside another */
    const char *pin_for; /* the token that got one of these; NULL: none yet */
    cJSON *logged_in;    /* tokens that this run logged in to; the run's */
    cJSON *pin_also;     /* others that the call must log in to; the run's */
    bool yes, dry_run, no_input, allow_unlocked;
    bool changes;         /* this command does something, and then ends */
    const char *cut_off;  /* what to do if it was interrupted while the
                             broker did it; NULL: what fits all */
    const char *unasked;  /* what there is if a question is not answered; NULL:
                             nothing was done */
    bool break_glass;     /* --break-glass */
    bool wait;            /* --wait: for approval */
    bool no_agent;        /* --no-agent: not even one that runs */
    bool no_start;        /* this command starts none */
    bool quiet_build;     /* and does not mind of which build it is */
    bool stdin_taken;     /* a secret was read from standard input */
    bool agent_only;      /* this command starts one always, and uses no other
                             broker of its own */
    const char *vault_id; /* the broker must be this vault's; NULL: any */
    int exit_code;        /* where the run went well: what it ends with */

    struct cv_connect *connect; /* NULL until the broker is wanted */
    struct cv_config *settings; /* NULL until the configuration is */
    cJSON *kept;                /* heap trees freed at the end */
    char *excerpt;     /* lines that show the place of an error; NULL: none */
    char error_of[16]; /* which of several texts it is about; "": not told */
};

/* Fills it from the flags and the environment. CV_USAGE, CV_INVALID (a reason
 * that is none), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_cli_begin(struct cv_cli *cli,
                                        const struct cv_args *args,
                                        struct cv_err *err);

/* Leaves the broker (a private one is waited for) and frees all. */
void cv_cli_end(struct cv_cli *cli);

/* Gives a heap tree to the run, which frees it at its end. Returns it; NULL
 * (and `err` set) where it is NULL or memory is gone. */
cJSON *cv_cli_keep(struct cv_cli *cli, cJSON *tree, struct cv_err *err);

/* Frees all that was kept so far. */
void cv_cli_forget(struct cv_cli *cli);

/* Notes the `excerpt` that came along with an error's parameters (may be NULL),
 * and its `of`. */
void cv_cli_note_excerpt(struct cv_cli *cli, const cJSON *parameters);

/* An empty object for a call's parameters, with reason, ticket and break_glass
 * where they were given. It is the caller's; NULL where memory is gone. */
cJSON *cv_cli_parameters(const struct cv_cli *cli);

#endif
