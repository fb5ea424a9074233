#include "cli/doctor_left.h"

#include "cli/path.h"
#include "vault/base/err.h"
#include "vault/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define KUBE ".certvault"
#define END ".tmp"
#define HEX 8
/* More than that are not looked at: a folder is another's to fill. */
#define LOOKED_AT 4096
#define TOLD 8
#define FOLDERS 32

struct looking {
    struct cv_doctor_host *d;
    struct {
        dev_t dev;
        ino_t ino;
    } seen[FOLDERS];
    size_t n;
    int told;
};

/* ".NAME.<8 hex>.tmp", as cv_file_replace and the changing of a kubeconfig name
 * a file until it is whole; `begin`: what it begins with. */
static bool is_name(const char *name, const char *begin)
{
    const size_t len = strlen(name), tail = 1 + HEX + strlen(END);
    const char *hex;

    if (name[0] != '.' || len <= tail + 1) {
        return false;
    }
    hex = name + len - tail + 1;
    return strncmp(name, begin, strlen(begin)) == 0 && hex[-1] == '.' &&
           strspn(hex, "0123456789abcdef") == HEX &&
           strcmp(hex + HEX, END) == 0;
}

/* Does somebody hold it still? What cannot be opened cannot be told. */
static bool is_held(int folder, const char *name)
{
    int fd = openat(folder, name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    bool held =
        fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK;

    cv_file_close(&fd);
    return held;
}

static void tell(struct looking *l, const char *folder, const char *name,
                 const struct stat *st)
{
    char hint[CV_ERR_HINT_LEN], path[PATH_MAX + NAME_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (strchr(path, '\'') != NULL || strlen(path) > 240) {
        (void)snprintf(hint, sizeof(hint),
                       "remove it, unless a run of that user is at work");
    } else {
        (void)snprintf(hint, sizeof(hint),
                       "unless a run of that user is at work: %srm '%s'",
                       geteuid() == 0 ? "" : "sudo ", path);
    }
    cv_doctor_host_add(l->d, "left behind", CV_DOCTOR_WARN, hint,
                       "%s is of a run of uid %u (with sudo?) that was killed; "
                       "it may hold keys, and nobody else removes it",
                       path, (unsigned)st->st_uid);
    l->told++;
}

/* Once each. *whose: the user whose files are no wonder there; root looks into
 * the folders of others. */
static bool is_new(struct looking *l, int folder, uid_t *whose)
{
    struct stat st;

    if (fstat(folder, &st) != 0 || l->n == FOLDERS) {
        return false;
    }
    *whose = geteuid() == 0 ? st.st_uid : geteuid();
    for (size_t i = 0; i < l->n; i++) {
        if (l->seen[i].dev == st.st_dev && l->seen[i].ino == st.st_ino) {
            return false;
        }
    }
    l->seen[l->n].dev = st.st_dev;
    l->seen[l->n++].ino = st.st_ino;
    return true;
}

static void look_in(struct looking *l, const char *path, const char *begin)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uid_t whose = 0;
    DIR *dir = fd >= 0 && is_new(l, fd, &whose) ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (dir == NULL) {
        cv_file_close(&fd);
        return;
    }
    for (int i = 0; i < LOOKED_AT && (e = readdir(dir)) != NULL; i++) {
        struct stat st;

        if (l->told < TOLD && is_name(e->d_name, begin) &&
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_uid != whose &&
            !is_held(fd, e->d_name)) {
            tell(l, path, e->d_name, &st);
        }
    }
    (void)closedir(dir);
}

/* Where the file itself lies, behind links. */
static void look_beside(struct looking *l, const char *file)
{
    char path[PATH_MAX];
    char *slash;

    if (realpath(file, path) == NULL) {
        (void)snprintf(path, sizeof(path), "%s", file);
    }
    slash = strrchr(path, '/');
    if (slash == NULL) {
        look_in(l, ".", KUBE ".");
        return;
    }
    slash[slash == path] = '\0';
    look_in(l, path, KUBE ".");
}

static void look_at_list(struct looking *l, const char *list)
{
    char path[PATH_MAX];

    while (*list != '\0') {
        const size_t len = strcspn(list, ":");

        if (len > 0 && len < sizeof(path)) {
            memcpy(path, list, len);
            path[len] = '\0';
            look_beside(l, path);
        }
        list += len + (list[len] == ':');
    }
}

void cv_doctor_left_run(struct cv_doctor_host *d, const char *vault)
{
    struct looking l = {.d = d};
    const char *list = getenv("KUBECONFIG");
    char path[PATH_MAX];

    if (list != NULL && *list != '\0') {
        look_at_list(&l, list);
    }
    if (cv_path_home(".kube/config", path, sizeof(path))) {
        look_beside(&l, path);
    }
    if (vault != NULL) {
        look_in(&l, vault, ".");
        if (snprintf(path, sizeof(path), "%s/audit", vault) <
            (int)sizeof(path)) {
            look_in(&l, path, ".");
        }
    }
}
