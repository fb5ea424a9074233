/* The set of ops that a permit was recorded for: 64 bits of each, in an open
 * table on the heap. */
#ifndef CERTVAULT_AUDIT_OPS_INTERNAL_H
#define CERTVAULT_AUDIT_OPS_INTERNAL_H

#include "vault/base/arena.h"

#include <stdbool.h>

struct cv_ops {
    uint64_t *slots; /* 0: free */
    size_t size;     /* a power of two; 0 at first */
    size_t used;
};

void cv_ops_init(struct cv_ops *ops);
void cv_ops_wipe(struct cv_ops *ops);

/* False when memory is gone. */
bool cv_ops_add(struct cv_ops *ops, struct cv_bytes op);
bool cv_ops_has(const struct cv_ops *ops, struct cv_bytes op);

#endif
