#include "vault/broker/notify.h"

void cv_notify_event(struct cv_broker *b, const char *event, const cJSON *about)
{
    (void)b;
    (void)event;
    (void)about;
}

bool cv_notify_tick(struct cv_broker *b)
{
    (void)b;
    return false;
}

void cv_notify_end(struct cv_broker *b)
{
    (void)b;
}
