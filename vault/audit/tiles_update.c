/* Tiles out of the log itself. */
#include "vault/audit/archived.h"
#include "vault/audit/query_internal.h"
#include "vault/audit/tiles_internal.h"
#include "vault/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* tile/entries/x001/x234/.../567.p: as deep as 64 bits can be. */
#define DEPTH 10

struct up_to {
    struct cv_tiles *tiles;
    uint64_t size;
};

static enum cv_status take(void *ctx, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    const struct up_to *u = ctx;
    struct cv_record record;
    enum cv_status status;

    if (at->seq == u->size) {
        return CV_QUERY_STOP;
    }
    status = cv_query_check(at, leaf, &record, err);
    return status == CV_OK ? cv_tiles_add(u->tiles, leaf, err) : status;
}

static enum cv_status update(int vault, uint64_t size, bool anew,
                             struct cv_err *err)
{
    struct up_to u = {.size = size};
    struct cv_query_cursor at;
    uint64_t began;
    enum cv_status status = cv_tiles_open(vault, anew, &u.tiles, err);

    if (status != CV_OK) {
        return status;
    }
    at = (struct cv_query_cursor){cv_tiles_offset(u.tiles),
                                  cv_tiles_at(u.tiles)};
    began = at.seq;
    if (began < size) {
        status = cv_query_scan(vault, &at, take, &u, err);
        if (status == CV_OK && cv_tiles_at(u.tiles) < size) {
            status = cv_fail(err, CV_INTEGRITY,
                             "the log is shorter than its checkpoint");
        }
        status = status == CV_QUERY_STOP ? CV_OK : status;
    }
    /* Those of archived records may have lost their mark. */
    if (status == CV_OK &&
        (began < size || (began > 0 && !cv_tiles_is_marked(u.tiles)))) {
        status = cv_tiles_finish(u.tiles, err);
    }
    cv_tiles_free(u.tiles);
    return status;
}

enum cv_status cv_tiles_update(int vault, uint64_t size, struct cv_err *err)
{
    uint64_t there = 0;

    return cv_tiles_size(vault, &there, NULL) == CV_OK && there >= size
               ? CV_OK
               : update(vault, size, false, err);
}

/* Takes a folder's files away, and folders in it, which are not many deep. */
static enum cv_status empty(int dir, const char *name, int depth,
                            struct cv_err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *item;
    enum cv_status status = CV_OK;

    if (list == NULL) {
        cv_file_close(&fd);
        return errno == ENOENT
                   ? CV_OK
                   : cv_fail_errno(err, CV_IO, "cannot open audit/tile");
    }
    while (status == CV_OK && (item = readdir(list)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(fd, item->d_name, 0) != 0) {
            status = errno == EISDIR && depth > 0
                         ? empty(fd, item->d_name, depth - 1, err)
                         : cv_fail_errno(err, CV_IO, "cannot empty audit/tile");
        }
    }
    (void)closedir(list);
    if (status == CV_OK && unlinkat(dir, name, AT_REMOVEDIR) != 0) {
        status = cv_fail_errno(err, CV_IO, "cannot remove audit/tile");
    }
    return status;
}

enum cv_status cv_tiles_rebuild(int vault, uint64_t size, struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status status;

    if ((unlinkat(vault, CV_TILES_LAST, 0) != 0 && errno != ENOENT) ||
        (unlinkat(vault, CV_TILES_MARK, 0) != 0 && errno != ENOENT)) {
        return cv_fail_errno(err, CV_IO, "cannot remove audit/tiles");
    }
    status = cv_archived_read(vault, &gone, err);
    /* Of archived records they cannot be made again. */
    if (status == CV_OK && gone.tree.size == 0) {
        status = empty(vault, "audit/tile", DEPTH, err);
    }
    size = size < gone.tree.size ? gone.tree.size : size;
    return status == CV_OK ? update(vault, size, true, err) : status;
}
