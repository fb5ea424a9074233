#include "vault/broker/anchor_internal.h"

void cv_anchor_token_start(struct cv_broker *b, struct cv_anchor_one *a)
{
    cv_anchor_failed(b, a, "tokens are not written yet");
    cv_anchor_run_stop(b, a, false);
}
