/* Hashes and records out of tiles. */
#include "vault/audit/tiles_internal.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void cv_tiles_path(int level, uint64_t n, unsigned width,
                   char out[CV_TILES_PATH])
{
    struct cv_buf path;

    cv_buf_init(&path, NULL, CV_TILES_PATH);
    cv_tile_path(level, n, width, &path);
    (void)snprintf(out, CV_TILES_PATH, "audit/%s", cv_buf_text(&path));
    cv_buf_wipe(&path);
}

enum cv_status cv_tiles_read(int vault, int level, uint64_t n, unsigned width,
                             struct cv_buf *out, struct cv_err *err)
{
    char path[CV_TILES_PATH];
    int fd = -1;
    enum cv_status status;

    cv_tiles_path(level, n, width, path);
    status = cv_file_open(vault, path, O_RDONLY, &fd, err);
    if (status == CV_OK) {
        status = cv_file_read(fd, path, out, err);
    }
    cv_file_close(&fd);
    return status;
}

enum cv_status cv_tiles_lost(struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY,
            "hash tiles of archived records are gone or were changed");
    cv_err_hint(err, "they cannot be made from the log: put back audit/tile "
                     "from a copy of the vault's folder, or restore a backup");
    return CV_INTEGRITY;
}

enum cv_status cv_tiles_above(int vault, int level, uint64_t index,
                              uint8_t out[CV_TREE_HASH], struct cv_err *err)
{
    struct cv_err why;
    struct cv_buf bytes;
    enum cv_status status;

    cv_err_init(&why);
    cv_buf_init(&bytes, NULL, (size_t)CV_TILE_WIDTH * CV_TREE_HASH);
    status =
        cv_tiles_read(vault, level - 1, index, CV_TILE_WIDTH, &bytes, &why);
    if (status == CV_OK && bytes.len == bytes.ceiling) {
        cv_tree_root_of(bytes.data, CV_TILE_WIDTH, out);
    } else if (status == CV_OK || status == CV_NOT_FOUND ||
               status == CV_INVALID) {
        status = cv_tiles_lost(err);
    } else if (err != NULL) {
        *err = why;
    }
    cv_buf_wipe(&bytes);
    return status;
}

void cv_tiles_gather(struct cv_tree *range, uint8_t hash[][CV_TREE_HASH],
                     unsigned n)
{
    unsigned at = 0;

    for (unsigned count = CV_TILE_WIDTH / 2; count > 0; count /= 2) {
        if ((n & count) != 0) {
            cv_tree_root_of(hash[at], count, range->nodes[range->n++]);
            at += count;
        }
    }
}

static enum cv_status missing(int level, uint64_t n, struct cv_err *err)
{
    char path[CV_TILES_PATH];

    cv_tiles_path(level, n, CV_TILE_WIDTH, path);
    cv_fail(err, CV_INTEGRITY, "%s is not there, or not whole", path);
    cv_err_hint(err, "tiles are made from the log: certvault audit rebuild");
    return CV_INTEGRITY;
}

/* The tile of the width that the tiles' end gives it; full where a writer that
 * went on has put that in its place. A full one beside it is nobody's: `audit
 * verify` has not looked at it. */
static enum cv_status read_any(struct cv_tiles_reader *r, int level, uint64_t n,
                               struct cv_buf *out, struct cv_err *err)
{
    unsigned width;
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    width = cv_tile_width(level < 0 ? 0 : level, n, r->size);
    if (width == 0) {
        return missing(level, n, err);
    }
    status = cv_tiles_read(r->vault, level, n, width, out, &why);
    if (status == CV_NOT_FOUND && width < CV_TILE_WIDTH) {
        status = cv_tiles_read(r->vault, level, n, CV_TILE_WIDTH, out, &why);
    }
    if (status == CV_NOT_FOUND || status == CV_INVALID) {
        return missing(level, n, err);
    }
    if (status != CV_OK && err != NULL) {
        *err = why;
    }
    return status;
}

static enum cv_status keep(struct cv_tiles_reader *r, int level, uint64_t n,
                           struct cv_err *err)
{
    struct cv_tiles_kept *kept = &r->kept[level];
    struct cv_buf bytes;
    enum cv_status status;

    if (kept->width > 0 && kept->n == n) {
        return CV_OK;
    }
    kept->width = 0;
    cv_buf_init(&bytes, NULL, sizeof kept->hash);
    status = read_any(r, level, n, &bytes, err);
    if (status == CV_OK &&
        (bytes.len % CV_TREE_HASH != 0 ||
         bytes.len / CV_TREE_HASH < cv_tile_width(level, n, r->size))) {
        status = missing(level, n, err);
    }
    if (status == CV_OK) {
        memcpy(kept->hash, bytes.data, bytes.len);
        kept->n = n;
        kept->width = (unsigned)(bytes.len / CV_TREE_HASH);
    }
    cv_buf_wipe(&bytes);
    return status;
}

/* A subtree of 2^level leaves is 2^(level % 8) neighbours in a tile. */
static enum cv_status subtree(void *ctx, unsigned level, uint64_t index,
                              uint8_t out[CV_TREE_HASH], struct cv_err *err)
{
    struct cv_tiles_reader *r = ctx;
    unsigned count = 1U << level % 8;
    uint64_t first = index * count;
    const struct cv_tiles_kept *kept;
    enum cv_status status;

    if (level / 8 >= CV_TILES_LEVELS) {
        return cv_fail(err, CV_INTERNAL, "a tree that is too high");
    }
    kept = &r->kept[level / 8];
    status = keep(r, (int)(level / 8), first / CV_TILE_WIDTH, err);
    if (status == CV_OK && first % CV_TILE_WIDTH + count > kept->width) {
        status = missing((int)(level / 8), first / CV_TILE_WIDTH, err);
    }
    if (status == CV_OK) {
        cv_tree_root_of(kept->hash[first % CV_TILE_WIDTH], count, out);
    }
    return status;
}

struct cv_proof_source cv_tiles_source(struct cv_tiles_reader *reader)
{
    return (struct cv_proof_source){reader, subtree};
}

enum cv_status cv_tiles_record(struct cv_tiles_reader *reader, uint64_t seq,
                               struct cv_buf *out, struct cv_err *err)
{
    struct cv_buf bundle;
    size_t at = 0, len = 0;
    enum cv_status status;

    cv_buf_init(&bundle, NULL, CV_TILES_BUNDLE);
    status = read_any(reader, -1, seq / CV_TILE_WIDTH, &bundle, err);
    for (uint64_t i = 0; status == CV_OK && i <= seq % CV_TILE_WIDTH; i++) {
        at += len;
        if (bundle.len - at < 2) {
            status = missing(-1, seq / CV_TILE_WIDTH, err);
            break;
        }
        len = (size_t)bundle.data[at] << 8 | bundle.data[at + 1];
        at += 2;
        if (bundle.len - at < len) {
            status = missing(-1, seq / CV_TILE_WIDTH, err);
        }
    }
    if (status == CV_OK) {
        cv_buf_add(out, bundle.data + at, len);
        status = cv_buf_status(out, "an audit record", err);
    }
    cv_buf_wipe(&bundle);
    return status;
}
