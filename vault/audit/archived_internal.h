/* What the files of vault/audit share about where the log begins. */
#ifndef CERTVAULT_AUDIT_ARCHIVED_INTERNAL_H
#define CERTVAULT_AUDIT_ARCHIVED_INTERNAL_H

#include "vault/audit/archived.h"
#include "vault/base/limits.h"

/* audit/archived.places: where in the log the record is that says what is
 * archived, and the changes of the log's key behind it:
 *
 *     {"records":[{"offset":..,"seq":..},..],"v":1} LF     ascending
 *
 * Derived, so that not every opening reads the log from its beginning to find
 * out whether the key that signed audit/archived was the log's then. Nothing of
 * it is believed: it only says where to look. A leaf that is found there counts
 * where the tree that the last checkpoint signed has it at that number. To hide
 * a change of keys from it is of no use: the changes must lead to the key of
 * now. */
#define CV_ARCHIVED_PLACES "audit/archived.places"

#define CV_ARCHIVED_PLACES_MOST 257 /* with more the log is read */

struct cv_archived_places {
    size_t n;
    struct cv_query_cursor at[CV_ARCHIVED_PLACES_MOST];
};

/* Does the log, read at these places and behind its tiles, say that the key
 * which signed `a` was the log's then? `last` is its last checkpoint, opened
 * with `now`. False also where they are not there, or not right, or the tiles
 * are not: then the log must be read. */
bool cv_archived_places_hold(int vault, const struct cv_archived *a,
                             const struct cv_note_key *now,
                             const struct cv_checkpoint *last);

/* What cannot be written is found out again. */
void cv_archived_places_write(int vault, const struct cv_archived_places *p);

#endif
