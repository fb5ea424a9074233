/* The ops that a permit was recorded for, and which of them had an outcome: 64
 * bits of each, in an open table on the heap. */
#ifndef CERTVAULT_AUDIT_OPS_INTERNAL_H
#define CERTVAULT_AUDIT_OPS_INTERNAL_H

#include "vault/base/arena.h"

#include <stdbool.h>

struct cv_ops {
    uint64_t *slots; /* 0: free; bit 0: there is an outcome */
    size_t size;     /* a power of two; 0 at first */
    size_t used;
    uint64_t permits; /* ops, each once */
    uint64_t open;    /* of these, without an outcome */
};

void cv_ops_init(struct cv_ops *ops);
void cv_ops_wipe(struct cv_ops *ops);

/* What an op is known by: never 0, bit 0 is never set. */
uint64_t cv_ops_hash(struct cv_bytes op);

/* A permit. False when memory is gone. */
bool cv_ops_permit(struct cv_ops *ops, uint64_t hash);

/* An outcome. False: there is no permit of its op. */
bool cv_ops_outcome(struct cv_ops *ops, uint64_t hash);

/* Soon this one will be asked for. */
void cv_ops_expect(const struct cv_ops *ops, uint64_t hash);

/* A set of ops alone. */
bool cv_ops_add(struct cv_ops *ops, struct cv_bytes op);
bool cv_ops_has(const struct cv_ops *ops, struct cv_bytes op);

#endif
