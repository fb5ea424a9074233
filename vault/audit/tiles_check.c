/* Are the tiles what the log says? Made beside the log's own reading: each
 * record is compared with the bundles that have it (tiles_check_bundle.c), and
 * the hashes are gathered as a writer of tiles would and compared with each
 * file. */
#include "vault/audit/tiles_check_internal.h"

#include "vault/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_DIFFERS CV_TILES_MARK ": it is not what the log says"

enum cv_status cv_tiles_check_open(int vault,
                                   const struct cv_tiles_reach *there,
                                   cv_tiles_say *say, void *ctx,
                                   struct cv_tiles_check **out,
                                   struct cv_err *err)
{
    struct stat st;
    struct cv_tiles_check *c = calloc(1, sizeof *c);
    struct cv_err why;
    enum cv_status status;

    *out = NULL;
    if (c == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    c->vault = vault;
    c->there = there;
    c->say = say;
    c->ctx = ctx;
    cv_err_init(&why);
    status = cv_tiles_mark(vault, &c->full, &c->offset, &why);
    c->marked = status == CV_OK;
    if (c->marked) {
        status = cv_tiles_size(vault, &c->size, &why);
    } else if (status == CV_NOT_FOUND &&
               fstatat(vault, CV_TILES_MARK, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        status = cv_fail(&why, CV_INTEGRITY, CV_TILES_MARK " cannot be read");
    }
    if (status == CV_OK || status == CV_NOT_FOUND) {
        *out = c;
        return CV_OK;
    }
    free(c);
    if (err != NULL) {
        *err = why;
    }
    return status;
}

void cv_tiles_check_free(struct cv_tiles_check *c)
{
    if (c != NULL) {
        cv_tiles_check_close(c);
        for (unsigned i = 0; i < c->n_bundles; i++) {
            free(c->bundle[i]);
        }
        free(c);
    }
}

uint64_t cv_tiles_check_size(const struct cv_tiles_check *c)
{
    return c->size;
}

uint64_t cv_tiles_check_full(const struct cv_tiles_check *c, bool *marked)
{
    *marked = c->marked;
    return c->full;
}

static void wrong(struct cv_tiles_check *c, const char *why)
{
    if (!c->quiet) {
        c->say(c->ctx, CV_TILES_WRONG, why);
    } else if (c->wrong[0] == '\0') {
        (void)snprintf(c->wrong, sizeof c->wrong, "%s", why);
    }
}

void cv_tiles_check_tell(struct cv_tiles_check *c,
                         const struct cv_tiles_partial *tile, const char *why)
{
    const uint64_t first = tile->n * CV_TILE_WIDTH;
    char path[CV_TILES_PATH], text[CV_TILES_PATH + 160];

    cv_tiles_path(tile->level, tile->n, tile->width, path);
    if (tile->level < 0) {
        (void)snprintf(text, sizeof text, "%s: %s (records %llu to %llu)", path,
                       why, (unsigned long long)first,
                       (unsigned long long)(first + tile->width - 1));
    } else {
        (void)snprintf(text, sizeof text, "%s: %s (level %d, tile %llu)", path,
                       why, tile->level, (unsigned long long)tile->n);
    }
    wrong(c, text);
}

void cv_tiles_check_differs(struct cv_tiles_check *c,
                            const struct cv_tiles_partial *tile)
{
    cv_tiles_check_tell(c, tile, "it is not what the log says");
}

/* Did a writer go on, so that a partial tile has been replaced by another? */
static bool went_on(const struct cv_tiles_check *c, unsigned width)
{
    uint64_t size = 0;

    return width < CV_TILE_WIDTH &&
           cv_tiles_size(c->vault, &size, NULL) == CV_OK && size > c->size;
}

unsigned cv_tiles_check_width(const struct cv_tiles_check *c, int level,
                              uint64_t n)
{
    return cv_tile_width(level < 0 ? 0 : level, n, c->size);
}

/* Who made them readable for others changed none: that is worth a word, once.
 */
static void note_open(struct cv_tiles_check *c, const char *why)
{
    char text[400];

    if (!c->open) {
        c->open = true;
        (void)snprintf(text, sizeof text,
                       "%s; no proof goes by it: chmod 600 it", why);
        c->say(c->ctx, CV_TILES_NOTE, text);
    }
}

bool cv_tiles_check_file(struct cv_tiles_check *c,
                         const struct cv_tiles_partial *tile, bool counts,
                         int *fd)
{
    char path[CV_TILES_PATH];
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    cv_tiles_path(tile->level, tile->n, tile->width, path);
    status = cv_file_open(c->vault, path, O_RDONLY, fd, &why);
    if (status == CV_CONFIG) {
        enum cv_status loose = cv_file_open_loose(c->vault, path, fd, NULL);

        if (loose == CV_OK) {
            note_open(c, why.text);
            return true;
        }
        status = loose == CV_NOT_FOUND ? loose : status;
    }
    if (status == CV_NOT_FOUND && counts && !went_on(c, tile->width)) {
        cv_tiles_check_tell(c, tile, "it is not there");
    } else if (status != CV_OK && status != CV_NOT_FOUND) {
        wrong(c, why.text);
    }
    return status == CV_OK;
}

/* Does a power failure leave it so, when it was not synced? */
static bool is_left(const struct cv_buf *got, const uint8_t *want, size_t len)
{
    size_t at = 0;

    if (got->len > len) {
        return false;
    }
    while (at < got->len && got->data[at] == want[at]) {
        at++;
    }
    if (at == got->len) {
        return true;
    }
    for (at -= at % CV_TILES_SECTOR; at < got->len; at++) {
        if (got->data[at] != 0) {
            return false;
        }
    }
    return true;
}

/* Tile `n` of hashes, of which `width` are gathered. */
static void compare(struct cv_tiles_check *c, int level, uint64_t n,
                    unsigned width, bool counts)
{
    const struct cv_tiles_partial tile = {level, n, width};
    const uint8_t *hashes = c->level[level].hash[0];
    const size_t want = (size_t)width * CV_TREE_HASH;
    struct cv_buf bytes;
    int fd = -1;
    bool good;

    if (!cv_tiles_check_file(c, &tile, counts, &fd)) {
        return;
    }
    cv_buf_init(&bytes, NULL, want + 1);
    good = cv_file_read(fd, "a tile", &bytes, NULL) == CV_OK;
    if (!good ||
        ((bytes.len != want || memcmp(bytes.data, hashes, want) != 0) &&
         (counts || !is_left(&bytes, hashes, want)))) {
        cv_tiles_check_differs(c, &tile);
    }
    cv_file_close(&fd);
    cv_buf_wipe(&bytes);
}

/* All files of tile `n`, which has got as many hashes as it gets, or as the log
 * has. */
static void compare_all(struct cv_tiles_check *c, int level, uint64_t n)
{
    const unsigned have = c->level[level].n;
    const unsigned width = cv_tiles_check_width(c, level, n);

    if (width > 0 && width <= have) {
        compare(c, level, n, width, true);
    }
    if (width < CV_TILE_WIDTH && have == CV_TILE_WIDTH) {
        compare(c, level, n, have, false);
    }
    for (unsigned i = 0; i < c->there->n_partials; i++) {
        const struct cv_tiles_partial *p = &c->there->partial[i];

        if (p->level == level && p->n == n && p->width != width &&
            p->width <= have) {
            compare(c, level, n, p->width, false);
        }
    }
}

/* Level 0 has got another hash, or all of a tile. */
static void step(struct cv_tiles_check *c, const uint8_t *subtree)
{
    for (int l = 0; l < CV_TILES_LEVELS && c->level[l].n == CV_TILE_WIDTH;
         l++) {
        compare_all(c, l, (c->at - 1) >> (8 * l) >> 8);
        c->level[l].n = 0;
        if (l + 1 < CV_TILES_LEVELS) {
            uint8_t *next = c->level[l + 1].hash[c->level[l + 1].n++];

            if (l == 0 && subtree != NULL) {
                memcpy(next, subtree, CV_TREE_HASH);
            } else {
                cv_tree_root_of(c->level[l].hash[0], CV_TILE_WIDTH, next);
            }
        }
    }
}

void cv_tiles_check_add(struct cv_tiles_check *c, struct cv_bytes record,
                        const uint8_t hash[CV_TREE_HASH],
                        const uint8_t *subtree, uint64_t offset)
{
    if (c->at == 0 && c->full == 0 && c->offset != 0) {
        wrong(c, MARK_DIFFERS);
    }
    cv_tiles_check_record(c, record);
    memcpy(c->level[0].hash[c->level[0].n++], hash, CV_TREE_HASH);
    c->at++;
    step(c, subtree);
    if (c->at == c->full && offset != c->offset) {
        wrong(c, MARK_DIFFERS);
    }
}

/* The hashes of tile `n` of level 0, which is full and has to be believed. */
static bool take_archived(struct cv_tiles_check *c, uint64_t n,
                          struct cv_tree *tree)
{
    const struct cv_tiles_partial tile = {0, n, CV_TILE_WIDTH};
    uint8_t root[CV_TREE_HASH];
    struct cv_buf bytes;
    int fd = -1;
    bool whole;

    if (!cv_tiles_check_file(c, &tile, true, &fd)) {
        return false;
    }
    cv_buf_init(&bytes, NULL, sizeof c->level[0].hash);
    whole = cv_file_read(fd, "a tile", &bytes, NULL) == CV_OK &&
            bytes.len == bytes.ceiling;
    if (whole) {
        memcpy(c->level[0].hash, bytes.data, bytes.len);
        c->level[0].n = CV_TILE_WIDTH;
        c->at += CV_TILE_WIDTH;
        cv_tree_root_of(bytes.data, CV_TILE_WIDTH, root);
        cv_tree_append(tree, root);
        step(c, root);
    } else {
        cv_tiles_check_tell(c, &tile, "it is not whole");
    }
    cv_file_close(&fd);
    cv_buf_wipe(&bytes);
    return whole;
}

const char *cv_tiles_check_archived(struct cv_tiles_check *c,
                                    const struct cv_tree *gone, uint64_t offset)
{
    const uint64_t tiles = gone->size / CV_TILE_WIDTH;
    struct cv_tree tree;

    if (c->size < gone->size) {
        return c->size == 0 ? "the hash tiles of the archived records are gone"
                            : "the tiles end before the archived records do";
    }
    cv_tree_init(&tree);
    c->quiet = true;
    for (uint64_t n = 0; c->wrong[0] == '\0' && n < tiles; n++) {
        (void)take_archived(c, n, &tree);
    }
    if (c->wrong[0] == '\0' &&
        (tree.n != gone->n ||
         memcmp(tree.nodes, gone->nodes, tree.n * (size_t)CV_TREE_HASH) != 0)) {
        wrong(c, "the tiles of archived records are not what was archived");
    }
    if (c->wrong[0] == '\0' && c->full == gone->size && c->offset != offset) {
        wrong(c, MARK_DIFFERS);
    }
    c->quiet = false;
    return c->wrong[0] == '\0' ? NULL : c->wrong;
}

void cv_tiles_check_end(struct cv_tiles_check *c)
{
    cv_tiles_check_close(c);
    if (c->at < c->size) {
        wrong(c, "the tiles speak of records that are not in the log");
    }
    for (int l = 0; l < CV_TILES_LEVELS; l++) {
        if (c->level[l].n > 0) {
            compare_all(c, l, c->at >> (8 * l) >> 8);
        }
    }
    if (c->there->more) {
        wrong(c, "audit/tile: more partial tiles than a crash leaves: not all "
                 "were looked at");
    }
}
