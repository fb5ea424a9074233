/* Key files that slots have already. One file opens one slot: of two, taking
 * one away would change nothing. */
#ifndef CERTVAULT_BROKER_SLOT_FILE_INTERNAL_H
#define CERTVAULT_BROKER_SLOT_FILE_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* CV_EXISTS where `key` (as a caller gave it) names the key file of another of
 * the `slots` than `id` ("": of any). */
CV_MUST_USE enum cv_status cv_slot_file_is_free(const cJSON *slots,
                                                const cJSON *key,
                                                const char *id,
                                                struct cv_err *err);

/* The slot `id` is given a key file: CV_EXISTS where it is its own, and the key
 * in it the one that opens the slot now. The vault is open, and stays so.
 * Fails as the token process does. */
CV_MUST_USE enum cv_status cv_slot_file_is_new(struct cv_broker *b,
                                               const cJSON *slots,
                                               const char *id, const cJSON *key,
                                               struct cv_err *err);

/* Has the token process open the vault by the first of `slots` that `key` fits;
 * its id goes to `slot_id`. Fails as cv_keyring_open does, which says what
 * stays open. (broker_box.c) */
CV_MUST_USE enum cv_status
cv_broker_open_by_secret(struct cv_broker *b, const cJSON *slots,
                         const cJSON *key, char *slot_id, size_t slot_id_len,
                         struct cv_err *err);

#endif
