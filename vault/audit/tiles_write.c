/* Making tiles out of records. */
#include "vault/audit/tiles_internal.h"

#include "vault/audit/query_internal.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* tile/entries/x001/x234/.../567.p: as deep as 64 bits can be. */
#define DEPTH 10

struct cv_tiles {
    int vault; /* borrowed */
    uint64_t size;
    uint64_t offset;      /* of the next record in the log, as it was opened */
    uint64_t from;        /* size as it was opened */
    struct cv_buf bundle; /* of the leaves in level 0's tile */
    struct {
        unsigned n;
        uint8_t hash[CV_TILE_WIDTH][CV_TREE_HASH];
    } level[CV_TILES_LEVELS];
};

/* Makes the folders on the way to the file `path`. */
static enum cv_status make_folders(int vault, const char *path,
                                   struct cv_err *err)
{
    char folder[CV_TILES_PATH];

    for (const char *slash = strchr(path, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path),
                       path);
        if (mkdirat(vault, folder, 0700) != 0 && errno != EEXIST) {
            return cv_fail_errno(err, CV_IO, "cannot make %s", folder);
        }
    }
    return CV_OK;
}

static enum cv_status write_tile(const struct cv_tiles *t, int level,
                                 uint64_t n, unsigned width,
                                 struct cv_bytes bytes, struct cv_err *err)
{
    char path[CV_TILES_PATH];
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    cv_tiles_path(level, n, width, path);
    status = cv_file_replace(t->vault, path, bytes, 0600, &why);
    if (status == CV_NOT_FOUND) {
        status = make_folders(t->vault, path, err);
        return status == CV_OK
                   ? cv_file_replace(t->vault, path, bytes, 0600, err)
                   : status;
    }
    if (status != CV_OK && err != NULL) {
        *err = why;
    }
    return status;
}

/* Takes a partial tile away that another has taken the place of. */
static void drop_partial(const struct cv_tiles *t, int level, uint64_t n,
                         unsigned width, bool folder)
{
    char path[CV_TILES_PATH];

    if (width == 0) {
        return;
    }
    cv_tiles_path(level, n, width, path);
    (void)unlinkat(t->vault, path, 0);
    if (folder) {
        *strrchr(path, '/') = '\0';
        (void)unlinkat(t->vault, path, AT_REMOVEDIR);
    }
}

static uint64_t tile_of(uint64_t size, int level)
{
    return size >> 8 * (level < 0 ? 0 : level) >> 8;
}

/* Widths that the tiles had when they were opened: 0, or none of this tile. */
static unsigned width_before(const struct cv_tiles *t, int level, uint64_t n)
{
    return tile_of(t->from, level) == n
               ? (unsigned)(t->from >> 8 * (level < 0 ? 0 : level) & 255)
               : 0;
}

/* Level `level`'s tile is full: it goes to the disk, and its root into the one
 * above. */
static enum cv_status complete(struct cv_tiles *t, int level,
                               struct cv_err *err)
{
    uint64_t n = tile_of(t->size, level) - 1;
    struct cv_bytes bytes = {t->level[level].hash[0],
                             sizeof t->level[level].hash};
    enum cv_status status = write_tile(t, level, n, CV_TILE_WIDTH, bytes, err);

    if (status == CV_OK) {
        drop_partial(t, level, n, width_before(t, level, n), true);
        t->level[level].n = 0;
        if (level + 1 < CV_TILES_LEVELS) {
            cv_tree_root_of(bytes.data, CV_TILE_WIDTH,
                            t->level[level + 1].hash[t->level[level + 1].n++]);
        }
    }
    return status;
}

static enum cv_status complete_bundle(struct cv_tiles *t, struct cv_err *err)
{
    uint64_t n = tile_of(t->size, -1) - 1;
    enum cv_status status =
        write_tile(t, -1, n, CV_TILE_WIDTH, cv_buf_bytes(&t->bundle), err);

    if (status == CV_OK) {
        drop_partial(t, -1, n, width_before(t, -1, n), true);
        cv_buf_wipe(&t->bundle);
        cv_buf_init(&t->bundle, NULL, CV_TILES_BUNDLE);
    }
    return status;
}

enum cv_status cv_tiles_add(struct cv_tiles *t, struct cv_bytes record,
                            struct cv_err *err)
{
    enum cv_status status = cv_tile_bundle_add(record, &t->bundle, err);

    if (status != CV_OK) {
        return status;
    }
    cv_tree_leaf(record, t->level[0].hash[t->level[0].n++]);
    t->size++;
    if (t->level[0].n == CV_TILE_WIDTH) {
        status = complete_bundle(t, err);
    }
    for (int l = 0; status == CV_OK && l < CV_TILES_LEVELS &&
                    t->level[l].n == CV_TILE_WIDTH;
         l++) {
        status = complete(t, l, err);
    }
    return status;
}

static enum cv_status write_mark(const struct cv_tiles *t, uint64_t offset,
                                 struct cv_err *err)
{
    char text[80];
    int len = snprintf(text, sizeof text, "{\"offset\":%llu,\"size\":%llu}\n",
                       (unsigned long long)offset, (unsigned long long)t->size);

    return cv_file_replace(
        t->vault, "audit/tiles",
        (struct cv_bytes){(const uint8_t *)text, (size_t)len}, 0600, err);
}

enum cv_status cv_tiles_finish(struct cv_tiles *t, uint64_t offset,
                               struct cv_err *err)
{
    enum cv_status status = CV_OK;

