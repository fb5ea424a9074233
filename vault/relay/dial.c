#include "vault/relay/dial.h"

#include <stdlib.h>

struct cv_dialer {
    struct cv_dial_how how;
};

enum cv_status cv_dial_begin(struct event_base *base, unsigned threads,
                             const struct cv_dial_how *how,
                             struct cv_dialer **out, struct cv_err *err)
{
    (void)base;
    (void)threads;
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    (*out)->how = *how;
    return CV_OK;
}

void cv_dial_end(struct cv_dialer *dialer)
{
    free(dialer);
}

struct cv_dial *cv_dial(struct cv_dialer *dialer, struct cv_grant *grant,
                        unsigned flags, cv_dial_done *done, void *ctx)
{
    (void)dialer;
    (void)grant;
    (void)flags;
    (void)done;
    (void)ctx;
    return NULL;
}

void cv_dial_cancel(struct cv_dial *dial)
{
    (void)dial;
}
