#include "vault/base/buf.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 256U

void cv_buf_init(struct cv_buf *b, struct cv_arena *arena, size_t ceiling)
{
    *b = (struct cv_buf){.arena = arena, .ceiling = ceiling};
}

void cv_buf_wipe(struct cv_buf *b)
{
    if (b->data != NULL) {
        sodium_memzero(b->data, b->size);
        if (b->arena == NULL) {
            free(b->data);
        }
    }
    cv_buf_init(b, b->arena, b->ceiling);
}

/* realloc would leave the old bytes behind where it moves them. */
static uint8_t *grow_on_heap(const struct cv_buf *b, size_t size)
{
    uint8_t *p = malloc(size);
    if (p == NULL) {
        return NULL;
    }
    if (b->data != NULL) {
        memcpy(p, b->data, b->len + 1);
        sodium_memzero(b->data, b->size);
        free(b->data);
    }
    return p;
}

/* Room for `size` bytes, the NUL included. */
static enum cv_status grow(struct cv_buf *b, size_t size)
{
    if (b->arena == NULL) {
        uint8_t *p = grow_on_heap(b, size);
        if (p == NULL) {
            return CV_INTERNAL;
        }
        b->data = p;
    } else {
        struct cv_err why;
        cv_err_init(&why);
        uint8_t *p = cv_arena_grow(b->arena, b->data, b->size, size, &why);
        if (p == NULL) {
            return why.status;
        }
        b->data = p;
    }
    b->size = size;
    return CV_OK;
}

uint8_t *cv_buf_room(struct cv_buf *b, size_t len)
{
    if (b->status != CV_OK) {
        return NULL;
    }
    if (len > b->ceiling || b->len > b->ceiling - len ||
        b->len + len == SIZE_MAX) {
        b->status = CV_INVALID;
        return NULL;
    }
    size_t need = b->len + len + 1;
    if (need > b->size) {
        size_t size = b->size < FIRST_SIZE ? FIRST_SIZE : b->size;
        while (size < need) {
            size = size > SIZE_MAX / 2 ? need : size * 2;
        }
        if (size > b->ceiling && b->ceiling < SIZE_MAX) {
            size = b->ceiling + 1;
        }
        b->status = grow(b, size);
        if (b->status != CV_OK) {
            return NULL;
        }
    }
    b->data[b->len] = '\0';
    return b->data + b->len;
}

void cv_buf_took(struct cv_buf *b, size_t len)
{
    if (b->status != CV_OK || b->data == NULL || len >= b->size - b->len) {
        return;
    }
    b->len += len;
    b->data[b->len] = '\0';
}

void cv_buf_add(struct cv_buf *b, const void *data, size_t len)
{
    uint8_t *p = cv_buf_room(b, len);
    if (p != NULL && len > 0) {
        memcpy(p, data, len);
        cv_buf_took(b, len);
    }
}

void cv_buf_add_str(struct cv_buf *b, const char *text)
{
    cv_buf_add(b, text, strlen(text));
}

void cv_buf_add_char(struct cv_buf *b, char c)
{
    cv_buf_add(b, &c, 1);
}

void cv_buf_add_format(struct cv_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        b->status = b->status == CV_OK ? CV_INTERNAL : b->status;
    } else {
        uint8_t *p = cv_buf_room(b, (size_t)len);
        if (p != NULL) {
            (void)vsnprintf((char *)p, (size_t)len + 1, fmt, again);
            cv_buf_took(b, (size_t)len);
        }
    }
    va_end(again);
}

void cv_buf_drop(struct cv_buf *b, size_t len)
{
    if (b->data == NULL || len == 0) {
        return;
    }
    size_t gone = len < b->len ? len : b->len;
    size_t left = b->len - gone;
    memmove(b->data, b->data + gone, left);
    sodium_memzero(b->data + left, gone);
    b->len = left;
}

void cv_buf_cut(struct cv_buf *b, size_t len)
{
    b->status = CV_OK;
    if (b->data == NULL || len >= b->len) {
        return;
    }
    sodium_memzero(b->data + len, b->len - len);
    b->len = len;
}

enum cv_status cv_buf_status(const struct cv_buf *b, const char *what,
                             struct cv_err *err)
{
    switch (b->status) {
    case CV_OK:
        return CV_OK;
    case CV_INVALID:
        return cv_fail(err, CV_INVALID, "%s: not valid, or over %zu bytes",
                       what, b->ceiling);
    case CV_UNAVAILABLE:
        cv_fail(err, CV_UNAVAILABLE, "%s: memory for secrets cannot be locked",
                what);
        cv_err_hint(err, "raise the limit (LimitMEMLOCK= in the unit, "
                         "ulimit -l) or give --allow-unlocked");
        return CV_UNAVAILABLE;
    default:
        return cv_fail(err, b->status, "%s: out of memory", what);
    }
}

struct cv_bytes cv_buf_bytes(const struct cv_buf *b)
{
    return (struct cv_bytes){b->data, b->len};
}

const char *cv_buf_text(const struct cv_buf *b)
{
    return b->data == NULL ? "" : (const char *)b->data;
}
