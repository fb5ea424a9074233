#include "cli/hop_file.h"

#include "vault/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "exec-"
#define CONFIG "config"
#define LOCK_MS 10000
#define DEPTH 16

static DIR *open_list(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (list == NULL) {
        cv_file_close(&fd);
    }
    return list;
}

/* All in a folder: the kubeconfig, what kubectl leaves beside one that it
 * changes, its cache. No link is followed. */
static void empty(int dir, int depth)
{
    DIR *list = open_list(dir);
    const struct dirent *e;

    while (list != NULL && (e = readdir(list)) != NULL) {
        int inner;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            unlinkat(dir, e->d_name, 0) == 0 || depth == DEPTH) {
            continue;
        }
        inner = openat(dir, e->d_name,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0) {
            empty(inner, depth + 1);
            (void)unlinkat(dir, e->d_name, AT_REMOVEDIR);
        }
        cv_file_close(&inner);
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

/* Whoever made it would hold its lock. */
static void remove_left(int runtime, const char *leaf)
{
    int dir =
        openat(runtime, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) == 0) {
        empty(dir, 0);
        (void)unlinkat(runtime, leaf, AT_REMOVEDIR);
    }
    cv_file_close(&dir);
}

static void sweep(int runtime)
{
    DIR *list = open_list(runtime);
    const struct dirent *e;

    while (list != NULL && (e = readdir(list)) != NULL) {
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0) {
            remove_left(runtime, e->d_name);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

static enum cv_status make_folder(struct cv_hop_file *f, struct cv_err *err)
{
    uint8_t random[8];
    char hex[2 * sizeof(random) + 1];

    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(f->leaf, sizeof(f->leaf), PREFIX "%s", hex);
    (void)snprintf(f->path, sizeof(f->path), "%s/%s/" CONFIG, f->runtime.folder,
                   f->leaf);
    if (mkdirat(f->runtime.dir, f->leaf, 0700) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot make a folder in %s",
                             f->runtime.folder);
    }
    f->dir = openat(f->runtime.dir, f->leaf,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (f->dir == -1 || flock(f->dir, LOCK_EX | LOCK_NB) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot lock %s", f->path);
    }
    return CV_OK;
}

/* Between the making of a folder and its lock nobody else may sweep. */
static enum cv_status make_locked(struct cv_hop_file *f, struct cv_err *err)
{
    int lock = -1;
    enum cv_status s =
        cv_file_open(f->runtime.dir, "exec.lock", O_RDWR | O_CREAT, &lock, err);

    if (s == CV_OK) {
        s = cv_file_lock(lock, LOCK_MS, "the runtime folder", err);
    }
    if (s == CV_OK) {
        sweep(f->runtime.dir);
        s = make_folder(f, err);
    }
    cv_file_close(&lock);
    return s;
}

enum cv_status cv_hop_file_make(struct cv_hop_file *f, struct cv_bytes text,
                                struct cv_err *err)
{
    enum cv_status s;

    memset(f, 0, sizeof(*f));
    f->dir = -1;
    s = cv_runtime_open(true, &f->runtime, err);
    if (s == CV_OK) {
        s = make_locked(f, err);
    }
    if (s == CV_OK) {
        s = cv_file_create(f->dir, CONFIG, text, 0600, err);
    }
    if (s != CV_OK) {
        cv_hop_file_remove(f);
    }
    return s;
}

void cv_hop_file_remove(struct cv_hop_file *f)
{
    if (f->dir >= 0) {
        empty(f->dir, 0);
    }
    if (f->runtime.dir >= 0 && f->leaf[0] != '\0') {
        (void)unlinkat(f->runtime.dir, f->leaf, AT_REMOVEDIR);
        f->leaf[0] = '\0';
    }
    cv_file_close(&f->dir);
    cv_runtime_close(&f->runtime);
}
