/* Room for the record: a service keeps audit/reserve (vault/audit/reserve.h) as
 * large as it is to be, and notices when a full disk has room again. */
#ifndef CERTVAULT_BROKER_ROOM_H
#define CERTVAULT_BROKER_ROOM_H

#include <stdbool.h>

struct cv_ask;
struct cv_broker;

/* Called at the start, and when the broker has nothing else to do; looks every
 * CV_LIMIT_ROOM_S seconds. Not entered. True while the disk is full. */
bool cv_room_tick(struct cv_broker *b);

/* Was the disk full at the last commit, and is still? There is a vault. Entered
 * or not. */
bool cv_room_is_full(struct cv_broker *b);

/* Is there so much room beside the reserve that all may be written? There is a
 * vault. */
bool cv_room_is_there(const struct cv_broker *b);

/* Entered; a transaction of the store failed and was rolled back. If that was
 * for want of room, and `ask` is one that a full disk must not stop
 * (ask->urgent), gives the file system some of the reserve: then it can be
 * tried again. False: there is none, it was something else, or `ask` had
 * enough. */
bool cv_room_give(struct cv_ask *ask);

#endif