    if (t->size == t->from && t->size > 0) {
        return CV_OK;
    }
    if (t->level[0].n > 0) {
        status = write_tile(t, -1, tile_of(t->size, -1), t->level[0].n,
                            cv_buf_bytes(&t->bundle), err);
    }
    for (int l = 0; status == CV_OK && l < CV_TILES_LEVELS; l++) {
        uint64_t n = tile_of(t->size, l);

        if (t->level[l].n > 0 && width_before(t, l, n) != t->level[l].n) {
            status = write_tile(
                t, l, n, t->level[l].n,
                (struct cv_bytes){t->level[l].hash[0],
                                  t->level[l].n * (size_t)CV_TREE_HASH},
                err);
        }
    }
    if (status == CV_OK) {
        status = write_mark(t, offset, err);
    }
    for (int l = -1; status == CV_OK && l < CV_TILES_LEVELS; l++) {
        uint64_t n = tile_of(t->size, l);
        unsigned before = width_before(t, l, n);

        if (before != t->level[l < 0 ? 0 : l].n) {
            drop_partial(t, l, n, before, false);
        }
    }
    return status;
}

/* What is there of the last tiles. False: it is not whole. */
static bool load_level(struct cv_tiles *t, int level)
{
    unsigned width = (unsigned)(t->size >> 8 * level & 255);
    struct cv_buf bytes;
    bool whole = true;

    if (width > 0) {
        cv_buf_init(&bytes, NULL, sizeof t->level[level].hash);
        whole = cv_tiles_read(t->vault, level, tile_of(t->size, level), width,
                              &bytes, NULL) == CV_OK &&
                bytes.len == width * (size_t)CV_TREE_HASH;
        if (whole) {
            memcpy(t->level[level].hash, bytes.data, bytes.len);
            t->level[level].n = width;
        }
        cv_buf_wipe(&bytes);
    }
    return whole;
}

static bool load_bundle(struct cv_tiles *t)
{
    unsigned width = (unsigned)(t->size & 255);
    uint8_t hash[CV_TREE_HASH];
    size_t at = 0;
    bool whole = width == 0 || cv_tiles_read(t->vault, -1, tile_of(t->size, -1),
                                             width, &t->bundle, NULL) == CV_OK;

    /* Records and hashes must be each other's: both came from the disk. */
    for (unsigned i = 0; whole && i < width; i++) {
        size_t len = t->bundle.len - at < 2 ? SIZE_MAX
                                            : (size_t)t->bundle.data[at] << 8 |
                                                  t->bundle.data[at + 1];

        whole = len != SIZE_MAX && t->bundle.len - at - 2 >= len;
        if (whole) {
            cv_tree_leaf((struct cv_bytes){t->bundle.data + at + 2, len}, hash);
            whole = memcmp(hash, t->level[0].hash[i], sizeof hash) == 0;
            at += 2 + len;
        }
    }
    return whole && at == t->bundle.len;
}

static bool load(struct cv_tiles *t)
{
    bool whole = cv_tiles_mark(t->vault, &t->size, &t->offset, NULL) == CV_OK &&
                 t->size <= UINT64_C(1) << 53;

    for (int l = 0; whole && l < CV_TILES_LEVELS; l++) {
        whole = load_level(t, l);
    }
    return whole && load_bundle(t);
}

enum cv_status cv_tiles_open(int vault, bool anew, struct cv_tiles **out,
                             struct cv_err *err)
{
    struct cv_tiles *t = calloc(1, sizeof *t);

    *out = NULL;
    if (t == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    t->vault = vault;
    cv_buf_init(&t->bundle, NULL, CV_TILES_BUNDLE);
    if (anew || !load(t)) {
        cv_buf_wipe(&t->bundle);
        memset(t, 0, sizeof *t);
        t->vault = vault;
        cv_buf_init(&t->bundle, NULL, CV_TILES_BUNDLE);
    }
    t->from = t->size;
    *out = t;
    return CV_OK;
}

uint64_t cv_tiles_at(const struct cv_tiles *t)
{
    return t->size;
}

void cv_tiles_free(struct cv_tiles *t)
{
    if (t != NULL) {
        cv_buf_wipe(&t->bundle);
        free(t);
    }
}

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
    enum cv_status status = cv_tiles_open(vault, anew, &u.tiles, err);

    if (status != CV_OK) {
        return status;
    }
    at = (struct cv_query_cursor){u.tiles->offset, u.tiles->size};
    if (u.tiles->size < size) {
        status = cv_query_scan(vault, &at, take, &u, err);
        if (status == CV_OK && u.tiles->size < size) {
            status = cv_fail(err, CV_INTEGRITY,
                             "the log is shorter than its checkpoint");
        }
        if (status == CV_OK || status == CV_QUERY_STOP) {
            status = cv_tiles_finish(u.tiles, at.offset, err);
        }
    }
    cv_tiles_free(u.tiles);
    return status;
}

enum cv_status cv_tiles_update(int vault, uint64_t size, struct cv_err *err)
{
    return update(vault, size, false, err);
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
    enum cv_status status = CV_OK;

    if (unlinkat(vault, "audit/tiles", 0) != 0 && errno != ENOENT) {
        return cv_fail_errno(err, CV_IO, "cannot remove audit/tiles");
    }
    status = empty(vault, "audit/tile", DEPTH, err);
    return status == CV_OK ? update(vault, size, true, err) : status;
}
