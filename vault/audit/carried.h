/* Changes of the log's key that outlive their records.
 *
 * One of the records that `audit archive` takes out of the log may be a leaf
 * that gives it another key (rotation.h), and without that leaf nobody who has
 * the key before it alone could go on from there. So before it goes the log
 * says it once more: a leaf (action admin, phase event, details.method
 * CV_CARRIED_METHOD) whose details.leaf is the other one, byte for byte, in
 * pieces. Where that is archived in its turn, so is what it carries.
 *
 * What is carried is believed no more than it proves: both keys have signed it,
 * and the hash tiles, which stay, have its hash at its number. The second is
 * the caller's to look at, where the leaf itself was not met. */
#ifndef CERTVAULT_AUDIT_CARRIED_H
#define CERTVAULT_AUDIT_CARRIED_H

#include "vault/audit/rotation.h"
#include "vault/audit/tree.h"

#include <cjson/cJSON.h>

#define CV_CARRIED_METHOD "ArchiveKeys"

struct cv_carried_one {
    uint64_t seq; /* of the leaf that gives the log another key */
    bool met;     /* in its own place, not only carried */
    struct cv_rotation change;
    uint8_t hash[CV_TREE_HASH];
    uint8_t *leaf;
    size_t len;
};

/* By number, each once. Zero it first. */
struct cv_carried {
    struct cv_carried_one *items;
    size_t n;
};

/* Takes a leaf that gives the log another key, or the one that this leaf
 * carries. CV_NOT_FOUND: neither; CV_INTEGRITY: it would be one, and is not
 * signed by both keys, or there is another of that number; CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_carried_take(struct cv_carried *c, struct cv_bytes leaf, struct cv_err *err);

/* The details of a leaf that carries this one; NULL without memory. */
cJSON *cv_carried_details(const struct cv_carried_one *one);

void cv_carried_free(struct cv_carried *c);

#endif
