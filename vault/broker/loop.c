#include "vault/broker/loop.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/broker/loop_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* As long as somebody is connected it looks around this often. */
#define TICK_MS 1000
/* What has no memory now is tried again this often. */
#define HELD_MS 20
/* Where there is no descriptor for another connection. */
#define DEAF_MS 100
#define EVENTS 256
/* What a request costs of a user's turn that is not answered together with
 * others: all of it. */
#define ALONE CV_LIMIT_UID_TURN

static volatile sig_atomic_t ended, hung_up;

static void on_end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

static void on_hangup(int signal_number)
{
    (void)signal_number;
    hung_up = 1;
}

static void catch_one(int number, void (*handler)(int), sigset_t *blocked)
{
    struct sigaction sa = {.sa_handler = handler};

    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(number, &sa, NULL);
    (void)sigaddset(blocked, number);
}

/* The signals that it looks for stay blocked except while it waits, so that
 * none is missed between the look and the wait. */
static void catch_signals(const struct cv_loop *l, sigset_t *while_waiting)
{
    sigset_t blocked;

    (void)sigemptyset(&blocked);
    catch_one(SIGTERM, on_end, &blocked);
    catch_one(SIGINT, on_end, &blocked);
    if (l->hooks->hangup != NULL) {
        catch_one(SIGHUP, on_hangup, &blocked);
    }
    (void)sigprocmask(SIG_BLOCK, &blocked, while_waiting);
    (void)sigdelset(while_waiting, SIGTERM);
    (void)sigdelset(while_waiting, SIGINT);
    if (l->hooks->hangup != NULL) {
        (void)sigdelset(while_waiting, SIGHUP);
    }
}

bool cv_loop_is_ending(void)
{
    return ended;
}

static bool is_client(const struct cv_loop_seat *seat)
{
    return seat->caller.iface == NULL;
}

static bool is_limited(const struct cv_loop_seat *seat)
{
    return seat->account->is_limited;
}

/* Its caller goes at the end of this turn. */
static void leave(struct cv_loop *l, struct cv_loop_seat *seat)
{
    if (!seat->leaving) {
        seat->leaving = true;
        seat->next_leaving = l->leaving;
        l->leaving = seat;
    }
}

void cv_loop_watch(struct cv_loop *l, int how, int fd, uint32_t events,
                   void *what)
{
    struct epoll_event e = {.events = events, .data.ptr = what};

    (void)epoll_ctl(l->epoll, how, fd, &e);
}

/* What epoll is to tell of a seat. Of those that are limited it tells once when
 * something comes, because they may have to wait; what others want is always
 * done at once, unless an answer waits. */
void cv_loop_watch_seat(struct cv_loop *l, struct cv_loop_seat *seat, int how)
{
    uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;

    if (!is_limited(seat)) {
        events = seat->wants_room ? 0 : EPOLLIN;
    }
    cv_loop_watch(l, how, cv_channel_fd(seat->caller.channel),
                  events | (seat->wants_room ? EPOLLOUT : 0U), seat);
}

static void caller_free(struct cv_loop_seat *seat)
{
    cv_channel_free(seat->caller.channel);
    cv_message_free(&seat->kept);
    free(seat);
}

static enum cv_status room_for_seat(struct cv_loop *l, struct cv_err *err)
{
    size_t size = l->size_seats == 0 ? 64 : l->size_seats * 2;
    struct cv_loop_seat **more;

