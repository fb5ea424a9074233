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

/* FNV-1a by eight bytes, stirred. Ops are drawn at random; whoever can write a
 * log that has two of one hash could as well write the permit that is missing.
 */
uint64_t cv_ops_hash(struct cv_bytes op)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ op.len;
    size_t i = 0;

    for (; op.len - i >= 8; i += 8) {
        uint64_t word;

        memcpy(&word, op.data + i, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    for (; i < op.len; i++) {
        h = (h ^ op.data[i]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    h &= ~UINT64_C(1);
    return h == 0 ? 2 : h;
}

/* Where `h` is, or would be. */
static size_t find(const uint64_t *slots, size_t size, uint64_t h)
{
    size_t i = (size_t)(h >> 1) & (size - 1);

    while (slots[i] != 0 && (slots[i] & ~UINT64_C(1)) != h) {
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
            slots[find(slots, size, ops->slots[i] & ~UINT64_C(1))] =
                ops->slots[i];
        }
    }
    free(ops->slots);
    ops->slots = slots;
    ops->size = size;
    return true;
}

bool cv_ops_permit(struct cv_ops *ops, uint64_t hash)
{
    size_t i;

    if ((ops->used + 1) * 2 > ops->size && !grow(ops)) {
        return false;
    }
    i = find(ops->slots, ops->size, hash);
    if (ops->slots[i] == 0) {
        ops->slots[i] = hash;
        ops->used++;
        ops->permits++;
        ops->open++;
    }
    return true;
}

bool cv_ops_outcome(struct cv_ops *ops, uint64_t hash)
{
    size_t i = ops->size == 0 ? 0 : find(ops->slots, ops->size, hash);

    if (ops->size == 0 || ops->slots[i] == 0) {
        return false;
    }
    ops->open -= (ops->slots[i] & 1) == 0;
    ops->slots[i] |= 1;
    return true;
}

bool cv_ops_add(struct cv_ops *ops, struct cv_bytes op)
{
    return cv_ops_permit(ops, cv_ops_hash(op));
}

bool cv_ops_has(const struct cv_ops *ops, struct cv_bytes op)
{
    return ops->size > 0 &&
           ops->slots[find(ops->slots, ops->size, cv_ops_hash(op))] != 0;
}

void cv_ops_expect(const struct cv_ops *ops, uint64_t hash)
{
    if (ops->size > 0) {
        __builtin_prefetch(&ops->slots[(size_t)(hash >> 1) & (ops->size - 1)]);
    }
}
