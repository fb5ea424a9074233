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

#include "vault/base/buf.h"

#include <stdbool.h>

struct cv_broker;

/* The youngest checkpoint that an anchor has. */
struct cv_anchor_state {
    uint64_t size;
    int64_t age_s; /* since it was there; never below 0 */
    char kind[16]; /* "file", "command", "git", "token", "witness" */
};

/* Not entered. A checkpoint was stored; `note` is copied. */
void cv_anchor_checkpoint(struct cv_broker *b, struct cv_bytes note);

/* Starts what is due, takes what came in; called when the broker has nothing
 * else to do. True while there is something. */
bool cv_anchor_tick(struct cv_broker *b);

/* False: nothing is anchored. Reads a file beneath the vault once, then what is
 * in memory. */
bool cv_anchor_last(struct cv_broker *b, struct cv_anchor_state *out);

/* At a clean end: nothing is waited for that is elsewhere. Frees. */
void cv_anchor_end(struct cv_broker *b);

#endif
