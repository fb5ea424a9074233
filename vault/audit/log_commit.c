/* Appending: leaves are numbered, queued, written and made durable. */
#include "vault/audit/leaf_internal.h"
#include "vault/audit/log_internal.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/reserve.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define GIVE_TRIES 8           /* to make room for one commit */
#define PENDING_KEPT CV_MIB(1) /* room for what is queued */

enum cv_status cv_log_dead(struct cv_err *err)
{
    return cv_fail(err, CV_IO,
                   "the audit log failed before and is not used "
                   "any more by this process");
}

/* Puts v, seq and prev into the leaf. */
static bool number_leaf(const struct cv_log *log, cJSON *leaf)
{
    cJSON_DeleteItemFromObjectCaseSensitive(leaf, "v");
    cJSON_DeleteItemFromObjectCaseSensitive(leaf, "seq");
    cJSON_DeleteItemFromObjectCaseSensitive(leaf, "prev");
    return cv_json_add_int(leaf, "v", CV_LEAF_VERSION) &&
           cv_json_add_int(leaf, "seq", (int64_t)log->next.tree.size) &&
           cv_json_add_base64(leaf, "prev",
                              (struct cv_bytes){log->next.prev, CV_TREE_HASH});
}

/* Outcomes, and permits of what changes or releases something: a full disk must
 * not keep them out of the record. */
static bool is_to_be_kept(const struct cv_record *record)
{
    static const char *const reads[] = {"list", "show", "audit.read",
                                        "policy.read"};

    if (cv_record_is(record->phase, "outcome")) {
        return true;
    }
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        if (cv_record_is(record->action, reads[i])) {
            return false;
        }
    }
    return cv_record_is(record->decision, "permit");
}

/* Takes a frame's record into the queue, if it is a leaf that goes there: read
 * as it is read ever after, so that none gets into the log which `audit verify`
 * would refuse. */
static enum cv_status queue(struct cv_log *log, size_t frame,
                            struct cv_err *err)
{
    struct cv_bytes leaf = cv_wal_record(&log->pending, frame);
    struct cv_frontier *f = &log->next;
    struct cv_record record;
    const char *wrong;

    if (leaf.len > CV_LIMIT_LEAF) {
        return cv_fail(err, CV_INVALID, "an audit record is too long");
    }
    wrong = cv_record_follow(leaf, f->tree.size, f->prev, &record);
    if (wrong != NULL) {
        return cv_fail(err, CV_INVALID, "not a leaf: %s", wrong);
    }
    cv_wal_end(&log->pending, frame);
    cv_tree_leaf(leaf, f->prev);
    cv_tree_append(&f->tree, f->prev);
    f->offset += CV_WAL_HEADER + leaf.len;
    cv_log_remember(log, &record);
    log->matters = log->matters || is_to_be_kept(&record);
    return CV_OK;
}

/* Begins a frame for the next leaf. */
static enum cv_status begin_leaf(struct cv_log *log, uint64_t *seq,
                                 size_t *frame, struct cv_err *err)
{
    if (!log->alive) {
        return cv_log_dead(err);
    }
    if (log->mode == CV_LOG_READ) {
        return cv_fail(err, CV_IO, "the audit log was opened for reading");
    }
    if (seq != NULL) {
        *seq = log->next.tree.size;
    }
    *frame = cv_wal_begin(&log->pending);
    return CV_OK;
}

/* Queues what was written, or takes it back. */
static enum cv_status end_leaf(struct cv_log *log, size_t frame,
                               enum cv_status status, struct cv_err *err)
{
    if (status == CV_OK) {
        status = cv_buf_status(&log->pending, "what one commit writes", err);
    }
    if (status == CV_OK) {
        status = queue(log, frame, err);
    }
    if (status != CV_OK) {
        cv_buf_cut(&log->pending, frame);
    }
    return status;
}

enum cv_status cv_log_append_leaf(struct cv_log *log,
                                  const struct cv_leaf *leaf, uint64_t *seq,
                                  struct cv_err *err)
{
    const struct cv_leaf_place place = {log->next.tree.size,
                                        {log->next.prev, CV_TREE_HASH}};
    size_t frame = 0;
    enum cv_status status = begin_leaf(log, seq, &frame, err);

    if (status != CV_OK) {
        return status;
    }
    status = cv_leaf_write(leaf, &place, &log->pending, err);
    return end_leaf(log, frame, status, err);
}

enum cv_status cv_log_append(struct cv_log *log, cJSON *leaf, uint64_t *seq,
                             struct cv_err *err)
{
    size_t frame = 0;
    enum cv_status status = begin_leaf(log, seq, &frame, err);

    if (status != CV_OK) {
        return status;
    }
    if (cJSON_IsObject(leaf) && number_leaf(log, leaf)) {
        cv_json_write(leaf, CV_JSON_CANONICAL, &log->pending);
        status = cv_buf_status(&log->pending, "an audit record", err);
    } else {
        status = cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return end_leaf(log, frame, status, err);
}

/* 0, or why not. */
static int write_all(int fd, const uint8_t *data, size_t len, uint64_t at)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(fd, data + done, len - done, (off_t)(at + done));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? EIO : errno;
        }
        done += (size_t)n;
    }
    return 0;
}

static enum cv_status cut(struct cv_log *log, uint64_t length,
                          struct cv_err *err)
{
    if (ftruncate(log->fd, (off_t)length) != 0) {
        return cv_fail_errno(err, CV_IO,
                             "cannot cut the end off the audit log");
    }
    log->length = length;
    return CV_OK;
}

/* A torn end goes before anything is written. So do zeros that a process left
 * which stayed, in one that does not. */
static enum cv_status drop_tail(struct cv_log *log, struct cv_err *err)
{
    enum cv_status status = CV_OK;

