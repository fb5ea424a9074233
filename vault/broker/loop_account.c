/* What one user of the service may take of it. */
#include "vault/base/clock.h"
#include "vault/broker/loop_internal.h"

#include <stdlib.h>

#define REQUEST 1000 /* tokens: thousandths, which is what a ms brings */
#define FULL ((int64_t)CV_LIMIT_UID_BURST * REQUEST)
/* In each second the others wait for no longer than that, in the long run. */
#define STALL_BACK_MS 100

struct cv_loop_account *cv_loop_account_of(struct cv_loop *l, uid_t uid)
{
    struct cv_loop_account **at = &l->accounts[uid % CV_LOOP_ACCOUNT_HASH];
    struct cv_loop_account *a;

    for (a = *at; a != NULL; a = a->next) {
        if (a->uid == uid) {
            return a;
        }
    }
    a = calloc(1, sizeof(*a));
    if (a != NULL) {
        a->uid = uid;
        a->is_limited = l->hooks->shared;
        a->tokens = FULL;
        a->filled_ms = cv_clock_boot_ms();
        a->next = *at;
        *at = a;
    }
    return a;
}

static void refill(struct cv_loop_account *a, int64_t now_ms)
{
    int64_t gone = now_ms - a->filled_ms;

    /* Longer is not worth more, and cannot overflow. */
    gone = gone > FULL / CV_LIMIT_UID_REQUESTS ? FULL / CV_LIMIT_UID_REQUESTS
                                               : gone;
    a->tokens += gone * CV_LIMIT_UID_REQUESTS;
    a->tokens = a->tokens > FULL ? FULL : a->tokens;
    a->filled_ms = now_ms;
}

bool cv_loop_account_take(struct cv_loop_account *a, int64_t now_ms)
{
    if (!a->is_limited) {
        return true;
    }
    refill(a, now_ms);
    if (a->tokens < REQUEST) {
        return false;
    }
    a->tokens -= REQUEST;
    return true;
}

int64_t cv_loop_account_late(struct cv_loop_account *a, int64_t now_ms)
{
    if (!a->is_limited) {
        return 0;
    }
    refill(a, now_ms);
    return a->tokens >= REQUEST
               ? 0
               : (REQUEST - a->tokens) / CV_LIMIT_UID_REQUESTS + 1;
}

void cv_loop_account_charge(struct cv_loop *l, struct cv_loop_seat *seat)
{
    size_t now = cv_channel_held(seat->caller.channel);

    seat->account->bytes += now - seat->charged;
    l->bytes += now - seat->charged;
    seat->charged = now;
}

/* Did its message begin before all others that hold memory (of its user; of
 * anybody, for `of_all`)? */
static bool is_first(const struct cv_loop *l, const struct cv_loop_seat *seat,
                     bool of_all)
{
    if (seat->begun_ms == 0) {
        return false;
    }
    for (size_t i = 0; i < l->n_seats; i++) {
        const struct cv_loop_seat *other = l->seats[i];

        if (other != seat && (of_all || other->account == seat->account) &&
            other->charged > 0 && other->begun_ms != 0 &&
            (other->begun_ms < seat->begun_ms ||
             (other->begun_ms == seat->begun_ms && other < seat))) {
            return false;
        }
    }
    return true;
}

/* One may always go on, alone or the first that began: the longest message has
 * room, and several that are half there do not wait for each other. */
bool cv_loop_account_has_room(const struct cv_loop *l,
                              const struct cv_loop_seat *seat)
{
    size_t others = seat->account->bytes - seat->charged;
    size_t more = seat->charged < CV_KIB(16) ? CV_KIB(16) : seat->charged;

    return (others == 0 || seat->account->bytes + more <= CV_LIMIT_UID_BYTES ||
            is_first(l, seat, false)) &&
           (l->bytes == seat->charged || l->bytes + more <= l->most_bytes ||
            is_first(l, seat, true));
}

void cv_loop_account_sweep(struct cv_loop *l, int64_t now_ms, bool all)
{
    for (size_t i = 0; i < CV_LOOP_ACCOUNT_HASH; i++) {
        struct cv_loop_account **at = &l->accounts[i];

        while (*at != NULL) {
            struct cv_loop_account *a = *at;

            refill(a, now_ms);
            a->stalled_ms = a->stalled_ms > STALL_BACK_MS
                                ? a->stalled_ms - STALL_BACK_MS
                                : 0;
            if (all || (a->n == 0 && !a->is_busy && a->tokens == FULL &&
                        a->stalled_ms == 0)) {
                *at = a->next;
                free(a);
            } else {
                at = &a->next;
            }
        }
    }
}