    if (l->n_seats < l->size_seats) {
        return CV_OK;
    }
    more = realloc(l->seats, size * sizeof(struct cv_loop_seat *));
    if (more == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    l->seats = more;
    l->size_seats = size;
    return CV_OK;
}

/* Gives it a seat. */
static void sit_down(struct cv_loop *l, struct cv_loop_seat *seat,
                     struct cv_loop_account *account)
{
    seat->caller.last_ms = cv_clock_boot_ms();
    seat->account = account;
    seat->at = l->n_seats;
    account->n++;
    if (!is_client(seat)) {
        l->n_attached++;
        seat->next_attached = l->attached;
        l->attached = seat;
    }
    l->seats[l->n_seats++] = seat;
    if (!l->single && is_client(seat)) {
        cv_channel_queue(seat->caller.channel,
                         account->is_limited ? &account->stalled_ms : NULL);
    }
    cv_loop_watch_seat(l, seat, EPOLL_CTL_ADD);
}

enum cv_status cv_loop_add(struct cv_loop *l, int fd,
                           const struct cv_interface *iface, struct cv_err *err)
{
    struct cv_loop_seat *seat = calloc(1, sizeof(*seat));
    struct cv_loop_account *account = &l->own;
    struct cv_caller *c = &seat->caller;
    enum cv_status s = room_for_seat(l, err);

    if (seat == NULL || s != CV_OK) {
        free(seat);
        (void)close(fd);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    c->iface = iface;
    s = cv_channel_new(fd, CV_LIMIT_FRAME_CLIENT, &c->channel, err);
    if (s == CV_OK) {
        s = cv_peer_who(cv_channel_fd(c->channel), &c->peer, err);
    }
    if (s == CV_OK && iface == NULL &&
        !l->hooks->admits(l->hooks->context, &c->peer)) {
        s = cv_fail(err, CV_DENIED, "this uid is not served");
    }
    if (s == CV_OK && iface == NULL && l->hooks->shared) {
        account = cv_loop_account_of(l, c->peer.uid);
        s = account != NULL ? CV_OK
                            : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        caller_free(seat);
        return s;
    }
    sit_down(l, seat, account);
    return CV_OK;
}

static void detach(struct cv_loop *l, const struct cv_loop_seat *seat)
{
    for (struct cv_loop_seat **at = &l->attached; *at != NULL;
         at = &(*at)->next_attached) {
        if (*at == seat) {
            *at = seat->next_attached;
            l->n_attached--;
            return;
        }
    }
}

void cv_loop_drop(struct cv_loop *l, struct cv_loop_seat *seat)
{
    l->seats[seat->at] = l->seats[--l->n_seats];
    l->seats[seat->at]->at = seat->at;
    detach(l, seat);
    cv_loop_wait_forget(l, seat);
    cv_loop_wait_ends(l, seat, CV_LOOP_ENDS_NOTHING);
    cv_loop_line_leave(seat);
    seat->account->n--;
    seat->account->bytes -= seat->charged;
    l->bytes -= seat->charged;
    if (l->hooks->left != NULL) {
        l->hooks->left(l->hooks->context, &seat->caller);
    }
    caller_free(seat);
}

enum cv_status cv_loop_attach(struct cv_loop *l, int fd,
                              const struct cv_interface *iface,
                              struct cv_caller **out, struct cv_err *err)
{
    enum cv_status s = cv_loop_add(l, fd, iface, err);

    *out = s == CV_OK ? &l->seats[l->n_seats - 1]->caller : NULL;
    return s;
}

size_t cv_loop_clients(const struct cv_loop *l)
{
    return l->n_seats - l->n_attached;
}

/* Answers the requests that waited for each other. */
static void answer_gathered(struct cv_loop *l)
{
    /* Held, it is those that are being answered. */
    if (l->n_gathered == 0 || l->held) {
        return;
    }
    for (size_t i = 0; i < l->n_gathered; i++) {
        ((struct cv_loop_seat *)l->gathered[i].caller)->is_answered = true;
    }
    l->hooks->together(l->hooks->context, l->gathered, l->n_gathered);
    for (size_t i = 0; i < l->n_gathered; i++) {
        struct cv_loop_request *r = &l->gathered[i];

        ((struct cv_loop_seat *)r->caller)->is_answered = false;
        if (r->failed) {
            leave(l, (struct cv_loop_seat *)r->caller);
        }
        cv_message_free(&r->message);
    }
    l->n_gathered = 0;
}

/* While the loop is held, those that were gathered before are being answered.
 */
static void answer_alone(struct cv_loop *l, struct cv_caller *c,
                         const struct cv_message *request)
{
    struct cv_loop_request one = {.caller = c, .message = *request};

    l->hooks->together(l->hooks->context, &one, 1);
    if (one.failed) {
        leave(l, (struct cv_loop_seat *)c);
    }
    cv_message_free(&one.message);
}

/* *cost: of the caller's turn. */
static enum cv_status answer_one(struct cv_loop *l, struct cv_caller *c,
                                 struct cv_message *request, int *cost,
                                 struct cv_err *err)
{
    struct cv_loop_seat *seat = (struct cv_loop_seat *)c;
    enum cv_status s;

    *cost = ALONE;
    if (!c->hinted) {
        cv_peer_hints(cv_channel_fd(c->channel), &c->peer);
        c->hinted = true;
    }
    if (l->hooks->waits != NULL &&
        l->hooks->waits(l->hooks->context, c, request)) {
        *cost = 1;
        if (l->held) {
            answer_alone(l, c, request);
            return CV_OK;
        }
        l->gathered[l->n_gathered++] =
            (struct cv_loop_request){.caller = c, .message = *request};
        if (l->n_gathered == CV_LIMIT_TOGETHER) {
            answer_gathered(l);
        }
        return CV_OK;
    }
    /* It may not overtake what the same caller sent before. */
    answer_gathered(l);
    seat->is_answered = true;
    s = cv_serve_message(c->iface != NULL ? c->iface : l->hooks->iface,
                         l->hooks->enter(l->hooks->context, c, request),
                         c->channel, request, err);
    seat->is_answered = false;
    cv_message_free(request);
    return s;
}

/* Answers every whole request that was read, or gathers it. */
static enum cv_status answer(struct cv_loop *l, struct cv_caller *c,
                             struct cv_err *err)
{
    for (;;) {
        struct cv_message request;
        enum cv_status s = cv_channel_next(c->channel, &request, err);
        int cost;

        if (s != CV_OK || request.tree == NULL) {
            return s;
        }
        s = answer_one(l, c, &request, &cost, err);
        if (s != CV_OK) {
            return s;
        }
    }
}

/* An answer that is not taken whole waits; nothing else of its caller's is
 * looked at before it is gone. */
static void note_unsent(struct cv_loop *l, struct cv_loop_seat *seat)
{
    bool waits = cv_channel_unsent(seat->caller.channel) > 0;

    if (waits != seat->wants_room) {
        seat->wants_room = waits;
        seat->unsent_ms = waits ? cv_clock_boot_ms() : 0;
        cv_loop_watch_seat(l, seat, EPOLL_CTL_MOD);
    }
    cv_loop_account_charge(l, seat);
}

/* Reads from a caller who is not limited, and answers him. */
static void serve_at_once(struct cv_loop *l, struct cv_loop_seat *seat)
{
    struct cv_err err;
    bool closed = false;

    cv_err_init(&err);
    if (cv_channel_fill(seat->caller.channel, &closed, &err) != CV_OK ||
        answer(l, &seat->caller, &err) != CV_OK || closed) {
        leave(l, seat);
        return;
    }
    note_unsent(l, seat);
}

/* One that was kept comes before what is read. */
static enum cv_status next_request(struct cv_loop *l, struct cv_loop_seat *seat,
                                   struct cv_message *out,
                                   enum cv_loop_read *what, struct cv_err *err)
{
    if (seat->kept.tree == NULL) {
        return cv_loop_read(l, seat, out, what, err);
    }
    *out = seat->kept;
    *what = CV_LOOP_READ_MESSAGE;
    seat->kept = (struct cv_message){0};
    return CV_OK;
}

static bool has_to_wait(const struct cv_loop *l,
                        const struct cv_loop_seat *seat,
                        const struct cv_message *request)
{
    if (cv_loop_wait_is_barred(l, seat) &&
        l->hooks->gives(l->hooks->context, &seat->caller, request)) {
        return true;
    }
    if (l->held) {
        return !l->hooks->beside(l->hooks->context, &seat->caller, request);
    }
    return l->waiting != NULL &&
           !l->hooks->meanwhile(l->hooks->context, &seat->caller, request);
}

/* What was kept while the loop was held is looked at anew where a cloud is
 * waited for since: what came later would be answered before it. */
static bool stays_kept(const struct cv_loop *l, const struct cv_loop_seat *seat)
{
    return seat->kept.tree != NULL &&
           (l->held ||
            (l->waiting != NULL && has_to_wait(l, seat, &seat->kept)));
}

/* Until the loop is free; or, where it is, until what it may not overtake is
 * done (*held: this user's turn is over). */
static void keep(struct cv_loop *l, struct cv_loop_seat *seat,
                 const struct cv_message *request, bool *held)
{
    seat->kept = *request;
    /* A cloud that is waited for holds up nobody but those who change; but what
     * was barred stays barred. */
    if (l->held && l->hooks->ends != NULL) {
        cv_loop_wait_ends(
            l, seat, l->hooks->ends(l->hooks->context, &seat->caller, request));
    }
    if (l->held || l->waiting != NULL) {
        cv_loop_wait_keep(l, seat);
    } else {
        cv_loop_line_stand(l, seat);
        *held = true;
    }
}

/* One request of a client in the service, if he has a whole one. What it cost
 * of his user's turn. */
static int serve_in_turn(struct cv_loop *l, struct cv_loop_seat *seat,
                         bool *held)
{
    struct cv_message request = {0};
    enum cv_loop_read what;
    struct cv_err err;
    enum cv_status s;
    int cost = 1;

    if (seat->is_answered || stays_kept(l, seat)) {
        cv_loop_wait_keep(l, seat);
        return 0;
    }
    if (seat->wants_room || seat == l->waiting) {
        return 0; /* it comes again when that is done */
    }
    cv_err_init(&err);
    s = next_request(l, seat, &request, &what, &err);
    if (s == CV_OK && what == CV_LOOP_READ_MESSAGE &&
        has_to_wait(l, seat, &request)) {
        keep(l, seat, &request, held);
    } else if (s == CV_OK && what == CV_LOOP_READ_MESSAGE) {
        cv_loop_wait_ends(l, seat, CV_LOOP_ENDS_NOTHING);
        cv_loop_wait_forget(l, seat);
        seat->caller.last_ms = cv_clock_boot_ms();
        (void)cv_loop_account_take(seat->account, seat->caller.last_ms);
        s = answer_one(l, &seat->caller, &request, &cost, &err);
        cv_loop_line_stand(l, seat);
    } else if (s == CV_OK && what == CV_LOOP_READ_HELD) {
        cv_loop_line_stand(l, seat);
        *held = true;
    }
    if (s != CV_OK || what == CV_LOOP_READ_END ||
        (what == CV_LOOP_READ_NONE && seat->hung_up)) {
        leave(l, seat);
    } else {
        note_unsent(l, seat);
    }
    return cost;
}

/* *wait_ms: when it is to be served again, at the latest. */
static void serve_account(struct cv_loop *l, struct cv_loop_account *a,
                          int64_t *wait_ms)
{
    struct cv_loop_seat *last = a->last, *seat = NULL;
    int left = CV_LIMIT_UID_TURN;
    bool held = false;
    int64_t late;

    if (!a->is_limited && (l->held || l->n_ends > 0)) {
        *wait_ms = l->n_ends > 0 && HELD_MS < *wait_ms ? HELD_MS : *wait_ms;
        return;
    }
    if (!a->is_limited) {
        while (seat != last && (seat = cv_loop_line_next(a)) != NULL) {
            seat->caller.last_ms = cv_clock_boot_ms();
            serve_at_once(l, seat);
        }
        return;
    }
    /* What bars others is not late. */
    while (left > 0 && !held && a->first != NULL &&
           (a->first->ends != CV_LOOP_ENDS_NOTHING ||
            cv_loop_account_late(a, cv_clock_boot_ms()) == 0)) {
        seat = cv_loop_line_next(a);
        if (!seat->leaving) {
            left -= serve_in_turn(l, seat, &held);
        }
    }
    if (a->first != NULL) {
        late = held ? HELD_MS : cv_loop_account_late(a, cv_clock_boot_ms());
        *wait_ms = late < *wait_ms ? late : *wait_ms;
    }
}

/* Every user who wants something has his turn, in an order that goes round.
 * *wait_ms: how long those who are late may wait, or TICK_MS. */
static void serve_ready(struct cv_loop *l, int64_t *wait_ms)
{
    struct cv_loop_account *before = l->serving;
    size_t n = l->n_busy;
    struct cv_loop_account *a;

    *wait_ms = TICK_MS;
    while (n-- > 0 && (a = cv_loop_line_account(l)) != NULL) {
        l->serving = a;
        serve_account(l, a, wait_ms);
        if (a->first != NULL) {
            cv_loop_line_busy(l, a);
        }
    }
    l->serving = before;
    answer_gathered(l);
}

/* Nobody talks to it any more. */
static bool is_quiet(const struct cv_loop *l, const struct cv_caller *c,
                     int64_t now)
{
    return !l->single && c->iface == NULL && c->grants == 0 &&
           now - c->last_ms > CV_LIMIT_CLIENT_IDLE_S * 1000LL;
}

/* It takes too long over what it sends or reads. */
static bool is_slow(const struct cv_loop_seat *seat, int64_t now)
{
    return (seat->begun_ms != 0 &&
            now - seat->begun_ms > CV_LIMIT_FRAME_S * 1000LL) ||
           (seat->unsent_ms != 0 &&
            now - seat->unsent_ms > CV_LIMIT_ANSWER_S * 1000LL);
}

/* Each second: who is to go, and what is not needed any more. */
static void sweep(struct cv_loop *l)
{
    int64_t now = cv_clock_boot_ms();

    if (now - l->swept_ms < TICK_MS) {
        return;
    }
    l->swept_ms = now;
    for (size_t i = 0; i < l->n_seats; i++) {
        struct cv_loop_seat *seat = l->seats[i];

        if (is_slow(seat, now) || is_quiet(l, &seat->caller, now)) {
            leave(l, seat);
        } else if (seat->is_long && !seat->wants_room) {
            cv_loop_line_stand(l, seat);
        }
    }
    cv_loop_account_sweep(l, now, false);
}

static void drop_leaving(struct cv_loop *l)
{
    struct cv_loop_seat *stays = NULL;

    if (l->held) {
        return;
    }
    for (struct cv_loop_seat *at = l->attached; at != NULL;
         at = at->next_attached) {
        if (at->caller.broken) {
            leave(l, at);
        }
    }
    while (l->leaving != NULL) {
        struct cv_loop_seat *seat = l->leaving;

        l->leaving = seat->next_leaving;
        if (seat == l->waiting) {
            stays = seat;
        } else {
            cv_loop_drop(l, seat);
        }
    }
    if (stays != NULL) {
        stays->next_leaving = NULL;
        l->leaving = stays;
    }
}

/* How long to wait at most (ms, -1: for ever); false: not at all, for it is
 * over. `wait_ms`: what those who are late may wait. */
static bool how_long(const struct cv_loop *l, bool busy, int64_t wait_ms,
                     int *out)
{
    bool ticking = busy || (!l->single && cv_loop_clients(l) > 0);
    int64_t rest = -1;

    if (!l->single && l->hooks->rest != NULL) {
        rest = l->hooks->rest(l->hooks->context, cv_loop_clients(l));
        if (rest == 0) {
            return false;
        }
    }
    if (ticking && (rest == -1 || rest > TICK_MS)) {
        rest = TICK_MS;
    }
    if (l->deaf && (rest == -1 || rest > DEAF_MS)) {
        rest = DEAF_MS;
    }
    if (l->busy != NULL && (rest == -1 || rest > wait_ms)) {
        rest = wait_ms;
    }
    *out = rest > INT32_MAX ? INT32_MAX : (int)rest;
    return true;
}

/* Something is to be known of a seat. */
static void notice(struct cv_loop *l, struct cv_loop_seat *seat,
                   uint32_t events)
{
    size_t before = cv_channel_unsent(seat->caller.channel);

    if (seat->wants_room && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        if (cv_channel_flush(seat->caller.channel, NULL) != CV_OK) {
            leave(l, seat);
            return;
        }
        if (cv_channel_unsent(seat->caller.channel) < before) {
            seat->unsent_ms = cv_clock_boot_ms();
        }
        note_unsent(l, seat);
    }
    seat->hung_up = seat->hung_up || (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
    if (!seat->wants_room) {
        cv_loop_line_stand(l, seat);
    }
}

/* Sorts what epoll tells. */
static void notice_all(struct cv_loop *l, const struct epoll_event *events,
                       int n, bool *knocked, bool *watched)
{
    *knocked = *watched = false;
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &l->listener) {
            *knocked = true;
        } else if (events[i].data.ptr == l) {
            *watched = true;
        } else if (events[i].data.ptr == &l->waiting ||
                   events[i].data.ptr == &l->over) {
            continue; /* who waits for it, or rests on it, looks for itself */
        } else {
            notice(l, events[i].data.ptr, events[i].events);
        }
    }
}

static void one_turn(struct cv_loop *l, const struct epoll_event *events, int n,
                     int64_t *wait_ms)
{
    bool knocked, watched;

    notice_all(l, events, n, &knocked, &watched);
    serve_ready(l, wait_ms);
    if (watched) {
        l->hooks->watched(l->hooks->context);
    }
    drop_leaving(l);
    if (knocked) {
        cv_loop_accept(l);
    } else if (l->deaf) {
        cv_loop_accept_listen(l, true);
    }
    sweep(l);
    drop_leaving(l);
}

enum cv_status cv_loop_turn(struct cv_loop *l, int timeout, int64_t *wait_ms,
                            bool *busy, struct cv_err *err)
{
    struct epoll_event events[EVENTS];
    int n = epoll_pwait(l->epoll, events, EVENTS, timeout, &l->while_waiting);

    if (n == -1 && errno != EINTR) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot wait for sockets");
    }
    if (hung_up && l->waiting == NULL && !l->held) {
        hung_up = 0;
        l->hooks->hangup(l->hooks->context);
    }
    one_turn(l, events, n > 0 ? n : 0, wait_ms);
    *busy = l->hooks->idle(l->hooks->context);
    drop_leaving(l);
    return CV_OK;
}

