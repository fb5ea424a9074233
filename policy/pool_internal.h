/* Memory that is freed together, and texts that are kept once. */
#ifndef CERTVAULT_POLICY_POOL_INTERNAL_H
#define CERTVAULT_POLICY_POOL_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* Zero it to begin. What it gives lives until cv_pool_free. */
struct cv_pool {
    struct cv_pool_chunk *chunks;
    size_t used; /* of the newest chunk */
};

/* `len` zeroed bytes, aligned for any object; NULL when memory is gone. */
void *cv_pool_alloc(struct cv_pool *pool, size_t len);
char *cv_pool_copy(struct cv_pool *pool, const char *text);
void cv_pool_free(struct cv_pool *pool);

/* A list of different texts, found by hash. Zero it to begin; its texts and
 * tables are in a pool. */
struct cv_texts {
    size_t n;
    const char **list;
    size_t room;     /* of list */
    uint32_t *slots; /* number + 1 of a text; 0: empty */
    size_t n_slots;  /* a power of two */
};

#define CV_TEXTS_NONE SIZE_MAX

/* The number of `text`, which is added where it is not there yet;
 * CV_TEXTS_NONE when memory is gone. */
size_t cv_pool_intern(struct cv_pool *pool, struct cv_texts *t,
                      const char *text);

/* The number of `text`; CV_TEXTS_NONE where it is not there. */
size_t cv_pool_find(const struct cv_texts *t, const char *text);

#endif
