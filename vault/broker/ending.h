/* What a request that has to stay while a token is at work would take away: the
 * loop lets nothing that gives overtake it (loop.h). Anybody may send a `Lock`;
 * whose policy does not let him holds nobody up by it. */
#ifndef CERTVAULT_BROKER_ENDING_H
#define CERTVAULT_BROKER_ENDING_H

#include "vault/broker/broker_internal.h"

/* The loop's hook, of a broker. Asks policy as it is now, and records nothing:
 * the request is decided when it is answered. */
enum cv_loop_ends cv_ending_reach(void *context, const struct cv_caller *caller,
                                  const struct cv_message *request);

#endif
