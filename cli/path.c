#include "cli/path.h"

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

enum cv_status cv_path_absolute(const char *path, char *out, size_t out_len,
                                struct cv_err *err)
{
    char real[PATH_MAX], cwd[PATH_MAX];
    int n;

    if (realpath(path, real) != NULL) {
        n = snprintf(out, out_len, "%s", real);
    } else if (path[0] == '/') {
        n = snprintf(out, out_len, "%s", path);
    } else if (getcwd(cwd, sizeof(cwd)) != NULL) {
        n = snprintf(out, out_len, "%s/%s", cwd, path);
    } else {
        return cv_fail_errno(err, CV_IO, "the working folder");
    }
    if (n < 0 || (size_t)n >= out_len) {
        return cv_fail(err, CV_INVALID, "a path is too long");
    }
    return CV_OK;
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
        return cv_fail_errno(err, errno == ENOENT ? CV_NOT_FOUND : CV_IO,
                             "the folder of the file");
    }
    return CV_OK;
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
