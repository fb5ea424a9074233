/* What follows a checkpoint: tiles, and whoever else is to have it.
 *
 * Nothing that is decided or released waits for any of it, and a failure here
 * is none of the request's: tiles are derived (vault/audit/tiles.h), and what
 * is missing is made with the next checkpoint, or when a proof is asked for. */
#ifndef CERTVAULT_BROKER_PUBLISH_H
#define CERTVAULT_BROKER_PUBLISH_H

#include "vault/base/buf.h"

#include <stdbool.h>

struct cv_broker;

/* Not entered. A checkpoint was stored, and this is its note: brings the tiles
 * up to it, a bounded number of leaves; cv_publish_tick does the rest. */
void cv_publish_checkpoint(struct cv_broker *b, struct cv_bytes note);

/* The same for the one that is stored now; where it cannot be read nothing is
 * published. */
void cv_publish_stored(struct cv_broker *b);

/* Goes on with what is left; called when the broker has nothing else to do.
 * True while there is something. */
bool cv_publish_tick(struct cv_broker *b);

/* At a clean end, after the last checkpoint. */
void cv_publish_end(struct cv_broker *b);

#endif
