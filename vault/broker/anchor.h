/* Anchors: copies of checkpoints in places that whoever can write the vault's
 * disk cannot rewrite, so that a log which was put back to an older state, or
 * continued twice, is found out.
 *
 * The configuration names them (`audit.anchors`): file:, command:, git:,
 * token:, witness:. Nothing waits for them: a checkpoint that is stored is
 * queued for each, newer ones take its place, and the rest is the idle turn's.
 * Where none is configured nothing happens. */
#ifndef CERTVAULT_BROKER_ANCHOR_H
#define CERTVAULT_BROKER_ANCHOR_H

#include "vault/base/json.h"

#include <stdbool.h>

struct cv_broker;

/* The youngest checkpoint that an anchor has. */
struct cv_anchor_state {
    uint64_t size;
    int64_t age_s; /* since it was there; never below 0 */
    char kind[16]; /* "file", "command", "git", "token", "witness" */
};

/* Before the sandbox closes, not entered: compares the log with what lies in
 * `file:` anchors. CV_INTEGRITY: it is shorter than one of them says, or
 * another. */
CV_MUST_USE enum cv_status cv_anchor_open(struct cv_broker *b,
                                          struct cv_err *err);

/* Does an anchor know another log of this name, or a longer one? Then no
 * checkpoint is signed any more. */
bool cv_anchor_is_split(struct cv_broker *b);

/* Not entered. A checkpoint was stored; `note` is copied. */
void cv_anchor_checkpoint(struct cv_broker *b, struct cv_bytes note);

/* Starts what is due, takes what came in; called when the broker has nothing
 * else to do. True while there is something. */
bool cv_anchor_tick(struct cv_broker *b);

/* False: nothing is anchored, or nothing that can be told (a conflict). Reads a
 * file beneath the vault once, then what is in memory. */
bool cv_anchor_last(struct cv_broker *b, struct cv_anchor_state *out);

/* What policy looks at (`anchor_age`). */
struct cv_decide_request;
void cv_anchor_fact(struct cv_broker *b, struct cv_decide_request *rq);

/* Not entered. All are to get the last checkpoint now, those in a conflict
 * too; cv_anchor_tick does it. */
void cv_anchor_ask(struct cv_broker *b);

/* Adds "anchors" to `out`: [{"kind", "place", "state": ok|running|failed|
 * conflict|never, "size"?, "age_s"?, "message"?}]. False when memory is gone.
 */
bool cv_anchor_add_list(struct cv_broker *b, cJSON *out);

/* The same to an audit status, with "anchored" (none, a kind, conflict),
 * "anchor": {"size", "age_s"} and, where some are configured, "conflict". */
bool cv_anchor_add(struct cv_broker *b, cJSON *status);

/* At a clean end: what is near (`file:`) still gets the last checkpoint;
 * nothing is waited for that is elsewhere. Frees. */
void cv_anchor_end(struct cv_broker *b);

#endif
