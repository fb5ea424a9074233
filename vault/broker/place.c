#include "vault/broker/place.h"

#include "vault/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLACED "audit.replaced-"
#define REPLACED_MAX 9999

static bool exists(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* audit/tile/entries/x001/...: as deep as a folder of ours can be. */
#define DEPTH 12

/* What lies in a folder of ours. */
static void empty(int dir, const char *name, int depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *item;

    if (list == NULL) {
        cv_file_close(&fd);
        return;
    }
    while ((item = readdir(list)) != NULL) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) {
            if (unlinkat(dirfd(list), item->d_name, 0) != 0 && depth > 0) {
                empty(dirfd(list), item->d_name, depth - 1);
                (void)unlinkat(dirfd(list), item->d_name, AT_REMOVEDIR);
            }
        }
    }
    (void)closedir(list);
}

static void remove_folder(int dir, const char *name)
{
    empty(dir, name, DEPTH);
    (void)unlinkat(dir, name, AT_REMOVEDIR);
}

void cv_place_drop(int dir)
{
    int stage = openat(dir, CV_PLACE_STAGE,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (stage >= 0) {
        remove_folder(stage, "audit");
        cv_file_close(&stage);
    }
    remove_folder(dir, CV_PLACE_STAGE);
}

enum cv_status cv_place_begin(int dir, int *stage, struct cv_err *err)
{
    *stage = -1;
    cv_place_drop(dir);
    if (mkdirat(dir, CV_PLACE_STAGE, 0700) == 0) {
        *stage = openat(dir, CV_PLACE_STAGE,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (*stage < 0 || mkdirat(*stage, "audit", 0700) != 0) {
        enum cv_status s =
            cv_fail_errno(err, CV_IO, "cannot write into the vault's folder");

        cv_file_close(stage);
        cv_place_drop(dir);
        return s;
    }
    return CV_OK;
}

static enum cv_status sync_below(int dir, const char *name, struct cv_err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    enum cv_status s;

    if (fd < 0) {
        return cv_fail_errno(err, CV_IO, "cannot open %s", name);
    }
    s = cv_file_sync_folder(fd, err);
    cv_file_close(&fd);
    return s;
}

enum cv_status cv_place_commit(int dir, int stage, struct cv_err *err)
{
    enum cv_status s = sync_below(stage, "audit", err);

    if (s == CV_OK) {
        s = cv_file_sync_folder(stage, err);
    }
    if (s == CV_OK && renameat2(dir, CV_PLACE_STAGE, dir, CV_PLACE_READY,
                                RENAME_NOREPLACE) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot put the vault in place");
    }
    return s == CV_OK ? cv_file_sync_folder(dir, err) : s;
}

bool cv_place_is_ready(int dir)
{
    return exists(dir, CV_PLACE_READY);
}

static enum cv_status move(int from, const char *name, int to,
                           struct cv_err *err)
{
    return renameat(from, name, to, name) == 0
               ? CV_OK
               : cv_fail_errno(err, CV_IO, "cannot put %s in its place", name);
}

/* Out of the way, under a name that nothing has. */
static enum cv_status keep_record(int dir, struct cv_err *err)
{
    char name[sizeof(REPLACED) + 16];

    if (unlinkat(dir, "audit", AT_REMOVEDIR) == 0 || errno == ENOENT) {
        return CV_OK;
    }
    for (int i = 1; i <= REPLACED_MAX; i++) {
        (void)snprintf(name, sizeof(name), REPLACED "%d", i);
        if (renameat2(dir, "audit", dir, name, RENAME_NOREPLACE) == 0) {
            return cv_file_sync_folder(dir, err);
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return cv_fail_errno(err, CV_IO, "cannot keep the record that was there");
}

static enum cv_status finish(int dir, int stage, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (exists(stage, "vault.db")) {
        (void)unlinkat(dir, "vault.db-wal", 0);
        (void)unlinkat(dir, "vault.db-shm", 0);
        /* Never the new store beside what was written ahead for the old. */
        s = cv_file_sync_folder(dir, err);
        if (s == CV_OK) {
            s = move(stage, "vault.db", dir, err);
        }
    }
    if (s == CV_OK && exists(stage, "audit")) {
        s = keep_record(dir, err);
        if (s == CV_OK) {
            s = move(stage, "audit", dir, err);
        }
    }
    (void)unlinkat(dir, "initialising", 0);
    return s == CV_OK ? cv_file_sync_folder(dir, err) : s;
}

enum cv_status cv_place_finish(int dir, struct cv_err *err)
{
    int stage = openat(dir, CV_PLACE_READY,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    enum cv_status s;

    if (stage < 0) {
        return cv_fail_errno(err, CV_IO, "cannot open %s", CV_PLACE_READY);
    }
    s = finish(dir, stage, err);
    cv_file_close(&stage);
    if (s == CV_OK) {
        remove_folder(dir, CV_PLACE_READY);
        s = cv_file_sync_folder(dir, err);
    }
    if (s != CV_OK) {
        cv_err_state(err, "the vault was restored, but is not in its place "
                          "yet; the next command goes on");
    }
    return s;
}

/* What earlier restores kept. */
static void clear_replaced(int dir)
{
    char name[sizeof(REPLACED) + 16];

    for (int i = 1; i <= REPLACED_MAX; i++) {
        (void)snprintf(name, sizeof(name), REPLACED "%d", i);
        if (!exists(dir, name)) {
            return;
        }
        remove_folder(dir, name);
    }
}

void cv_place_clear(int dir, bool with_record)
{
    static const char *const names[] = {
        "vault.db",      "vault.db-wal",       "vault.db-shm",
        "audit/log.key", "audit/log.key.next", "audit/log.key.sealed",
        "tokens.lock",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unlinkat(dir, names[i], 0);
    }
    cv_place_drop(dir);
    if (with_record) {
        remove_folder(dir, "audit");
        clear_replaced(dir);
    }
}
