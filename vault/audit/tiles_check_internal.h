/* What holding the tiles against the log is made of: hash tiles
 * (tiles_check.c) and bundles of records (tiles_check_bundle.c). */
#ifndef CERTVAULT_AUDIT_TILES_CHECK_INTERNAL_H
#define CERTVAULT_AUDIT_TILES_CHECK_INTERNAL_H

#include "vault/audit/tiles_internal.h"
#include "vault/base/limits.h"

#define CV_TILES_SECTOR                                  \
    512 /* what a power failure leaves is whole in these \
         */

/* A bundle that is being compared. */
struct cv_tiles_bundle {
    int fd; /* -1: none */
    struct cv_tiles_partial tile;
    bool counts;
    uint64_t offset; /* in the file, of bytes[0] */
    size_t at;
    size_t len;
    uint8_t bytes[CV_KIB(128)];
};

/* The one that counts, a full one, and partial ones of the same records. */
#define CV_TILES_BUNDLES (CV_TILES_PARTIALS + 2)

struct cv_tiles_check {
    int vault;                          /* borrowed */
    const struct cv_tiles_reach *there; /* borrowed */
    cv_tiles_say *say;
    void *ctx;
    bool marked; /* audit/tiles is there */
    bool quiet;  /* what is found is kept in `wrong` */
    bool open;   /* it was told that files are open to others */
    uint64_t size;
    uint64_t full;   /* leaves in full tiles */
    uint64_t offset; /* of the log, where the record behind these begins */
    uint64_t at;
    unsigned n_bundles;
    struct cv_tiles_bundle *bundle[CV_TILES_BUNDLES];
    char wrong[400];
    struct {
        unsigned n;
        uint8_t hash[CV_TILE_WIDTH][CV_TREE_HASH];
    } level[CV_TILES_LEVELS];
};

/* Tells what is wrong with this one. */
void cv_tiles_check_tell(struct cv_tiles_check *c,
                         const struct cv_tiles_partial *tile, const char *why);
void cv_tiles_check_differs(struct cv_tiles_check *c,
                            const struct cv_tiles_partial *tile);

/* The width that the tiles' end gives tile `n`; 0: none that counts. */
unsigned cv_tiles_check_width(const struct cv_tiles_check *c, int level,
                              uint64_t n);

/* Opens it. False: it is not there, which is told where it `counts`, or it is
 * no file, which is told. */
bool cv_tiles_check_file(struct cv_tiles_check *c,
                         const struct cv_tiles_partial *tile, bool counts,
                         int *fd);

/* The next record, against the bundles that have it; and the log ended. */
void cv_tiles_check_record(struct cv_tiles_check *c, struct cv_bytes record);
void cv_tiles_check_close(struct cv_tiles_check *c);

#endif
