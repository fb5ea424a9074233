#include "vault/broker/room.h"

#include "vault/broker/broker_internal.h"

#include "vault/audit/reserve.h"
#include "vault/base/clock.h"

#include <sys/statvfs.h>

/* So much must be free before reads and denials are written again. */
#define ENOUGH CV_MIB(1)

/* The store is given so much at first: its pages are large, and it writes some
 * of them three times for one change; and so much for one request at most. */
#define GIVE CV_KIB(256)
#define GIVE_MOST CV_MIB(16)

bool cv_room_is_there(const struct cv_broker *b)
{
    struct statvfs fs;

    return fstatvfs(b->vault->dir, &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_frsize >= ENOUGH;
}

/* Entered. */
static void look(struct cv_broker *b)
{
    uint64_t size;

    if (!cv_room_is_there(b)) {
        return;
    }
    if (b->options->mode == CV_BROKER_SERVICE) {
        (void)!cv_reserve_keep(b->vault->dir, CV_LIMIT_RESERVE, &size, NULL);
    }
    cv_log_set_tight(b->vault->log, false);
}

bool cv_room_is_full(struct cv_broker *b)
{
    struct cv_log *log = b->vault->log;

    if (log != NULL && cv_log_is_tight(log) && cv_room_is_there(b)) {
        cv_log_set_tight(log, false);
    }
    return log != NULL && cv_log_is_tight(log);
}

/* Twice as much each time: a policy with its names may have megabytes. */
bool cv_room_give(struct cv_ask *ask)
{
    struct cv_vault *v = ask->broker->vault;
    const uint64_t more = ask->given > GIVE ? ask->given : GIVE;

    if (!ask->urgent || !cv_store_was_full(v->store) ||
        ask->given + more > GIVE_MOST || !cv_reserve_give(v->dir, more)) {
        return false;
    }
    ask->given += more;
    /* It is not for reads and denials. */
    cv_log_set_tight(v->log, true);
    return true;
}

bool cv_room_tick(struct cv_broker *b)
{
    int64_t now = cv_clock_boot_ms();

    if (b->options->mode == CV_BROKER_EXEC || b->vault == NULL) {
        return false;
    }
    if (b->room_ms == 0 || now - b->room_ms >= CV_LIMIT_ROOM_S * 1000) {
        b->room_ms = now;
        if (cv_vault_enter(b->vault, NULL) == CV_OK) {
            look(b);
            cv_vault_leave(b->vault);
        }
    }
    return b->vault->log != NULL && cv_log_is_tight(b->vault->log);
}
