#include "vault/broker/module_wait_internal.h"

#include "vault/base/clock.h"
#include "vault/broker/loop_internal.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

/* As often it looks whether it is to end. */
#define SLICE_MS 1000
/* How long a module may still take then: systemd is to see the service end. */
#define GRACE_MS 15000

/* The loop's signals come only while it waits itself. */
static bool is_to_end(void)
{
    sigset_t pending;

    return cv_loop_is_ending() ||
           (sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 ||
                                          sigismember(&pending, SIGINT) == 1));
}

/* One grace for all that is asked of modules since it was told. A private
 * broker's command is its user's, who sees that it waits. */
bool cv_module_wait_is_over(struct cv_broker *b)
{
    const int64_t now = cv_clock_boot_ms();

    if (b->options->mode == CV_BROKER_EXEC || !is_to_end()) {
        return false;
    }
    b->ended_ms = b->ended_ms != 0 ? b->ended_ms : now;
    return now - b->ended_ms >= GRACE_MS;
}

/* What belongs to the request that waits is given back. */
static void serve(struct cv_broker *b, int timeout_ms)
{
    struct cv_caller *caller = b->caller;
    const char *method = b->method;
    struct cv_together_call *together = b->together;
    int fd = b->intake.caller;
    struct cv_arena *before = cv_json_use(NULL);

    cv_loop_hold_turn(b->loop, timeout_ms);
    (void)cv_json_use(before);
    b->caller = caller;
    b->method = method;
    b->together = together;
    b->intake.caller = fd;
}

static void turn(void *context, int timeout_ms)
{
    struct cv_module_wait *w = context;
    struct pollfd p = {.fd = cv_channel_fd(w->channel), .events = POLLIN};

    timeout_ms =
        timeout_ms == -1 || timeout_ms > SLICE_MS ? SLICE_MS : timeout_ms;
    if (w->serves) {
        serve(w->broker, timeout_ms);
    } else {
        (void)poll(&p, 1, timeout_ms);
    }
    if (cv_module_wait_is_over(w->broker)) {
        w->cut = true;
        (void)shutdown(cv_channel_fd(w->channel), SHUT_RDWR);
    }
}

void cv_module_wait_begin(struct cv_broker *b, struct cv_channel *channel,
                          bool may_serve, struct cv_module_wait *w)
{
    *w = (struct cv_module_wait){.broker = b, .channel = channel};
    /* Whoever holds the vault's lock is in the middle of a change. */
    w->serves = may_serve && b->loop != NULL &&
                (b->caller != NULL || b->looking) &&
                (b->vault == NULL || !b->vault->entered) &&
                cv_loop_hold(b->loop, cv_channel_fd(channel));
    cv_channel_meanwhile(channel, turn, w);
}

void cv_module_wait_end(struct cv_module_wait *w)
{
    cv_channel_meanwhile(w->channel, NULL, NULL);
    if (w->serves) {
        cv_loop_hold_end(w->broker->loop);
    }
}
