/* The policies that were applied: the highest version is the one in force. */
#ifndef CERTVAULT_STORE_STORE_POLICY_H
#define CERTVAULT_STORE_STORE_POLICY_H

#include "vault/store/store.h"

struct cv_store_policy {
    int64_t version;        /* 0.. */
    const char *sha256;     /* 64 hex: of the text */
    const char *text;       /* as it was given */
    const char *resolution; /* JSON: users and groups as resolved at apply */
    int64_t applied;        /* seconds since 1970 */
};

/* The one in force. *out is a copy, freed with cv_store_policy_free; NULL on
 * failure. CV_NOT_FOUND: none was ever applied. */
CV_MUST_USE enum cv_status cv_store_policy_current(struct cv_store *store,
                                                   struct cv_store_policy **out,
                                                   struct cv_err *err);
/* The same of one version. CV_NOT_FOUND: it was never applied. */
CV_MUST_USE enum cv_status cv_store_policy_version(struct cv_store *store,
                                                   int64_t version,
                                                   struct cv_store_policy **out,
                                                   struct cv_err *err);
void cv_store_policy_free(struct cv_store_policy *policy);

/* Adds one. Version and text are compared by the broker too; here: the same
 * version with the same sha256 and resolution changes nothing (CV_OK), the same
 * version with another sha256, or a lower one, is CV_INTEGRITY (rollback). The
 * same text with another resolution replaces the resolution. CV_INVALID. */
CV_MUST_USE enum cv_status
cv_store_policy_put(struct cv_store *store,
                    const struct cv_store_policy *policy, struct cv_err *err);

/* All of them, highest version first, with `text` and `resolution` NULL; as
 * with cv_store_entry_fn. */
typedef enum cv_status cv_store_policy_fn(void *ctx,
                                          const struct cv_store_policy *policy,
                                          struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_policy_history(struct cv_store *store,
                                                   cv_store_policy_fn *fn,
                                                   void *ctx,
                                                   struct cv_err *err);

#endif
