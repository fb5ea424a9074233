/* The checkpoints of earlier times that a backup has: each that the log's key
 * signed must be one of the backup's log, as `audit verify` would want it. */
#include "vault/broker/restore_internal.h"

#include "vault/audit/kept.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status add(void *context, const struct cv_checkpoint *c,
                          struct cv_bytes note, struct cv_err *err)
{
    struct cv_restore *r = context;
    struct cv_restore_kept *more =
        realloc(r->kept, (r->n_kept + 1) * sizeof(*more));

    (void)note;
    if (more == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    r->kept = more;
    more += r->n_kept++;
    more->size = c->size;
    memcpy(more->root, c->root, sizeof(more->root));
    more->fits = false;
    return CV_OK;
}

static int by_size(const void *a, const void *b)
{
    const struct cv_restore_kept *x = a, *y = b;

    return x->size < y->size ? -1 : x->size > y->size;
}

enum cv_status cv_restore_kept_read(struct cv_restore *r, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (!r->kept_read) {
        r->kept_read = true;
        s = cv_kept_each(r->stage, add, r, err);
    }
    if (r->n_kept > 0) {
        qsort(r->kept, r->n_kept, sizeof(*r->kept), by_size);
    }
    return s;
}

void cv_restore_kept_meet(struct cv_restore *r)
{
    uint8_t root[CV_TREE_HASH];

    while (r->at_kept < r->n_kept && r->kept[r->at_kept].size <= r->tree.size) {
        struct cv_restore_kept *k = &r->kept[r->at_kept++];

        cv_tree_root(&r->tree, root);
        k->fits =
            k->size == r->tree.size && memcmp(root, k->root, sizeof(root)) == 0;
    }
}

static bool fits(const struct cv_restore *r, const struct cv_checkpoint *c)
{
    for (size_t i = 0; i < r->n_kept; i++) {
        const struct cv_restore_kept *k = &r->kept[i];

        if (k->fits && k->size == c->size &&
            memcmp(k->root, c->root, sizeof(k->root)) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status judge(void *context, const struct cv_checkpoint *c,
                            struct cv_bytes note, struct cv_err *err)
{
    struct cv_restore *r = context;
    struct cv_checkpoint said;

    (void)err;
    if (!fits(r, c) &&
        cv_checkpoint_open(note, &r->key, &said, NULL) == CV_OK) {
        r->wrong = c->size > r->head.leaves
                       ? "it is shorter than a checkpoint that was kept of it"
                       : "it is not the one that a checkpoint which was kept "
                         "was signed over";
    }
    return CV_OK;
}

enum cv_status cv_restore_kept_judge(struct cv_restore *r, struct cv_err *err)
{
    bool wrong = false;

    for (size_t i = 0; i < r->n_kept; i++) {
        wrong = wrong || !r->kept[i].fits;
    }
    return wrong ? cv_kept_each(r->stage, judge, r, err) : CV_OK;
}

void cv_restore_kept_free(struct cv_restore *r)
{
    free(r->kept);
    r->kept = NULL;
    r->n_kept = r->at_kept = 0;
}
