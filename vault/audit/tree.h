/* Merkle tree hashing of RFC 6962 section 2.1 (SHA-256).
 *
 * struct cv_tree is a compact range: the roots of the perfect subtrees that
 * cover leaves 0..size-1, largest first. It is all that is needed to append
 * leaves and to tell the root; it is a plain value, copied by assignment.
 * Nothing here blocks, allocates or fails. */
#ifndef CERTVAULT_AUDIT_TREE_H
#define CERTVAULT_AUDIT_TREE_H

#include "vault/base/arena.h"

#include <stdbool.h>

#define CV_TREE_HASH 32  /* bytes of a hash */
#define CV_TREE_DEPTH 63 /* most subtrees in a compact range */

struct cv_tree {
    uint64_t size; /* leaves */
    unsigned n;    /* subtrees: the one bits of `size` */
    uint8_t nodes[CV_TREE_DEPTH][CV_TREE_HASH];
};

/* SHA-256(0x00 || leaf). */
void cv_tree_leaf(struct cv_bytes leaf, uint8_t out[CV_TREE_HASH]);

/* The same of two leaves at once: faster than one after the other. */
void cv_tree_two_leaves(const struct cv_bytes leaves[2], uint8_t *const out[2]);

/* SHA-256(0x01 || left || right). `out` may be either of them. */
void cv_tree_node(const uint8_t left[CV_TREE_HASH],
                  const uint8_t right[CV_TREE_HASH], uint8_t out[CV_TREE_HASH]);

/* The empty tree. */
void cv_tree_init(struct cv_tree *tree);

/* Appends a leaf by its hash. */
void cv_tree_append(struct cv_tree *tree, const uint8_t leaf[CV_TREE_HASH]);

/* The same. True where a subtree of 2^level leaves (level > 0) became whole:
 * its root is then in `out`. */
bool cv_tree_append_told(struct cv_tree *tree, const uint8_t leaf[CV_TREE_HASH],
                         unsigned level, uint8_t out[CV_TREE_HASH]);

/* The root; of the empty tree SHA-256(""). */
void cv_tree_root(const struct cv_tree *tree, uint8_t out[CV_TREE_HASH]);

/* The root of `n` leaf hashes that lie one behind the other. */
void cv_tree_root_of(const uint8_t *leaves, uint64_t n,
                     uint8_t out[CV_TREE_HASH]);

/* Does a compact range of `size` leaves have `n` subtrees? For ranges that
 * come from a file. */
bool cv_tree_shape_ok(uint64_t size, unsigned n);

#endif
