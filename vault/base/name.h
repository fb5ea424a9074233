/* What may be typed as a name, a label, a reason, a ticket; and how text from
 * outside is made safe to show. */
#ifndef CERTVAULT_BASE_NAME_H
#define CERTVAULT_BASE_NAME_H

#include "vault/base/arena.h"

#include <stdbool.h>

/* NAME: [A-Za-z0-9][A-Za-z0-9._/-]{0,126} without ".." or "//". CV_INVALID
 * (a usage error is the command line's to make of it). */
CV_MUST_USE enum cv_status cv_name_check(const char *name, struct cv_err *err);

/* A label's key ([A-Za-z0-9][A-Za-z0-9._/-]{0,62}) and value ([A-Za-z0-9._/-]
 * {0,63}). CV_INVALID. */
CV_MUST_USE enum cv_status
cv_name_check_label(const char *key, const char *value, struct cv_err *err);

/* A reason or ticket: printable UTF-8 without control, bidi or line separator
 * characters, at most `max` bytes; refused (CV_INVALID) when it holds PEM
 * armour or 40 or more base64 characters in a row. `what` names it. */
CV_MUST_USE enum cv_status cv_name_check_words(const char *text, size_t max,
                                               const char *what,
                                               struct cv_err *err);

/* Is it valid UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL,
 * C0, DEL or C1 controls, bidirectional controls (U+061C, U+200E, U+200F,
 * U+202A..E, U+2066..9), U+2028 and U+2029? */
bool cv_name_is_printable(struct cv_bytes text);

/* Glob over a whole string: `*` any run, `?` one character (byte), case
 * matters. Linear in the product of lengths at worst, no recursion. */
bool cv_name_glob(const char *pattern, const char *text);

#endif
