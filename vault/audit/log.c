#include "vault/audit/log.h"

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

/* Everything that is derived from the log is read before the log's size: then a
 * writer that goes on meanwhile can only make the log longer. */
static enum cv_status open_there(struct cv_log *log, struct cv_err *err)
{
    struct cv_checkpoint last;
    const struct cv_frontier *from;
    struct stat st;
    bool found = false;
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
    from = cv_state_pick(&log->state, (uint64_t)st.st_size);
    if (from != NULL) {
        log->done = *from;
    }
    return cv_log_scan(log, (uint64_t)st.st_size, found ? &last : NULL, err);
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

enum cv_status cv_log_open(int vault, enum cv_log_mode mode,
                           struct cv_log **out, struct cv_err *err)
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
        status =
            mode == CV_LOG_CREATE ? make_there(log, err) : open_there(log, err);
    }
    if (status != CV_OK) {
        cv_log_close(log);
        return status;
    }
    log->alive = true;
    *out = log;
    return CV_OK;
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

static enum cv_status dead(struct cv_err *err)
{
    return cv_fail(err, CV_IO,
                   "the audit log failed before and is not used "
                   "any more by this process");
}

/* Is the open file still the one at its path, with one name and `size` bytes?
 * A file that was unlinked or replaced goes on taking writes that nobody will
 * ever read. */
static enum cv_status check_place(const struct cv_log *log, uint64_t size,
                                  bool longer, struct cv_err *err)
{
    struct stat open_one, named;
    const char *why = NULL;

    if (fstat(log->fd, &open_one) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", CV_LOG_PATH);
    }
    if (open_one.st_nlink == 0) {
        why = "was removed";
    } else if (fstatat(log->vault, CV_LOG_PATH, &named, AT_SYMLINK_NOFOLLOW) !=
               0) {
        why = "is not at its place any more";
    } else if (named.st_dev != log->dev || named.st_ino != log->ino) {
        why = "was replaced";
    } else if ((uint64_t)open_one.st_size < size) {
        why = "was cut shorter";
    } else if ((uint64_t)open_one.st_size > size && !longer) {
        why = "was written to by somebody who does not hold the lock";
    }
    if (why == NULL) {
        return CV_OK;
    }
    cv_fail(err, CV_IO, "the audit log %s (%s)", why, CV_LOG_PATH);
    cv_err_state(err, "nothing was released");
    cv_err_hint(err, "put the file back as it was, then try again");
    return CV_IO;
}

enum cv_status cv_log_refresh(struct cv_log *log, struct cv_err *err)
{
    struct stat st;
    enum cv_status status;

    if (!log->alive) {
        return dead(err);
    }
    if (log->pending.len > 0) {
        return cv_fail(err, CV_INTERNAL, "leaves are queued already");
    }
    status = check_place(log, log->done.offset, true, err);
    if (status == CV_OK && fstat(log->fd, &st) != 0) {
        status = cv_fail_errno(err, CV_IO, "cannot look at %s", CV_LOG_PATH);
    }
    /* A torn end of the same size may be another process's leaves by now. */
    if (status == CV_OK &&
        (log->torn > 0 || (uint64_t)st.st_size != log->done.offset)) {
        status = cv_log_scan(log, (uint64_t)st.st_size, NULL, err);
    }
    log->alive = status == CV_OK;
    return status;
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

static enum cv_status queue(struct cv_log *log, struct cv_bytes leaf,
                            struct cv_err *err)
{
    struct cv_frontier *f = &log->next;
    struct cv_record record;
    const char *wrong = cv_record_follow(leaf, f->tree.size, f->prev, &record);

    if (wrong != NULL) {
        return cv_fail(err, CV_INVALID, "not a leaf: %s", wrong);
    }
    if (leaf.len + CV_WAL_HEADER > CV_LOG_PENDING - log->pending.len) {
        return cv_fail(err, CV_INVALID, "too many records in one commit");
    }
    cv_wal_add(leaf, &log->pending);
    if (log->pending.status != CV_OK) {
        return cv_buf_status(&log->pending, "the audit log", err);
    }
    cv_tree_leaf(leaf, f->prev);
    cv_tree_append(&f->tree, f->prev);
    f->offset += CV_WAL_HEADER + leaf.len;
    cv_log_remember(log, &record);
    return CV_OK;
}

enum cv_status cv_log_append(struct cv_log *log, cJSON *leaf, uint64_t *seq,
                             struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status status;

    if (!log->alive) {
        return dead(err);
    }
    if (log->mode == CV_LOG_READ) {
        return cv_fail(err, CV_IO, "the audit log was opened for reading");
    }
    if (!cJSON_IsObject(leaf) || !number_leaf(log, leaf)) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    cv_buf_init(&text, NULL, CV_LIMIT_LEAF);
    cv_json_write(leaf, CV_JSON_CANONICAL, &text);
    status = cv_buf_status(&text, "an audit record", err);
    if (status == CV_OK) {
        if (seq != NULL) {
            *seq = log->next.tree.size;
        }
        status = queue(log, cv_buf_bytes(&text), err);
    }
    cv_buf_wipe(&text);
    return status;
}

static enum cv_status write_pending(const struct cv_log *log,
                                    struct cv_err *err)
{
    size_t done = 0;

    while (done < log->pending.len) {
        ssize_t n =
            pwrite(log->fd, log->pending.data + done, log->pending.len - done,
                   (off_t)(log->done.offset + done));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            cv_fail_errno(err, CV_IO, "cannot write the audit log");
            cv_err_state(err, "nothing was released");
            cv_err_hint(err, "make room on its file system, or see why it "
                             "cannot be written, then try again");
            return CV_IO;
        }
        done += (size_t)n;
    }
    if (fdatasync(log->fd) != 0) {
        cv_fail_errno(err, CV_IO, "cannot put the audit log on disk");
        cv_err_state(err, "nothing was released");
        cv_err_hint(err, "the disk reports an error: look at the kernel log");
        return CV_IO;
    }
    return CV_OK;
}

static enum cv_status drop_torn(struct cv_log *log, struct cv_err *err)
{
    if (log->torn == 0) {
        return CV_OK;
    }
    if (ftruncate(log->fd, (off_t)log->done.offset) != 0) {
        return cv_fail_errno(err, CV_IO,
                             "cannot cut the torn end off the audit log");
    }
    log->torn = 0;
    return CV_OK;
}

enum cv_status cv_log_commit(struct cv_log *log, struct cv_err *err)
{
    enum cv_status status;

    if (!log->alive) {
        return dead(err);
    }
    if (log->pending.len == 0) {
        return CV_OK;
    }
    status = check_place(log, log->done.offset + log->torn, false, err);
    if (status == CV_OK) {
        status = drop_torn(log, err);
    }
    if (status == CV_OK) {
        status = write_pending(log, err);
        /* What did not become durable must not be there for others to build
         * on: after a failed fsync the pages read as if they were. */
        if (status != CV_OK &&
            ftruncate(log->fd, (off_t)log->done.offset) != 0) {
            cv_err_state(err, "nothing was released; the log may have a torn "
                              "end, which the next writer drops");
        }
    }
    if (status == CV_OK) {
        status = check_place(log, log->next.offset, false, err);
    }
    if (status == CV_OK) {
        log->done = log->next;
    }
    log->alive = status == CV_OK;
    cv_log_discard(log);
    return status;
}

void cv_log_discard(struct cv_log *log)
{
    cv_buf_wipe(&log->pending);
    log->next = log->done;
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
