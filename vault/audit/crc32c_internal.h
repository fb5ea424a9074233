/* CRC-32C (Castagnoli; RFC 3720 appendix B.4): finds accidents in a frame. By
 * the processor's instruction where there is one. */
#ifndef CERTVAULT_AUDIT_CRC32C_INTERNAL_H
#define CERTVAULT_AUDIT_CRC32C_INTERNAL_H

#include "vault/base/arena.h"

uint32_t cv_crc32c_of(struct cv_bytes data);

/* The same of two texts at once, in less time than one after the other. */
void cv_crc32c_two(const struct cv_bytes two[2], uint32_t out[2]);

/* By table, for the test that compares. */
uint32_t cv_crc32c_plain(struct cv_bytes data);

#endif
