/* The door's leaves, for what makes decisions (ask_decide.c). */
#ifndef CERTVAULT_BROKER_DOOR_INTERNAL_H
#define CERTVAULT_BROKER_DOOR_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* What a leaf says of a request: who, what, why, by which policy. */
void cv_door_leaf_of_ask(const struct cv_ask *ask, struct cv_leaf *leaf);

/* A text of the entry, NULL where it has none. */
const char *cv_door_text_of(const cJSON *doc, const char *key);

/* Entered. Queues it; *seq (may be NULL) is its number, -1 where that fails. */
CV_MUST_USE enum cv_status cv_door_queue(struct cv_broker *b,
                                         const struct cv_leaf *leaf,
                                         int64_t *seq, struct cv_err *err);

/* Entered or not. Keeps it for the next commit. Where too many wait they go
 * first. */
CV_MUST_USE enum cv_status cv_door_keep(struct cv_broker *b,
                                        const struct cv_leaf *leaf,
                                        struct cv_err *err);

/* Does it leave no leaf? Never in a release. */
bool cv_door_is_left_out(const struct cv_ask *ask);

#endif
