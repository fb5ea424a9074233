/* A key that is used once: how a secret goes from one program to another
 * through the broker, which can then not read it. The program that wants it
 * makes a pair and gives the public half away; what is sealed to that half
 * (cv_target_seal, or cv_box_seal for keys) it can open once. The secret half
 * lives in an arena and is wiped with it. Nothing here blocks. */
#ifndef CERTVAULT_SEAL_TARGET_H
#define CERTVAULT_SEAL_TARGET_H

#include "vault/seal/box.h"

struct cv_target;

/* A new pair; *out is NULL on failure (what arenas fail with). */
CV_MUST_USE enum cv_status cv_target_new(struct cv_target **out,
                                         struct cv_err *err);

/* Wipes it; NULL is fine. */
void cv_target_free(struct cv_target *target);

/* Its pair, borrowed: for cv_box_open, after which the target is to be freed.
 */
const struct cv_box_pair *cv_target_pair(const struct cv_target *target);

/* Seals `secret` (1 to CV_LIMIT_KEY_FILE bytes) to a target's public half,
 * with crypto_box_seal; appends to `out`. CV_INVALID: the length, or a public
 * key that is none. */
CV_MUST_USE enum cv_status
cv_target_seal(const uint8_t public_key[CV_BOX_KEY_LEN], struct cv_bytes secret,
               struct cv_buf *out, struct cv_err *err);

/* Opens that, into `arena`. CV_INTEGRITY: it was sealed to another target, or
 * changed. */
CV_MUST_USE enum cv_status cv_target_open(const struct cv_target *target,
                                          struct cv_bytes sealed,
                                          struct cv_arena *arena,
                                          struct cv_bytes *secret,
                                          struct cv_err *err);

#endif
