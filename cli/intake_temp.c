#include "cli/intake_temp.h"

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

#define BEGIN ".certvault."
#define END ".tmp"
#define HEX 8
#define TRIES 16
/* More than that are not looked at: a folder is another's to fill. */
#define LOOKED_AT 4096

/* Does the name still stand for the file that is open? */
static bool is_at(int folder, const char *name, int fd)
{
    struct stat open, there;

    return fstat(fd, &open) == 0 &&
           fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           open.st_dev == there.st_dev && open.st_ino == there.st_ino;
}

enum cv_status cv_intake_temp_make(int folder, struct cv_intake_temp *out,
                                   struct cv_err *err)
{
    *out = CV_INTAKE_TEMP_NONE;
    for (int i = 0; i < TRIES; i++) {
        (void)snprintf(out->name, sizeof(out->name), BEGIN "%08x" END,
                       randombytes_random());
        out->fd =
            openat(folder, out->name,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out->fd < 0 && errno != EEXIST) {
            break;
        }
        /* Another run may have taken it for a dead one's in between. A file
         * system without locks has none that sweeps, either. */
        if (out->fd >= 0 &&
            (flock(out->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
            is_at(folder, out->name, out->fd)) {
            out->folder = folder;
            return CV_OK;
        }
        cv_file_close(&out->fd);
    }
    out->fd = -1;
    return cv_fail_errno(err, CV_IO, "cannot make a file in that folder");
}

void cv_intake_temp_end(struct cv_intake_temp *temp, bool keep)
{
    if (temp->fd >= 0 && !keep) {
        (void)unlinkat(temp->folder, temp->name, 0);
    }
    cv_file_close(&temp->fd);
}

static bool is_name(const char *name)
{
    const size_t begin = strlen(BEGIN);

    return strlen(name) == begin + HEX + strlen(END) &&
           memcmp(name, BEGIN, begin) == 0 &&
           strspn(name + begin, "0123456789abcdef") == HEX &&
           strcmp(name + begin + HEX, END) == 0;
}

static void remove_dead(int folder, const char *name)
{
    struct stat st;
    int fd = openat(folder, name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_uid == geteuid() && st.st_nlink == 1 &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && is_at(folder, name, fd)) {
        (void)unlinkat(folder, name, 0);
    }
    cv_file_close(&fd);
}

void cv_intake_temp_sweep(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (d == NULL) {
        cv_file_close(&fd);
        return;
    }
    for (int i = 0; i < LOOKED_AT && (e = readdir(d)) != NULL; i++) {
        if (is_name(e->d_name)) {
            remove_dead(folder, e->d_name);
        }
    }
    (void)closedir(d);
}
