#include "vault/audit/tile.h"

#include "vault/base/limits.h"

/* 256^level; 0 where that is beyond 64 bits, and so beyond any tree. */
static uint64_t span_of(int level)
{
    if (level > 7) {
        return 0;
    }
    return UINT64_C(1) << (8 * (level < 0 ? 0 : level));
}

void cv_tile_path(int level, uint64_t n, unsigned width, struct cv_buf *out)
{
    unsigned groups[7], count = 0; /* 64 bits are at most 20 digits */

    do {
        groups[count++] = (unsigned)(n % 1000);
    } while ((n /= 1000) > 0);
    if (level < 0) {
        cv_buf_add_str(out, "tile/entries/");
    } else {
        cv_buf_add_format(out, "tile/%d/", level);
    }
    while (count-- > 0) {
        cv_buf_add_format(out, count > 0 ? "x%03u/" : "%03u", groups[count]);
    }
    if (width < CV_TILE_WIDTH) {
        cv_buf_add_format(out, ".p/%u", width);
    }
}

unsigned cv_tile_width(int level, uint64_t n, uint64_t size)
{
    uint64_t span = span_of(level), hashes;

    if (span == 0) {
        return 0;
    }
    hashes = size / span;
    if (n >= hashes / CV_TILE_WIDTH + 1) {
        return 0;
    }
    hashes -= n * CV_TILE_WIDTH;
    return hashes < CV_TILE_WIDTH ? (unsigned)hashes : CV_TILE_WIDTH;
}

enum cv_status cv_tile_bundle_add(struct cv_bytes record, struct cv_buf *out,
                                  struct cv_err *err)
{
    if (record.len > CV_LIMIT_LEAF) {
        return cv_fail(err, CV_INVALID, "the record is too long");
    }
    cv_buf_add_char(out, (char)(record.len >> 8));
    cv_buf_add_char(out, (char)(record.len & 0xff));
    cv_buf_add(out, record.data, record.len);
    return cv_buf_status(out, "an entry bundle", err);
}
