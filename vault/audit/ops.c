#include "vault/audit/ops_internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 1024

void cv_ops_init(struct cv_ops *ops)
{
    memset(ops, 0, sizeof *ops);
}

void cv_ops_wipe(struct cv_ops *ops)
{
    free(ops->slots);
    cv_ops_init(ops);
}

/* FNV-1a, stirred. Ops are drawn at random; whoever can write a log that has
 * two of one hash could as well write the permit that is missing. */
static uint64_t hash(struct cv_bytes op)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < op.len; i++) {
        h = (h ^ op.data[i]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return h == 0 ? 1 : h;
}

/* Where `h` is, or would be. */
static size_t find(const uint64_t *slots, size_t size, uint64_t h)
{
    size_t i = (size_t)h & (size - 1);

    while (slots[i] != 0 && slots[i] != h) {
        i = (i + 1) & (size - 1);
    }
    return i;
}

static bool grow(struct cv_ops *ops)
{
    size_t size = ops->size == 0 ? FIRST_SIZE : ops->size * 2;
    uint64_t *slots = calloc(size, sizeof *slots);

    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < ops->size; i++) {
        if (ops->slots[i] != 0) {
            slots[find(slots, size, ops->slots[i])] = ops->slots[i];
        }
    }
    free(ops->slots);
    ops->slots = slots;
    ops->size = size;
    return true;
}

bool cv_ops_add(struct cv_ops *ops, struct cv_bytes op)
{
    uint64_t h = hash(op);
    size_t i;

    if ((ops->used + 1) * 2 > ops->size && !grow(ops)) {
        return false;
    }
    i = find(ops->slots, ops->size, h);
    ops->used += ops->slots[i] == 0;
    ops->slots[i] = h;
    return true;
}

bool cv_ops_has(const struct cv_ops *ops, struct cv_bytes op)
{
    uint64_t h = hash(op);

    return ops->size > 0 && ops->slots[find(ops->slots, ops->size, h)] == h;
}
