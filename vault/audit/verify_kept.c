/* The checkpoints of earlier times against the log: one that was put back to
 * an older state, its last checkpoint with it, is shorter than one of them. */
#include "vault/audit/verify_internal.h"

#include "vault/audit/kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cv_status add(void *ctx, const struct cv_checkpoint *c,
                          struct cv_bytes note, struct cv_err *err)
{
    struct cv_verify *v = ctx;
    struct cv_verify_kept *more =
        realloc(v->kept, (v->n_kept + 1) * sizeof *more);

    (void)note;
    if (more == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    v->kept = more;
    more += v->n_kept++;
    more->size = c->size;
    memcpy(more->root, c->root, sizeof more->root);
    more->fits = false;
    return CV_OK;
}

static int by_size(const void *a, const void *b)
{
    const struct cv_verify_kept *x = a, *y = b;

    return x->size < y->size ? -1 : x->size > y->size;
}

enum cv_status cv_verify_kept_read(struct cv_verify *v, struct cv_err *err)
{
    enum cv_status status =
        cv_kept_look(v->vault, add, v, &v->kept_passed, err);

    if (v->n_kept > 0) {
        qsort(v->kept, v->n_kept, sizeof *v->kept, by_size);
    }
    return status;
}

void cv_verify_kept_claims(struct cv_verify *v)
{
    uint8_t root[CV_TREE_HASH];

    while (v->at_kept < v->n_kept &&
           v->kept[v->at_kept].size <= v->at.tree.size) {
        struct cv_verify_kept *k = &v->kept[v->at_kept++];

        cv_tree_root(&v->at.tree, root);
        k->fits = k->size == v->at.tree.size &&
                  memcmp(root, k->root, sizeof root) == 0;
    }
}

/* Is it one of those that were read, and does not fit? */
static bool is_wrong(const struct cv_verify *v, const struct cv_checkpoint *c)
{
    for (size_t i = 0; i < v->n_kept; i++) {
        const struct cv_verify_kept *k = &v->kept[i];

        if (!k->fits && k->size == c->size &&
            memcmp(k->root, c->root, sizeof k->root) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status judge(void *ctx, const struct cv_checkpoint *c,
                            struct cv_bytes note, struct cv_err *err)
{
    struct cv_verify *v = ctx;
    char why[160];

    (void)err;
    if (!is_wrong(v, c)) {
        return CV_OK;
    }
    if (!cv_verify_is_signed(v, note)) {
        /* What keys there were before what is read nobody knows. */
        v->kept_passed += v->first == 0 || c->size > v->first;
        return CV_OK;
    }
    (void)snprintf(why, sizeof why,
                   c->size > v->at.tree.size
                       ? "the log is shorter than a checkpoint of it that was "
                         "kept (" CV_KEPT_PATH "): that has %llu records"
                       : "the log is not the one that was signed when it had "
                         "%llu records (" CV_KEPT_PATH ")",
                   (unsigned long long)c->size);
    cv_verify_add(v, "kept", why);
    return CV_OK;
}

struct above {
    const struct cv_verify *v;
    bool found;
};

static enum cv_status look_above(void *ctx, const struct cv_checkpoint *c,
                                 struct cv_bytes note, struct cv_err *err)
{
    struct above *a = ctx;

    (void)err;
    a->found = a->found || (c->size > a->v->at.tree.size && is_wrong(a->v, c) &&
                            cv_verify_is_signed(a->v, note));
    return CV_OK;
}

enum cv_status cv_verify_kept_covers(const struct cv_verify *v, bool *covers,
                                     struct cv_err *err)
{
    struct above a = {v, false};
    enum cv_status status = CV_OK;

    if (v->n_kept > 0 && v->kept[v->n_kept - 1].size > v->at.tree.size) {
        status = cv_kept_each(v->vault, look_above, &a, err);
    }
    *covers = a.found;
    return status;
}

/* No error: a crash cuts a line off, they are written without a sync, and
 * nothing that the log's key has not signed says a thing of the log. */
static void note_passed(struct cv_verify *v)
{
    char why[160];

    if (v->kept_passed > 0) {
        (void)snprintf(why, sizeof why,
                       "%llu of the lines of " CV_KEPT_PATH
                       " were passed over: "
                       "damaged, or signed by no key of this log",
                       (unsigned long long)v->kept_passed);
        cv_report_add(&v->notes, "kept", CV_REPORT_NOWHERE, CV_REPORT_NOWHERE,
                      why);
    }
}

enum cv_status cv_verify_kept_end(struct cv_verify *v, struct cv_err *err)
{
    enum cv_status status = CV_OK;
    bool wrong = false;

    for (size_t i = 0; i < v->n_kept; i++) {
        wrong = wrong || !v->kept[i].fits;
    }
    if (wrong && v->has_key) {
        status = cv_kept_each(v->vault, judge, v, err);
    }
    note_passed(v);
    return status;
}
