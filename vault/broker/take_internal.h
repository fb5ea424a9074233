/* Taking identities in: what import and fetch have in common. */
#ifndef CERTVAULT_BROKER_TAKE_INTERNAL_H
#define CERTVAULT_BROKER_TAKE_INTERNAL_H

#include "vault/broker/change_internal.h"

/* One identity on its way in. */
struct cv_take {
    const cJSON *identity; /* borrowed */
    const char *name;
    struct cv_entry_origin origin;
    struct cv_ask ask;
    cJSON *doc;
    struct cv_err err; /* why this one is refused; status CV_OK: it is not */
    bool decided;      /* its permit is recorded already */
};

/* The first of them that is refused, in `err`; CV_OK: none is. */
CV_MUST_USE enum cv_status cv_take_first_refused(const struct cv_take *takes,
                                                 size_t n, struct cv_err *err);

void cv_take_free(struct cv_take *takes, size_t n);

/* Makes the document of each and begins its request. What is refused has its
 * `err` set. */
void cv_take_prepare(struct cv_broker *b, enum cv_action action,
                     const cJSON *parameters, struct cv_take *takes, size_t n);

/* Entered. Refuses identities and names that the vault has already, or that
 * come twice. */
void cv_take_check_free(struct cv_broker *b, struct cv_take *takes, size_t n);

/* Entered. Decides each that is not refused, then stores all that are
 * permitted in one transaction. With `atomic`, one refusal (which is then in
 * `err`) refuses all; without, those that are denied or must wait are left
 * out. Where something fails for all of them that is returned. Whatever was
 * decided, before or here, has its outcome then. */
CV_MUST_USE enum cv_status cv_take_store(struct cv_broker *b,
                                         struct cv_take *takes, size_t n,
                                         bool atomic, bool dry_run,
                                         struct cv_err *err);

/* Inside a transaction: puts the entry `doc` into the store, with its sealed
 * key (base64; NULL: its key is on a token). */
CV_MUST_USE enum cv_status cv_take_put(struct cv_broker *b, const cJSON *doc,
                                       const char *sealed, struct cv_err *err);

/* Adds an item for each to the answer's `items`: with `entry` or `error`. */
CV_MUST_USE enum cv_status cv_take_answer(const struct cv_take *takes, size_t n,
                                          cJSON *answer, struct cv_err *err);

#endif
