/* The wall clock, watched: whoever sets it cannot do so without a word in the
 * record.
 *
 * Each time the vault's lock is taken it is held against the last leaf: told is
 * (event `clock`, with the time before and after) when it is earlier than that
 * leaf's, and when, in the same boot, it went by more than CV_JUMP_S seconds
 * more or less than CLOCK_BOOTTIME did. Once, for the event is the last leaf
 * then. Grants live by CLOCK_BOOTTIME and are not touched by it. */
#ifndef CERTVAULT_BROKER_JUMP_H
#define CERTVAULT_BROKER_JUMP_H

#include <stdint.h>

#define CV_JUMP_S 60

struct cv_broker;

/* Which leaf it was that a jump was told after. */
struct cv_jump {
    uint64_t told; /* the log's size then; 0: none */
};

/* Entered. The event waits for the next commit. */
void cv_jump_look(struct cv_broker *b);

#endif
