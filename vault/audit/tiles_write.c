/* Making tiles out of records. */
#include "vault/audit/tiles_internal.h"

#include "vault/audit/archived.h"
#include "vault/audit/wal_internal.h"
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

struct cv_tiles {
    int vault; /* borrowed */
    uint64_t size;
    uint64_t offset;      /* of the next record in the log */
    uint64_t from;        /* size as it was opened: whole tiles */
    uint64_t full_offset; /* of the first record of level 0's tile */
    bool marked;          /* audit/tiles was there */
    bool hashes_only;     /* of archived records */
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

/* Nothing here waits for the disk: sync_tiles does, once for all. */
static enum cv_status write_tile(const struct cv_tiles *t, int level,
                                 uint64_t n, unsigned width,
                                 struct cv_bytes bytes, struct cv_err *err)
{
    char path[CV_TILES_PATH];
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    cv_tiles_path(level, n, width, path);
    status = cv_file_replace_unsynced(t->vault, path, bytes, 0600, &why);
    if (status == CV_NOT_FOUND) {
        status = make_folders(t->vault, path, err);
        return status == CV_OK
                   ? cv_file_replace_unsynced(t->vault, path, bytes, 0600, err)
                   : status;
    }
    if (status != CV_OK && err != NULL) {
        *err = why;
    }
    return status;
}

/* Takes partial tiles away that another has taken the place of: all of tile
 * `n` but that of width `but`; with 0 their folder too. */
static void drop_partials(const struct cv_tiles *t, int level, uint64_t n,
                          unsigned but)
{
    char path[CV_TILES_PATH], keep[16];
    const struct dirent *item;
    DIR *list;
    int fd;

    cv_tiles_path(level, n, 1, path);
    *strrchr(path, '/') = '\0';
    (void)snprintf(keep, sizeof keep, "%u", but);
    fd =
        openat(t->vault, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    list = fd < 0 ? NULL : fdopendir(fd);
    if (list == NULL) {
        cv_file_close(&fd);
        return;
    }
    while ((item = readdir(list)) != NULL) {
        if (strcmp(item->d_name, keep) != 0 && item->d_name[0] != '.') {
            (void)unlinkat(fd, item->d_name, 0);
        }
    }
    (void)closedir(list);
    if (but == 0) {
        (void)unlinkat(t->vault, path, AT_REMOVEDIR);
    }
}

static uint64_t tile_of(uint64_t size, int level)
{
    return size >> 8 * (level < 0 ? 0 : level) >> 8;
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
        t->full_offset = t->offset;
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
    t->offset += CV_WAL_HEADER + record.len;
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

/* Waits until a file, and the folders on its way, are on the disk. `before` is
 * the path that was synced before; its folders need it no more. */
static enum cv_status sync_file(int vault, char path[CV_TILES_PATH],
                                char before[CV_TILES_PATH], struct cv_err *err)
{
    int fd = openat(vault, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    char *slash;

    if (!done) {
        (void)cv_fail_errno(err, CV_IO, "cannot put %s on disk", path);
    }
    cv_file_close(&fd);
    while (done && (slash = strrchr(path, '/')) != NULL) {
        size_t len = (size_t)(slash - path);

        if (strncmp(path, before, len) == 0 && before[len] == '/' &&
            strchr(before + len + 1, '/') == NULL) {
            break;
        }
        *slash = '\0';
        fd = openat(vault, path,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        done = fd >= 0 && cv_file_sync_folder(fd, err) == CV_OK;
        cv_file_close(&fd);
    }
    return done ? CV_OK : CV_IO;
}

static enum cv_status sync_tile(const struct cv_tiles *t, int level, uint64_t n,
                                unsigned width, char before[CV_TILES_PATH],
                                struct cv_err *err)
{
    char path[CV_TILES_PATH], gone[CV_TILES_PATH];
    enum cv_status status;

    cv_tiles_path(level, n, width, path);
    memcpy(gone, path, sizeof gone);
    status = sync_file(t->vault, gone, before, err);
    memcpy(before, path, sizeof path);
    return status;
}

/* The tiles that became full since the opening, and the partial ones above. */
static enum cv_status sync_tiles(const struct cv_tiles *t, struct cv_err *err)
{
    char before[CV_TILES_PATH] = "";
    enum cv_status status = CV_OK;

    for (int l = t->hashes_only ? 0 : -1;
         l < CV_TILES_LEVELS && status == CV_OK; l++) {
        uint64_t end = tile_of(t->size, l);

        for (uint64_t n = tile_of(t->from, l); n < end && status == CV_OK;
             n++) {
            status = sync_tile(t, l, n, CV_TILE_WIDTH, before, err);
        }
        if (status == CV_OK && l > 0 && t->level[l].n > 0) {
            status = sync_tile(t, l, end, t->level[l].n, before, err);
        }
    }
    return status;
}

static enum cv_status write_above(const struct cv_tiles *t, struct cv_err *err)
{
    enum cv_status status = CV_OK;

    for (int l = 1; status == CV_OK && l < CV_TILES_LEVELS; l++) {
        if (t->level[l].n > 0) {
            status = write_tile(
                t, l, tile_of(t->size, l), t->level[l].n,
                (struct cv_bytes){t->level[l].hash[0],
                                  t->level[l].n * (size_t)CV_TREE_HASH},
                err);
        }
    }
    return status;
}

/* Partial tiles that full ones, or wider ones, took the place of. */
static void drop_old(const struct cv_tiles *t)
{
    for (int l = -1; l < CV_TILES_LEVELS; l++) {
        uint64_t from = tile_of(t->from, l), n = tile_of(t->size, l);

        if (from != n) {
            drop_partials(t, l, from, 0);
        } else if (l > 0 && t->level[l].n > 0) {
            drop_partials(t, l, n, t->level[l].n);
        }
    }
}

/* What is full, and the levels above it. */
static enum cv_status finish_full(struct cv_tiles *t, struct cv_err *err)
{
    uint64_t full = t->size & ~UINT64_C(255);
    enum cv_status status = write_above(t, err);

    if (status == CV_OK) {
        status = sync_tiles(t, err);
    }
    if (status == CV_OK) {
        status = cv_tiles_set_mark(t->vault, full, t->full_offset, err);
    }
    if (status == CV_OK) {
        drop_old(t);
        t->from = full;
        t->marked = true;
    }
    return status;
}

/* The last bundle and the last tile of level 0. */
static enum cv_status finish_partial(const struct cv_tiles *t,
                                     struct cv_err *err)
{
    uint64_t n = tile_of(t->size, 0);
    unsigned width = t->level[0].n;
    enum cv_status status =
        write_tile(t, -1, n, width, cv_buf_bytes(&t->bundle), err);

    if (status == CV_OK) {
        status = write_tile(t, 0, n, width,
                            (struct cv_bytes){t->level[0].hash[0],
                                              width * (size_t)CV_TREE_HASH},
                            err);
    }
    if (status == CV_OK) {
        status = cv_tiles_set_last(t->vault, t->size, err);
    }
    if (status == CV_OK) {
        drop_partials(t, -1, n, width);
        drop_partials(t, 0, n, width);
    }
    return status;
}

enum cv_status cv_tiles_finish(struct cv_tiles *t, struct cv_err *err)
{
    enum cv_status status = CV_OK;

    if (!t->marked || t->size >> 8 != t->from >> 8) {
        status = finish_full(t, err);
    }
    return status == CV_OK && t->level[0].n > 0 ? finish_partial(t, err)
                                                : status;
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

static bool load(struct cv_tiles *t)
{
    bool whole = cv_tiles_mark(t->vault, &t->size, &t->offset, NULL) == CV_OK;

    for (int l = 1; whole && l < CV_TILES_LEVELS; l++) {
        whole = load_level(t, l);
    }
    t->full_offset = t->offset;
    t->marked = whole;
    return whole;
}

/* What there is above the log's beginning: each hash out of the full tile below
 * it, and all together what was signed for when it was archived. */
static enum cv_status load_archived(struct cv_tiles *t, struct cv_err *err)
{
    struct cv_archived gone;
    struct cv_tree tree;
    enum cv_status status = cv_archived_read(t->vault, &gone, err);

    for (int l = 1; status == CV_OK && l < CV_TILES_LEVELS; l++) {
        uint64_t first = tile_of(gone.tree.size, l) * CV_TILE_WIDTH;
        uint64_t end = gone.tree.size >> 8 * l;

        for (; status == CV_OK && first < end; first++) {
            status = cv_tiles_above(t->vault, l, first,
                                    t->level[l].hash[t->level[l].n++], err);
        }
    }
    if (status != CV_OK || gone.tree.size == 0) {
        return status;
    }
    cv_tree_init(&tree);
    for (int l = CV_TILES_LEVELS; --l > 0;) {
        cv_tiles_gather(&tree, t->level[l].hash, t->level[l].n);
    }
    if (tree.n != gone.tree.n || memcmp(tree.nodes, gone.tree.nodes,
                                        tree.n * (size_t)CV_TREE_HASH) != 0) {
        return cv_tiles_lost(err);
    }
    t->size = gone.tree.size;
    t->offset = t->full_offset = gone.offset;
    return CV_OK;
}

enum cv_status cv_tiles_open(int vault, bool anew, struct cv_tiles **out,
                             struct cv_err *err)
{
    struct cv_tiles *t = calloc(1, sizeof *t);
    enum cv_status status = CV_OK;

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
        status = load_archived(t, err);
    }
    if (status != CV_OK) {
        cv_tiles_free(t);
        return status;
    }
    t->from = t->size;
    *out = t;
    return CV_OK;
}

enum cv_status cv_tiles_open_empty(int vault, struct cv_tiles **out,
                                   struct cv_err *err)
{
    struct cv_tiles *t = calloc(1, sizeof *t);

    *out = t;
    if (t == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    t->vault = vault;
    cv_buf_init(&t->bundle, NULL, CV_TILES_BUNDLE);
    return CV_OK;
}

enum cv_status cv_tiles_add_hash(struct cv_tiles *t,
                                 const uint8_t hash[CV_TREE_HASH],
                                 struct cv_err *err)
{
    enum cv_status status = CV_OK;

    memcpy(t->level[0].hash[t->level[0].n++], hash, CV_TREE_HASH);
    t->size++;
    for (int l = 0; status == CV_OK && l < CV_TILES_LEVELS &&
                    t->level[l].n == CV_TILE_WIDTH;
         l++) {
        status = complete(t, l, err);
    }
    return status;
}

/* There are no bundles to be synced. */
enum cv_status cv_tiles_end_hashes(struct cv_tiles *t, uint64_t offset,
                                   struct cv_err *err)
{
    t->offset = t->full_offset = offset;
    t->hashes_only = true;
    return cv_tiles_finish(t, err);
}

uint64_t cv_tiles_at(const struct cv_tiles *t)
{
    return t->size;
}

uint64_t cv_tiles_offset(const struct cv_tiles *t)
{
    return t->offset;
}

bool cv_tiles_is_marked(const struct cv_tiles *t)
{
    return t->marked;
}

void cv_tiles_free(struct cv_tiles *t)
{
    if (t != NULL) {
        cv_buf_wipe(&t->bundle);
        free(t);
    }
}
