/* Many records out of entry bundles, each of which is read once. */
#include "vault/audit/tiles_internal.h"

#include "vault/base/limits.h"

static enum cv_status missing(uint64_t n, struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY,
            "the bundle of records %llu to %llu is not there, "
            "or not whole",
            (unsigned long long)(n * CV_TILE_WIDTH),
            (unsigned long long)(n * CV_TILE_WIDTH + CV_TILE_WIDTH - 1));
    cv_err_hint(err, "tiles are made from the log: certvault audit rebuild");
    return CV_INTEGRITY;
}

/* As tiles_read.c: of the width that the tiles' end gives it, or full where it
 * is gone. */
static enum cv_status read_bundle(struct cv_tiles_reader *r, uint64_t n,
                                  struct cv_buf *out, struct cv_err *err)
{
    unsigned width = cv_tile_width(0, n, r->size);
    enum cv_status status;

    if (width == 0) {
        return missing(n, err);
    }
    status = cv_tiles_read(r->vault, -1, n, width, out, err);
    if (status == CV_NOT_FOUND && width < CV_TILE_WIDTH) {
        status = cv_tiles_read(r->vault, -1, n, CV_TILE_WIDTH, out, err);
    }
    return status == CV_NOT_FOUND || status == CV_INVALID ? missing(n, err)
                                                          : status;
}

/* Those of bundle `n` that are wanted. */
static enum cv_status each_of(const struct cv_buf *bundle, uint64_t n,
                              uint64_t first, uint64_t end, cv_tiles_fn *fn,
                              void *ctx, struct cv_err *err)
{
    uint64_t seq = n * CV_TILE_WIDTH;
    enum cv_status status = CV_OK;
    size_t at = 0;

    for (; status == CV_OK && seq < end && seq < (n + 1) * CV_TILE_WIDTH;
         seq++) {
        size_t len;

        if (bundle->len - at < 2) {
            return missing(n, err);
        }
        len = (size_t)bundle->data[at] << 8 | bundle->data[at + 1];
        at += 2;
        if (bundle->len - at < len) {
            return missing(n, err);
        }
        if (seq >= first) {
            status =
                fn(ctx, seq, (struct cv_bytes){bundle->data + at, len}, err);
        }
        at += len;
    }
    return status;
}

enum cv_status cv_tiles_each(struct cv_tiles_reader *reader, uint64_t first,
                             uint64_t end, cv_tiles_fn *fn, void *ctx,
                             struct cv_err *err)
{
    enum cv_status status = CV_OK;

    for (uint64_t n = first / CV_TILE_WIDTH;
         status == CV_OK && n * CV_TILE_WIDTH < end && first < end; n++) {
        struct cv_buf bundle;

        cv_buf_init(&bundle, NULL, CV_TILES_BUNDLE);
        status = read_bundle(reader, n, &bundle, err);
        if (status == CV_OK) {
            status = each_of(&bundle, n, first, end, fn, ctx, err);
        }
        cv_buf_wipe(&bundle);
    }
    return status;
}
