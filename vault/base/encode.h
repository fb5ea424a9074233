/* Base64 (RFC 4648 section 4) and hex, strict, by libsodium's constant-time
 * code. */
#ifndef CERTVAULT_BASE_ENCODE_H
#define CERTVAULT_BASE_ENCODE_H

#include "vault/base/buf.h"

/* Appends the padded base64 of `data` to `out`. */
void cv_encode_base64(struct cv_bytes data, struct cv_buf *out);

/* Appends lower-case hex. */
void cv_encode_hex(struct cv_bytes data, struct cv_buf *out);

/* Appends the bytes that `len` characters of padded base64 stand for. With
 * `blanks`, spaces, tabs and line ends between characters are passed over;
 * everything else outside the alphabet, wrong padding, and a last character
 * with spare bits set are refused: CV_INVALID, naming `what`. */
CV_MUST_USE enum cv_status cv_decode_base64(const char *text, size_t len,
                                            bool blanks, const char *what,
                                            struct cv_buf *out,
                                            struct cv_err *err);

/* Decodes exactly `len` bytes of base64 (or lower-case hex: one spelling for
 * each value) into `out`. CV_INVALID when it is not that; `out` is then zeroed.
 * `text` is a C string; NULL is CV_INVALID. */
CV_MUST_USE enum cv_status cv_decode_base64_exact(const char *text,
                                                  const char *what, void *out,
                                                  size_t len,
                                                  struct cv_err *err);
CV_MUST_USE enum cv_status cv_decode_hex_exact(const char *text,
                                               const char *what, void *out,
                                               size_t len, struct cv_err *err);

#endif
