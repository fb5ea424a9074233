/* Reading DER (ITU-T X.690) strictly and without copying: definite lengths in
 * their shortest form, nothing behind the end. Only what certificates and
 * private keys need here; that they are sound in all else was checked when
 * they were taken in.
 *
 * A struct cv_bytes is the cursor: what was taken is no longer in it. Each
 * function gives false, and leaves the cursor where it was, when what comes is
 * not what was asked for. */
#ifndef CERTVAULT_SEAL_KEYDER_INTERNAL_H
#define CERTVAULT_SEAL_KEYDER_INTERNAL_H

#include "vault/base/arena.h"

#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_OCTET_STRING 0x04
#define DER_NULL 0x05
#define DER_OID 0x06
#define DER_SEQUENCE 0x30
#define DER_CONTEXT(n) (0xA0 | (n)) /* constructed, context-specific */

/* The tag of what comes; -1 at the end. */
int cv_keyder_tag(struct cv_bytes from);

/* Takes an element with this tag; *inner is its contents. */
bool cv_keyder_take(struct cv_bytes *from, uint8_t tag, struct cv_bytes *inner);

/* Takes an element with this tag, or any; *whole includes tag and length. */
bool cv_keyder_take_whole(struct cv_bytes *from, uint8_t tag,
                          struct cv_bytes *whole);
bool cv_keyder_skip(struct cv_bytes *from);

/* Takes an INTEGER that is not negative; *value has no leading zero, and is
 * empty for 0. */
bool cv_keyder_take_uint(struct cv_bytes *from, struct cv_bytes *value);

/* Takes an INTEGER that is exactly `value` (0 to 127). */
bool cv_keyder_take_small(struct cv_bytes *from, uint8_t value);

/* Takes a BIT STRING of whole bytes. */
bool cv_keyder_take_bits(struct cv_bytes *from, struct cv_bytes *value);

#endif
