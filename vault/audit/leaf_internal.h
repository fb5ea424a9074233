/* A leaf's one spelling. */
#ifndef CERTVAULT_AUDIT_LEAF_INTERNAL_H
#define CERTVAULT_AUDIT_LEAF_INTERNAL_H

#include "vault/audit/leaf.h"
#include "vault/base/buf.h"

/* Where in the log it goes. */
struct cv_leaf_place {
    uint64_t seq;
    struct cv_bytes prev; /* the hash of the leaf before it */
};

/* Checks `leaf` as cv_leaf_build does and writes it canonically behind what
 * `out` holds, in one pass: with v, seq and prev for its `place`, without them
 * where that is NULL. After a failure a part of it may be there, which the
 * caller cuts off. CV_INVALID, and what sticks to `out`. */
CV_MUST_USE enum cv_status cv_leaf_write(const struct cv_leaf *leaf,
                                         const struct cv_leaf_place *place,
                                         struct cv_buf *out,
                                         struct cv_err *err);

#endif
