#ifndef CERTVAULT_AUDIT_TILES_INTERNAL_H
#define CERTVAULT_AUDIT_TILES_INTERNAL_H

#include "vault/audit/tile.h"
#include "vault/audit/tiles.h"

#define CV_TILES_LEVELS 7 /* 256^7 is more than a log's 2^53 leaves */
#define CV_TILES_PATH 96
#define CV_TILES_BUNDLE ((size_t)CV_TILE_WIDTH * (CV_LIMIT_LEAF + 2))

/* "audit/" and the tile's path. */
void cv_tiles_path(int level, uint64_t n, unsigned width,
                   char out[CV_TILES_PATH]);

/* Appends the tile's bytes. CV_NOT_FOUND, CV_INVALID (longer than `out` may
 * be), CV_CONFIG, CV_IO. */
CV_MUST_USE enum cv_status cv_tiles_read(int vault, int level, uint64_t n,
                                         unsigned width, struct cv_buf *out,
                                         struct cv_err *err);

/* Hash `index` of `level`, computed from the full tile below it. CV_INTEGRITY:
 * that is gone, or not whole; CV_IO. */
CV_MUST_USE enum cv_status cv_tiles_above(int vault, int level, uint64_t index,
                                          uint8_t out[CV_TREE_HASH],
                                          struct cv_err *err);

/* Appends perfect subtrees to a compact range of larger ones: `n` < 256 hashes
 * of one level of tiles, as they lie in the last tile of it. `size` is not
 * kept. */
void cv_tiles_gather(struct cv_tree *range, uint8_t hash[][CV_TREE_HASH],
                     unsigned n);

/* Hash tiles of archived records, which cannot be made again, are not what they
 * were: CV_INTEGRITY, always. */
enum cv_status cv_tiles_lost(struct cv_err *err);

#define CV_TILES_MARK "audit/tiles"
#define CV_TILES_LAST "audit/tiles.last"

/* tiles_mark.c. audit/tiles: tiles that are full, and those of the levels above
 * them, are on the disk up to *size leaves, a multiple of 256; the next record
 * begins at *offset of the log. CV_NOT_FOUND also where it is not one: then
 * there are none. */
CV_MUST_USE enum cv_status cv_tiles_mark(int vault, uint64_t *size,
                                         uint64_t *offset, struct cv_err *err);
CV_MUST_USE enum cv_status cv_tiles_set_mark(int vault, uint64_t size,
                                             uint64_t offset,
                                             struct cv_err *err);

/* audit/tiles.last: the partial tiles of level 0 and of the records go up to
 * `size`. Not synced, like these tiles. */
CV_MUST_USE enum cv_status cv_tiles_set_last(int vault, uint64_t size,
                                             struct cv_err *err);

/* Holding the tiles against the log while that is read. */
struct cv_tiles_check;

/* CV_NOT_FOUND: there are none. CV_INTEGRITY: audit/tiles is not what it
 * should be. CV_IO, CV_CONFIG, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_tiles_check_open(int vault, struct cv_tiles_check **out, struct cv_err *err);

/* The next record and its hash; `subtree`, when it is the last of
 * CV_TILE_WIDTH, the root over these (else NULL); `offset`: where the one
 * behind it begins in the log. NULL when all is well, else what is wrong: no
 * further one may be added then. */
const char *cv_tiles_check_add(struct cv_tiles_check *c, struct cv_bytes record,
                               const uint8_t hash[CV_TREE_HASH],
                               const uint8_t *subtree, uint64_t offset);

/* In place of the first records, which are archived: the hash tiles over them,
 * level above level, up to `gone`. As cv_tiles_check_add. */
const char *cv_tiles_check_archived(struct cv_tiles_check *c,
                                    const struct cv_tree *gone);

/* How many leaves the tiles say they have. */
uint64_t cv_tiles_check_size(const struct cv_tiles_check *c);

/* The log ended. As cv_tiles_check_add. */
const char *cv_tiles_check_end(struct cv_tiles_check *c);

void cv_tiles_check_free(struct cv_tiles_check *c);

/* The furthest of the files beneath audit/tile, whoever made them: of how many
 * leaves it speaks, and its path. 0: there is none. What cannot be read, or has
 * no tile's name, is passed over. */
struct cv_tiles_reach {
    uint64_t size;
    char path[CV_TILES_PATH];
};
void cv_tiles_reach(int vault, struct cv_tiles_reach *out);

#endif
