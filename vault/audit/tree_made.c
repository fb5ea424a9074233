#include "vault/audit/tree_made_internal.h"

#include "vault/audit/sha256_internal.h"

void cv_tree_made_begin(struct cv_tree_made *made, uint64_t first)
{
    made->from[0] = first;
    made->at[0] = 0;
}

/* The nodes above `n` pairs of hashes, which lie one behind the other. */
static void make_nodes(const uint8_t (*below)[CV_TREE_HASH], size_t n,
                       uint8_t (*out)[CV_TREE_HASH])
{
    size_t i = 0;

    for (; i + 1 < n; i += 2) {
        const struct cv_bytes two[2] = {{below[2 * i], 2 * CV_TREE_HASH},
                                        {below[2 * i + 2], 2 * CV_TREE_HASH}};
        uint8_t *const to[2] = {out[i], out[i + 1]};

        cv_sha256_prefixed_two(0x01, two, to);
    }
    if (i < n) {
        cv_tree_node(below[2 * i], below[2 * i + 1], out[i]);
    }
}

void cv_tree_made_end(struct cv_tree_made *made, size_t n)
{
    made->n[0] = n;
    for (unsigned h = 1; h <= CV_TREE_MADE_HEIGHT; h++) {
        const size_t odd = made->from[h - 1] % 2; /* a right one comes first */

        n = made->n[h - 1] > odd ? (made->n[h - 1] - odd) / 2 : 0;
        made->from[h] = (made->from[h - 1] + odd) / 2;
        made->at[h] = made->at[h - 1] + made->n[h - 1];
        made->n[h] = n;
        make_nodes((const uint8_t(*)[CV_TREE_HASH])made->hash +
                       made->at[h - 1] + odd,
                   n, made->hash + made->at[h]);
    }
}

const uint8_t *cv_tree_made_get(const struct cv_tree_made *made,
                                unsigned height, uint64_t number)
{
    if (made == NULL || height > CV_TREE_MADE_HEIGHT ||
        number < made->from[height] ||
        number - made->from[height] >= made->n[height]) {
        return NULL;
    }
    return made->hash[made->at[height] + (number - made->from[height])];
}
