/* Bytes that one side gave and the other has not taken yet. Holds no memory
 * while it is empty. */
#ifndef CERTVAULT_RELAY_PIPE_INTERNAL_H
#define CERTVAULT_RELAY_PIPE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: empty. */
struct cv_pipe {
    uint8_t *data;
    size_t start;
    size_t len; /* bytes from `start` on */
    size_t size;
    bool ended; /* nothing will be added */
};

/* False when memory is gone. */
bool cv_pipe_add(struct cv_pipe *p, const void *data, size_t len);

static inline const uint8_t *cv_pipe_data(const struct cv_pipe *p)
{
    return p->data + p->start;
}

/* Takes the first `len` bytes away. */
void cv_pipe_drop(struct cv_pipe *p, size_t len);

/* Frees what it holds. */
void cv_pipe_wipe(struct cv_pipe *p);

#endif
