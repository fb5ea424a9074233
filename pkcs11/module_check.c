/* Who could have put another file there? Whoever may write the file, a folder
 * on its way, or a folder that holds a link on its way. The path is walked as
 * the kernel walks it, link by link, and each step is looked at. */
#include "pkcs11/module_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40
#define SHOWN 160

struct walk {
    char done[PATH_MAX];     /* resolved so far, without the final slash */
    char rest[2 * PATH_MAX]; /* still to be walked */
    bool own_files;
    unsigned links;
};

static bool owner_fits(const struct walk *w, uid_t uid)
{
    return uid == 0 || (w->own_files && uid == geteuid());
}

static enum cv_status refuse(const char *path, const char *why,
                             struct cv_err *err)
{
    char shown[SHOWN];

    cv_fail(err, CV_CONFIG, "%s %s",
            cv_err_quote(shown, sizeof(shown), path, strlen(path)), why);
    cv_err_hint(err, "a module, its folders and the links to it must belong to "
                     "root and be writable by nobody else");
    cv_err_state(err, "nothing was loaded");
    return CV_CONFIG;
}

/* A sticky folder of root's (/tmp) lets others add names, but not replace one
 * that is root's or ours: and the next step's owner is looked at too. */
static enum cv_status check_step(const struct walk *w, const struct stat *st,
                                 struct cv_err *err)
{
    const char *path = w->done[0] == '\0' ? "/" : w->done;
    bool sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) != 0;

    if (!owner_fits(w, st->st_uid)) {
        return refuse(path, "belongs to another user", err);
    }
    if (!S_ISLNK(st->st_mode) && !sticky &&
        (st->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return refuse(path, "can be written by others", err);
    }
    return CV_OK;
}

/* Puts the target of the link at `w->done` in front of the rest. */
static enum cv_status follow(struct walk *w, struct cv_err *err)
{
    char target[PATH_MAX];
    char rest[sizeof(w->rest)];
    ssize_t len = readlink(w->done, target, sizeof(target) - 1);
    size_t rest_len = strlen(w->rest);
    char *slash = strrchr(w->done, '/');

    if (len <= 0 || (size_t)len + rest_len + 2 > sizeof(rest) ||
        ++w->links > LINKS_MAX) {
        return refuse(w->done, "is a link that leads nowhere", err);
    }
    memcpy(rest, target, (size_t)len);
    rest[len] = '/';
    memcpy(rest + len + 1, w->rest, rest_len + 1);
    memcpy(w->rest, rest, (size_t)len + rest_len + 2);
    if (target[0] == '/') {
        w->done[0] = '\0';
    } else if (slash != NULL) {
        *slash = '\0';
    }
    return CV_OK;
}

/* Takes the next name off the rest and puts it behind what is done; *more is
 * false when there is none. */
static enum cv_status next_name(struct walk *w, bool *more, struct cv_err *err)
{
    size_t skip = strspn(w->rest, "/");
    size_t len = strcspn(w->rest + skip, "/");
    size_t done = strlen(w->done);
    const char *name = w->rest + skip;

    *more = len != 0;
    if (len == 2 && memcmp(name, "..", 2) == 0) {
        char *slash = strrchr(w->done, '/');

        if (slash != NULL) {
            *slash = '\0';
        }
    } else if (len != 0 && !(len == 1 && name[0] == '.')) {
        if (done + len + 2 > sizeof(w->done)) {
            return refuse(w->rest, "is too long a path", err);
        }
        w->done[done] = '/';
        memcpy(w->done + done + 1, name, len);
        w->done[done + 1 + len] = '\0';
    }
    memmove(w->rest, name + len, strlen(name + len) + 1);
    return CV_OK;
}

/* Looks at what is done so far; follows it where it is a link. */
static enum cv_status look(struct walk *w, struct stat *st, struct cv_err *err)
{
    enum cv_status status;
    char shown[SHOWN];

    if (lstat(w->done[0] == '\0' ? "/" : w->done, st) != 0) {
        status = errno == ENOENT || errno == ENOTDIR ? CV_NOT_FOUND : CV_CONFIG;
        return cv_fail_errno(
            err, status, "%s",
            cv_err_quote(shown, sizeof(shown), w->done, strlen(w->done)));
    }
    status = check_step(w, st, err);
    if (status == CV_OK && S_ISLNK(st->st_mode)) {
        status = follow(w, err);
    }
    return status;
}

enum cv_status cv_module_check_path(const char *path, bool folder,
                                    bool own_files, struct cv_err *err)
{
    struct walk *w;
    struct stat st;
    enum cv_status status = CV_OK;
    bool more = true;

    if (path[0] != '/' || strlen(path) >= PATH_MAX) {
        return refuse(path, "is not an absolute path", err);
    }
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    memcpy(w->rest, path, strlen(path) + 1);
    w->own_files = own_files;
    status = look(w, &st, err);
    while (status == CV_OK && more) {
        status = next_name(w, &more, err);
        if (status == CV_OK && more) {
            status = look(w, &st, err);
        }
    }
    /* After a last link the rest is walked too, so `st` is the end's. */
    if (status == CV_OK && folder && !S_ISDIR(st.st_mode)) {
        status = refuse(path, "is not a folder", err);
    } else if (status == CV_OK && !folder && !S_ISREG(st.st_mode)) {
        status = refuse(path, "is not a regular file", err);
    }
    free(w);
    return status;
}

enum cv_status cv_module_check_file(const char *path, bool own_files,
                                    struct cv_err *err)
{
    enum cv_status status = cv_module_check_path(path, false, own_files, err);

    if (status == CV_NOT_FOUND) {
        if (err != NULL) {
            err->status = CV_CONFIG;
        }
        cv_err_hint(err, "install the module, or correct its path in the "
                         "configuration");
        status = CV_CONFIG;
    }
    return status;
}
