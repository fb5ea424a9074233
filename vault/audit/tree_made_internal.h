/* Nodes of the tree that are made beforehand, out of many leaves at once: two
 * hashes take less time together than one after the other, and any thread can
 * make them, while leaves are appended by one. */
#ifndef CERTVAULT_AUDIT_TREE_MADE_INTERNAL_H
#define CERTVAULT_AUDIT_TREE_MADE_INTERNAL_H

#include "vault/audit/tree.h"

#define CV_TREE_MADE_HEIGHT 8
#define CV_TREE_MADE_LEAVES 8192 /* most at once */

/* The roots of whole subtrees of 2^height leaves, from number from[height] on.
 * Large: not for a stack. */
struct cv_tree_made {
    uint64_t from[CV_TREE_MADE_HEIGHT + 1];
    size_t n[CV_TREE_MADE_HEIGHT + 1];
    size_t at[CV_TREE_MADE_HEIGHT + 1]; /* in `hash` */
    uint8_t hash[2 * CV_TREE_MADE_LEAVES][CV_TREE_HASH];
};

/* The hashes of the leaves from number `first` on, CV_TREE_MADE_LEAVES at most,
 * are to be put at the beginning of `hash`. */
void cv_tree_made_begin(struct cv_tree_made *made, uint64_t first);

/* Makes the nodes above `n` of them. */
void cv_tree_made_end(struct cv_tree_made *made, size_t n);

/* The root of subtree `number` of that height (> 0); NULL: it is not among
 * them. */
const uint8_t *cv_tree_made_get(const struct cv_tree_made *made,
                                unsigned height, uint64_t number);

/* cv_tree_append_told, with what was made before (NULL: nothing). */
bool cv_tree_append_made(struct cv_tree *tree, const uint8_t leaf[CV_TREE_HASH],
                         const struct cv_tree_made *made, unsigned level,
                         uint8_t out[CV_TREE_HASH]);

#endif
