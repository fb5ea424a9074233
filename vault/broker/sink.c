#include "vault/broker/sink.h"

bool cv_sink_tick(struct cv_broker *b)
{
    (void)b;
    return false; /* none can be configured yet */
}

void cv_sink_end(struct cv_broker *b)
{
    (void)b;
}
