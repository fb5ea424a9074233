#include "vault/relay/pipe_internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE ((size_t)4096)

bool cv_pipe_add(struct cv_pipe *p, const void *data, size_t len)
{
    if (len == 0) {
        return true;
    }
    if (p->start > 0 && p->start + p->len + len > p->size) {
        memmove(p->data, p->data + p->start, p->len);
        p->start = 0;
    }
    if (p->len + len > p->size) {
        size_t size = p->size == 0 ? FIRST_SIZE : p->size;
        uint8_t *grown;

        while (size < p->len + len) {
            size *= 2;
        }
        grown = realloc(p->data, size);
        if (grown == NULL) {
            return false;
        }
        p->data = grown;
        p->size = size;
    }
    memcpy(p->data + p->start + p->len, data, len);
    p->len += len;
    return true;
}

void cv_pipe_drop(struct cv_pipe *p, size_t len)
{
    p->start += len;
    p->len -= len;
    if (p->len == 0) {
        cv_pipe_wipe(p);
    }
}

void cv_pipe_wipe(struct cv_pipe *p)
{
    free(p->data);
    p->data = NULL;
    p->start = 0;
    p->len = 0;
    p->size = 0;
}
