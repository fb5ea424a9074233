/* The freeze: from `lock --all` until an administrator takes it back nothing of
 * the vault is used, released or changed.
 *
 * It is a fact of the store ("frozen"), so that it outlives restarts and binds
 * every broker of the vault: each reads it whenever it takes the vault's lock.
 * One that finds it new ends its grants, logs out of its tokens and lets go of
 * the open vault. What stays possible: reading (list, show, the record, the
 * policy), unlocking, and what an administrator does.
 *
 * On a full disk its row has room out of the reserve (room.h). Where that is
 * not enough, or it cannot be written for another reason, a broker that stays
 * holds it in its memory, tells whoever asked for it that it did, and writes it
 * as soon as it can (freeze_set.c). */
#ifndef CERTVAULT_BROKER_FREEZE_H
#define CERTVAULT_BROKER_FREEZE_H

#include "policy/action.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/broker/names.h"

struct cv_ask;
struct cv_broker;

struct cv_freeze {
    bool is;
    bool fresh; /* it was not when this broker looked last: see cv_freeze_tick
                 */
    bool held;  /* by this broker alone: the store does not have it */
    int64_t next_ms;  /* then it is tried again ... */
    int64_t pause_ms; /* ... so long after it failed last; 0: it never did */
    char by[CV_NAMES_LEN];
    int64_t since_s;
    char reason[CV_LIMIT_REASON + 1]; /* "": none was given */
};

/* Entered. Reads the store. CV_INTEGRITY, CV_IO: then nothing may be decided.
 */
CV_MUST_USE enum cv_status cv_freeze_look(struct cv_broker *b,
                                          struct cv_err *err);

/* By the last look: is it frozen, and does that deny this action? */
bool cv_freeze_bars(const struct cv_broker *b, enum cv_action action);

/* It is: "the vault is frozen since TIME by NAME", nobody's own words. */
#define CV_FREEZE_WORDS (CV_NAMES_LEN + 64)
void cv_freeze_words(const struct cv_broker *b, char out[CV_FREEZE_WORDS]);

/* By the last look: may what is asked for be decided at all? CV_DENIED. */
CV_MUST_USE enum cv_status cv_freeze_check(const struct cv_ask *ask,
                                           struct cv_err *err);

/* Entered, permitted and decided (the leaf is queued): makes it frozen, or not
 * any more, durably, with its outcome. Frozen already stays as it was. CV_IO:
 * it could not be written; where it was to be frozen, and b->freeze.is, this
 * broker holds it, and `err` says what that is worth. */
CV_MUST_USE enum cv_status cv_freeze_set(struct cv_ask *ask, bool frozen,
                                         const cJSON *details,
                                         struct cv_err *err);

/* Not entered; when the broker has nothing else to do. Tries to write what is
 * held; true while it is. */
bool cv_freeze_write(struct cv_broker *b);

/* Not entered. Where the freeze is fresh: what is open here is shut. While a
 * token is at work for somebody (cv_loop_hold) that is the connections alone,
 * the rest as soon as it is done; nothing is released meanwhile
 * (cv_freeze_check). */
void cv_freeze_tick(struct cv_broker *b);

/* Adds `frozen`, and where it is, `frozen_by`, `frozen_since`, `frozen_reason`,
 * and `frozen_held` (true) where this broker alone holds it. */
bool cv_freeze_add(const struct cv_broker *b, cJSON *to);

#endif
