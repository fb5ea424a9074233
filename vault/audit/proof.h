/* Inclusion and consistency proofs of RFC 6962, checked as RFC 9162 sections
 * 2.1.3.2 and 2.1.4.2 say.
 *
 * A check of an inclusion takes the hash of a leaf: it must have been computed
 * from the record's own bytes (cv_tree_leaf), or an inner node passes for a
 * leaf. Consistency from size 0 is accepted with an empty proof and the empty
 * root alone. */
#ifndef CERTVAULT_AUDIT_PROOF_H
#define CERTVAULT_AUDIT_PROOF_H

#include "vault/audit/tree.h"

#define CV_PROOF_MAX 63 /* hashes in an inclusion proof that is accepted */
/* A consistency proof may hold one more. */
#define CV_PROOF_HASHES (CV_PROOF_MAX + 1)

struct cv_proof {
    unsigned n;
    uint8_t hash[CV_PROOF_HASHES][CV_TREE_HASH];
};

/* CV_INTEGRITY when the proof does not show that leaf `index` of the tree of
 * `size` leaves with this root has this hash. */
CV_MUST_USE enum cv_status
cv_proof_check_inclusion(uint64_t index, uint64_t size,
                         const uint8_t leaf[CV_TREE_HASH],
                         const struct cv_proof *proof,
                         const uint8_t root[CV_TREE_HASH], struct cv_err *err);

/* CV_INTEGRITY when the proof does not show that the tree of `old_size` leaves
 * is the beginning of the one of `new_size`. */
CV_MUST_USE enum cv_status
cv_proof_check_consistency(uint64_t old_size, uint64_t new_size,
                           const uint8_t old_root[CV_TREE_HASH],
                           const uint8_t new_root[CV_TREE_HASH],
                           const struct cv_proof *proof, struct cv_err *err);

/* Where proofs come from: the roots of perfect subtrees. subtree gives that of
 * the 2^level leaves from index * 2^level on; it fails as it says. */
struct cv_proof_source {
    void *context;
    enum cv_status (*subtree)(void *context, unsigned level, uint64_t index,
                              uint8_t out[CV_TREE_HASH], struct cv_err *err);
};

/* The root of the first `size` leaves. */
CV_MUST_USE enum cv_status cv_proof_root(const struct cv_proof_source *source,
                                         uint64_t size,
                                         uint8_t out[CV_TREE_HASH],
                                         struct cv_err *err);

/* The first `size` leaves as the perfect subtrees that they are made of: what
 * is needed to go on from there. */
CV_MUST_USE enum cv_status
cv_proof_frontier(const struct cv_proof_source *source, uint64_t size,
                  struct cv_tree *out, struct cv_err *err);

/* Makes the proof. A few subtrees are asked for, however large the tree is.
 * CV_INVALID: index >= size, or old_size > size; or what `source` fails with.
 */
CV_MUST_USE enum cv_status
cv_proof_make_inclusion(const struct cv_proof_source *source, uint64_t size,
                        uint64_t index, struct cv_proof *out,
                        struct cv_err *err);
CV_MUST_USE enum cv_status
cv_proof_make_consistency(const struct cv_proof_source *source, uint64_t size,
                          uint64_t old_size, struct cv_proof *out,
                          struct cv_err *err);

#endif
