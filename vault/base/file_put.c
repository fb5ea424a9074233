/* Files put in place whole or not at all. */
#include "vault/base/base_internal.h"
#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN CV_FILE_NAME

struct put {
    int folder;          /* that the file is in */
    const char *base;    /* its name there */
    char temp[NAME_LEN]; /* the new file's name until it is whole */
    bool made;           /* there is one by that name */
    bool unsynced;       /* nothing waits for the disk */
};

/* The folder of `name` and what is behind its last slash. */
static enum cv_status open_parent(int dir, const char *name, struct put *put,
                                  struct cv_err *err)
{
    const char *slash = strrchr(name, '/');
    put->base = slash == NULL ? name : slash + 1;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    if (slash == NULL) {
        put->folder = openat(dir, ".", flags);
    } else {
        char *parent =
            strndup(name, slash == name ? 1 : (size_t)(slash - name));
        if (parent == NULL) {
            return cv_fail(err, CV_INTERNAL, "out of memory");
        }
        put->folder = dir == AT_FDCWD
                          ? open(parent, flags)
                          : cv_file_open_beneath(dir, parent, flags, 0);
        int number = errno;
        free(parent);
        errno = number;
    }
    if (put->folder < 0) {
        put->folder = -1;
        return cv_file_fail("open the folder of", name, err);
    }
    return CV_OK;
}

