#include "cli/path.h"

#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cv_path_join(const char *folder, const char *name, char *out,
                  size_t out_len)
{
    int n = snprintf(out, out_len, "%s/%s", folder, name);

    return n >= 0 && (size_t)n < out_len;
}

/* `path` without the slashes at its end into `out`; *last is where its last
 * part begins. False when it does not fit. */
static bool trim(const char *path, char *out, size_t out_len, size_t *last)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len >= out_len) {
        return false;
    }
    memcpy(out, path, len);
    out[len] = '\0';
    for (*last = len; *last > 0 && out[*last - 1] != '/';) {
        --*last;
    }
    return true;
}

/* Where the folder that `path` lies in really is; as far as it exists. */
static bool real_folder(char *path, size_t last, char real[PATH_MAX])
{
    char kept = path[last];
    bool found;

    if (last == 0) {
        return realpath(".", real) != NULL;
    }
    path[last] = '\0';
    found = realpath(path, real) != NULL;
    path[last] = kept;
    return found;
}

enum cv_status cv_path_absolute(const char *path, char *out, size_t out_len,
                                struct cv_err *err)
{
    char plain[PATH_MAX], real[PATH_MAX];
    const char *name;
    size_t last;
    int n;

    if (!trim(path, plain, sizeof(plain), &last) || path[0] == '\0') {
        return cv_fail(err, CV_INVALID, "a path is empty or too long");
    }
    name = plain + last;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        if (realpath(plain, real) == NULL) {
            return cv_fail_errno(err, CV_IO, "a folder");
        }
        n = snprintf(out, out_len, "%s", real);
    } else if (real_folder(plain, last, real)) {
        n = snprintf(out, out_len, "%s/%s", strcmp(real, "/") == 0 ? "" : real,
                     name);
    } else if (plain[0] == '/') {
        n = snprintf(out, out_len, "%s", plain);
    } else if (getcwd(real, sizeof(real)) != NULL) {
        n = snprintf(out, out_len, "%s/%s", real, plain);
    } else {
        return cv_fail_errno(err, CV_IO, "the working folder");
    }
    if (n < 0 || (size_t)n >= out_len) {
        return cv_fail(err, CV_INVALID, "a path is too long");
    }
    return CV_OK;
}

enum cv_status cv_path_check_file(const char *path, struct cv_err *err)
{
    enum cv_status s;

    if (strcmp(path, "-") != 0) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "this goes into a file, and - is none");
    cv_err_state(err, "nothing was asked for, nothing was written");
    cv_err_hint(err, "name a file; one that is called so is ./-");
    return s;
}

enum cv_status cv_path_open_input(const char *path, int *fd, struct cv_err *err)
{
    const enum cv_status s = cv_file_open_input(path, fd, err);

    if (s == CV_IO && err != NULL && err->domain == CV_DOMAIN_ERRNO &&
        (err->native == EACCES || err->native == EPERM)) {
        err->status = CV_NOT_FOUND;
        return CV_NOT_FOUND;
    }
    return s;
}

enum cv_status cv_path_open_parent(const char *path, int *dir,
                                   const char **name, struct cv_err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    *dir = -1;
    *name = slash ? slash + 1 : path;
    if ((*name)[0] == '\0' || strcmp(*name, ".") == 0 ||
        strcmp(*name, "..") == 0 || len >= sizeof(folder)) {
        return cv_fail(err, CV_INVALID, "this is no path of a file");
    }
    memcpy(folder, path, len);
    folder[len] = '\0';
    *dir = open(slash == NULL ? "."
                : len == 0    ? "/"
                              : folder,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*dir == -1) {
        const int number = errno;
        enum cv_status s =
            cv_fail_errno(err, number == ENOENT ? CV_NOT_FOUND : CV_IO,
                          "the folder of the file");

        cv_err_state(err, "nothing was done with the file");
        cv_err_hint(err, number == EACCES
                             ? "check who owns the folder and its mode"
                             : "check the path: its folder must be there");
        return s;
    }
    return CV_OK;
}

enum cv_status cv_path_open_target(const char *path, int *dir,
                                   const char **name, struct cv_err *err)
{
    enum cv_status s = cv_path_open_parent(path, dir, name, err);

    if (s == CV_OK && faccessat(*dir, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        s = cv_fail_errno(err, CV_IO, "%s cannot be made", path);
        cv_err_hint(err, "check who owns its folder and its mode, or name "
                         "another");
    }
    if (s != CV_OK) {
        cv_err_state(err, "nothing was asked for, nothing was written");
    }
    return s;
}

bool cv_path_home(const char *name, char *out, size_t out_len)
{
    const char *home = getenv("HOME");

    return home != NULL && home[0] == '/' &&
           cv_path_join(home, name, out, out_len);
}

enum cv_status cv_path_xdg(const char *variable, const char *fallback,
                           char *out, size_t out_len, struct cv_err *err)
{
    const char *base = getenv(variable);
    char folder[PATH_MAX];
    enum cv_status s;

    if (base != NULL && base[0] == '/') {
        if (cv_path_join(base, "certvault", out, out_len)) {
            return CV_OK;
        }
    } else if (cv_path_home(fallback, folder, sizeof(folder)) &&
               cv_path_join(folder, "certvault", out, out_len)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_CONFIG, "neither %s nor HOME leads to a folder",
                variable);
    cv_err_hint(err, "name the vault with --vault DIR");
    return s;
}
