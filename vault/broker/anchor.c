#include "vault/broker/anchor.h"

#include <string.h>

void cv_anchor_checkpoint(struct cv_broker *b, struct cv_bytes note)
{
    (void)b;
    (void)note;
}

bool cv_anchor_tick(struct cv_broker *b)
{
    (void)b;
    return false;
}

bool cv_anchor_last(struct cv_broker *b, struct cv_anchor_state *out)
{
    (void)b;
    memset(out, 0, sizeof(*out));
    return false;
}

void cv_anchor_end(struct cv_broker *b)
{
    (void)b;
}
