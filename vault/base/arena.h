/* Secret memory.
 *
 * An arena holds everything that belongs to one secret-bearing message: the
 * bytes as they came, the JSON tree made of them, what is derived from them.
 * Its memory comes in chunks that libsodium puts between guard pages, that are
 * locked into RAM and left out of core dumps; freeing the arena wipes all of
 * it. There is no freeing of single pieces. A few freed chunks stay with the
 * process for the next arena: wiped, locked, and without access until then.
 *
 * That memory can be locked is checked (libsodium alone would go on without):
 * where the limit (RLIMIT_MEMLOCK) is too small, cv_arena_alloc fails with
 * CV_UNAVAILABLE and a hint, unless cv_arena_allow_unlocked was called.
 *
 * What this does not do: registers, the stack, and copies that a library makes
 * for itself are beyond it. Programs that hand secrets to such a library are
 * undumpable and end when idle.
 *
 * Threads: an arena belongs to one thread at a time. */
#ifndef CERTVAULT_BASE_ARENA_H
#define CERTVAULT_BASE_ARENA_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cv_arena;

/* A borrowed view of bytes: whoever made them keeps them. */
struct cv_bytes {
    const uint8_t *data;
    size_t len; /* bytes */
};

/* Must be called once per process before any other function here (it starts
 * libsodium). CV_INTERNAL when that fails. */
CV_MUST_USE enum cv_status cv_arena_start(struct cv_err *err);

/* For the whole process: go on when memory cannot be locked. */
void cv_arena_allow_unlocked(void);

/* Makes an empty arena that never holds more than `ceiling` bytes. *out is
 * NULL on failure (CV_INTERNAL: memory is gone). */
CV_MUST_USE enum cv_status cv_arena_new(size_t ceiling, struct cv_arena **out,
                                        struct cv_err *err);

/* Wipes and frees all of it; NULL is fine. */
void cv_arena_free(struct cv_arena *arena);

/* `len` zeroed bytes, aligned for any object, that live as long as the arena.
 * NULL on failure: CV_INVALID where the ceiling is met, CV_UNAVAILABLE where
 * memory cannot be locked, CV_INTERNAL where there is none. */
CV_MUST_USE void *cv_arena_alloc(struct cv_arena *arena, size_t len,
                                 struct cv_err *err);

/* A copy of `len` bytes with a NUL behind them. NULL as above. */
CV_MUST_USE char *cv_arena_copy(struct cv_arena *arena, const void *data,
                                size_t len, struct cv_err *err);

/* Makes the piece `ptr` of `len` bytes (NULL and 0: none yet) `new_len` bytes
 * long, which must be more: where it lies when there is room behind it, else
 * elsewhere, the old place wiped (and given back when nothing else shared its
 * chunk). The new bytes are zero. NULL as above, the old piece is untouched. */
CV_MUST_USE void *cv_arena_grow(struct cv_arena *arena, void *ptr, size_t len,
                                size_t new_len, struct cv_err *err);

/* Is `ptr` inside this arena? */
bool cv_arena_owns(const struct cv_arena *arena, const void *ptr);

/* Bytes handed out so far, less what cv_arena_grow gave back. */
size_t cv_arena_used(const struct cv_arena *arena);

/* Equal in constant time (for equal lengths; lengths are not secret). */
bool cv_bytes_equal(struct cv_bytes a, struct cv_bytes b);

#endif
