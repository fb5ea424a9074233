/* How grants end, and how they are decided on again. */
#ifndef CERTVAULT_BROKER_GRANT_INTERNAL_H
#define CERTVAULT_BROKER_GRANT_INTERNAL_H

#include "vault/broker/broker_internal.h"
#include "vault/broker/grant.h"

/* The request that a grant stands for, with an op of its own; its user is the
 * caller from now on (give b->caller back). `ask` borrows from the grant. */
void cv_grant_ask(struct cv_broker *b, struct cv_grant *g, struct cv_ask *ask);

/* Ends it: an event leaf with what was done under it (within a second on the
 * disk), the relay tears it down, its key is wiped. `hint` may be NULL. */
void cv_grant_end(struct cv_broker *b, struct cv_grant *g, const char *why,
                  const char *hint);
void cv_grant_end_all(struct cv_broker *b, const char *why, const char *hint);

/* Those that their users have; one that is being made stays. */
void cv_grant_end_given(struct cv_broker *b, const char *why, const char *hint);

/* This connection goes, and the grants that end with it. */
void cv_grant_left(struct cv_broker *b, const struct cv_caller *caller);

/* Ends what is over, and what policy, entries or another process say is not
 * given any more; called about once a second, not entered. True while there
 * are grants. */
bool cv_grant_tick(struct cv_broker *b);

/* Something changed: the next tick looks at all of them. */
void cv_grant_look_again(struct cv_broker *b);

/* Entered, at the first grant: what the record has so far, and locks in it, was
 * before it. */
void cv_grant_look_from_here(struct cv_broker *b);

/* Entered. Why this grant would not be given now (a literal, or words in
 * `err`); NULL: it would. */
const char *cv_grant_why_not(struct cv_broker *b, struct cv_grant *g,
                             struct cv_err *err);

/* For status: those that the caller may see. NULL when memory is gone. */
cJSON *cv_grant_status(const struct cv_broker *b);

#endif
