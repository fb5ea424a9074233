/* Key slots: how a secret opens the vault's box key. The record is a JSON text
 * of the token process's making, which the store does not look into. A slot
 * that was removed or replaced is gone from the files (store.h). */
#ifndef CERTVAULT_STORE_STORE_SLOT_H
#define CERTVAULT_STORE_STORE_SLOT_H

#include "vault/store/store.h"

#define CV_STORE_SLOT_ID 64      /* longest id, [A-Za-z0-9._-]+ */
#define CV_STORE_SLOT_DOC 16384u /* bytes of a record */

/* Adds a slot, or replaces the one with this id. CV_INVALID: id or record. */
CV_MUST_USE enum cv_status cv_store_slot_put(struct cv_store *store,
                                             const char *id, const char *doc,
                                             struct cv_err *err);

/* CV_NOT_FOUND. That one must remain is the broker's affair. */
CV_MUST_USE enum cv_status cv_store_slot_remove(struct cv_store *store,
                                                const char *id,
                                                struct cv_err *err);

/* Called for each slot in the order in which they were added; as with
 * cv_store_entry_fn. */
typedef enum cv_status cv_store_slot_fn(void *ctx, const char *id,
                                        const char *doc, struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_slot_list(struct cv_store *store,
                                              cv_store_slot_fn *fn, void *ctx,
                                              struct cv_err *err);

#endif
