/* Strict DER (X.690 section 10) and the writing of it.
 *
 * Reading takes elements off the front of a view; a function that returns false
 * leaves it anywhere; what is taken goes into another view. Only one-byte tags
 * (numbers below 31), definite lengths in their shortest form. */
#ifndef CERTVAULT_KUBECONFIG_DER_INTERNAL_H
#define CERTVAULT_KUBECONFIG_DER_INTERNAL_H

#include "vault/base/buf.h"

#include <stdbool.h>

#define CV_DER_INTEGER 0x02
#define CV_DER_BIT_STRING 0x03
#define CV_DER_OCTET_STRING 0x04
#define CV_DER_NULL 0x05
#define CV_DER_OID 0x06
#define CV_DER_SEQUENCE 0x30

/* Takes the element at the front of *in, whatever it is. */
bool cv_der_next(struct cv_bytes *in, uint8_t *tag, struct cv_bytes *content);

/* Takes the element at the front of *in if it has this tag. */
bool cv_der_take(struct cv_bytes *in, uint8_t tag, struct cv_bytes *content);

/* Is there an element with this tag at the front? */
bool cv_der_at(struct cv_bytes in, uint8_t tag);

/* Takes an INTEGER that is not negative; *magnitude has no leading zero, and
 * is one byte 0 for zero. */
bool cv_der_take_uint(struct cv_bytes *in, struct cv_bytes *magnitude);

/* Takes an INTEGER that must be `value` (below 128). */
bool cv_der_take_version(struct cv_bytes *in, uint8_t value);

/* Takes a BIT STRING (or one under an implicit tag) of whole bytes. */
bool cv_der_take_bits(struct cv_bytes *in, uint8_t tag, struct cv_bytes *out);

/* Is `der` one element, strict DER all the way down (what an OCTET STRING or
 * a BIT STRING holds is not looked into), and nothing behind it? */
bool cv_der_check(struct cv_bytes der);

/* Appends an element. */
void cv_der_put(struct cv_buf *out, uint8_t tag, struct cv_bytes content);

/* Appends an INTEGER of this magnitude. */
void cv_der_put_uint(struct cv_buf *out, struct cv_bytes magnitude);

/* Appends a BIT STRING (or one under an implicit tag) of whole bytes. */
void cv_der_put_bits(struct cv_buf *out, uint8_t tag, struct cv_bytes bytes);

#endif
