/* The log as C2SP tlog-tiles: audit/tile/..., beside audit/checkpoint.
 *
 *     audit/tile/<L>/<N>[.p/<W>]         hashes
 *     audit/tile/entries/<N>[.p/<W>]     the records themselves
 *     audit/tiles                        {"offset":..,"size":..} LF: how far
 *
 * All of it is derived from audit/log and can be made again from it; nothing
 * that is decided or released waits for it. Tiles are brought up to a
 * checkpoint's size when that was stored; a full one never changes. Of partial
 * ones the last is kept. A file that is damaged or not there is found when it
 * is read: `audit verify` compares all, a proof is checked before it is given.
 *
 * Blocking: files. */
#ifndef CERTVAULT_AUDIT_TILES_H
#define CERTVAULT_AUDIT_TILES_H

#include "vault/audit/proof.h"
#include "vault/base/buf.h"

/* Brings the tiles up to `size` leaves of the log of the vault whose folder is
 * `vault`; the caller holds the vault's lock. Where they cannot be gone on
 * from, they are made again from the log's beginning. CV_INTEGRITY (the log is
 * shorter, or damaged), CV_IO. */
CV_MUST_USE enum cv_status cv_tiles_update(int vault, uint64_t size,
                                           struct cv_err *err);

/* Removes all that cv_tiles_update made, then makes it again. */
CV_MUST_USE enum cv_status cv_tiles_rebuild(int vault, uint64_t size,
                                            struct cv_err *err);

/* How many leaves the tiles have; CV_NOT_FOUND where there are none. */
CV_MUST_USE enum cv_status cv_tiles_size(int vault, uint64_t *size,
                                         struct cv_err *err);

/* Reads hashes of the first `size` leaves out of the tiles, for proof.h: then
 * source.subtree fails with CV_INTEGRITY where a tile that it needs is not
 * there or has not its length, CV_IO. A few tiles are kept; zero it, then set
 * vault and size; nothing to free. */
struct cv_tiles_reader {
    int vault; /* borrowed */
    uint64_t size;
    struct cv_tiles_kept {
        uint64_t n;     /* of the tile that is kept for this level */
        unsigned width; /* 0: none is */
        uint8_t hash[256][CV_TREE_HASH];
    } kept[8];
};
struct cv_proof_source cv_tiles_source(struct cv_tiles_reader *reader);

/* Appends the record of leaf `seq` out of its entry bundle. CV_INTEGRITY,
 * CV_IO.
 */
CV_MUST_USE enum cv_status cv_tiles_record(struct cv_tiles_reader *reader,
                                           uint64_t seq, struct cv_buf *out,
                                           struct cv_err *err);

/* The writer itself, for records that come from elsewhere. */
struct cv_tiles;

/* Goes on from what is there, or (`anew`, and where that is not whole) from
 * nothing. CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_tiles_open(int vault, bool anew, struct cv_tiles **out, struct cv_err *err);
uint64_t cv_tiles_at(const struct cv_tiles *t);
/* The next record; it begins at `offset` of the log. Full tiles are written. */
CV_MUST_USE enum cv_status
cv_tiles_add(struct cv_tiles *t, struct cv_bytes record, struct cv_err *err);
/* Writes partial tiles, and audit/tiles: the next record begins at `offset`. */
CV_MUST_USE enum cv_status cv_tiles_finish(struct cv_tiles *t, uint64_t offset,
                                           struct cv_err *err);
void cv_tiles_free(struct cv_tiles *t);

#endif
