#include "vault/audit/reserve.h"

#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH "audit/reserve"
#define BLOCK 4096u

/* It is kept in proportion: a small disk is not filled by it. */
static uint64_t share(int fd, uint64_t have, uint64_t want)
{
    struct statvfs fs;
    uint64_t quarter;

    if (fstatvfs(fd, &fs) != 0) {
        return want;
    }
    quarter = ((uint64_t)fs.f_bavail * fs.f_frsize + have) / 4;
    quarter -= quarter % BLOCK;
    return quarter < want ? quarter : want;
}

static uint64_t size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

enum cv_status cv_reserve_keep(int vault, uint64_t want, uint64_t *size,
                               struct cv_err *err)
{
    enum cv_status status;
    int fd = -1;

    *size = 0;
    status = cv_file_open(vault, PATH, O_RDWR | O_CREAT, &fd, err);
    if (status != CV_OK) {
        return status;
    }
    *size = size_of(fd);
    want = share(fd, *size, want);
    if (*size < want) {
        if (fallocate(fd, 0, (off_t)*size, (off_t)(want - *size)) != 0) {
            int why = errno;

            /* What of it was got is given back. */
            (void)!ftruncate(fd, (off_t)*size);
            errno = why;
            status =
                cv_fail_errno(err, CV_IO, "cannot reserve room in %s", PATH);
        } else {
            *size = want;
        }
    }
    cv_file_close(&fd);
    return status;
}

bool cv_reserve_give(int vault, uint64_t bytes)
{
    uint64_t size, give = (bytes + BLOCK - 1) / BLOCK * BLOCK;
    bool given;
    int fd = -1;

    if (cv_file_open(vault, PATH, O_RDWR, &fd, NULL) != CV_OK) {
        return false;
    }
    size = size_of(fd);
    given =
        size > 0 && ftruncate(fd, size > give ? (off_t)(size - give) : 0) == 0;
    cv_file_close(&fd);
    return given;
}

uint64_t cv_reserve_size(int vault)
{
    uint64_t size = 0;
    int fd = -1;

    if (cv_file_open(vault, PATH, O_RDONLY, &fd, NULL) == CV_OK) {
        size = size_of(fd);
    }
    cv_file_close(&fd);
    return size;
}
