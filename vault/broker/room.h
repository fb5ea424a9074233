/* Room for the record: a service keeps audit/reserve (vault/audit/reserve.h) as
 * large as it is to be, and notices when a full disk has room again. */
#ifndef CERTVAULT_BROKER_ROOM_H
#define CERTVAULT_BROKER_ROOM_H

#include <stdbool.h>

struct cv_broker;

/* Called at the start, and when the broker has nothing else to do; looks every
 * CV_LIMIT_ROOM_S seconds. Not entered. True while the disk is full. */
bool cv_room_tick(struct cv_broker *b);

/* Was the disk full at the last commit, and is still? There is a vault. Entered
 * or not. */
bool cv_room_is_full(struct cv_broker *b);

#endif
