/* SHA-256 of one byte and a text, the only form that the tree needs. Where the
 * processor has instructions for it they are used (six times libsodium's
 * speed: a log is hashed whole when it is opened or verified); else
 * libsodium. */
#ifndef CERTVAULT_AUDIT_SHA256_INTERNAL_H
#define CERTVAULT_AUDIT_SHA256_INTERNAL_H

#include "vault/base/arena.h"

#include <stdbool.h>

/* SHA-256(first || data). */
void cv_sha256_prefixed(uint8_t first, struct cv_bytes data, uint8_t out[32]);

/* The same of two texts at once, in less time than one after the other. */
void cv_sha256_prefixed_two(uint8_t first, const struct cv_bytes two[2],
                            uint8_t *const out[2]);

/* The two ways, for the test that compares them. The fast one may only be
 * called where cv_sha256_is_fast. */
bool cv_sha256_is_fast(void);
void cv_sha256_fast(uint8_t first, struct cv_bytes data, uint8_t out[32]);
void cv_sha256_fast_two(uint8_t first, const struct cv_bytes two[2],
                        uint8_t *const out[2]);
void cv_sha256_plain(uint8_t first, struct cv_bytes data, uint8_t out[32]);

#endif