    if (log->torn > 0 || (!log->stays && log->length > log->done.offset)) {
        status = cut(log, log->done.offset, err);
    }
    log->torn = status == CV_OK ? 0 : log->torn;
    return status;
}

/* So far apart are the places at which the file grows. Each time the disk is
 * told of a new size, which takes as long as the sync itself, or much longer
 * beside others who write; but zeros are written twice over. So groups of many
 * leaves get more of them, and what is larger than the zeros would be, and lets
 * the file grow each time, no more than is_torn in wal.c wants. */
static uint64_t ahead_step(size_t len)
{
    if (len > CV_LOG_STEP) {
        return CV_WAL_STEP;
    }
    return len > CV_LOG_STEP / 16 ? 4 * CV_LOG_STEP : CV_LOG_STEP;
}

/* Zeros from the end of what is queued to a whole step: overwriting them costs
 * the next commits no change of the file's size, which the disk would have to
 * be told of each time. Where there is no room for them it goes on without. */
static void write_ahead(struct cv_log *log)
{
    static const uint8_t zeros[CV_WAL_STEP];
    uint64_t at =
        log->next.offset > log->length ? log->next.offset : log->length;
    uint64_t step = ahead_step(log->pending.len);
    uint64_t to = (log->next.offset / step + 1) * step;
    int why = 0;

    if (!log->stays || log->tight || log->next.offset <= log->length) {
        return;
    }
    while (at < to && why == 0) {
        size_t len = (size_t)(CV_WAL_STEP - at % CV_WAL_STEP);

        why = write_all(log->fd, zeros, len, at);
        at += len;
    }
    if (why == 0) {
        log->length = to;
    } else {
        (void)!cut(log, log->next.offset, NULL);
    }
}

/* The frames. When the disk is full, what must not be lost is given room out of
 * the reserve: so much as it needs, once more for what the file system takes
 * for itself. */
static int write_frames(struct cv_log *log)
{
    int why = write_all(log->fd, log->pending.data, log->pending.len,
                        log->done.offset);

    for (int i = 0; i < GIVE_TRIES && (why == ENOSPC || why == EDQUOT); i++) {
        log->tight = true;
        if (!log->matters || ftruncate(log->fd, (off_t)log->done.offset) != 0 ||
            !cv_reserve_give(log->vault, log->pending.len)) {
            break;
        }
        log->length = log->done.offset;
        why = write_all(log->fd, log->pending.data, log->pending.len,
                        log->done.offset);
    }
    return why;
}

static enum cv_status write_pending(struct cv_log *log, struct cv_err *err)
{
    int why = write_frames(log);

    if (why != 0) {
        errno = why;
        cv_fail_errno(err, CV_IO, "cannot write the audit log");
        cv_err_state(err, "nothing was released");
        cv_err_hint(err, "make room on its file system, or see why it cannot "
                         "be written, then try again");
        return CV_IO;
    }
    write_ahead(log);
    if (log->length < log->next.offset) {
        log->length = log->next.offset;
    }
    if (fdatasync(log->fd) != 0) {
        cv_fail_errno(err, CV_IO, "cannot put the audit log on disk");
        cv_err_state(err, "nothing was released");
        cv_err_hint(err, "the disk reports an error: look at the kernel log");
        return CV_IO;
    }
    log->unsynced = false;
    return CV_OK;
}

enum cv_status cv_log_settle(struct cv_log *log, struct cv_err *err)
{
    if (!log->unsynced) {
        return CV_OK;
    }
    if (fdatasync(log->fd) != 0) {
        log->alive = false;
        return cv_fail_errno(err, CV_IO, "cannot put the audit log on disk");
    }
    log->unsynced = false;
    return CV_OK;
}

enum cv_status cv_log_commit(struct cv_log *log, struct cv_err *err)
{
    enum cv_status status;

    if (!log->alive) {
        return cv_log_dead(err);
    }
    if (log->pending.len == 0) {
        return CV_OK;
    }
    status = cv_log_check_place(log, log->length, false, err);
    if (status == CV_OK) {
        status = drop_tail(log, err);
    }
    if (status == CV_OK) {
        status = write_pending(log, err);
        /* What did not become durable must not be there for others to build
         * on: after a failed fsync the pages read as if they were. */
        if (status != CV_OK && cut(log, log->done.offset, NULL) != CV_OK) {
            cv_err_state(err, "nothing was released; the log may have a torn "
                              "end, which the next writer drops");
        }
    }
    if (status == CV_OK) {
        status = cv_log_check_place(log, log->length, false, err);
    }
    if (status == CV_OK) {
        log->done = log->next;
        log->bare = false;
    }
    log->alive = status == CV_OK;
    cv_log_discard(log);
    return status;
}

void cv_log_discard(struct cv_log *log)
{
    /* The next commit finds its room there; a large one's is given back. */
    if (log->pending.size > PENDING_KEPT) {
        cv_buf_wipe(&log->pending);
    }
    cv_buf_cut(&log->pending, 0);
    log->next = log->done;
    log->matters = false;
}

bool cv_log_is_tight(const struct cv_log *log)
{
    return log->tight;
}

void cv_log_set_tight(struct cv_log *log, bool tight)
{
    log->tight = tight;
}

void cv_log_stay(struct cv_log *log)
{
    log->stays = true;
}

enum cv_status cv_log_trim(struct cv_log *log, struct cv_err *err)
{
    enum cv_status status;

    log->stays = false;
    if (!log->alive) {
        return cv_log_dead(err);
    }
    if (log->pending.len > 0 || log->torn > 0 ||
        log->length == log->done.offset) {
        return CV_OK;
    }
    status = cv_log_check_place(log, log->length, false, err);
    return status == CV_OK ? cut(log, log->done.offset, err) : status;
}
