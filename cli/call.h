/* Calls of the broker's methods, as commands make them.
 *
 * The broker is reached on the first call. An answer "locked" is met once: the
 * vault is opened (by key file, passphrase file, or by asking) and the call
 * repeated. */
#ifndef CERTVAULT_CLI_CALL_H
#define CERTVAULT_CLI_CALL_H

#include "cli/cli.h"
#include "vault/wire/client.h"

struct cv_call {
    const char *method;     /* "List" */
    cJSON *parameters;      /* taken; NULL: memory was gone when it was made */
    struct cv_arena *arena; /* where `parameters` live; NULL: heap */
    bool secret_out;        /* the answer carries a secret */
    bool absent;            /* a folder without a vault will do */
};

/* *reply as cv_client_call leaves it on success; empty on failure. */
CV_MUST_USE enum cv_status cv_call_run(struct cv_cli *cli,
                                       const struct cv_call *call,
                                       struct cv_message *reply,
                                       struct cv_err *err);

/* Asks ahead, so that the broker works while the caller does: what is asked for
 * must be harmless where nobody takes it, and the broker reached already. The
 * answer is taken, or dropped, before anything else is called. False: it was
 * not asked, or the answer is an error of any kind; then nothing is left of it,
 * and cv_call_run asks again and says why. */
bool cv_call_ahead(struct cv_cli *cli, const char *method, cJSON *parameters);
bool cv_call_ahead_take(struct cv_cli *cli, struct cv_message *reply);

/* For answers that are not secret: *answer belongs to the run. */
CV_MUST_USE enum cv_status cv_call_simple(struct cv_cli *cli,
                                          const char *method, cJSON *parameters,
                                          const cJSON **answer,
                                          struct cv_err *err);

/* The same, and then its member `key`, which must be of the kind that `kind`
 * says (of CV_JSON_ARRAY, CV_JSON_OBJECT). CV_INVALID where it is not. */
CV_MUST_USE enum cv_status
cv_call_member(struct cv_cli *cli, const char *method, cJSON *parameters,
               const char *key, enum cv_json_kind kind, const cJSON **member,
               struct cv_err *err);

/* Calls with `more` and gathers the `items` of all answers; *items (an array)
 * belongs to the run. Nothing that can be locked is asked in this way. */
CV_MUST_USE enum cv_status cv_call_items(struct cv_cli *cli, const char *method,
                                         cJSON *parameters, const cJSON **items,
                                         struct cv_err *err);

#endif
