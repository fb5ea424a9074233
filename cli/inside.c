#include "cli/inside.h"

#include "cli/connect.h"
#include "cli/path.h"
#include "vault/base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path of so many folders is no path that the kernel takes. */
#define DEPTH PATH_MAX

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is `fd` (taken) the folder `top`, or one below it? By what they are, not by
 * what they are called: a folder may be reached by several names. */
static bool climbs_to(int fd, const struct stat *top)
{
    struct stat st, before = {0};
    bool found = false;

    for (int i = 0; fd != -1 && i < DEPTH && !found; i++) {
        int up;

        if (fstat(fd, &st) != 0 || (i > 0 && is_same(&st, &before))) {
            break;
        }
        found = is_same(&st, top);
        before = st;
        up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        cv_file_close(&fd);
        fd = up;
    }
    cv_file_close(&fd);
    return found;
}

static bool is_inside(const char *folder, const char *path)
{
    char real[PATH_MAX], plain[PATH_MAX];
    const size_t len = strlen(folder);
    const char *name;
    struct stat top;
    int fd;

    /* A folder that is yet to be made has nothing but its name. */
    if (cv_path_absolute(path, plain, sizeof(plain), NULL) == CV_OK &&
        strncmp(plain, folder, len) == 0 && plain[len] == '/') {
        return true;
    }
    if (stat(folder, &top) != 0) {
        return false;
    }
    if (realpath(path, real) != NULL) {
        path = real; /* a link to the file is the file */
    }
    return cv_path_open_parent(path, &fd, &name, NULL) == CV_OK &&
           climbs_to(fd, &top);
}

enum cv_status cv_inside_check(struct cv_cli *cli, const char *path,
                               const char *hint, struct cv_err *err)
{
    char folder[PATH_MAX];
    enum cv_status s;

    if (strcmp(path, "-") == 0 ||
        cv_connect_place(cli, folder, sizeof(folder), NULL) != CV_OK ||
        !is_inside(folder, path)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "%s lies in the vault's own folder", path);
    cv_err_state(err, "nothing was done");
    cv_err_hint(err, "%s", hint);
    return s;
}

enum cv_status cv_inside_check_output(struct cv_cli *cli, const char *path,
                                      struct cv_err *err)
{
    return cv_inside_check(cli, path,
                           "a file elsewhere: what lies there is the vault's "
                           "own",
                           err);
}

enum cv_status cv_inside_check_slot(struct cv_cli *cli, const char *spec,
                                    struct cv_err *err)
{
    return strncmp(spec, "file:", 5) == 0
               ? cv_inside_check(cli, spec + 5,
                                 "a key file elsewhere, best on another disk: "
                                 "who copies the vault would have its key, too",
                                 err)
               : CV_OK;
}
