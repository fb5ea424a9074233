/* The records of a period, as AuditReport and AuditExport give them. */
#ifndef CERTVAULT_CLI_LEAVES_H
#define CERTVAULT_CLI_LEAVES_H

#include "cli/cli.h"
#include "vault/audit/tree.h"

#include <stdint.h>

struct cv_leaves {
    struct cv_cli *cli;
    const cJSON *head; /* the answer of AuditReport; the run's */
    uint64_t first;    /* records first to end - 1 */
    uint64_t end;
    /* "" or that records which are archived may be of the period. */
    char archived[160];
    uint64_t newer; /* of the period, that no checkpoint covers: behind them */
};

/* Asks, with --since and --until where they were given. */
CV_MUST_USE enum cv_status cv_leaves_begin(struct cv_cli *cli,
                                           const struct cv_args *args,
                                           struct cv_leaves *out,
                                           struct cv_err *err);

/* Makes those that no checkpoint covers belong to them. */
void cv_leaves_add_newer(struct cv_leaves *leaves);

/* Adds --since and --until as seconds to `to`. CV_USAGE. */
CV_MUST_USE enum cv_status cv_leaves_times(const struct cv_args *args,
                                           cJSON *to, struct cv_err *err);

/* Says so where records from `since` on (seconds; INT64_MIN: all) may be
 * archived, by what AuditStatus answered (`status`): nobody is to take what is
 * left for all. False: none are; `out` is "" then. */
bool cv_leaves_archived(const cJSON *status, int64_t since, char *out,
                        size_t out_len);

/* Called with each record's bytes, in order, borrowed. */
typedef enum cv_status cv_leaves_fn(void *ctx, uint64_t seq,
                                    struct cv_bytes leaf, struct cv_err *err);
CV_MUST_USE enum cv_status cv_leaves_each(const struct cv_leaves *leaves,
                                          cv_leaves_fn *fn, void *ctx,
                                          struct cv_err *err);

/* Is this record of something that was refused, and not by policy (an unknown
 * name, one that is taken)? Its decision is `deny` as a denial's, its `error`
 * neither "denied" nor, with rules that mattered, "busy" (docs/formats.md). */
bool cv_leaves_is_refused(const cJSON *leaf);

/* Is what was given out under the checkpoint? Begun with `left`, fed with each
 * record's bytes, ended with `right` and the signed note. */
struct cv_leaves_check {
    struct cv_tree tree;
    uint64_t size;         /* of the checkpoint; 0: none */
    char root[64];         /* its root, base64 */
    char verdict[160];     /* "verified", "NOT verified: ..." */
    bool verified, broken; /* broken: it does not verify; neither: no
                              checkpoint */
};
void cv_leaves_check_begin(const struct cv_leaves *leaves,
                           struct cv_leaves_check *c);
void cv_leaves_check_add(struct cv_leaves_check *c, struct cv_bytes leaf);
void cv_leaves_check_end(const struct cv_leaves *leaves,
                         struct cv_leaves_check *c);

#endif
