/* Logins to tokens, written down before they are made.
 *
 * Tokens lock their PIN after a few wrong ones, and not all of them say how
 * many are left. So: one login at a time over all brokers of this user (a flock
 * on logins.lock); a file, durable, before the PIN goes to the token; the file
 * goes when the PIN was right. While it is there no program tries a PIN for
 * this token, whatever vault it works for: it was wrong, or whoever tried it
 * died. A person who says so (`token login`) tries again.
 *
 * All of that lies in one folder of the user's, not in a vault, because a token
 * counts its tries once for all of them. `dir` is that folder, open. */
#ifndef CERTVAULT_BROKER_LEDGER_H
#define CERTVAULT_BROKER_LEDGER_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A token's identity: what it says of its manufacturer, model and serial
 * number, joined by the caller; printable, up to so many bytes. */
#define CV_LEDGER_TOKEN 256

/* After so many logins in a row that failed a token that does not tell how many
 * tries are left may be about to lock its PIN: who goes on says that it is
 * known. */
#define CV_LEDGER_BLIND 2

struct cv_ledger_wish {
    const char *token; /* identity */
    const char *uri;   /* for messages */
    bool human;        /* a person typed the PIN just now */
    bool anew;         /* and wants to log in although a login failed */
    bool told;         /* the token tells that its count is low */
    bool first;        /* for `init`: there is no vault to log in by hand from,
                          so a person who types the PIN goes on */
    int64_t despite;   /* so many failed logins are known to that person */
};

struct cv_ledger_row {
    int64_t attempts; /* logins since the last good one; 0: there is no row */
    int64_t begun;    /* when the first of them was, and the last; seconds */
    int64_t last;
};

struct cv_ledger_attempt {
    char token[CV_LEDGER_TOKEN + 1];
    struct cv_ledger_row before;
    int dir;  /* borrowed */
    int lock; /* -1: not begun */
};

/* Takes the lock (waits up to a minute: CV_BUSY) and writes the row. CV_AUTH:
 * not to be tried, the text says why. On failure nothing is held. */
CV_MUST_USE enum cv_status cv_ledger_begin(int dir,
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
void cv_ledger_finish(struct cv_ledger_attempt *attempt,
                      enum cv_ledger_end how);

/* A PIN was wrong that was right before (a key wants it at every use, and it
 * was changed elsewhere): counts like a login that failed. */
void cv_ledger_refused(int dir, const char *token);

/* May a PIN be asked for at all? CV_AUTH where a row is there. */
CV_MUST_USE enum cv_status cv_ledger_look(int dir, const char *token,
                                          const char *uri, struct cv_err *err);

/* Logins since the last good one. */
int64_t cv_ledger_attempts(int dir, const char *token);

#endif
