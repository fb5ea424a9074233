#include "cli/intake_file.h"

#include "cli/intake_temp.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 160

static const char *shown(const struct cv_intake_file *f, char out[SHOWN])
{
    return f->name == NULL ? "standard input"
                           : cv_err_quote(out, SHOWN, f->name, strlen(f->name));
}

/* ---- reading ---- */

static bool is_plain_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= 255 && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int open_in(int folder, const char *name, int access)
{
    /* O_NONBLOCK: a FIFO must not stop us before fstat tells it apart */
    return openat(folder, name,
                  access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static enum cv_status open_named(struct cv_intake_file *f, bool write,
                                 struct cv_err *err)
{
    char name[SHOWN];
    enum cv_status s;

    if (!is_plain_name(f->name)) {
        return cv_fail(err, CV_USAGE, "not the name of a file in that folder");
    }
    f->writable = write;
    f->fd = write ? open_in(f->folder, f->name, O_RDWR) : -1;
    if (f->fd < 0) {
        f->writable = false;
        f->fd = open_in(f->folder, f->name, O_RDONLY);
    }
    if (f->fd >= 0) {
        return CV_OK;
    }
    f->fd = -1;
    if (errno == ENOENT) {
        return cv_fail(err, CV_NOT_FOUND, "%s: no such file", shown(f, name));
    }
    if (errno == ELOOP || errno == ENXIO) {
        return cv_fail(err, CV_INVALID, "%s: no regular file", shown(f, name));
    }
    /* What is to be changed is there all the same. */
    s = cv_fail_errno(err, errno == EACCES && !write ? CV_NOT_FOUND : CV_IO,
                      "cannot read %s", shown(f, name));
    cv_err_hint(err, "check who owns it and its mode");
    return s;
}

static enum cv_status open_it(struct cv_intake_file *f, int input, bool write,
                              struct cv_err *err)
{
    char name[SHOWN];
    enum cv_status s = CV_OK;

    if (fstat(input, &f->st) != 0) {
        return cv_fail_errno(err, CV_IO, "no input");
    }
    if (S_ISDIR(f->st.st_mode) != (f->name != NULL)) {
        return cv_fail(err, CV_USAGE,
                       "a file's name goes with a folder, and only there");
    }
    if (f->name == NULL) {
        /* read again from its start where it can be */
        (void)lseek(input, 0, SEEK_SET);
        return CV_OK;
    }
    f->folder = input;
    s = open_named(f, write, err);
    if (s == CV_OK && fstat(f->fd, &f->st) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot read %s", shown(f, name));
    }
    if (s == CV_OK && !S_ISREG(f->st.st_mode)) {
        s = cv_fail(err, CV_INVALID, "%s: no regular file", shown(f, name));
    }
    return s;
}

enum cv_status cv_intake_file_read(int input, const char *name, bool write,
                                   struct cv_arena *arena,
                                   struct cv_intake_file *out,
                                   struct cv_err *err)
{
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    out->folder = out->fd = -1;
    out->name = name;
    cv_buf_init(&out->text, arena, CV_LIMIT_KUBECONFIG);
    s = open_it(out, input, write, err);
    if (s == CV_OK) {
        char text[SHOWN];

        s = cv_file_read(out->fd >= 0 ? out->fd : input, shown(out, text),
                         &out->text, err);
    }
    if (s == CV_OK) {
        (void)crypto_hash_sha256(out->digest, out->text.data, out->text.len);
    }
    return s;
}

void cv_intake_file_close(struct cv_intake_file *f)
{
    cv_file_close(&f->fd);
}

bool cv_intake_file_replaceable(const struct cv_intake_file *f)
{
    return f->folder >= 0 && f->st.st_nlink == 1 &&
           faccessat(f->folder, ".", W_OK, AT_EACCESS) == 0;
}

/* ---- replacing ---- */

/* The caller ends *temp in every case. */
static enum cv_status write_new(const struct cv_intake_file *f,
                                struct cv_intake_temp *temp,
                                struct cv_bytes text, mode_t mode,
                                struct cv_err *err)
{
    enum cv_status s = cv_intake_temp_make(f->folder, temp, err);
    int fd = temp->fd;

    if (s != CV_OK) {
        return s;
    }
    s = cv_file_write(fd, text, "the new file", err);
    if (s == CV_OK &&
        (f->st.st_uid != geteuid() || f->st.st_gid != getegid()) &&
        fchown(fd, f->st.st_uid, f->st.st_gid) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot keep the file's owner");
    }
    if (s == CV_OK && (fchmod(fd, mode) != 0 || fsync(fd) != 0)) {
        s = cv_fail_errno(err, CV_IO, "cannot write the new file");
    }
    return s;
}

/* Is what has the name now still what was read? */
static bool is_unchanged(const struct cv_intake_file *f)
{
    struct stat now;

    return fstatat(f->folder, f->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           now.st_dev == f->st.st_dev && now.st_ino == f->st.st_ino &&
           now.st_size == f->st.st_size &&
           now.st_mtim.tv_sec == f->st.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == f->st.st_mtim.tv_nsec;
}

/* Best effort: a file system that copies on write, or a disk that remaps, keeps
 * old blocks. The vault has the keys by now. */
static void overwrite(struct cv_intake_file *f)
{
    static const uint8_t zeros[4096];
    off_t at = 0;

    while (f->writable && at < f->st.st_size) {
        off_t left = f->st.st_size - at;
        ssize_t n = pwrite(
            f->fd, zeros,
            left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros), at);

        if (n <= 0) {
            return;
        }
        at += n;
    }
    (void)fdatasync(f->fd);
}

static enum cv_status put_in_place(struct cv_intake_file *f,
                                   struct cv_intake_temp *temp,
                                   struct cv_err *err)
{
    enum cv_status s;

    if (!is_unchanged(f)) {
        return cv_fail(err, CV_INVALID, "the file has changed meanwhile");
    }
    if (renameat(f->folder, temp->name, f->folder, f->name) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot put the new file in place");
    }
    cv_intake_temp_end(temp, true);
    s = cv_file_sync_folder(f->folder, err);
    if (s == CV_OK) {
        overwrite(f);
    } else {
        cv_err_state(err, "the new file is in place, but may be gone after a "
                          "power failure");
    }
    return s;
}

enum cv_status cv_intake_file_replace(struct cv_intake_file *f,
                                      struct cv_bytes text, struct cv_err *err)
{
    struct cv_intake_temp temp = CV_INTAKE_TEMP_NONE;
    enum cv_status s;

    if (f->folder < 0 || f->st.st_nlink != 1) {
        s = cv_fail(err, CV_INVALID,
                    "the file has another name that would keep the keys");
        cv_err_hint(err, "remove its other hard links first");
        return s;
    }
    cv_intake_temp_sweep(f->folder);
    s = write_new(f, &temp, text, f->st.st_mode & 07777, err);
    if (s == CV_OK) {
        s = put_in_place(f, &temp, err);
    }
    cv_intake_temp_end(&temp, false);
    return s;
}

/* ---- changing ---- */

/* What kubectl makes while it changes a kubeconfig. */
static enum cv_status check_lock(const struct cv_intake_file *f,
                                 struct cv_err *err)
{
    char lock[300];
    struct stat st;
    enum cv_status s;

    (void)snprintf(lock, sizeof(lock), "%s.lock", f->name);
    if (fstatat(f->folder, lock, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return CV_OK;
    }
    s = cv_fail(err, CV_BUSY, "kubectl is changing it, or was killed at it");
    cv_err_state(err, "the file is as it was");
    cv_err_hint(err, "where no kubectl runs, remove its .lock file");
    return s;
}

static enum cv_status name_backup(const struct cv_intake_file *f, int64_t now_s,
                                  char *out, size_t out_len, struct cv_err *err)
{
    char time[CV_CLOCK_TEXT_LEN];
    struct stat st;
    size_t to = 0;

    (void)cv_clock_format(now_s, time);
    for (size_t i = 0; time[i] != '\0'; i++) {
        if (time[i] != '-' && time[i] != ':') {
            time[to++] = time[i];
        }
    }
    time[to] = '\0';
    for (int i = 0; i < 100; i++) {
        char more[8] = "";

        if (i > 0) {
            (void)snprintf(more, sizeof(more), "-%d", i + 1);
        }
        int n = snprintf(out, out_len, "%s.certvault-backup-%s%s", f->name,
                         time, more);

        if (n > 0 && (size_t)n < out_len && n <= 255 &&
            fstatat(f->folder, out, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return CV_OK;
        }
    }
    return cv_fail(err, CV_IO, "cannot name a backup");
}

/* The old text under a name of its own, before anything else is touched. */
static enum cv_status keep_old(struct cv_intake_file *f, int64_t now_s,
                               char *backup, size_t backup_len,
                               struct cv_err *err)
{
    struct cv_intake_temp temp = CV_INTAKE_TEMP_NONE;
    enum cv_status s = name_backup(f, now_s, backup, backup_len, err);

    if (s == CV_OK) {
        s = write_new(f, &temp, cv_buf_bytes(&f->text), f->st.st_mode & 0600,
                      err);
    }
    if (s == CV_OK && renameat(f->folder, temp.name, f->folder, backup) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot keep what it was");
    }
    cv_intake_temp_end(&temp, s == CV_OK);
    return s;
}

static enum cv_status swap(struct cv_intake_file *f, bool absent,
                           struct cv_intake_temp *temp, struct cv_err *err)
{
    struct stat st;
    bool same = absent
                    ? fstatat(f->folder, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0
                    : is_unchanged(f);

    if (!same) {
        return cv_fail(err, CV_BUSY, "the file has changed meanwhile");
    }
    if (renameat(f->folder, temp->name, f->folder, f->name) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot put the new file in place");
    }
    cv_intake_temp_end(temp, true);
    /* It is there, whole; after a power failure the old one may be, whole. */
    (void)!cv_file_sync_folder(f->folder, NULL);
    return CV_OK;
}

enum cv_status cv_intake_file_update(struct cv_intake_file *f, bool absent,
                                     struct cv_bytes text, int64_t now_s,
                                     char *backup, size_t backup_len,
                                     struct cv_err *err)
{
    struct cv_intake_temp temp = CV_INTAKE_TEMP_NONE;
    mode_t mode = absent ? 0600 : f->st.st_mode & 0600;
    enum cv_status s = check_lock(f, err);

    backup[0] = '\0';
    if (absent) {
        f->st.st_uid = geteuid();
        f->st.st_gid = getegid();
    }
    cv_intake_temp_sweep(f->folder);
    if (s == CV_OK && !absent) {
        s = keep_old(f, now_s, backup, backup_len, err);
    }
    if (s == CV_OK) {
        s = write_new(f, &temp, text, mode, err);
    }
    if (s == CV_OK) {
        s = swap(f, absent, &temp, err);
    }
    cv_intake_temp_end(&temp, false);
    /* A backup of what did not change would only lie about. */
    if (s != CV_OK && backup[0] != '\0') {
        (void)unlinkat(f->folder, backup, 0);
        backup[0] = '\0';
    }
    return s;
}
