/* Tiles and entry bundles of C2SP tlog-tiles: where they lie and what is in
 * them: the form alone; tiles.h reads and writes them. */
#ifndef CERTVAULT_AUDIT_TILE_H
#define CERTVAULT_AUDIT_TILE_H

#include "vault/audit/tree.h"
#include "vault/base/buf.h"

#define CV_TILE_WIDTH 256 /* hashes in a full tile */
#define CV_TILE_HEIGHT 8  /* levels of the tree in one of tiles */

/* Appends the path of tile `n` of `level` (-1: entry bundle) with `width`
 * (1..256) hashes: tile/0/x001/234.p/7. */
void cv_tile_path(int level, uint64_t n, unsigned width, struct cv_buf *out);

/* How many hashes tile `n` of `level` holds in a tree of `size` leaves: 0 (it
 * is not there) to 256. */
unsigned cv_tile_width(int level, uint64_t n, uint64_t size);

/* Appends one record of an entry bundle: u16be length, bytes. CV_INVALID over
 * CV_LIMIT_LEAF. */
CV_MUST_USE enum cv_status cv_tile_bundle_add(struct cv_bytes record,
                                              struct cv_buf *out,
                                              struct cv_err *err);

#endif
