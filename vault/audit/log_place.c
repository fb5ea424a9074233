/* Where the log's file is, and how long. */
#include "vault/audit/log_internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Its times are not asked for: since Linux 6.13 whoever has seen a file's time
 * makes the next write give it another, which the file system's journal must be
 * told of before each sync. */
#define ASKED (STATX_NLINK | STATX_INO | STATX_SIZE)

static bool look(int folder, const char *path, int flags, struct statx *out)
{
    return statx(folder, path, flags | AT_STATX_SYNC_AS_STAT, ASKED, out) == 0;
}

static bool is_it(const struct cv_log *log, const struct statx *st)
{
    return makedev(st->stx_dev_major, st->stx_dev_minor) == log->dev &&
           st->stx_ino == log->ino;
}

bool cv_log_measure(const struct cv_log *log, uint64_t *size)
{
    struct statx st;
    bool seen = look(log->fd, "", AT_EMPTY_PATH, &st);

    *size = seen ? st.stx_size : 0;
    return seen;
}

enum cv_status cv_log_check_place(const struct cv_log *log, uint64_t size,
                                  bool longer, struct cv_err *err)
{
    struct statx open_one, named;
    const char *why = NULL;

    if (!look(log->fd, "", AT_EMPTY_PATH, &open_one)) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", CV_LOG_PATH);
    }
    if (open_one.stx_nlink == 0) {
        why = "was removed";
    } else if (!look(log->vault, CV_LOG_PATH, AT_SYMLINK_NOFOLLOW, &named)) {
        why = "is not at its place any more";
    } else if (!is_it(log, &named)) {
        why = "was replaced";
    } else if (open_one.stx_size < size) {
        why = "was cut shorter";
    } else if (open_one.stx_size > size && !longer) {
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
