/* Writes canonical JSON (canon_internal.h) straight behind a buffer's end: no
 * tree, no copy. The pen puts the commas; the caller names the keys of an
 * object in the order of their bytes. What was written is read again by
 * cv_record_follow before it counts, so a wrong order is an error and no leaf.
 *
 * A failure sticks: of memory to the buffer, of a value to the pen, with the
 * key it stands under. Nothing here blocks. */
#ifndef CERTVAULT_AUDIT_PEN_INTERNAL_H
#define CERTVAULT_AUDIT_PEN_INTERNAL_H

#include "vault/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct cv_pen {
    struct cv_buf *out; /* borrowed; does not count what is written yet */
    uint8_t *at;        /* where the next byte goes */
    uint8_t *end;       /* of the room that there is */
    bool comma;         /* one is due before the next value or key */
    const char *key;    /* the last one that cv_pen_key wrote */
    const char *wrong;  /* the first one whose value is not valid; or NULL */
};

/* Begins behind what `out` holds, which nobody else touches until the end. */
void cv_pen_begin(struct cv_pen *pen, struct cv_buf *out);

/* Counts what was written to `out`. */
void cv_pen_end(struct cv_pen *pen);

/* '{' or '[', as a member's value or the whole; and what closes it. */
void cv_pen_open(struct cv_pen *pen, char bracket);
void cv_pen_close(struct cv_pen *pen, char bracket);

/* A literal key: printable ASCII without quote and backslash. Borrowed. */
void cv_pen_key(struct cv_pen *pen, const char *key);

/* The same for a key that does not outlive the pen: errors name the member that
 * it lies in. */
void cv_pen_inner_key(struct cv_pen *pen, const char *key);

/* A C string of at most `max` bytes: UTF-8 without C0 and DEL; other than that
 * (NULL too) the value is wrong. */
void cv_pen_text(struct cv_pen *pen, const char *text, size_t max);

/* Exactly `digits` lower-case hex digits. */
void cv_pen_hex(struct cv_pen *pen, const char *text, size_t digits);

/* Not checked: printable ASCII without quote and backslash. */
void cv_pen_word(struct cv_pen *pen, const char *word);

/* Padded base64; of what is public, so by a table. */
void cv_pen_base64(struct cv_pen *pen, struct cv_bytes data);

/* At most 2^53 - 1, else it is wrong. */
void cv_pen_uint(struct cv_pen *pen, uint64_t value);

void cv_pen_bool(struct cv_pen *pen, bool value);

/* The value at hand is not valid. */
void cv_pen_refuse(struct cv_pen *pen);

#endif
