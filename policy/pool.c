#include "policy/pool_internal.h"

#include "policy/hash_internal.h"

#include <stdlib.h>
#include <string.h>

/* Each piece lies by itself where the address checker is to see its end. */
#if defined(CV_SANITIZED) || defined(__SANITIZE_ADDRESS__)
#define CHUNK ((size_t)0)
#else
#define CHUNK ((size_t)64 * 1024)
#endif

struct cv_pool_chunk {
    struct cv_pool_chunk *next;
    size_t size;
    max_align_t data[];
};

void *cv_pool_alloc(struct cv_pool *pool, size_t len)
{
    size_t align = sizeof(max_align_t);
    if (len > SIZE_MAX / 2)
        return NULL;
    len = (len + align - 1) / align * align;
    struct cv_pool_chunk *c = pool->chunks;
    if (c == NULL || c->size - pool->used < len) {
        size_t size = len > CHUNK ? len : CHUNK;
        c = calloc(1, sizeof(*c) + size);
        if (c == NULL)
            return NULL;
        c->size = size;
        c->next = pool->chunks;
        pool->chunks = c;
        pool->used = 0;
    }
    void *out = (char *)c->data + pool->used;
    pool->used += len;
    return out;
}

char *cv_pool_copy(struct cv_pool *pool, const char *text)
{
    size_t len = strlen(text) + 1;
    char *out = cv_pool_alloc(pool, len);
    if (out != NULL)
        memcpy(out, text, len);
    return out;
}

void cv_pool_free(struct cv_pool *pool)
{
    while (pool->chunks != NULL) {
        struct cv_pool_chunk *next = pool->chunks->next;
        free(pool->chunks);
        pool->chunks = next;
    }
}

static uint32_t *slot_of(const struct cv_texts *t, const char *text)
{
    size_t at = cv_hash_text(text) & (t->n_slots - 1);
    while (t->slots[at] != 0 && strcmp(t->list[t->slots[at] - 1], text) != 0)
        at = (at + 1) & (t->n_slots - 1);
    return &t->slots[at];
}

size_t cv_pool_find(const struct cv_texts *t, const char *text)
{
    if (t->n == 0)
        return CV_TEXTS_NONE;
    uint32_t found = *slot_of(t, text);
    return found == 0 ? CV_TEXTS_NONE : found - 1;
}

/* Twice the room; what was had before stays in the pool, unused. */
static int grow(struct cv_pool *pool, struct cv_texts *t)
{
    struct cv_texts wider = {.n = t->n, .room = t->room == 0 ? 8 : t->room * 2};
    wider.n_slots = wider.room * 2;
    wider.list = cv_pool_alloc(pool, wider.room * sizeof(*wider.list));
    wider.slots = cv_pool_alloc(pool, wider.n_slots * sizeof(*wider.slots));
    if (wider.list == NULL || wider.slots == NULL)
        return 0;
    for (size_t i = 0; i < t->n; i++) {
        wider.list[i] = t->list[i];
        *slot_of(&wider, t->list[i]) = (uint32_t)i + 1;
    }
    *t = wider;
    return 1;
}

size_t cv_pool_intern(struct cv_pool *pool, struct cv_texts *t,
                      const char *text)
{
    size_t found = cv_pool_find(t, text);
    if (found != CV_TEXTS_NONE)
        return found;
    if (t->n == t->room && !grow(pool, t))
        return CV_TEXTS_NONE;
    const char *copy = cv_pool_copy(pool, text);
    if (copy == NULL)
        return CV_TEXTS_NONE;
    t->list[t->n] = copy;
    *slot_of(t, copy) = (uint32_t)t->n + 1;
    return t->n++;
}
