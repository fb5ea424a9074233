#include "vault/fetch/session_internal.h"

#include "vault/base/clock.h"

#include <poll.h>
#include <sodium.h>

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

bool cv_session_clock_wait(const struct cv_session *s, int64_t ms)
{
    struct pollfd caller = {.fd = s->hooks.watch > 0 ? s->hooks.watch : -1,
                            .events = POLLRDHUP};
    int64_t end = cv_session_clock_now_ms(s) + ms;

    if (s->hooks.wait != NULL) {
        s->hooks.wait(s->hooks.context, ms);
        return true;
    }
    while (ms > 0) {
        if (poll(&caller, 1, (int)ms) > 0) {
            return false;
        }
        ms = end - cv_session_clock_now_ms(s); /* a signal may come */
    }
    return true;
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
