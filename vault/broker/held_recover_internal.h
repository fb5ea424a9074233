/* One row of the journal that is being ended: held_recover.c, held_debris.c. */
#ifndef CERTVAULT_BROKER_HELD_RECOVER_INTERNAL_H
#define CERTVAULT_BROKER_HELD_RECOVER_INTERNAL_H

#include "vault/broker/held_internal.h"

struct cv_held_recovery {
    struct cv_held held;
    const struct cv_held_row *row;
    const char *kind;
    const cJSON *ref; /* the row's */
    cJSON *doc;       /* the row's, to be changed */
};

/* Not entered. The row goes; with `outcome` ("ok", "aborted"; NULL: the log has
 * it, or needs none) that is told; `doc` (may be NULL) becomes the entry, or
 * the entry is `gone`. */
CV_MUST_USE enum cv_status cv_held_recover_settle(struct cv_held_recovery *r,
                                                  const char *outcome,
                                                  const cJSON *doc, bool gone,
                                                  struct cv_err *err);

/* Not entered. The leaf before anything is destroyed by itself: `what` it is,
 * and its digest (may be NULL). */
CV_MUST_USE enum cv_status cv_held_recover_tell(struct cv_held_recovery *r,
                                                const char *what,
                                                const char *digest,
                                                struct cv_err *err);

/* held_debris.c: what is there since and not explained is told, and kept in a
 * row of its own for a later login ... */
CV_MUST_USE enum cv_status cv_held_debris_find(struct cv_held_recovery *r,
                                               struct cv_err *err);

/* ... at which it is destroyed, where it is still what it was. */
CV_MUST_USE enum cv_status cv_held_debris_end(struct cv_held_recovery *r,
                                              struct cv_err *err);

#endif
