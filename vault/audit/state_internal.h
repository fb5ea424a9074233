/* audit/state: frontiers of the log, derived from it, so that a long log need
 * not be read from its beginning when it is opened.
 *
 *     {"frontiers":[{"offset":..,"prev":"base64","range":["base64",..],
 *                    "size":..}, ..],"v":1} LF          canonical, oldest first
 *
 * `range` is the compact range of the first `size` leaves, `offset` where the
 * next frame begins, `prev` the hash of the last leaf. Only places that a
 * checkpoint covers are kept, at most two, at least CV_STATE_STEP apart: one of
 * them always leaves that much of a log to be checked. Because a checkpoint's
 * root is computed from the range when the log is opened, a range that was
 * changed is found. */
#ifndef CERTVAULT_AUDIT_STATE_INTERNAL_H
#define CERTVAULT_AUDIT_STATE_INTERNAL_H

#include "vault/audit/tree.h"
#include "vault/base/limits.h"

#include <cjson/cJSON.h>

#define CV_STATE_STEP CV_MIB(1)
#define CV_STATE_FRONTIERS 2

struct cv_frontier {
    struct cv_tree tree;
    uint64_t offset;
    uint8_t prev[CV_TREE_HASH];
};

struct cv_state {
    unsigned n;
    struct cv_frontier at[CV_STATE_FRONTIERS];
};

/* Reads it beneath the vault's folder. CV_NOT_FOUND, CV_INTEGRITY (not of the
 * form above), CV_CONFIG, CV_IO. */
CV_MUST_USE enum cv_status cv_state_read(int vault, struct cv_state *out,
                                         struct cv_err *err);

/* Adds a frontier, if it lies far enough from the last one, and writes the
 * file. CV_IO. */
CV_MUST_USE enum cv_status cv_state_write(int vault, struct cv_state *state,
                                          const struct cv_frontier *frontier,
                                          struct cv_err *err);

/* While a log is read from byte `begin` on: `f`, behind a leaf that a
 * checkpoint covers. Of those that lie far enough from each other the last are
 * kept. */
void cv_state_pass(struct cv_state *way, uint64_t begin,
                   const struct cv_frontier *f);

/* The log of `size` bytes was read, and would be again: makes what it passed a
 * frontier, where none that is as near to the end was there. What cannot be
 * written is not there. */
void cv_state_mend(int vault, struct cv_state *state,
                   const struct cv_state *way, uint64_t size);

/* One of them as JSON: an object of its own (NULL: memory is gone), and back
 * (false: it has not the form). */
cJSON *cv_state_frontier(const struct cv_frontier *f);
bool cv_state_read_frontier(const cJSON *object, struct cv_frontier *out);

/* The newest frontier that leaves CV_STATE_STEP bytes of a log of `size` bytes
 * to be checked; NULL: none, begin at the beginning. */
const struct cv_frontier *cv_state_pick(const struct cv_state *state,
                                        uint64_t size);

#endif
