#include "vault/fetch/session_internal.h"

#include "vault/base/clock.h"

#include <errno.h>
#include <sodium.h>
#include <time.h>

int64_t cv_session_clock_now_s(const struct cv_session *s)
{
    return s->hooks.now_s != NULL ? s->hooks.now_s(s->hooks.context)
                                  : cv_clock_now_s();
}

int64_t cv_session_clock_now_ms(const struct cv_session *s)
{
    return s->hooks.now_ms != NULL ? s->hooks.now_ms(s->hooks.context)
                                   : cv_clock_boot_ms();
}

void cv_session_clock_wait(const struct cv_session *s, int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

    if (s->hooks.wait != NULL) {
        s->hooks.wait(s->hooks.context, ms);
        return;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
        /* the rest of it */
    }
}

uint32_t cv_session_clock_chance(const struct cv_session *s)
{
    return s->hooks.chance != NULL ? s->hooks.chance(s->hooks.context)
                                   : randombytes_random();
}

int64_t cv_session_clock_left_ms(const struct cv_session *s)
{
    return s->begun_ms + (int64_t)CV_LIMIT_RETRY_TOTAL_S * 1000 -
           cv_session_clock_now_ms(s);
}
