/* Rows of the journal that are being ended: held_recover.c, held_debris.c. */
#ifndef CERTVAULT_BROKER_HELD_RECOVER_INTERNAL_H
#define CERTVAULT_BROKER_HELD_RECOVER_INTERNAL_H

#include "vault/broker/held_internal.h"

/* One key of what was begun together. */
struct cv_held_recovery_key {
    const struct cv_held_row *row;
    const cJSON *ref;   /* the row's */
    cJSON *doc;         /* the row's, to be changed; NULL: it has none */
    bool decided, told; /* what the log has of it */
};

struct cv_held_recovery {
    struct cv_held held;
    const char *kind;
    struct cv_held_recovery_key *keys;
    size_t n; /* at least 1; of what is no import, 1 */
};

/* How a row ends. */
enum cv_held_end {
    CV_HELD_END_DONE,  /* the documents are entries; told as "ok" */
    CV_HELD_END_GONE,  /* the entries are gone; told as "ok" */
    CV_HELD_END_BACK,  /* nothing was done; told as "aborted" */
    CV_HELD_END_SILENT /* nothing is told */
};

/* Not entered. All rows go, in one transaction; what the log has already, or
 * was never decided, is not told. */
CV_MUST_USE enum cv_status cv_held_recover_settle(struct cv_held_recovery *r,
                                                  enum cv_held_end end,
                                                  struct cv_err *err);

/* Not entered. The leaf before anything of `key` is destroyed by itself: `what`
 * it is, and its digest (may be NULL). */
CV_MUST_USE enum cv_status
cv_held_recover_tell(struct cv_held_recovery *r,
                     const struct cv_held_recovery_key *key, const char *what,
                     const char *digest, struct cv_err *err);

/* held_debris.c: what is there since and not explained is told, and kept in a
 * row of its own for a later login ... */
CV_MUST_USE enum cv_status cv_held_debris_find(struct cv_held_recovery *r,
                                               struct cv_err *err);

/* ... at which it is destroyed, where it is still what it was. */
CV_MUST_USE enum cv_status cv_held_debris_end(struct cv_held_recovery *r,
                                              struct cv_err *err);

#endif
