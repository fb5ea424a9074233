#include "vault/base/file.h"

#include "vault/base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOWN 160 /* characters of a path in an error */
#define READ_STEP 65536U
#define REPLACED 8 /* times that a file may be, while it is opened */

void cv_file_close(int *fd)
{
    if (*fd != -1) {
        /* Linux frees the number even when it says EINTR. */
        (void)close(*fd);
        *fd = -1;
    }
}

static const char *shown(char out[SHOWN], const char *path)
{
    return cv_err_quote(out, SHOWN, path, strlen(path));
}

enum cv_status cv_file_fail(const char *doing, const char *path,
                            struct cv_err *err)
{
    int number = errno;
    char name[SHOWN];
    enum cv_status status = CV_IO;
    if (number == ENOENT || number == ENOTDIR) {
        status = CV_NOT_FOUND;
    }
    cv_fail_errno(err, status, "cannot %s %s", doing, shown(name, path));
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        cv_err_hint(err, "make room on that file system, then try again");
        break;
    case EROFS:
        cv_err_hint(err, "the file system is mounted read-only");
        break;
    case EACCES:
    case EPERM:
        cv_err_hint(err, "check who owns it and its mode");
        break;
    case EMFILE:
    case ENFILE:
        cv_err_hint(err, "too many open files: raise ulimit -n");
        break;
    case EIO:
        cv_err_hint(err, "the disk reports an error: look at the kernel log");
        break;
    default:
        break;
    }
    return status;
}

/* What the system calls answer when a path is not as it must be. */
static bool is_refusal(int number)
{
    return number == ELOOP || number == EXDEV || number == ENOTDIR;
}

static enum cv_status refuse_path(const char *path, const char *why,
                                  struct cv_err *err)
{
    char name[SHOWN];
    return cv_fail(err, CV_CONFIG, "%s: %s", shown(name, path), why);
}

/* `path` without slashes at its end: with one, the kernel would follow a link
 * in spite of O_NOFOLLOW. NULL when memory is gone. */
static char *without_slashes(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return strndup(path, len);
}

static enum cv_status check_folder(int fd, const char *path, struct cv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return cv_file_fail("look at", path, err);
    }
    if (st.st_uid != geteuid()) {
        return refuse_path(path, "belongs to another user", err);
    }
    if ((st.st_mode & 077) != 0) {
        refuse_path(path, "is open to other users", err);
        cv_err_hint(err, "chmod 700 it, if only you have used it so far");
        return CV_CONFIG;
    }
    return CV_OK;
}

enum cv_status cv_file_open_folder(const char *path, int *fd,
                                   struct cv_err *err)
{
    *fd = -1;
    char *plain = without_slashes(path);
    if (plain == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *fd = open(plain, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int number = errno;
    free(plain);
    if (*fd < 0) {
        *fd = -1;
        errno = number;
        if (is_refusal(number)) {
            return refuse_path(path, "is a link or no folder", err);
        }
        return cv_file_fail("open", path, err);
    }
    enum cv_status status = check_folder(*fd, path, err);
    if (status != CV_OK) {
        cv_file_close(fd);
    }
    return status;
}

/* Makes the folder `path` and puts its name on disk. One that is there is
 * fine. */
static int make_one(char *path)
{
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? 0 : -1;
    }
    char *slash = strrchr(path, '/');
    const char *parent = slash == NULL ? "." : slash == path ? "/" : path;
    char kept = slash == NULL ? '\0' : *slash;
    if (slash != NULL && slash != path) {
        *slash = '\0';
    }
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash != NULL) {
        *slash = kept;
    }
    /* A parent that may not be read cannot be synced; the folder is there. */
    int result = fd < 0 || fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
    cv_file_close(&fd);
    return result;
}

