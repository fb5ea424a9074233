/* What is done while a module's process works; for module_process.c.
 *
 * A card thinks for seconds, and a module may hang. A service serves what has
 * nothing to do with tokens and changes nothing meanwhile (the table is in
 * meanwhile.c), and a broker that stays ends when it is told to: the process is
 * given some seconds more, then cut off, and what it was doing is the journal's
 * to find out. */
#ifndef CERTVAULT_BROKER_MODULE_WAIT_INTERNAL_H
#define CERTVAULT_BROKER_MODULE_WAIT_INTERNAL_H

#include "vault/broker/broker_internal.h"

struct cv_module_wait {
    struct cv_broker *broker;
    struct cv_channel *channel;
    bool serves; /* others are served */
    bool cut;    /* it was cut off, because the broker is to end */
};

/* Was the broker told to end, and is the time over that modules have since? */
bool cv_module_wait_is_over(struct cv_broker *b);

/* From now on `channel` waits in this way; others are served (if `may_serve`)
 * only where it is for somebody's request. *w stays where it is until the end.
 */
void cv_module_wait_begin(struct cv_broker *b, struct cv_channel *channel,
                          bool may_serve, struct cv_module_wait *w);
void cv_module_wait_end(struct cv_module_wait *w);

#endif
