/* What `use` of a context of an entry comes to: the terms of a grant. */
#ifndef CERTVAULT_BROKER_USE_INTERNAL_H
#define CERTVAULT_BROKER_USE_INTERNAL_H

#include "vault/broker/broker_internal.h"
#include "vault/broker/grant.h"

/* One use. Zero it, set `name`, `ask` (begun; its context the one asked for, or
 * NULL); cv_use_free at the end. */
struct cv_use {
    const char *name;
    struct cv_ask ask;
    struct cv_store_entry *row;
    cJSON *doc;
    const cJSON *context; /* of doc */
};

void cv_use_free(struct cv_use *use);

/* Entered, or not where nothing is changed by it. Loads the entry and chooses
 * the context: the one asked for, else the default one. What was loaded before
 * is freed. CV_NOT_FOUND: no such entry (doc is NULL), no such context. */
CV_MUST_USE enum cv_status cv_use_load(struct cv_broker *b, struct cv_use *use,
                                       struct cv_err *err);

/* Can it be used at all, whatever the policy says? CV_INVALID (pending),
 * CV_UNAVAILABLE (lost), CV_EXPIRED, CV_DENIED (nothing says who the server
 * is). */
CV_MUST_USE enum cv_status cv_use_fits(const struct cv_use *use,
                                       struct cv_err *err);

/* Decided: io.certvault.Relay's Grant without id, ends_ms, and the upstream's
 * spki and algorithms. On the heap; NULL when memory is gone. */
cJSON *cv_use_terms(const struct cv_use *use);

/* Decided. Why these are other terms than those of `g`; NULL: they are not. */
const char *cv_use_differs(const struct cv_use *use, const struct cv_grant *g);

/* For how long it is given: the decision's duration, or less where the
 * certificate ends before. Seconds. */
int64_t cv_use_seconds(const struct cv_use *use);

/* What the key can sign with, TLS's names, best first: an array on the heap.
 * Asks the token where it is on one. CV_INVALID: a key of no known kind. */
CV_MUST_USE enum cv_status cv_use_algorithms(struct cv_broker *b,
                                             const cJSON *doc, cJSON **out,
                                             struct cv_err *err);

/* {name, entry_id, key{spki_sha256}}: what leaves say of the entry. */
cJSON *cv_use_subject(const cJSON *doc);

#endif
