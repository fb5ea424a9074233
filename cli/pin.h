/* PINs: where they come from, and logging in to a token with one.
 *
 * In this order: the reader's own keys where the token has a reader with them;
 * --pin-source; the configuration's `pin` entry whose URI fits the token;
 * pin-source=file: of the URI that the command was given; CERTVAULT_PIN_FILE;
 * the terminal; pinentry. A PIN that failed is not tried again, and what is
 * good for one token (--pin-source, CERTVAULT_PIN_FILE) is given to no second
 * one: 64, before the first login where the broker knows of the second.
 *
 * Sources: tty, file:PATH, fd:N, command:WORDS (run by sh, its standard
 * output), credential:NAME (of systemd). A PIN is one line, its line end left
 * out. */
#ifndef CERTVAULT_CLI_PIN_H
#define CERTVAULT_CLI_PIN_H

#include "cli/cli.h"

/* Which token it is for: texts borrowed. */
struct cv_pin_token {
    const char *uri; /* the token's own */
    const char *label;
    bool count_low;      /* it says that a wrong PIN was given */
    bool protected_path; /* typed on the reader */
};

struct cv_pin {
    const char *source;     /* the wire's word */
    struct cv_bytes secret; /* data NULL: on the reader */
};

/* Is `source` a source of a PIN? CV_USAGE. */
CV_MUST_USE enum cv_status cv_pin_check(const char *source, struct cv_err *err);

/* Gets the PIN; `arena` holds it. CV_LOCKED (nobody to ask), CV_USAGE (a second
 * token), and what reading says. */
CV_MUST_USE enum cv_status cv_pin_get(struct cv_cli *cli,
                                      const struct cv_pin_token *token,
                                      struct cv_arena *arena,
                                      struct cv_pin *out, struct cv_err *err);

/* Gets a new PIN: from `source`, or, where that is NULL, asked for twice. */
CV_MUST_USE enum cv_status
cv_pin_get_new(struct cv_cli *cli, const struct cv_pin_token *token,
               const char *source, struct cv_arena *arena, struct cv_pin *out,
               struct cv_err *err);

/* Keeps what a failure says of further tokens (`also`) that the same call must
 * log in to: no login is made before each of them has a source of its PIN. */
CV_MUST_USE enum cv_status
cv_pin_expect(struct cv_cli *cli, const cJSON *failure, struct cv_err *err);

/* Is this failure PinRequired? */
bool cv_pin_is_required(const cJSON *failure);

/* Answers PinRequired (`failure`: its parameters) by logging in, once for each
 * token in a run. CV_OK: the call that failed may be repeated. CV_AUTH: wrong,
 * or not to be tried. */
CV_MUST_USE enum cv_status
cv_pin_answer(struct cv_cli *cli, const cJSON *failure, struct cv_err *err);

/* token login: as a person who knows that an earlier login failed. *token is
 * the run's, NULL where the token was logged in already. */
CV_MUST_USE enum cv_status cv_pin_login(struct cv_cli *cli,
                                        const struct cv_pin_token *wanted,
                                        const cJSON **token,
                                        struct cv_err *err);

/* {"secret": base64}, made in `arena`; {} for the reader's. */
cJSON *cv_pin_json(const struct cv_pin *pin, struct cv_arena *arena);

#endif
