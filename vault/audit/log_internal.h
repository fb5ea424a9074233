/* What the log and its checkpoints share. */
#ifndef CERTVAULT_AUDIT_LOG_INTERNAL_H
#define CERTVAULT_AUDIT_LOG_INTERNAL_H

#include "vault/audit/checkpoint.h"
#include "vault/audit/log.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/state_internal.h"
#include "vault/base/buf.h"

#include <sys/types.h>

#define CV_LOG_PATH "audit/log"
#define CV_LOG_PENDING CV_MIB(64) /* most that one commit writes */
/* Zeros ahead go up to a multiple of this, itself one of CV_WAL_STEP; in
 * commits of many leaves of another (log_commit.c). */
#define CV_LOG_STEP CV_KIB(256)

struct cv_log {
    int vault; /* own */
    int fd;    /* own */
    enum cv_log_mode mode;
    bool alive;
    dev_t dev; /* of the file that is open */
    ino_t ino;
    struct cv_frontier done; /* behind what is durable */
    struct cv_frontier next; /* behind what is queued */
    struct cv_buf pending;   /* the frames between them */
    uint64_t torn;           /* bytes behind done.offset to be dropped */
    bool bare;               /* records, no checkpoint, and nobody said so */
    uint64_t length; /* of the file, as it was left or found: zeros ahead and a
                        torn end count */
    bool stays;      /* keeps zeros ahead */
    bool unsynced;   /* others wrote leaves, and may have died before a sync */
    bool tight;      /* the disk is full */
    bool matters;    /* something is queued that the reserve is for */
    bool has_key;
    struct cv_note_key key;
    struct cv_state state;
    struct cv_state way;         /* what the opening passed */
    struct cv_frontier mark;     /* what the last cv_checkpoint_begin covers */
    struct cv_log_policy policy; /* the highest that a read leaf names */
    ino_t archived_ino; /* audit/archived, as it was looked at; 0: none */
    struct timespec archived_at;
    struct cv_log_moment last; /* when the last leaf was made */
    bool has_rotated;          /* the last leaf read that gives it a key: */
    struct cv_note_key rotated;
};

/* Hands an error on that was kept aside until it was clear that it is one: what
 * may be missing is asked for with an error object of its own, so that the
 * caller's stays untouched when all is well. Returns its status. */
enum cv_status cv_log_give(struct cv_err *err, const struct cv_err *why);

/* Puts on the disk what others wrote: a checkpoint covers what is durable.
 * After a failure the log is dead. CV_IO. */
CV_MUST_USE enum cv_status cv_log_settle(struct cv_log *log,
                                         struct cv_err *err);

/* It failed before. CV_IO. */
enum cv_status cv_log_dead(struct cv_err *err);

/* How many bytes the open file has; false, with errno, where that cannot be
 * seen. */
CV_MUST_USE bool cv_log_measure(const struct cv_log *log, uint64_t *size);

/* Is the open file still the one at its path, with one name and `size` bytes
 * (`longer`: at least so many)? A file that was unlinked or replaced goes on
 * taking writes that nobody will ever read. CV_IO. */
CV_MUST_USE enum cv_status cv_log_check_place(const struct cv_log *log,
                                              uint64_t size, bool longer,
                                              struct cv_err *err);

/* `record` is the last leaf now: keeps when it was written. */
void cv_log_remember(struct cv_log *log, const struct cv_record *record);

/* Reads and checks the frames from log->done up to the file's `end` and moves
 * log->done behind them. `last` (NULL: none) is the last checkpoint: the root
 * at its size must be its, and no torn tail may lie below it. CV_INTEGRITY,
 * CV_IO. */
CV_MUST_USE enum cv_status cv_log_scan(struct cv_log *log, uint64_t end,
                                       const struct cv_checkpoint *last,
                                       struct cv_err *err);

/* Reads the last checkpoint; *found false where there is none. CV_INTEGRITY
 * also when there is one but no key to check it by. */
CV_MUST_USE enum cv_status cv_log_last(const struct cv_log *log,
                                       struct cv_checkpoint *out, bool *found,
                                       struct cv_err *err);

#endif
