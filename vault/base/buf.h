/* Growable bytes with a ceiling given at birth.
 *
 * A buffer lives on the heap, for what is public, or in an arena, for what is
 * not; the code that fills it is the same. It always has a NUL behind its
 * bytes, so that `data` of a text is a C string. A first failure sticks: later
 * appends do nothing, and cv_buf_status tells at the end, so that a run of
 * appends needs one check. */
#ifndef CERTVAULT_BASE_BUF_H
#define CERTVAULT_BASE_BUF_H

#include "vault/base/arena.h"

struct cv_buf {
    uint8_t *data; /* NULL while empty on the heap */
    size_t len;    /* bytes in use */
    size_t size;   /* bytes had */
    size_t ceiling;
    struct cv_arena *arena; /* NULL: heap */
    enum cv_status status;  /* the failure that stuck */
};

/* An empty buffer that never grows over `ceiling` bytes; `arena` NULL: heap.
 * Nothing is allocated yet. */
void cv_buf_init(struct cv_buf *b, struct cv_arena *arena, size_t ceiling);

/* Wipes, and frees what the heap holds; the buffer is empty and usable again,
 * a failure that stuck is forgotten. */
void cv_buf_wipe(struct cv_buf *b);

/* Appends. Failures stick (CV_INVALID: ceiling; CV_INTERNAL, CV_UNAVAILABLE:
 * memory). */
void cv_buf_add(struct cv_buf *b, const void *data, size_t len);
void cv_buf_add_str(struct cv_buf *b, const char *text);
void cv_buf_add_char(struct cv_buf *b, char c);
void cv_buf_add_format(struct cv_buf *b, const char *fmt, ...) CV_PRINTF(2, 3);

/* Room for `len` more bytes behind the end, to be written by the caller and
 * then counted with cv_buf_took. NULL when a failure stuck. */
CV_MUST_USE uint8_t *cv_buf_room(struct cv_buf *b, size_t len);
void cv_buf_took(struct cv_buf *b, size_t len);

/* Drops the first `len` bytes (those that were dropped are wiped). */
void cv_buf_drop(struct cv_buf *b, size_t len);

/* Back to its first `len` bytes (at most what it holds): what was behind them
 * is wiped, and a failure that stuck there is forgotten. The room is kept. */
void cv_buf_cut(struct cv_buf *b, size_t len);

/* CV_OK, or the failure that stuck with a text that names `what`. */
CV_MUST_USE enum cv_status cv_buf_status(const struct cv_buf *b,
                                         const char *what, struct cv_err *err);

/* What it holds, borrowed until the next change. */
struct cv_bytes cv_buf_bytes(const struct cv_buf *b);

/* The C string, "" while empty. */
const char *cv_buf_text(const struct cv_buf *b);

#endif