static enum cv_status pick_temp(struct put *put, struct cv_err *err)
{
    size_t len = strlen(put->base);
    if (len == 0 || strcmp(put->base, ".") == 0 ||
        strcmp(put->base, "..") == 0 || len > NAME_LEN - 16) {
        return cv_fail(err, CV_IO, "not a name that a file can have");
    }
    unsigned char random[4];
    char hex[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    if (snprintf(put->temp, sizeof(put->temp), ".%s.%s.tmp", put->base, hex) <
        0) {
        return cv_fail(err, CV_INTERNAL, "no name for a new file");
    }
    return CV_OK;
}

static enum cv_status write_open(int fd, const struct put *put,
                                 struct cv_bytes data, mode_t mode,
                                 struct cv_err *err)
{
    enum cv_status status = cv_file_write(fd, data, put->base, err);
    if (status == CV_OK && (fchmod(fd, mode == 0 ? 0600 : mode) != 0 ||
                            (!put->unsynced && fsync(fd) != 0))) {
        (void)cv_file_fail("write", put->base, err);
        status = CV_IO;
    }
    return status;
}

static enum cv_status is_there(const struct put *put, struct cv_err *err)
{
    char shown[160];
    return cv_fail(
        err, CV_EXISTS, "%s is there already",
        cv_err_quote(shown, sizeof(shown), put->base, strlen(put->base)));
}

/* Makes the file without a name and gives it one when it is whole: killed in
 * between, nothing of it is left. *done is false where that cannot be done
 * here (file systems without O_TMPFILE, no /proc). */
static enum cv_status put_nameless(const struct put *put, struct cv_bytes data,
                                   mode_t mode, bool *done, struct cv_err *err)
{
    char path[64];
    int fd = openat(put->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    *done = fd >= 0;
    if (fd < 0) {
        return CV_OK;
    }
    enum cv_status status = write_open(fd, put, data, mode, err);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (status == CV_OK && linkat(AT_FDCWD, path, put->folder, put->base,
                                  AT_SYMLINK_FOLLOW) != 0) {
        if (errno == EEXIST) {
            status = is_there(put, err);
        } else {
            *done = false;
        }
    }
    (void)close(fd);
    return status;
}

/* Makes the new file, written and on disk. */
static enum cv_status write_temp(struct put *put, struct cv_bytes data,
                                 mode_t mode, struct cv_err *err)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(put->folder, put->temp, flags, 0600);
    if (fd < 0) {
        (void)cv_file_fail("make a file beside", put->base, err);
        return CV_IO;
    }
    put->made = true;
    enum cv_status status = write_open(fd, put, data, mode, err);
    if (close(fd) != 0 && errno != EINTR && status == CV_OK) {
        (void)cv_file_fail("write", put->base, err);
        status = CV_IO;
    }
    return status;
}

/* Gives the new file its name, unless something has that. */
static int rename_new(const struct put *put)
{
    if (renameat2(put->folder, put->temp, put->folder, put->base,
                  RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    /* A file system that cannot; a link refuses too. */
    if (linkat(put->folder, put->temp, put->folder, put->base, 0) != 0) {
        return -1;
    }
    return unlinkat(put->folder, put->temp, 0);
}

static enum cv_status rename_temp(struct put *put, bool replace,
                                  struct cv_err *err)
{
    int result = replace
                     ? renameat(put->folder, put->temp, put->folder, put->base)
                     : rename_new(put);
    if (result == 0) {
        put->made = false;
        return CV_OK;
    }
    if (!replace && errno == EEXIST) {
        return is_there(put, err);
    }
    (void)cv_file_fail("put in place", put->base, err);
    return CV_IO;
}

static enum cv_status put_file(int dir, const char *name, struct cv_bytes data,
                               mode_t mode, bool replace, bool unsynced,
                               struct cv_err *err)
{
    struct put put = {.folder = -1, .unsynced = unsynced};
    enum cv_status status = open_parent(dir, name, &put, err);
    if (status == CV_OK) {
        status = pick_temp(&put, err);
    }
    bool done = false;
    if (status == CV_OK && !replace) {
        status = put_nameless(&put, data, mode, &done, err);
    }
    if (status == CV_OK && !done) {
        status = write_temp(&put, data, mode, err);
        if (status == CV_OK) {
            status = rename_temp(&put, replace, err);
        }
    }
    if (put.made) {
        (void)unlinkat(put.folder, put.temp, 0);
    } else if (status == CV_OK && !unsynced) {
        status = cv_file_sync_folder(put.folder, err);
        if (status != CV_OK) {
            cv_err_state(err, "the file is in place, but may be gone after a "
                              "power failure");
        }
    }
    cv_file_close(&put.folder);
    return status;
}

enum cv_status cv_file_replace(int dir, const char *name, struct cv_bytes data,
                               mode_t mode, struct cv_err *err)
{
    return put_file(dir, name, data, mode, true, false, err);
}

enum cv_status cv_file_replace_unsynced(int dir, const char *name,
                                        struct cv_bytes data, mode_t mode,
                                        struct cv_err *err)
{
    return put_file(dir, name, data, mode, true, true, err);
}

enum cv_status cv_file_create(int dir, const char *name, struct cv_bytes data,
                              mode_t mode, struct cv_err *err)
{
    return put_file(dir, name, data, mode, false, false, err);
}

enum cv_status cv_file_stage(int dir, const char *name, struct cv_bytes data,
                             mode_t mode, int *fd, struct cv_err *err)
{
    struct put put = {.folder = -1};
    enum cv_status status = open_parent(dir, name, &put, err);
    *fd = -1;
    if (status == CV_OK) {
        *fd = openat(put.folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    }
    if (*fd >= 0) {
        status = cv_file_write(*fd, data, put.base, err);
        if (status == CV_OK && fchmod(*fd, mode == 0 ? 0600 : mode) != 0) {
            (void)cv_file_fail("write", put.base, err);
            status = CV_IO;
        }
        /* Only a beginning, so that the next sync of anything on this file
         * system takes it along; cv_file_publish waits. */
        (void)sync_file_range(*fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    if (status != CV_OK) {
        cv_file_close(fd);
    }
    cv_file_close(&put.folder);
    return status;
}

enum cv_status cv_file_publish(int dir, const char *name, int fd,
                               struct cv_err *err)
{
    struct put put = {.folder = -1};
    char path[64];
    enum cv_status status = open_parent(dir, name, &put, err);
    if (status == CV_OK) {
        status = pick_temp(&put, err);
    }
    if (status == CV_OK && fsync(fd) != 0) {
        (void)cv_file_fail("write", put.base, err);
        status = CV_IO;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (status == CV_OK &&
        linkat(AT_FDCWD, path, put.folder, put.temp, AT_SYMLINK_FOLLOW) != 0) {
        (void)cv_file_fail("put in place", put.base, err);
        status = CV_IO;
    }
    put.made = status == CV_OK;
    if (status == CV_OK) {
        status = rename_temp(&put, true, err);
    }
    if (put.made) {
        (void)unlinkat(put.folder, put.temp, 0);
    }
    cv_file_close(&put.folder);
    return status;
}

enum cv_status cv_file_draft_begin(int dir, const char *name,
                                   struct cv_file_draft *draft,
                                   struct cv_err *err)
{
    struct put put = {.folder = -1};
    enum cv_status status = open_parent(dir, name, &put, err);
    memset(draft, 0, sizeof(*draft));
    draft->fd = -1;
    draft->folder = put.folder;
    if (status == CV_OK) {
        status = pick_temp(&put, err);
    }
    if (status != CV_OK) {
        cv_file_draft_end(draft);
        return status;
    }
    (void)snprintf(draft->base, sizeof(draft->base), "%s", put.base);
    draft->fd = openat(put.folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (draft->fd < 0) {
        int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        draft->fd = openat(put.folder, put.temp, flags, 0600);
        if (draft->fd >= 0) {
            memcpy(draft->temp, put.temp, sizeof(draft->temp));
        }
    }
    if (draft->fd < 0) {
        draft->fd = -1;
        (void)cv_file_fail("make a file for", put.base, err);
        cv_file_draft_end(draft);
        return CV_IO;
    }
    return CV_OK;
}

enum cv_status cv_file_draft_publish(struct cv_file_draft *draft, bool replace,
                                     struct cv_err *err)
{
    struct put put = {.folder = draft->folder, .base = draft->base};
    char path[64];
    if (fsync(draft->fd) != 0) {
        (void)cv_file_fail("write", put.base, err);
        return CV_IO;
    }
    if (draft->temp[0] == '\0') {
        enum cv_status status = pick_temp(&put, err);
        if (status != CV_OK) {
            return status;
        }
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", draft->fd);
        const char *name = replace ? put.temp : put.base;
        if (linkat(AT_FDCWD, path, put.folder, name, AT_SYMLINK_FOLLOW) != 0) {
            if (!replace && errno == EEXIST) {
                return is_there(&put, err);
            }
            (void)cv_file_fail("put in place", put.base, err);
            return CV_IO;
        }
        if (!replace) {
            return cv_file_sync_folder(put.folder, err);
        }
        memcpy(draft->temp, put.temp, sizeof(draft->temp));
    }
    memcpy(put.temp, draft->temp, sizeof(put.temp));
    enum cv_status status = rename_temp(&put, replace, err);
    if (status != CV_OK) {
        return status;
    }
    draft->temp[0] = '\0';
    return cv_file_sync_folder(put.folder, err);
}

void cv_file_draft_end(struct cv_file_draft *draft)
{
    if (draft->temp[0] != '\0') {
        (void)unlinkat(draft->folder, draft->temp, 0);
        draft->temp[0] = '\0';
    }
    cv_file_close(&draft->fd);
    cv_file_close(&draft->folder);
}
