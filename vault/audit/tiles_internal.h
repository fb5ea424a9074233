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

/* A partial tile, by its name. */
struct cv_tiles_partial {
    int level; /* -1: of records */
    uint64_t n;
    unsigned width;
};

/* The files beneath audit/tile by their names, whoever made them: the furthest,
 * of how many leaves it speaks (0: there is none) and its path; and the partial
 * tiles, of which a crash leaves a few. What cannot be read, or has no tile's
 * name, is passed over. */
#define CV_TILES_PARTIALS 64
struct cv_tiles_reach {
    uint64_t size;
    char path[CV_TILES_PATH];
    struct cv_tiles_partial partial[CV_TILES_PARTIALS];
    unsigned n_partials;
    bool more; /* than there is room for */
};
void cv_tiles_reach(int vault, struct cv_tiles_reach *out);

/* Holding the tiles against the log while that is read.
 *
 * Those that audit/tiles and audit/tiles.last speak of count: they are there,
 * and byte for byte what the log says. Whatever else lies there of records that
 * the log has is what the log says, too, or what a power failure makes of a
 * file that was not synced: it is short, or zero from some 512-byte boundary to
 * its end. */
struct cv_tiles_check;

/* What is found. CV_TILES_MEMORY: there is none left; `why` is NULL. */
enum cv_tiles_finding { CV_TILES_WRONG, CV_TILES_NOTE, CV_TILES_MEMORY };
typedef void cv_tiles_say(void *ctx, enum cv_tiles_finding kind,
                          const char *why);

/* `there` is borrowed until it is freed; the rest as it says. Without
 * audit/tiles no tile counts. CV_INTEGRITY: audit/tiles is not what it should
 * be. CV_IO, CV_CONFIG, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_tiles_check_open(int vault, const struct cv_tiles_reach *there,
                    cv_tiles_say *say, void *ctx, struct cv_tiles_check **out,
                    struct cv_err *err);

/* The next record and its hash; `subtree`, when it is the last of
 * CV_TILE_WIDTH, the root over these (else NULL); `offset`: where the one
 * behind it begins in the log. */
void cv_tiles_check_add(struct cv_tiles_check *c, struct cv_bytes record,
                        const uint8_t hash[CV_TREE_HASH],
                        const uint8_t *subtree, uint64_t offset);

/* In place of the first records, which are archived: the hash tiles over them,
 * level above level, up to `gone`; `offset`: where the log begins behind them.
 * NULL when all is well, else what is wrong (nothing is said then, and nothing
 * may be added). */
const char *cv_tiles_check_archived(struct cv_tiles_check *c,
                                    const struct cv_tree *gone,
                                    uint64_t offset);

/* How many leaves the tiles have that count; of them in full tiles, and is
 * there a word of these at all (audit/tiles)? */
uint64_t cv_tiles_check_size(const struct cv_tiles_check *c);
uint64_t cv_tiles_check_full(const struct cv_tiles_check *c, bool *marked);

/* The log ended. */
void cv_tiles_check_end(struct cv_tiles_check *c);

void cv_tiles_check_free(struct cv_tiles_check *c);

#endif
