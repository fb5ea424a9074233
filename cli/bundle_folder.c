#include "cli/bundle_folder.h"
#include "cli/path.h"
#include "vault/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum cv_status cv_bundle_folder_look(const char *path,
                                     struct cv_bundle_folder *f,
                                     struct cv_err *err)
{
    char trimmed[PATH_MAX];
    const char *name = NULL;
    struct stat st;
    size_t len = strlen(path);
    enum cv_status s;

    *f = (struct cv_bundle_folder){.path = path, .parent = -1, .dir = -1};
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len >= sizeof(trimmed)) {
        return cv_fail(err, CV_INVALID, "the path is too long");
    }
    memcpy(trimmed, path, len);
    trimmed[len] = '\0';
    s = cv_path_open_parent(trimmed, &f->parent, &name, err);
    if (s == CV_OK && (strlen(name) + sizeof(".part") > sizeof(f->part) ||
                       strcmp(name, ".") == 0 || strcmp(name, "..") == 0)) {
        s = cv_fail(err, CV_INVALID, "%s is no name for a new folder", path);
    }
    if (s == CV_OK) {
        (void)snprintf(f->name, sizeof(f->name), "%s", name);
        (void)snprintf(f->part, sizeof(f->part), "%s.part", name);
        if (fstatat(f->parent, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            s = cv_fail(err, CV_EXISTS, "%s is there already", path);
            cv_err_state(err, "nothing was asked for, nothing was written");
        }
    }
    return s;
}

enum cv_status cv_bundle_folder_make(struct cv_bundle_folder *f,
                                     struct cv_err *err)
{
    if (mkdirat(f->parent, f->part, 0700) != 0) {
        if (errno == EEXIST) {
            cv_fail(err, CV_EXISTS, "%s.part is there already", f->path);
            cv_err_hint(err, "it is what a run that was cut off left: remove "
                             "it");
            return CV_EXISTS;
        }
        return cv_fail_errno(err, CV_IO, "cannot make %s.part", f->path);
    }
    f->dir = openat(f->parent, f->part,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return f->dir != -1
               ? CV_OK
               : cv_fail_errno(err, CV_IO, "cannot open %s.part", f->path);
}

enum cv_status cv_bundle_folder_sub(struct cv_bundle_folder *f,
                                    const char *name, struct cv_err *err)
{
    return mkdirat(f->dir, name, 0700) == 0
               ? CV_OK
               : cv_fail_errno(err, CV_IO, "cannot make %s", name);
}

enum cv_status cv_bundle_folder_add(struct cv_bundle_folder *f,
                                    const char *name, const char *text,
                                    struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};
    int fd =
        openat(f->dir, name,
               O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum cv_status s = fd != -1
                           ? cv_file_write(fd, bytes, name, err)
                           : cv_fail_errno(err, CV_IO, "cannot write %s", name);

    cv_file_close(&fd);
    return s;
}

enum cv_status cv_bundle_folder_name(struct cv_bundle_folder *f,
                                     struct cv_err *err)
{
    int done =
        renameat2(f->parent, f->part, f->parent, f->name, RENAME_NOREPLACE);

    /* A file system that cannot say so replaces an empty folder at most. */
    if (done != 0 && errno == EINVAL) {
        done = renameat(f->parent, f->part, f->parent, f->name);
    }
    if (done != 0) {
        return errno == EEXIST
                   ? cv_fail(err, CV_EXISTS, "%s is there already", f->path)
                   : cv_fail_errno(err, CV_IO, "cannot name %s", f->path);
    }
    f->part[0] = '\0';
    return cv_file_sync_folder(f->parent, err);
}

/* Files, and what is in folders of ours: no deeper. */
static void empty(int parent, const char *name, bool deeper)
{
    int fd =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd == -1 ? NULL : fdopendir(fd);
    const struct dirent *e;

    if (d == NULL) {
        cv_file_close(&fd);
        return;
    }
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            unlinkat(fd, e->d_name, 0) != 0 && deeper) {
            empty(fd, e->d_name, false);
        }
    }
    (void)closedir(d);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

void cv_bundle_folder_end(struct cv_bundle_folder *f)
{
    if (f->dir != -1 && f->part[0] != '\0') {
        empty(f->parent, f->part, true);
    }
    cv_file_close(&f->dir);
    cv_file_close(&f->parent);
}
