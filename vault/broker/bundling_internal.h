/* The head of a bundle: what of the log it is made of, and what proves that. */
#ifndef CERTVAULT_BROKER_BUNDLING_INTERNAL_H
#define CERTVAULT_BROKER_BUNDLING_INTERNAL_H

#include "vault/broker/proving_internal.h"

struct cv_bundling_period {
    int64_t since_s, until_s;
    const char *entry;
    uint64_t from, to; /* the records in it, from..to-1 */
};

/* Not entered. Everything but the records, for the answer `out`. p->checkpoint
 * becomes the one that the bundle ends with, *first the first of its records.
 * Reads the period's records, in steps: a service serves others between them.
 * CV_INTEGRITY, CV_IO, CV_INVALID (more than a bundle holds), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_bundling_head(struct cv_broker *b,
                                            struct cv_proving *p,
                                            struct cv_bundling_period *w,
                                            uint64_t *first, cJSON *out,
                                            struct cv_err *err);

#endif
