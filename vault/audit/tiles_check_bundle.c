/* Are the bundles what the log says? Each record is compared with the bytes of
 * every one that has it, while the log is read. */
#include "vault/audit/tiles_check_internal.h"

#include "vault/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cv_tiles_bundle *room(struct cv_tiles_check *c)
{
    struct cv_tiles_bundle *b;

    for (unsigned i = 0; i < c->n_bundles; i++) {
        if (c->bundle[i]->fd == -1) {
            return c->bundle[i];
        }
    }
    b = c->n_bundles < CV_TILES_BUNDLES ? malloc(sizeof *b) : NULL;
    if (b == NULL) {
        c->say(c->ctx, CV_TILES_MEMORY, NULL);
        return NULL;
    }
    b->fd = -1;
    c->bundle[c->n_bundles++] = b;
    return b;
}

static void begin_one(struct cv_tiles_check *c, uint64_t n, unsigned width,
                      bool counts)
{
    const struct cv_tiles_partial tile = {-1, n, width};
    struct cv_tiles_bundle *b;
    int fd = -1;

    if (!cv_tiles_check_file(c, &tile, counts, &fd)) {
        return;
    }
    b = room(c);
    if (b == NULL) {
        cv_file_close(&fd);
        return;
    }
    b->fd = fd;
    b->tile = tile;
    b->counts = counts;
    b->offset = 0;
    b->at = b->len = 0;
}

static void begin(struct cv_tiles_check *c, uint64_t n)
{
    const unsigned width = cv_tiles_check_width(c, -1, n);

    cv_tiles_check_close(c);
    if (width > 0) {
        begin_one(c, n, width, true);
    }
    if (width < CV_TILE_WIDTH) {
        begin_one(c, n, CV_TILE_WIDTH, false);
    }
    for (unsigned i = 0; i < c->there->n_partials; i++) {
        const struct cv_tiles_partial *p = &c->there->partial[i];

        if (p->level < 0 && p->n == n && p->width != width) {
            begin_one(c, n, p->width, false);
        }
    }
}

static bool more(struct cv_tiles_bundle *b)
{
    ssize_t got;

    do {
        got = read(b->fd, b->bytes, sizeof b->bytes);
    } while (got < 0 && errno == EINTR);
    b->offset += b->len;
    b->at = 0;
    b->len = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* The next bytes of the bundle must be these; else it stands at the first that
 * is another. */
static bool same(struct cv_tiles_bundle *b, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n;

        if (b->at == b->len && !more(b)) {
            return false;
        }
        n = b->len - b->at < len ? b->len - b->at : len;
        if (memcmp(b->bytes + b->at, data, n) != 0) {
            for (size_t i = 0; i < n && b->bytes[b->at] == data[i]; i++) {
                b->at++;
            }
            return false;
        }
        b->at += n;
        data += n;
        len -= n;
    }
    return true;
}

/* Does a power failure leave it so, when it was not synced? */
static bool is_left(const struct cv_tiles_bundle *b)
{
    uint64_t at = b->offset + b->at;
    uint8_t piece[4 * CV_TILES_SECTOR];
    struct stat st;
    ssize_t got;

    if (fstat(b->fd, &st) != 0 || (uint64_t)st.st_size > CV_TILES_BUNDLE) {
        return false;
    }
    if (at == (uint64_t)st.st_size) {
        return true;
    }
    at -= at % CV_TILES_SECTOR;
    while ((got = pread(b->fd, piece, sizeof piece, (off_t)at)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (piece[i] != 0) {
                return false;
            }
        }
        at += (uint64_t)got;
    }
    return got == 0;
}

static void compare(struct cv_tiles_check *c, struct cv_tiles_bundle *b,
                    struct cv_bytes record)
{
    const uint8_t head[2] = {(uint8_t)(record.len >> 8),
                             (uint8_t)(record.len & 0xff)};
    const bool last = c->at % CV_TILE_WIDTH + 1 == b->tile.width;
    const bool good = same(b, head, sizeof head) &&
                      same(b, record.data, record.len) &&
                      (!last || (b->at == b->len && !more(b)));

    if (!good && (b->counts || !is_left(b))) {
        cv_tiles_check_differs(c, &b->tile);
    }
    if (!good || last) {
        cv_file_close(&b->fd);
    }
}

void cv_tiles_check_record(struct cv_tiles_check *c, struct cv_bytes record)
{
    if (c->at % CV_TILE_WIDTH == 0) {
        begin(c, c->at / CV_TILE_WIDTH);
    }
    for (unsigned i = 0; i < c->n_bundles; i++) {
        if (c->bundle[i]->fd != -1) {
            compare(c, c->bundle[i], record);
        }
    }
}

void cv_tiles_check_close(struct cv_tiles_check *c)
{
    for (unsigned i = 0; i < c->n_bundles; i++) {
        cv_file_close(&c->bundle[i]->fd);
    }
}
