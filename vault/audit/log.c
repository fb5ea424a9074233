#include "vault/audit/log.h"

#include "vault/audit/archived.h"
#include "vault/audit/leaf.h"
#include "vault/audit/log_internal.h"
#include "vault/audit/logkey.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum cv_status cv_log_give(struct cv_err *err, const struct cv_err *why)
{
    if (err != NULL) {
        *err = *why;
    }
    return why->status;
}

enum cv_status cv_log_last(const struct cv_log *log, struct cv_checkpoint *out,
                           bool *found, struct cv_err *err)
{
    struct stat st;
    struct cv_err why;
    enum cv_status status;

    *found = false;
    memset(out, 0, sizeof *out);
    cv_err_init(&why);
    if (!log->has_key) {
        if (fstatat(log->vault, "audit/checkpoint", &st, AT_SYMLINK_NOFOLLOW) !=
            0) {
            return CV_OK;
        }
        return cv_fail(err, CV_INTEGRITY,
                       "there is a checkpoint, but audit/key.pub is gone");
    }
    status = cv_checkpoint_read(log->vault, &log->key, out, NULL, NULL, &why);
    *found = status == CV_OK;
    return *found || status == CV_NOT_FOUND ? CV_OK : cv_log_give(err, &why);
}

static enum cv_status gone(const struct cv_log *log, bool derived,
                           struct cv_err *err)
{
    if (log->mode == CV_LOG_READ && !derived) {
        return cv_fail(err, CV_NOT_FOUND, "there is no audit log");
    }
    cv_fail(err, CV_INTEGRITY, "the audit log is gone (%s)", CV_LOG_PATH);
    cv_err_state(err, "the vault refuses to write and to release");
    cv_err_hint(err, "put the file back where it was; without it nobody can "
                     "say what happened");
    return CV_INTEGRITY;
}

/* Opens the file; `derived`: there is something that was made from one. */
static enum cv_status open_file(struct cv_log *log, bool derived,
                                struct cv_err *err)
{
    int flags = log->mode == CV_LOG_READ ? O_RDONLY : O_RDWR;
    struct stat st;
    enum cv_status status =
        cv_file_open(log->vault, CV_LOG_PATH, flags, &log->fd, err);

