/* Secrets that come from files and standard input, straight into an arena. */
#ifndef CERTVAULT_CLI_SECRET_H
#define CERTVAULT_CLI_SECRET_H

#include "cli/cli.h"

/* All of the file `path` ("-": standard input, once in a run: CV_USAGE), at
 * most `limit` bytes, into `arena`. Others being able to read the file is
 * warned of. `what` names it in errors. CV_NOT_FOUND, CV_INVALID, CV_IO. */
CV_MUST_USE enum cv_status cv_secret_read(struct cv_cli *cli, const char *path,
                                          size_t limit, const char *what,
                                          struct cv_arena *arena,
                                          struct cv_bytes *out,
                                          struct cv_err *err);

/* The same for one line: one line end behind it is dropped; a NUL or another
 * line end in it, or nothing at all: CV_INVALID. */
CV_MUST_USE enum cv_status cv_secret_line(struct cv_cli *cli, const char *path,
                                          size_t limit, const char *what,
                                          struct cv_arena *arena,
                                          struct cv_bytes *out,
                                          struct cv_err *err);

/* What would open a vault: the wire's SlotSecret. */
struct cv_secret_slot {
    const char *kind; /* "passphrase", "file", "credential", "recovery",
                         "token" */
    struct cv_bytes secret;
    const char *path; /* kind file: absolute; lives in the arena */
    const char *name; /* kind credential */
    const char *uri;  /* kind token: RFC 7512; there is no secret then */
};

/* A key file: 32 to 4,096 bytes. slot->path is where it really lies. */
CV_MUST_USE enum cv_status
cv_secret_key_file(struct cv_cli *cli, const char *path, struct cv_arena *arena,
                   struct cv_secret_slot *slot, struct cv_err *err);

/* A systemd credential, from $CREDENTIALS_DIRECTORY. CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_secret_credential(struct cv_cli *cli,
                                                const char *name,
                                                struct cv_arena *arena,
                                                struct cv_secret_slot *slot,
                                                struct cv_err *err);

/* The wire's SlotSecret as JSON, made in `arena`; NULL: memory is gone. */
cJSON *cv_secret_json(const struct cv_secret_slot *slot,
                      struct cv_arena *arena);

/* Is `spec` passphrase, file:PATH, credential:NAME or token:URI? CV_USAGE. */
CV_MUST_USE enum cv_status cv_secret_check(const char *spec,
                                           struct cv_err *err);

/* What a new slot is to be opened with: `spec` is passphrase, file:PATH,
 * credential:NAME or token:URI. A passphrase comes from `file` where that is
 * not NULL, else it is asked for twice. A key file that is not there is made
 * (32 random bytes, 0600) and *made says so. CV_USAGE as cv_secret_check. */
CV_MUST_USE enum cv_status cv_secret_new(struct cv_cli *cli, const char *spec,
                                         const char *file,
                                         struct cv_arena *arena,
                                         struct cv_secret_slot *slot,
                                         bool *made, struct cv_err *err);

/* A key file was made for a call that failed with `s`: is it certain that the
 * vault does not know it? Where it is not, the file must stay. */
bool cv_secret_is_unused(enum cv_status s);

#endif
