/* Serving others while one request's answer is waited for. */
#include "vault/base/clock.h"
#include "vault/broker/loop_internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define TICK_MS 1000
/* How long what is waited for may still take when it is told to end. */
#define GRACE_MS 20000

/* What is told of the descriptor that is waited for, by its end alone. */
static void watch_wait(struct cv_loop *l, int how, int fd)
{
    cv_loop_watch(l, how, fd, EPOLLIN, &l->waiting);
    if (l->hooks->watch != -1) {
        cv_loop_watch(l, EPOLL_CTL_MOD, l->hooks->watch,
                      how == EPOLL_CTL_ADD ? 0 : EPOLLIN, l);
    }
}

/* Whoever else is in line of the user whose request waits has a turn too, and
 * not only when one of them says something more. */
static void go_on(struct cv_loop *l)
{
    if (l->serving != NULL && l->serving->first != NULL) {
        cv_loop_line_busy(l, l->serving);
    }
}

bool cv_loop_wait(struct cv_loop *l, struct cv_caller *caller, int fd)
{
    if (!l->hooks->shared || l->waiting != NULL || l->held || l->over ||
        l->hooks->meanwhile == NULL || caller->iface != NULL) {
        return false;
    }
    l->waiting = (struct cv_loop_seat *)caller;
    l->waited_fd = fd;
    watch_wait(l, EPOLL_CTL_ADD, fd);
    go_on(l);
    return true;
}

/* It is to end: what is waited for gets some time, and is then cut off as if
 * its other end had gone. */
static void cut_off(struct cv_loop *l)
{
    const int64_t now = cv_clock_boot_ms();

    if (!cv_loop_is_ending()) {
        return;
    }
    l->ended_ms = l->ended_ms != 0 ? l->ended_ms : now;
    if (now - l->ended_ms >= GRACE_MS) {
        l->cut = true;
        (void)shutdown(l->waited_fd, SHUT_RDWR);
    }
}

void cv_loop_wait_turn(struct cv_loop *l, int timeout_ms)
{
    int64_t wait_ms = l->meanwhile_ms;
    bool busy;
    int timeout =
        timeout_ms == -1 || timeout_ms > TICK_MS ? TICK_MS : timeout_ms;

    if (l->busy != NULL && wait_ms < timeout) {
        timeout = (int)wait_ms;
    }
    cut_off(l);
    (void)!cv_loop_turn(l, timeout, &l->meanwhile_ms, &busy, NULL);
}

bool cv_loop_wait_was_cut(const struct cv_loop *l)
{
    return l->cut;
}

void cv_loop_wait_keep(struct cv_loop *l, struct cv_loop_seat *seat)
{
    if (seat->is_kept) {
        return;
    }
    seat->is_kept = true;
    seat->next_kept = NULL;
    if (l->kept_last != NULL) {
        l->kept_last->next_kept = seat;
    } else {
        l->kept = seat;
    }
    l->kept_last = seat;
}

void cv_loop_wait_forget(struct cv_loop *l, struct cv_loop_seat *seat)
{
    struct cv_loop_seat *before = NULL, *at = l->kept;

    if (!seat->is_kept) {
        return;
    }
    while (at != seat) {
        before = at;
        at = at->next_kept;
    }
    if (before != NULL) {
        before->next_kept = seat->next_kept;
    } else {
        l->kept = seat->next_kept;
    }
    l->kept_last = l->kept_last == seat ? before : l->kept_last;
    seat->is_kept = false;
}

void cv_loop_wait_ends(struct cv_loop *l, struct cv_loop_seat *seat,
                       enum cv_loop_ends ends)
{
    const bool was = seat->ends != CV_LOOP_ENDS_NOTHING;
    const bool is = ends != CV_LOOP_ENDS_NOTHING;

    l->n_ends = l->n_ends + is - was;
    seat->account->n_ends = seat->account->n_ends + is - was;
    l->n_ends_all = l->n_ends_all + (ends == CV_LOOP_ENDS_ALL) -
                    (seat->ends == CV_LOOP_ENDS_ALL);
    seat->ends = ends;
}

/* What is attached asks on behalf of anybody. */
bool cv_loop_wait_is_barred(const struct cv_loop *l,
                            const struct cv_loop_seat *seat)
{
    return seat->ends == CV_LOOP_ENDS_NOTHING &&
           (l->n_ends_all > 0 || seat->account->n_ends > 0 ||
            (seat->account == &l->own && l->n_ends > 0));
}

/* Those who waited go on in the order in which they came: by any other, who
 * comes again and again could always be before who came once. But first, in
 * that order too, those whose requests bar others': nobody can make that last
 * by what else he asks. */
static void let_go(struct cv_loop *l)
{
    struct cv_loop_seat *ends = NULL;

    while (l->kept != NULL) {
        struct cv_loop_seat *seat = l->kept;

        cv_loop_wait_forget(l, seat);
        if (seat->ends != CV_LOOP_ENDS_NOTHING) {
            seat->next_kept = ends;
            ends = seat;
        } else {
            cv_loop_line_stand(l, seat);
        }
    }
    for (; ends != NULL; ends = ends->next_kept) {
        cv_loop_line_press(l, ends);
    }
}

void cv_loop_wait_end(struct cv_loop *l)
{
    struct cv_loop_seat *done = l->waiting;

    watch_wait(l, EPOLL_CTL_DEL, l->waited_fd);
    l->waiting = NULL;
    l->meanwhile_ms = 0;
    let_go(l);
    cv_loop_line_stand(l, done); /* had its turn */
}

/* Holding it */

/* What is attached is not served: of it epoll tells once that it is gone. */
static void watch_attached(struct cv_loop *l, bool held)
{
    for (struct cv_loop_seat *at = l->attached; at != NULL;
         at = at->next_attached) {
        if (held) {
            cv_loop_watch(l, EPOLL_CTL_MOD, cv_channel_fd(at->caller.channel),
                          EPOLLET, at);
        } else {
            cv_loop_watch_seat(l, at, EPOLL_CTL_MOD);
        }
    }
}

bool cv_loop_hold(struct cv_loop *l, int fd)
{
    if (!l->hooks->shared || l->waiting != NULL || l->held || l->over ||
        l->hooks->beside == NULL) {
        return false;
    }
    l->held = true;
    l->waited_fd = fd;
    watch_wait(l, EPOLL_CTL_ADD, fd);
    watch_attached(l, true);
    go_on(l);
    return true;
}

void cv_loop_hold_turn(struct cv_loop *l, int timeout_ms)
{
    int timeout =
        timeout_ms == -1 || timeout_ms > TICK_MS ? TICK_MS : timeout_ms;
    bool busy;

    if (l->busy != NULL && l->meanwhile_ms < timeout) {
        timeout = (int)l->meanwhile_ms;
    }
    (void)!cv_loop_turn(l, timeout, &l->meanwhile_ms, &busy, NULL);
}

void cv_loop_hold_end(struct cv_loop *l)
{
    watch_wait(l, EPOLL_CTL_DEL, l->waited_fd);
    l->held = false;
    l->meanwhile_ms = 0;
    watch_attached(l, false);
    let_go(l);
}

bool cv_loop_is_held(const struct cv_loop *l)
{
    return l != NULL && l->held;
}