    if (status != CV_OK) {
        return status == CV_NOT_FOUND ? gone(log, derived, err) : status;
    }
    if (fstat(log->fd, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", CV_LOG_PATH);
    }
    log->dev = st.st_dev;
    log->ino = st.st_ino;
    return CV_OK;
}

/* The log's key, if it is there. */
static enum cv_status read_key(struct cv_log *log, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    status = cv_logkey_read(log->vault, &log->key, &why);
    log->has_key = status == CV_OK;
    return log->has_key || status == CV_NOT_FOUND ? CV_OK
                                                  : cv_log_give(err, &why);
}

/* The frontiers, if there are any: then there must be a checkpoint too. */
static enum cv_status read_state(struct cv_log *log, bool found,
                                 struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    status = cv_state_read(log->vault, &log->state, &why);
    if (status == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (status != CV_OK) {
        return cv_log_give(err, &why);
    }
    if (!found) {
        return cv_fail(err, CV_INTEGRITY, "the log's last checkpoint is gone");
    }
    return CV_OK;
}

/* audit/archived is looked at again where it is another file. */
static bool is_archived_new(struct cv_log *log)
{
    struct stat st;

    if (fstatat(log->vault, CV_ARCHIVED_PATH, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        memset(&st, 0, sizeof st);
    }
    if (st.st_ino == log->archived_ino &&
        st.st_mtim.tv_sec == log->archived_at.tv_sec &&
        st.st_mtim.tv_nsec == log->archived_at.tv_nsec) {
        return false;
    }
    log->archived_ino = st.st_ino;
    log->archived_at = st.st_mtim;
    return true;
}

/* What is signed from here on would make the records be gone. */
static enum cv_status check_archived(const struct cv_log *log,
                                     const struct cv_archived *gone,
                                     const struct cv_checkpoint *last,
                                     struct cv_err *err)
{
    if (gone->tree.size == 0) {
        return CV_OK;
    }
    if (gone->seq < last->size && log->has_key) {
        return cv_archived_check(log->vault, gone, &log->key, last, err);
    }
    cv_fail(err, CV_INTEGRITY,
            "no checkpoint is over the record that says what is archived "
            "(" CV_ARCHIVED_PATH ")");
    cv_err_state(err, "the vault refuses to write and to release");
    cv_err_hint(err, "run `certvault audit verify`, and restore a backup");
    return CV_INTEGRITY;
}

/* Another broker may have archived records, or somebody written that file: the
 * checkpoint comes before it. */
static enum cv_status look_archived(struct cv_log *log, struct cv_err *err)
{
    struct cv_checkpoint last;
    struct cv_archived gone;
    bool found = false;
    enum cv_status status;

    memset(&last, 0, sizeof last);
    if (log->mode == CV_LOG_READ) {
        return CV_OK;
    }
    cv_archived_forget(log->vault);
    if (!is_archived_new(log)) {
        return CV_OK;
    }
    status = cv_archived_read(log->vault, &gone, err);
    /* Another may have changed the key, too. */
    if (status == CV_OK && gone.tree.size > 0) {
        status = read_key(log, err);
    }
    if (status == CV_OK && gone.tree.size > 0) {
        status = cv_log_last(log, &last, &found, err);
    }
    return status == CV_OK ? check_archived(log, &gone, &last, err) : status;
}

/* Where reading begins: behind what is archived, or at a frontier further on.
 */
static enum cv_status begin(struct cv_log *log, uint64_t size,
                            const struct cv_checkpoint *covers,
                            struct cv_err *err)
{
    const struct cv_frontier *from = cv_state_pick(&log->state, size);
    struct cv_archived gone;
    enum cv_status status;

    if (log->mode == CV_LOG_WRITE) {
        cv_archived_forget(log->vault);
    }
    (void)is_archived_new(log);
    status = cv_archived_read(log->vault, &gone, err);
    if (status == CV_OK && log->mode == CV_LOG_WRITE) {
        status = check_archived(log, &gone, covers, err);
    }
    if (status != CV_OK) {
        return status;
    }
    if (from != NULL && from->tree.size >= gone.tree.size) {
        log->done = *from;
    } else if (gone.offset > size) {
        return cv_fail(err, CV_INTEGRITY,
                       "the log ends before " CV_ARCHIVED_PATH
                       " says that it begins");
    } else {
        log->done.tree = gone.tree;
        log->done.offset = gone.offset;
        memcpy(log->done.prev, gone.prev, sizeof log->done.prev);
    }
    return CV_OK;
}

/* Everything that is derived from the log is read before the log's size: then a
 * writer that goes on meanwhile can only make the log longer. */
static enum cv_status
open_there(struct cv_log *log, const struct cv_tree *known, struct cv_err *err)
{
    struct cv_checkpoint last, covers;
    struct stat st;
    bool found = false, is_signed = true;
    enum cv_status status = read_key(log, err);

    if (status == CV_OK) {
        status = cv_log_last(log, &last, &found, err);
    }
    if (status == CV_OK) {
        status = read_state(log, found, err);
    }
    if (status == CV_OK) {
        status = open_file(log, found || log->has_key, err);
    }
    if (status != CV_OK) {
        return status;
    }
    if (fstat(log->fd, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", CV_LOG_PATH);
    }
    covers = last; /* of no leaves where there is none */
    log->bare = !found && (known == NULL || known->size == 0);
    if (known != NULL && known->size > (found ? last.size : 0)) {
        is_signed = false;
        last.size = known->size;
        cv_tree_root(known, last.root);
        found = true;
    }
    status = begin(log, (uint64_t)st.st_size, &covers, err);
    if (status == CV_OK) {
        status =
            cv_log_scan(log, (uint64_t)st.st_size, found ? &last : NULL, err);
    }
    log->bare = log->bare && log->done.tree.size > 0;
    /* What it had to read the next one need not: a log that was restored, or
     * written at once. What is known but not signed yet makes no frontier. */
    if (status == CV_OK && log->mode == CV_LOG_WRITE && is_signed) {
        cv_state_mend(log->vault, &log->state, &log->way, log->done.offset);
    }
    /* What a cut left that was itself cut off, once the rest reads well. A log
     * that cannot be rid of it is whole all the same, and `audit verify` says
     * what is there still. */
    if (status == CV_OK && log->mode == CV_LOG_WRITE) {
        (void)!cv_archived_finish(log->vault, NULL);
    }
    return status;
}

static enum cv_status sync_folder(int vault, const char *name,
                                  struct cv_err *err)
{
    int fd = openat(vault, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum cv_status status;

    if (fd < 0) {
        return cv_fail_errno(err, CV_IO, "cannot open the folder of the log");
    }
    status = cv_file_sync_folder(fd, err);
    cv_file_close(&fd);
    return status;
}

static enum cv_status make_there(struct cv_log *log, struct cv_err *err)
{
    struct stat st;
    enum cv_status status;

    if (mkdirat(log->vault, "audit", 0700) != 0 && errno != EEXIST) {
        return cv_fail_errno(err, CV_IO, "cannot make audit/");
    }
    status = read_key(log, err);
    if (status != CV_OK) {
        return status;
    }
    status = cv_file_open(log->vault, CV_LOG_PATH, O_RDWR | O_CREAT | O_EXCL,
                          &log->fd, err);
    if (status != CV_OK) {
        return status;
    }
    if (fsync(log->fd) != 0 || fstat(log->fd, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot write %s", CV_LOG_PATH);
    }
    log->dev = st.st_dev;
    log->ino = st.st_ino;
    status = sync_folder(log->vault, "audit", err);
    return status == CV_OK ? sync_folder(log->vault, ".", err) : status;
}

static enum cv_status check_folder(int vault, struct cv_err *err)
{
    struct stat st;

    if (fstatat(vault, "audit", &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return CV_OK; /* whatever is opened in it will say so */
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0) {
        cv_fail(err, CV_CONFIG,
                "audit is not a folder of your own with mode 0700");
        cv_err_hint(err, "chmod 700 it, if only you have used it so far");
        return CV_CONFIG;
    }
    return CV_OK;
}

static enum cv_status open_log(int vault, enum cv_log_mode mode,
                               const struct cv_tree *known, struct cv_log **out,
                               struct cv_err *err)
{
    struct cv_log *log = calloc(1, sizeof *log);
    enum cv_status status;

    *out = NULL;
    if (log == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    log->fd = -1;
    log->policy.version = -1;
    log->mode = mode;
    cv_buf_init(&log->pending, NULL, CV_LOG_PENDING);
    log->vault = fcntl(vault, F_DUPFD_CLOEXEC, 3);
    if (log->vault < 0) {
        free(log);
        return cv_fail_errno(err, CV_IO, "cannot keep the vault's folder open");
    }
    status = check_folder(log->vault, err);
    if (status == CV_OK) {
        status = mode == CV_LOG_CREATE ? make_there(log, err)
                                       : open_there(log, known, err);
    }
    if (status != CV_OK) {
        cv_log_close(log);
        return status;
    }
    log->alive = true;
    *out = log;
    return CV_OK;
}

enum cv_status cv_log_open(int vault, enum cv_log_mode mode,
                           struct cv_log **out, struct cv_err *err)
{
    return open_log(vault, mode, NULL, out, err);
}

enum cv_status cv_log_open_again(int vault, const struct cv_tree *known,
                                 struct cv_log **out, struct cv_err *err)
{
    return open_log(vault, CV_LOG_WRITE, known, out, err);
}

void cv_log_close(struct cv_log *log)
{
    if (log == NULL) {
        return;
    }
    cv_file_close(&log->fd);
    cv_file_close(&log->vault);
    cv_buf_wipe(&log->pending);
    free(log);
}

/* Is there more than was read? Another process may have written into zeros
 * ahead, so that the size does not tell; nor does a torn end of the same size.
 */
static enum cv_status is_longer(const struct cv_log *log, uint64_t size,
                                bool *longer, struct cv_err *err)
{
    static const uint8_t zeros[CV_WAL_HEADER];
    uint8_t header[CV_WAL_HEADER] = {0};
    ssize_t n = 0;

    *longer = log->torn > 0 || size != log->length;
    if (!*longer && size > log->done.offset) {
        do {
            n = pread(log->fd, header, sizeof header, (off_t)log->done.offset);
        } while (n < 0 && errno == EINTR);
        *longer = memcmp(header, zeros, sizeof header) != 0;
    }
    return n < 0 ? cv_fail_errno(err, CV_IO, "cannot read %s", CV_LOG_PATH)
                 : CV_OK;
}

bool cv_log_is_behind(const struct cv_log *log)
{
    bool longer = false;
    uint64_t size;

    return log->alive && cv_log_measure(log, &size) &&
           is_longer(log, size, &longer, NULL) == CV_OK && longer;
}

enum cv_status cv_log_refresh(struct cv_log *log, struct cv_err *err)
{
    bool longer = false;
    uint64_t size = 0;
    enum cv_status status;

    if (!log->alive) {
        return cv_log_dead(err);
    }
    if (log->pending.len > 0) {
        return cv_fail(err, CV_INTERNAL, "leaves are queued already");
    }
    status = cv_log_check_place(log, log->done.offset, true, err);
    if (status == CV_OK) {
        status = look_archived(log, err);
    }
    if (status == CV_OK && !cv_log_measure(log, &size)) {
        status = cv_fail_errno(err, CV_IO, "cannot look at %s", CV_LOG_PATH);
    }
    if (status == CV_OK) {
        status = is_longer(log, size, &longer, err);
    }
    if (status == CV_OK && longer) {
        status = cv_log_scan(log, size, NULL, err);
    }
    log->alive = status == CV_OK;
    return status;
}

uint64_t cv_log_size(const struct cv_log *log)
{
    return log->done.tree.size;
}

uint64_t cv_log_bytes(const struct cv_log *log)
{
    return log->done.offset;
}

uint64_t cv_log_torn(const struct cv_log *log)
{
    return log->torn;
}

bool cv_log_is_bare(const struct cv_log *log)
{
    return log->bare;
}

const struct cv_log_policy *cv_log_last_policy(const struct cv_log *log)
{
    return &log->policy;
}

bool cv_log_alive(const struct cv_log *log)
{
    return log->alive;
}

const struct cv_tree *cv_log_tree(const struct cv_log *log)
{
    return &log->done.tree;
}

void cv_log_prev(const struct cv_log *log, uint8_t out[CV_TREE_HASH])
{
    memcpy(out, log->done.prev, CV_TREE_HASH);
}

const struct cv_log_moment *cv_log_last_moment(const struct cv_log *log)
{
    return &log->last;
}

int cv_log_vault(const struct cv_log *log)
{
    return log->vault;
}

const struct cv_note_key *cv_log_rotated(const struct cv_log *log)
{
    return log->has_rotated ? &log->rotated : NULL;
}

void cv_log_use_key(struct cv_log *log, const struct cv_note_key *key)
{
    log->key = *key;
    log->has_key = true;
}
