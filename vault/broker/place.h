/* Putting a restored vault in its place, whole or not at all.
 *
 *     DIR/restoring.new/   a vault that is being written: nothing yet
 *     DIR/restoring/       the same, whole and on disk: from here on it is the
 *                          vault, and what lies beside it is the old one
 *
 * The rename between the two is the moment. Whoever opens the vault next moves
 * the parts to their places (cv_place_finish); killed at it, the one after goes
 * on. The record that was there before is kept as DIR/audit.replaced-N.
 *
 * All in DIR itself: a service may not write into the folder above its own. */
#ifndef CERTVAULT_BROKER_PLACE_H
#define CERTVAULT_BROKER_PLACE_H

#include "vault/base/err.h"

#include <stdbool.h>

#define CV_PLACE_STAGE "restoring.new"
#define CV_PLACE_READY "restoring"

/* Removes what an interrupted restore left and makes the stage, with audit/ in
 * it; *stage is open. CV_IO. */
CV_MUST_USE enum cv_status cv_place_begin(int dir, int *stage,
                                          struct cv_err *err);

/* Removes the stage, as far as there is one. */
void cv_place_drop(int dir);

/* Everything in the stage is written and synced: makes it the vault. CV_IO. */
CV_MUST_USE enum cv_status cv_place_commit(int dir, int stage,
                                           struct cv_err *err);

/* Is there one that waits to be put in its place? */
bool cv_place_is_ready(int dir);

/* Does that. The caller has the vault alone (flock on DIR/service, exclusive).
 * Nothing of the vault may be open. CV_IO: the next start goes on. */
CV_MUST_USE enum cv_status cv_place_finish(int dir, struct cv_err *err);

/* The files of a vault that lie in `dir`, removed; audit/ too where
 * `with_record`, else its key alone. As far as they are there. */
void cv_place_clear(int dir, bool with_record);

#endif
