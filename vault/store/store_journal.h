/* The import journal: what was begun and not yet finished. A row is added in
 * one transaction and removed in the one that finishes the work; what a start
 * finds here was cut off. `doc` is a JSON text of the broker's; nothing secret
 * may be in it. */
#ifndef CERTVAULT_STORE_STORE_JOURNAL_H
#define CERTVAULT_STORE_STORE_JOURNAL_H

#include "vault/store/store.h"

/* `op` as in the audit record (up to 64 characters), unique: CV_EXISTS. */
CV_MUST_USE enum cv_status
cv_store_journal_add(struct cv_store *store, const char *op, const char *action,
                     const char *doc, int64_t created, struct cv_err *err);

/* CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_store_journal_remove(struct cv_store *store,
                                                   const char *op,
                                                   struct cv_err *err);

/* Called for each, oldest first; as with cv_store_entry_fn. */
typedef enum cv_status cv_store_journal_fn(void *ctx, const char *op,
                                           const char *action, const char *doc,
                                           int64_t created, struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_journal_list(struct cv_store *store,
                                                 cv_store_journal_fn *fn,
                                                 void *ctx, struct cv_err *err);

#endif
