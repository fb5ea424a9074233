/* Logins to tokens, written down before they are made.
 *
 * Tokens lock their PIN after a few wrong ones, and not all of them say how
 * many are left. So: one login of a vault at a time, over all its brokers (a
 * flock on DIR/logins.lock); a row in the store, durable, before the PIN goes
 * to the token; the row goes when the PIN was right. While it is there no
 * program tries a PIN for this token: it was wrong, or whoever tried it died. A
 * person who says so (`token login`) tries again. */
#ifndef CERTVAULT_BROKER_LEDGER_H
#define CERTVAULT_BROKER_LEDGER_H

#include "vault/store/store_pin.h"

#include <stdbool.h>

/* After so many logins in a row that failed a token that does not tell how many
 * tries are left may be about to lock its PIN: who goes on says that it is
 * known. */
#define CV_LEDGER_BLIND 2

struct cv_ledger_wish {
    const char *token; /* identity, as in store_pin.h */
    const char *uri;   /* for messages */
    bool human;        /* a person typed the PIN just now */
    bool anew;         /* and wants to log in although a login failed */
    bool told;         /* the token tells that its count is low */
    int64_t despite;   /* so many failed logins are known to that person */
};

struct cv_ledger_attempt {
    char token[CV_STORE_PIN_TOKEN + 1];
    struct cv_store_pin before; /* attempts 0: there was no row */
    int64_t number;             /* of this attempt since the last good one */
    int lock;                   /* -1: not begun */
};

/* Takes the lock (waits up to a minute: CV_BUSY) and writes the row; `dir` is
 * the vault's folder. CV_AUTH: not to be tried, the text says why. On failure
 * nothing is held. */
CV_MUST_USE enum cv_status cv_ledger_begin(struct cv_store *store, int dir,
                                           const struct cv_ledger_wish *wish,
                                           struct cv_ledger_attempt *out,
                                           struct cv_err *err);

enum cv_ledger_end {
    CV_LEDGER_GOOD,     /* the PIN was right: the row goes */
    CV_LEDGER_UNTRIED,  /* it never reached the token: as it was before */
    CV_LEDGER_NOT_GOOD, /* wrong, or nobody knows: the row stays */
};

/* Ends what was begun and gives the lock back. A row that cannot be taken away
 * stays, which is safe. */
void cv_ledger_finish(struct cv_store *store, struct cv_ledger_attempt *attempt,
                      enum cv_ledger_end how);

/* A PIN was wrong that was right before (a key wants it at every use, and it
 * was changed elsewhere): counts like a login that failed. */
void cv_ledger_refused(struct cv_store *store, int dir, const char *token);

/* The same before there is a vault (`init` on a token), and so no store: a file
 * DIR/logins.failed stands for the row, whatever the token. A person who types
 * the PIN goes on in spite of it. */
CV_MUST_USE enum cv_status cv_ledger_first_look(int dir, bool human,
                                                struct cv_err *err);
CV_MUST_USE enum cv_status cv_ledger_first_begin(int dir, bool human,
                                                 struct cv_err *err);
void cv_ledger_first_finish(int dir, enum cv_ledger_end how);

/* May a PIN be asked for at all? CV_AUTH where a row is there. */
CV_MUST_USE enum cv_status cv_ledger_look(struct cv_store *store,
                                          const char *token, const char *uri,
                                          struct cv_err *err);

#endif
