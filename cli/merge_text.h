/* A kubeconfig's text with some items of its lists changed, and no other byte.
 */
#ifndef CERTVAULT_CLI_MERGE_TEXT_H
#define CERTVAULT_CLI_MERGE_TEXT_H

#include "vault/base/json.h"

#include <sys/types.h>

/* One change. */
struct cv_merge_edit {
    const char *list;  /* "clusters" */
    ssize_t index;     /* which item; -1: a new one behind the last */
    const cJSON *item; /* what it becomes; NULL: it goes */
};

/* Changes `tree`, which `text` was parsed into, as the `n` edits say (at most
 * one for an item), and appends the text that reads as that to `out`. Both live
 * in `arena`. A list that lost its last item may become null. CV_INVALID where
 * the text cannot be changed piecewise. */
CV_MUST_USE enum cv_status cv_merge_text(struct cv_arena *arena,
                                         struct cv_bytes text, cJSON *tree,
                                         const struct cv_merge_edit *edits,
                                         size_t n, struct cv_buf *out,
                                         struct cv_err *err);

#endif
