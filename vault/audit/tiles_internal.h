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

#endif
