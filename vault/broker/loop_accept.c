/* Who gets a connection, and who makes way for whom. */
#include "vault/base/clock.h"
#include "vault/broker/loop_internal.h"
#include "vault/wire/interface.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that are taken before those that are there are served. */
#define ACCEPTS 64
/* Descriptors for all but clients: files, helpers, the log. */
#define RESERVE 64
/* Who said nothing for so long gives his seat to a user who has none. */
#define SILENT_MS 10000

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Locked memory is needed for messages too, whoever sends them. */
void cv_loop_accept_limits(struct cv_loop *l)
{
    struct rlimit files, locked;

    l->most = CV_LIMIT_CLIENTS;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        l->most = least(l->most, files.rlim_cur > RESERVE + RESERVE / 2
                                     ? (size_t)files.rlim_cur - RESERVE
                                     : RESERVE / 2);
    }
    l->most_bytes = CV_LIMIT_BYTES;
    if (geteuid() != 0 && getrlimit(RLIMIT_MEMLOCK, &locked) == 0) {
        l->most_bytes = least(l->most_bytes, (size_t)(locked.rlim_cur / 2));
    }
}

/* What a client is told who cannot be taken: the answer to his first request,
 * which is not read. */
static const char too_many[] =
    "{\"error\":\"" CV_INTERFACE_BROKER
    ".Busy\",\"parameters\":{\"code\":\"busy\","
    "\"message\":\"too many connections to the broker\",\"state\":"
    "\"nothing was done\",\"hint\":\"try again when other commands have "
    "ended\",\"retry_after\":1}}";

static void turn_away(int fd)
{
    /* With its NUL. */
    (void)!send(fd, too_many, sizeof(too_many), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

/* Can it be let go for somebody else's sake? */
static bool is_idle(const struct cv_loop *l, const struct cv_loop_seat *seat)
{
    return seat->caller.iface == NULL && !seat->leaving && !seat->in_line &&
           seat->caller.grants == 0 && seat->caller.prompt == NULL &&
           !seat->wants_room && seat->kept.tree == NULL && seat != l->waiting;
}

/* All connections are taken: whoever has most loses the one that was silent
 * longest, if `newcomer` has fewer. Where everybody has one (a user can have
 * many uids), a newcomer without any gets that of who was silent longest. */
static bool make_way(struct cv_loop *l, const struct cv_loop_account *newcomer)
{
    const int64_t now = cv_clock_boot_ms();
    const struct cv_loop_account *most = NULL;
    struct cv_loop_seat *gone = NULL, *silent = NULL;

    if (l->held) {
        return false;
    }
    for (size_t i = 0; i < l->n_seats; i++) {
        struct cv_loop_seat *seat = l->seats[i];

        if (!is_idle(l, seat)) {
            continue;
        }
        if (silent == NULL || seat->caller.last_ms < silent->caller.last_ms) {
            silent = seat;
        }
        if (most == NULL || seat->account->n > most->n ||
            (seat->account->n == most->n &&
             seat->caller.last_ms < gone->caller.last_ms)) {
            most = seat->account;
            gone = seat;
        }
    }
    if (gone != NULL && most->n > newcomer->n + 1) {
        cv_loop_drop(l, gone);
        return true;
    }
    if (newcomer->n == 0 && silent != NULL &&
        now - silent->caller.last_ms >= SILENT_MS) {
        cv_loop_drop(l, silent);
        return true;
    }
    return false;
}

/* Is there a seat for who connected? */
static bool has_seat(struct cv_loop *l, int fd)
{
    struct cv_loop_account *a;
    uid_t uid;

    if (!l->hooks->shared) {
        return cv_loop_clients(l) < l->most;
    }
    if (cv_peer_uid(fd, &uid, NULL) != CV_OK) {
        return false;
    }
    a = cv_loop_account_of(l, uid);
    return a != NULL && a->n < CV_LIMIT_UID_CLIENTS &&
           (cv_loop_clients(l) < l->most || make_way(l, a));
}

void cv_loop_accept_listen(struct cv_loop *l, bool listens)
{
    l->deaf = !listens;
    cv_loop_watch(l, EPOLL_CTL_MOD, l->listener, listens ? EPOLLIN : 0,
                  &l->listener);
}

void cv_loop_accept(struct cv_loop *l)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
        struct cv_err err;

        if (fd == -1) {
            /* Out of descriptors: the next that goes gives one back. */
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                cv_loop_accept_listen(l, false);
            }
            return;
        }
        cv_err_init(&err);
        if (has_seat(l, fd)) {
            (void)!cv_loop_add(l, fd, NULL, &err);
        } else {
            turn_away(fd);
        }
    }
}