enum cv_status cv_file_make_folder(const char *path, int *fd,
                                   struct cv_err *err)
{
    *fd = -1;
    char *copy = without_slashes(path);
    if (copy == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    int result = 0;
    for (char *p = copy; *p != '\0' && result == 0; p++) {
        if (*p == '/' && p != copy && p[-1] != '/') {
            *p = '\0';
            result = make_one(copy);
            *p = '/';
        }
    }
    if (result == 0) {
        result = make_one(copy);
    }
    int number = errno;
    free(copy);
    if (result != 0) {
        errno = number;
        if (is_refusal(number)) {
            return refuse_path(path,
                               "leads through something that is no "
                               "folder",
                               err);
        }
        return cv_file_fail("make", path, err);
    }
    return cv_file_open_folder(path, fd, err);
}

static bool is_link(int at, const char *name)
{
    struct stat st;
    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISLNK(st.st_mode);
}

/* Where the kernel has no openat2: one folder after the other. */
static int walk(int dir, const char *name, int flags, mode_t mode)
{
    int at = dir;
    const char *p = name;
    for (;;) {
        size_t len = strcspn(p, "/");
        char part[256];
        if (len == 0 || len >= sizeof(part) ||
            (len == 2 && p[0] == '.' && p[1] == '.')) {
            errno = len >= sizeof(part) ? ENAMETOOLONG : EXDEV;
            break;
        }
        memcpy(part, p, len);
        part[len] = '\0';
        bool last = p[len] == '\0';
        int step = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
        int next = openat(at, part, (last ? flags : step) | O_NOFOLLOW, mode);
        int number = errno;
        /* O_DIRECTORY hides that it was a link. */
        if (next < 0 && number == ENOTDIR && is_link(at, part)) {
            number = ELOOP;
        }
        if (at != dir) {
            cv_file_close(&at);
        }
        errno = number;
        if (next < 0 || last) {
            return next;
        }
        at = next;
        p += len + 1;
    }
    int number = errno;
    if (at != dir) {
        cv_file_close(&at);
    }
    errno = number;
    return -1;
}

int cv_file_open_beneath(int dir, const char *name, int flags, mode_t mode)
{
    struct open_how how;
    memset(&how, 0, sizeof(how));
    how.flags = (unsigned)flags;
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    /* EAGAIN: something was renamed meanwhile. */
    for (int tries = 0; tries < 8; tries++) {
        long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
        if (fd >= 0) {
            return (int)fd;
        }
        if (errno == ENOSYS) {
            return walk(dir, name, flags, mode);
        }
        if (errno != EAGAIN && errno != EINTR) {
            break;
        }
    }
    return -1;
}

static int open_any(int dir, const char *name, int flags)
{
    if (dir == AT_FDCWD) {
        return open(name, flags | O_NOFOLLOW, 0600);
    }
    return cv_file_open_beneath(dir, name, flags, 0600);
}

static enum cv_status check_file(const struct stat *st, const char *name,
                                 struct cv_err *err)
{
    if (!S_ISREG(st->st_mode)) {
        return refuse_path(name, "is not a regular file", err);
    }
    if (st->st_uid != geteuid()) {
        return refuse_path(name, "belongs to another user", err);
    }
    if (st->st_nlink != 1) {
        return refuse_path(name,
                           st->st_nlink == 0
                               ? "was taken away, or replaced, meanwhile"
                               : "has more than one name (hard link)",
                           err);
    }
    if ((st->st_mode & 077) != 0) {
        refuse_path(name, "is open to other users", err);
        cv_err_hint(err, "chmod 600 it, if only you have used it so far");
        return CV_CONFIG;
    }
    return CV_OK;
}

/* O_NONBLOCK was for the opening alone. */
static int make_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* Why it was not opened, which errno says. */
static enum cv_status not_opened(const char *name, struct cv_err *err)
{
    if (errno == EEXIST) {
        char text[SHOWN];
        return cv_fail(err, CV_EXISTS, "%s is there already",
                       shown(text, name));
    }
    if (errno == ELOOP || errno == EXDEV) {
        return refuse_path(name, "is a link, or leads out of the folder", err);
    }
    if (errno == ENXIO || errno == EISDIR) {
        return refuse_path(name, "is not a regular file", err);
    }
    return cv_file_fail("open", name, err);
}

/* Opens it and looks at it. One that has no name any more when it is looked at
 * was replaced in between, and is opened again: what is at the name counts.
 * False: it is not open, as errno says. */
static bool open_named(int dir, const char *name, int how, int *fd,
                       struct stat *st)
{
    for (int tries = 0; tries < REPLACED; tries++) {
        *fd = open_any(dir, name, how);
        if (*fd < 0 || fstat(*fd, st) != 0) {
            int number = errno;
            cv_file_close(fd);
            errno = number;
            return false;
        }
        if (st->st_nlink > 0 || (how & O_CREAT) != 0 || tries + 1 == REPLACED) {
            break;
        }
        cv_file_close(fd);
    }
    return true;
}

enum cv_status cv_file_open_loose(int dir, const char *name, int *fd,
                                  struct cv_err *err)
{
    struct stat st;
    int how = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    if (!open_named(dir, name, how, fd, &st)) {
        return not_opened(name, err);
    }
    if (!S_ISREG(st.st_mode)) {
        cv_file_close(fd);
        return refuse_path(name, "is not a regular file", err);
    }
    return CV_OK;
}

enum cv_status cv_file_open(int dir, const char *name, int flags, int *fd,
                            struct cv_err *err)
{
    int how = (flags & ~O_TRUNC) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    struct stat st;
    if (!open_named(dir, name, how, fd, &st)) {
        return not_opened(name, err);
    }
    enum cv_status status = check_file(&st, name, err);
    if (status == CV_OK &&
        (((flags & O_TRUNC) != 0 && ftruncate(*fd, 0) != 0) ||
         ((flags & O_NONBLOCK) == 0 && make_blocking(*fd) != 0))) {
        status = cv_file_fail("open", name, err);
    }
    if (status != CV_OK) {
        cv_file_close(fd);
    }
    return status;
}

enum cv_status cv_file_open_input(const char *path, int *fd, struct cv_err *err)
{
    char name[SHOWN];
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0) {
        *fd = -1;
        if (errno == ENXIO || errno == ELOOP || errno == ENAMETOOLONG) {
            return cv_fail_errno(err, CV_INVALID, "cannot open %s",
                                 shown(name, path));
        }
        const bool missing = errno == ENOENT || errno == ENOTDIR;
        const enum cv_status s = cv_file_fail("open", path, err);
        cv_err_state(err, "nothing was read");
        if (missing) {
            cv_err_hint(err, "check the path");
        }
        return s;
    }
    struct stat st;
    enum cv_status status = CV_OK;
    if (fstat(*fd, &st) != 0) {
        status = cv_file_fail("look at", path, err);
    } else if (!S_ISREG(st.st_mode)) {
        status =
            cv_fail(err, CV_INVALID, "%s is %s", shown(name, path),
                    S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    } else if (make_blocking(*fd) != 0) {
        status = cv_file_fail("open", path, err);
    }
    if (status != CV_OK) {
        cv_file_close(fd);
    }
    return status;
}

static ssize_t read_again(int fd, void *out, size_t len)
{
    ssize_t n = 0;
    do {
        n = read(fd, out, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

enum cv_status cv_file_read(int fd, const char *what, struct cv_buf *out,
                            struct cv_err *err)
{
    struct stat st;
    size_t step = READ_STEP;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 &&
        (uintmax_t)st.st_size < out->ceiling) {
        step = (size_t)st.st_size + 1; /* one more, to see the end */
    }
    for (;;) {
        size_t left = out->len < out->ceiling ? out->ceiling - out->len : 0;
        size_t want = step < left ? step : left;
        uint8_t over = 0;
        uint8_t *p = want == 0 ? &over : cv_buf_room(out, want);
        if (p == NULL) {
            return cv_buf_status(out, what, err);
        }
        ssize_t n = read_again(fd, p, want == 0 ? 1 : want);
        if (n < 0) {
            return cv_file_fail("read", what, err);
        }
        if (n == 0) {
            return CV_OK;
        }
        if (want == 0) {
            return cv_fail(err, CV_INVALID, "%s: longer than %zu bytes", what,
                           out->ceiling);
        }
        cv_buf_took(out, (size_t)n);
        step = READ_STEP;
    }
}

enum cv_status cv_file_write(int fd, struct cv_bytes data, const char *what,
                             struct cv_err *err)
{
    size_t done = 0;
    while (done < data.len) {
        ssize_t n = write(fd, data.data + done, data.len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            (void)cv_file_fail("write", what, err);
            return CV_IO;
        }
        done += (size_t)n;
    }
    return CV_OK;
}

enum cv_status cv_file_sync_folder(int dir, struct cv_err *err)
{
    if (fsync(dir) != 0) {
        (void)cv_file_fail("sync", "a folder", err);
        return CV_IO;
    }
    return CV_OK;
}
