/* The log as C2SP tlog-tiles: audit/tile/..., beside audit/checkpoint.
 *
 *     audit/tile/<L>/<N>[.p/<W>]         hashes
 *     audit/tile/entries/<N>[.p/<W>]     the records themselves
 *     audit/tiles         {"offset":..,"size":..} LF: full tiles, how far
 *     audit/tiles.last    {"boot":..,"size":..} LF: with partial ones
 *
 * All of it is derived from audit/log and can be made again from it; nothing
 * that is decided or released waits for it. Tiles are brought up to a
 * checkpoint's size when that was stored; a full one never changes, of partial
 * ones the last is kept.
 *
 * Every 256 leaves the new full tiles are synced, then audit/tiles is. The
 * partial tiles between are written without waiting for the disk, by every
 * command: they count only as long as the machine runs (audit/tiles.last has
 * its boot id). After a power failure they are as good as not there, and the
 * next checkpoint writes them again, from the log. The writer reads no partial
 * tile of records or leaves back, the log alone.
 *
 * A file that is damaged or not there is found when it is read: `audit verify`
 * compares all, a proof is checked before it is given.
 *
 * Blocking: files. */
#ifndef CERTVAULT_AUDIT_TILES_H
#define CERTVAULT_AUDIT_TILES_H

#include "vault/audit/proof.h"
#include "vault/base/buf.h"

/* Brings the tiles up to `size` leaves of the log of the vault whose folder is
 * `vault`; the caller holds the vault's lock. Where they cannot be gone on
 * from, they are made again from the log's beginning; those of archived records
 * (archived.h) must be there then. CV_OK at once where they
 * are there. CV_INTEGRITY (the log is shorter, or damaged), CV_IO. */
CV_MUST_USE enum cv_status cv_tiles_update(int vault, uint64_t size,
                                           struct cv_err *err);

/* Removes all that cv_tiles_update made, then makes it again; hash tiles of
 * archived records stay. */
CV_MUST_USE enum cv_status cv_tiles_rebuild(int vault, uint64_t size,
                                            struct cv_err *err);

/* How many leaves the tiles have that can be relied on after the last crash;
 * CV_NOT_FOUND where there are none. */
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

/* Calls `fn` for the records from `first` up to (without) `end`, in order, with
 * their bytes, borrowed for the call. Anything but CV_OK ends it and is what it
 * returns. CV_INTEGRITY, CV_IO. */
typedef enum cv_status cv_tiles_fn(void *ctx, uint64_t seq,
                                   struct cv_bytes record, struct cv_err *err);
CV_MUST_USE enum cv_status cv_tiles_each(struct cv_tiles_reader *reader,
                                         uint64_t first, uint64_t end,
                                         cv_tiles_fn *fn, void *ctx,
                                         struct cv_err *err);

/* The writer itself, for records that come from elsewhere. */
struct cv_tiles;

/* Goes on from the full tiles that are there, or (`anew`, and where those above
 * them are not whole) from nothing. CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_tiles_open(int vault, bool anew, struct cv_tiles **out, struct cv_err *err);
/* The same in a folder that has none, for the hashes of archived records alone;
 * the end says where in the log the next record begins. CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_tiles_open_empty(int vault, struct cv_tiles **out,
                                               struct cv_err *err);
CV_MUST_USE enum cv_status cv_tiles_add_hash(struct cv_tiles *t,
                                             const uint8_t hash[CV_TREE_HASH],
                                             struct cv_err *err);
CV_MUST_USE enum cv_status
cv_tiles_end_hashes(struct cv_tiles *t, uint64_t offset, struct cv_err *err);
/* The next record's number, and where it begins in the log. */
uint64_t cv_tiles_at(const struct cv_tiles *t);
uint64_t cv_tiles_offset(const struct cv_tiles *t);
/* Was audit/tiles there, and right, or is it by now? */
bool cv_tiles_is_marked(const struct cv_tiles *t);
CV_MUST_USE enum cv_status
cv_tiles_add(struct cv_tiles *t, struct cv_bytes record, struct cv_err *err);
/* Syncs what became full; writes partial tiles, and the two files that say how
 * far. CV_IO. */
CV_MUST_USE enum cv_status cv_tiles_finish(struct cv_tiles *t,
                                           struct cv_err *err);
void cv_tiles_free(struct cv_tiles *t);

#endif
