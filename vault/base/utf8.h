/* UTF-8 (RFC 3629), one code point at a time. */
#ifndef CERTVAULT_BASE_UTF8_H
#define CERTVAULT_BASE_UTF8_H

#include "vault/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the code point at the start of `text` (`len` bytes) into *point.
 * Returns the bytes it takes, 1 to 4; 0 where there is none: the end, an
 * overlong form, a surrogate, above U+10FFFF, cut short. */
size_t cv_utf8_next(const uint8_t *text, size_t len, uint32_t *point);

/* Is all of it code points, none of them U+0000: text that fits into a string
 * of JSON and of C? Nothing at all is. */
bool cv_utf8_is_text(struct cv_bytes text);

/* May this code point be shown on one line of a terminal? Not C0, DEL, C1,
 * the bidirectional controls (U+061C, U+200E, U+200F, U+202A..E, U+2066..9),
 * U+2028 and U+2029. */
bool cv_utf8_is_shown(uint32_t point);

#endif
