#include "vault/broker/room.h"

#include "vault/broker/broker_internal.h"

#include "vault/audit/reserve.h"
#include "vault/base/clock.h"

#include <sys/statvfs.h>

/* So much must be free before reads and denials are written again. */
#define ENOUGH CV_MIB(1)

/* Is there room beside the reserve? */
static bool is_room(struct cv_broker *b)
{
    struct statvfs fs;

    return fstatvfs(b->vault->dir, &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_frsize >= ENOUGH;
}

/* Entered. */
static void look(struct cv_broker *b)
{
    uint64_t size;

    if (!is_room(b)) {
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

    if (log != NULL && cv_log_is_tight(log) && is_room(b)) {
        cv_log_set_tight(log, false);
    }
    return log != NULL && cv_log_is_tight(log);
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
