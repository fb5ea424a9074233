#include "vault/audit/tree_made_internal.h"

#include "vault/audit/sha256_internal.h"

#include <sodium.h>
#include <string.h>

void cv_tree_leaf(struct cv_bytes leaf, uint8_t out[CV_TREE_HASH])
{
    cv_sha256_prefixed(0x00, leaf, out);
}

void cv_tree_two_leaves(const struct cv_bytes leaves[2], uint8_t *const out[2])
{
    cv_sha256_prefixed_two(0x00, leaves, out);
}

void cv_tree_node(const uint8_t left[CV_TREE_HASH],
                  const uint8_t right[CV_TREE_HASH], uint8_t out[CV_TREE_HASH])
{
    uint8_t both[2 * CV_TREE_HASH];

    memcpy(both, left, CV_TREE_HASH);
    memcpy(both + CV_TREE_HASH, right, CV_TREE_HASH);
    cv_sha256_prefixed(0x01, (struct cv_bytes){both, sizeof both}, out);
}

void cv_tree_init(struct cv_tree *tree)
{
    memset(tree, 0, sizeof *tree);
}

bool cv_tree_append_made(struct cv_tree *tree, const uint8_t leaf[CV_TREE_HASH],
                         const struct cv_tree_made *made, unsigned level,
                         uint8_t out[CV_TREE_HASH])
{
    uint8_t hash[CV_TREE_HASH];
    const uint8_t *known;
    uint64_t full = tree->size;
    unsigned height = 0;

    memcpy(hash, leaf, CV_TREE_HASH);
    /* Each trailing one bit is a subtree that this leaf completes to one of
     * twice its size. */
    for (; full & 1; full >>= 1) {
        tree->n--;
        height++;
        known = cv_tree_made_get(made, height, tree->size >> height);
        if (known != NULL) {
            memcpy(hash, known, CV_TREE_HASH);
        } else {
            cv_tree_node(tree->nodes[tree->n], hash, hash);
        }
        if (height == level) {
            memcpy(out, hash, CV_TREE_HASH);
        }
    }
    memcpy(tree->nodes[tree->n++], hash, CV_TREE_HASH);
    tree->size++;
    return level > 0 && height >= level;
}

bool cv_tree_append_told(struct cv_tree *tree, const uint8_t leaf[CV_TREE_HASH],
                         unsigned level, uint8_t out[CV_TREE_HASH])
{
    return cv_tree_append_made(tree, leaf, NULL, level, out);
}

void cv_tree_append(struct cv_tree *tree, const uint8_t leaf[CV_TREE_HASH])
{
    (void)cv_tree_append_told(tree, leaf, 0, NULL);
}

void cv_tree_root(const struct cv_tree *tree, uint8_t out[CV_TREE_HASH])
{
    unsigned i = tree->n;

    if (i == 0) {
        crypto_hash_sha256(out, NULL, 0);
        return;
    }
    memmove(out, tree->nodes[--i], CV_TREE_HASH);
    while (i > 0) {
        cv_tree_node(tree->nodes[--i], out, out);
    }
}

void cv_tree_root_of(const uint8_t *leaves, uint64_t n,
                     uint8_t out[CV_TREE_HASH])
{
    struct cv_tree tree;

    cv_tree_init(&tree);
    for (uint64_t i = 0; i < n; i++) {
        cv_tree_append(&tree, leaves + i * CV_TREE_HASH);
    }
    cv_tree_root(&tree, out);
}

bool cv_tree_shape_ok(uint64_t size, unsigned n)
{
    return size <= (UINT64_C(1) << 53) &&
           (unsigned)__builtin_popcountll(size) == n;
}
