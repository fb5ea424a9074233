#include "vault/audit/proof.h"

#include <sodium.h>
#include <string.h>

static enum cv_status refuse(struct cv_err *err, const char *kind)
{
    return cv_fail(err, CV_INTEGRITY, "the %s proof does not verify", kind);
}

static bool same(const uint8_t a[CV_TREE_HASH], const uint8_t b[CV_TREE_HASH])
{
    return memcmp(a, b, CV_TREE_HASH) == 0;
}

/* A left sibling was taken in: go up to where the node is no left-most child
 * of a tree that ends here. */
static void climb(uint64_t *fn, uint64_t *sn)
{
    while (!(*fn & 1) && *fn != 0) {
        *fn >>= 1;
        *sn >>= 1;
    }
}

enum cv_status cv_proof_check_inclusion(uint64_t index, uint64_t size,
                                        const uint8_t leaf[CV_TREE_HASH],
                                        const struct cv_proof *proof,
                                        const uint8_t root[CV_TREE_HASH],
                                        struct cv_err *err)
{
    uint64_t fn = index, sn = size - 1;
    uint8_t r[CV_TREE_HASH];

    if (index >= size || proof->n > CV_PROOF_MAX) {
        return refuse(err, "inclusion");
    }
    memcpy(r, leaf, sizeof r);
    for (unsigned i = 0; i < proof->n; i++) {
        if (sn == 0) {
            return refuse(err, "inclusion");
        }
        if ((fn & 1) || fn == sn) {
            cv_tree_node(proof->hash[i], r, r);
            climb(&fn, &sn);
        } else {
            cv_tree_node(r, proof->hash[i], r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0 || !same(r, root)) {
        return refuse(err, "inclusion");
    }
    return CV_OK;
}

/* RFC 9162 section 2.1.4.2 for 0 < old_size < new_size. */
static bool consistent(uint64_t old_size, uint64_t new_size,
                       const uint8_t *old_root, const uint8_t *new_root,
                       const struct cv_proof *proof)
{
    uint64_t fn = old_size - 1, sn = new_size - 1;
    bool whole = (old_size & (old_size - 1)) == 0;
    uint8_t fr[CV_TREE_HASH], sr[CV_TREE_HASH];
    unsigned i = whole ? 0 : 1;

    if (proof->n == 0) {
        return false;
    }
    memcpy(fr, whole ? old_root : proof->hash[0], CV_TREE_HASH);
    memcpy(sr, fr, CV_TREE_HASH);
    for (; fn & 1; fn >>= 1) {
        sn >>= 1;
    }
    for (; i < proof->n; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) || fn == sn) {
            cv_tree_node(proof->hash[i], fr, fr);
            cv_tree_node(proof->hash[i], sr, sr);
            climb(&fn, &sn);
        } else {
            cv_tree_node(sr, proof->hash[i], sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && same(fr, old_root) && same(sr, new_root);
}

enum cv_status cv_proof_check_consistency(uint64_t old_size, uint64_t new_size,
                                          const uint8_t old_root[CV_TREE_HASH],
                                          const uint8_t new_root[CV_TREE_HASH],
                                          const struct cv_proof *proof,
                                          struct cv_err *err)
{
    uint8_t empty[CV_TREE_HASH];
    bool ok;

    if (old_size > new_size || proof->n > CV_PROOF_HASHES) {
        return refuse(err, "consistency");
    }
    if (old_size == new_size) {
        ok = proof->n == 0 && same(old_root, new_root);
    } else if (old_size == 0) {
        crypto_hash_sha256(empty, NULL, 0);
        ok = proof->n == 0 && same(old_root, empty);
    } else {
        ok = consistent(old_size, new_size, old_root, new_root, proof);
    }
    return ok ? CV_OK : refuse(err, "consistency");
}

/* The largest power of two below n; n > 1. */
static uint64_t split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* The root of `n` leaves (at least one) from `start` on, which is a multiple of
 * a power of two that is at least n: perfect subtrees, the largest first. */
static enum cv_status root_of(const struct cv_proof_source *source,
                              uint64_t start, uint64_t n,
                              uint8_t out[CV_TREE_HASH], struct cv_err *err)
{
    uint8_t part[CV_TREE_DEPTH + 1][CV_TREE_HASH];
    unsigned parts = 0;
    enum cv_status status;

    do {
        unsigned level = 63 - (unsigned)__builtin_clzll(n);

        status = source->subtree(source->context, level, start >> level,
                                 part[parts++], err);
        start += UINT64_C(1) << level;
        n -= UINT64_C(1) << level;
    } while (n > 0 && status == CV_OK);
    if (status != CV_OK) {
        return status;
    }
    memcpy(out, part[--parts], CV_TREE_HASH);
    while (parts > 0) {
        cv_tree_node(part[--parts], out, out);
    }
    return CV_OK;
}

enum cv_status cv_proof_root(const struct cv_proof_source *source,
                             uint64_t size, uint8_t out[CV_TREE_HASH],
                             struct cv_err *err)
{
    if (size == 0) {
        crypto_hash_sha256(out, NULL, 0);
        return CV_OK;
    }
    return root_of(source, 0, size, out, err);
}

static void reverse(struct cv_proof *p)
{
    uint8_t h[CV_TREE_HASH];

    for (unsigned i = 0, j = p->n; i + 1 < j; i++) {
        j--;
        memcpy(h, p->hash[i], sizeof h);
        memcpy(p->hash[i], p->hash[j], sizeof h);
        memcpy(p->hash[j], h, sizeof h);
    }
}

/* PATH of RFC 6962 section 2.1.1, from the root downwards and then turned
 * round. */
enum cv_status cv_proof_make_inclusion(const struct cv_proof_source *source,
                                       uint64_t size, uint64_t index,
                                       struct cv_proof *out, struct cv_err *err)
{
    uint64_t start = 0;
    enum cv_status status = CV_OK;

    memset(out, 0, sizeof *out);
    if (index >= size) {
        return cv_fail(err, CV_INVALID, "the tree has no such leaf");
    }
    while (size > 1 && status == CV_OK) {
        uint64_t k = split(size);
        uint8_t *hash = out->hash[out->n++];

        if (index - start < k) {
            status = root_of(source, start + k, size - k, hash, err);
            size = k;
        } else {
            status = root_of(source, start, k, hash, err);
            start += k;
            size -= k;
        }
    }
    reverse(out);
    return status;
}

/* SUBPROOF of RFC 6962 section 2.1.2, likewise. */
enum cv_status cv_proof_make_consistency(const struct cv_proof_source *source,
                                         uint64_t size, uint64_t old_size,
                                         struct cv_proof *out,
                                         struct cv_err *err)
{
    bool known = true; /* the verifier has the old subtree's root */
    uint64_t start = 0;
    enum cv_status status = CV_OK;

    memset(out, 0, sizeof *out);
    if (old_size > size) {
        return cv_fail(err, CV_INVALID, "the old tree is larger");
    }
    if (old_size == 0) {
        return CV_OK;
    }
    while (old_size - start != size && status == CV_OK) {
        uint64_t k = split(size);
        uint8_t *hash = out->hash[out->n++];

        if (old_size - start <= k) {
            status = root_of(source, start + k, size - k, hash, err);
            size = k;
        } else {
            status = root_of(source, start, k, hash, err);
            start += k;
            size -= k;
            known = false;
        }
    }
    if (status == CV_OK && !known) {
        status = root_of(source, start, size, out->hash[out->n++], err);
    }
    reverse(out);
    return status;
}

enum cv_status cv_proof_frontier(const struct cv_proof_source *source,
                                 uint64_t size, struct cv_tree *out,
                                 struct cv_err *err)
{
    uint64_t at = 0;
    enum cv_status status = CV_OK;

    cv_tree_init(out);
    for (unsigned level = CV_TREE_DEPTH; level-- > 0 && status == CV_OK;) {
        if ((size >> level & 1) != 0) {
            status = source->subtree(source->context, level, at >> level,
                                     out->nodes[out->n++], err);
            at += UINT64_C(1) << level;
        }
    }
    out->size = size;
    return status;
}