static enum cv_status run(struct cv_loop *l, struct cv_err *err)
{
    int64_t wait_ms = TICK_MS;
    bool busy = false;
    enum cv_status s = CV_OK;
    int timeout;

    catch_signals(l, &l->while_waiting);
    if (l->hooks->begun != NULL) {
        l->hooks->begun(l->hooks->context, l);
    }
    while (s == CV_OK && !ended && (!l->single || cv_loop_clients(l) > 0) &&
           how_long(l, busy, wait_ms, &timeout)) {
        s = cv_loop_turn(l, timeout, &wait_ms, &busy, err);
    }
    return s;
}

void cv_loop_wake(struct cv_loop *l, int fd, bool room)
{
    const uint32_t events = EPOLLIN | (room ? EPOLLOUT : 0U);

    /* One of the two: it is known, or it is not. */
    cv_loop_watch(l, EPOLL_CTL_MOD, fd, events, &l->waiting);
    cv_loop_watch(l, EPOLL_CTL_ADD, fd, events, &l->waiting);
}

static enum cv_status open_loop(struct cv_loop *l, int fd, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    cv_loop_accept_limits(l);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll == -1) {
        cv_file_close(&fd);
        return cv_fail_errno(err, CV_INTERNAL, "cannot wait for sockets");
    }
    if (l->single) {
        return cv_loop_add(l, fd, NULL, err);
    }
    cv_loop_watch(l, EPOLL_CTL_ADD, l->listener, EPOLLIN, &l->listener);
    if (l->hooks->watch != -1) {
        cv_loop_watch(l, EPOLL_CTL_ADD, l->hooks->watch, EPOLLIN, l);
    }
    if (l->hooks->lifeline != -1) {
        cv_loop_watch(l, EPOLL_CTL_ADD, l->hooks->lifeline, EPOLLET, &l->over);
    }
    if (l->hooks->shared) {
        s = cv_arena_new(CV_KIB(64), &l->arena, err);
    }
    if (s == CV_OK) {
        cv_buf_init(&l->scratch, l->arena, CV_KIB(64));
    }
    return s;
}

enum cv_status cv_loop_run(const struct cv_loop_hooks *hooks, int fd,
                           int listener, struct cv_err *err)
{
    struct cv_loop *l = calloc(1, sizeof(*l));
    enum cv_status s;

    if (l == NULL) {
        cv_file_close(&fd);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    l->hooks = hooks;
    l->listener = listener;
    l->single = fd != -1;
    s = open_loop(l, fd, err);
    if (s == CV_OK) {
        s = run(l, err);
    }
    l->over = true;
    while (l->n_seats > 0) {
        struct cv_loop_seat *seat = l->seats[l->n_seats - 1];

        (void)!cv_channel_flush(seat->caller.channel, NULL);
        cv_loop_drop(l, seat);
    }
    cv_loop_account_sweep(l, 0, true);
    cv_file_close(&l->epoll);
    cv_buf_wipe(&l->scratch);
    cv_arena_free(l->arena);
    free(l->seats);
    free(l);
    return s;
}

bool cv_loop_is_over(const struct cv_loop *loop)
{
    return loop->over;
}
