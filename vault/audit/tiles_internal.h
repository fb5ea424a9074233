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

/* audit/tiles. CV_NOT_FOUND also where it is not one: then there is none. */
CV_MUST_USE enum cv_status cv_tiles_mark(int vault, uint64_t *size,
                                         uint64_t *offset, struct cv_err *err);

#endif
