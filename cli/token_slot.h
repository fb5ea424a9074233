/* The sealed vault's half of a key slot that rests on a token's key: making one
 * takes the public key alone (pkcs11/slotkey.h). */
#ifndef CERTVAULT_CLI_TOKEN_SLOT_H
#define CERTVAULT_CLI_TOKEN_SLOT_H

#include "vault/base/arena.h"
#include "vault/base/json.h"

/* Draws a new secret for the key that `token` ({uri, spki, form}) tells of.
 * *secret is in `arena`; *complete is `token` with `data`, by which the token
 * gives the secret back: the caller deletes it. NULL on failure. CV_INVALID:
 * the key is of a kind that no slot rests on, or a member is not as it must
 * be. */
CV_MUST_USE enum cv_status
cv_token_slot_seal(const cJSON *token, struct cv_arena *arena, cJSON **complete,
                   struct cv_bytes *secret, struct cv_err *err);

#endif
