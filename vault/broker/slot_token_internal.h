/* Key slots that rest on a token's key: the module process and the token
 * process each do their half; what goes from one to the other is sealed, so
 * that the broker only carries it. */
#ifndef CERTVAULT_BROKER_SLOT_TOKEN_INTERNAL_H
#define CERTVAULT_BROKER_SLOT_TOKEN_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* The vault for which a slot is: there may be none in the store yet. */
struct cv_slot_token_vault {
    const char *id;         /* hex */
    const char *public_key; /* base64 */
};

/* Does a SlotSecret speak of a token? */
bool cv_slot_token_is(const cJSON *key);

/* Makes a slot for `key` ({kind: "token", uri}), finding or making the key on
 * the token, for the box key that is open, and opens it once before it is
 * believed. *record is in `answer`, which the caller frees. CV_LOCKED: the
 * token's PIN is wanted (`reply` says which). Else what the two processes fail
 * with; a key that was made on the token stays there, and the error's state
 * says so. */
CV_MUST_USE enum cv_status
cv_slot_token_wrap(struct cv_broker *b, const struct cv_slot_token_vault *vault,
                   const char *id, const cJSON *key, struct cv_reply *reply,
                   struct cv_message *answer, const cJSON **record,
                   struct cv_err *err);

/* Opens the box key by the token slots among `slots` that `key` ({kind:
 * "token", uri or absent: any}) means, the first that does; its id is copied to
 * `slot_id`. CV_LOCKED as above; CV_NOT_FOUND: there is none such. */
CV_MUST_USE enum cv_status
cv_slot_token_open(struct cv_broker *b, const cJSON *slots, const cJSON *key,
                   struct cv_reply *reply, char *slot_id, size_t slot_id_len,
                   struct cv_err *err);

#endif
