/* Are the tiles what the log says? Made beside the log's own reading: each
 * record is compared with its entry bundle's bytes, and the hashes are gathered
 * as a writer of tiles would and compared with each file. */
#include "vault/audit/tiles_internal.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER CV_KIB(128)

/* The entry bundle that is being read. */
struct bundle {
    int fd;
    size_t at;
    size_t len;
    uint8_t bytes[BUFFER];
};

struct cv_tiles_check {
    int vault; /* borrowed */
    uint64_t size;
    uint64_t full;   /* leaves in full tiles */
    uint64_t offset; /* of the log, where the record behind these begins */
    uint64_t at;
    struct bundle bundle;
    char wrong[CV_TILES_PATH + 64];
    struct {
        unsigned n;
        uint8_t hash[CV_TILE_WIDTH][CV_TREE_HASH];
    } level[CV_TILES_LEVELS];
};

enum cv_status cv_tiles_check_open(int vault, struct cv_tiles_check **out,
                                   struct cv_err *err)
{
    struct stat st;
    struct cv_tiles_check *c = calloc(1, sizeof *c);
    struct cv_err why;
    enum cv_status status;

    *out = NULL;
    if (c == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    c->vault = vault;
    c->bundle.fd = -1;
    cv_err_init(&why);
    status = cv_tiles_mark(vault, &c->full, &c->offset, &why);
    if (status == CV_NOT_FOUND &&
        fstatat(vault, CV_TILES_MARK, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        status = cv_fail(&why, CV_INTEGRITY, CV_TILES_MARK " cannot be read");
    } else if (status == CV_OK || status == CV_NOT_FOUND) {
        status = cv_tiles_size(vault, &c->size, &why);
    }
    if (status == CV_OK) {
        *out = c;
        return CV_OK;
    }
    free(c);
    if (err != NULL) {
        *err = why;
    }
    return status;
}

void cv_tiles_check_free(struct cv_tiles_check *c)
{
    if (c != NULL) {
        cv_file_close(&c->bundle.fd);
        free(c);
    }
}

uint64_t cv_tiles_check_size(const struct cv_tiles_check *c)
{
    return c->size;
}

/* What is said about tile `n` of `level`. */
static const char *say(struct cv_tiles_check *c, int level, uint64_t n,
                       unsigned width, const char *what)
{
    char path[CV_TILES_PATH];

    cv_tiles_path(level, n, width, path);
    (void)snprintf(c->wrong, sizeof c->wrong, "%s: %s", path, what);
    return c->wrong;
}

static const char *differs(struct cv_tiles_check *c, int level, uint64_t n,
                           unsigned width)
{
    return say(c, level, n, width, "it is not what the log says");
}

/* Did a writer go on, so that a partial tile has been replaced by another? */
static bool went_on(const struct cv_tiles_check *c, unsigned width)
{
    uint64_t size = 0;

    return width < CV_TILE_WIDTH &&
           cv_tiles_size(c->vault, &size, NULL) == CV_OK && size > c->size;
}

static unsigned width_of(const struct cv_tiles_check *c, int level, uint64_t n)
{
    return cv_tile_width(level < 0 ? 0 : level, n, c->size);
}

/* Compares the tile of hashes that is complete. */
static const char *compare_tile(struct cv_tiles_check *c, int level)
{
    uint64_t n = (c->at - 1) >> (8 * level) >> 8;
    unsigned width = c->level[level].n;
    size_t want = (size_t)width * CV_TREE_HASH;
    struct cv_buf bytes;
    struct cv_err why;
    const char *wrong = NULL;
    enum cv_status status;

    cv_err_init(&why);
    cv_buf_init(&bytes, NULL, want + 1);
    status = cv_tiles_read(c->vault, level, n, width, &bytes, &why);
    if (status == CV_NOT_FOUND) {
        wrong = went_on(c, width) ? NULL
                                  : say(c, level, n, width, "it is not there");
    } else if (status != CV_OK || bytes.len != want ||
               memcmp(bytes.data, c->level[level].hash, want) != 0) {
        wrong = differs(c, level, n, width);
    }
    cv_buf_wipe(&bytes);
    return wrong;
}

/* The next bytes of the bundle must be these. */
static bool same(struct bundle *b, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n;

        if (b->at == b->len) {
            ssize_t got;

            do {
                got = read(b->fd, b->bytes, sizeof b->bytes);
            } while (got < 0 && errno == EINTR);
            if (got <= 0) {
                return false;
            }
            b->at = 0;
            b->len = (size_t)got;
        }
        n = b->len - b->at < len ? b->len - b->at : len;
        if (memcmp(b->bytes + b->at, data, n) != 0) {
            return false;
        }
        b->at += n;
        data += n;
        len -= n;
    }
    return true;
}

/* Nothing more in the bundle? */
static bool ended(struct bundle *b)
{
    uint8_t more;
    ssize_t got;

    do {
        got = read(b->fd, &more, 1);
    } while (got < 0 && errno == EINTR);
    return b->at == b->len && got == 0;
}

static const char *compare_record(struct cv_tiles_check *c,
                                  struct cv_bytes record)
{
    struct bundle *b = &c->bundle;
    uint64_t n = c->at / CV_TILE_WIDTH, i = c->at % CV_TILE_WIDTH;
    unsigned width = width_of(c, -1, n);
    const uint8_t head[2] = {(uint8_t)(record.len >> 8),
                             (uint8_t)(record.len & 0xff)};
    char path[CV_TILES_PATH];
    bool good;

    if (i == 0) {
        cv_tiles_path(-1, n, width, path);
        b->at = b->len = 0;
        if (cv_file_open(c->vault, path, O_RDONLY, &b->fd, NULL) != CV_OK) {
            return went_on(c, width) ? NULL
                                     : say(c, -1, n, width, "it is not there");
        }
    }
    if (b->fd == -1) { /* it went on: nothing to compare with */
        return NULL;
    }
    good = same(b, head, sizeof head) && same(b, record.data, record.len) &&
           (i + 1 < width || ended(b));
    if (!good || i + 1 == width) {
        cv_file_close(&b->fd);
    }
    return good ? NULL : differs(c, -1, n, width);
}

/* Level `level` has got another hash. */
static const char *step(struct cv_tiles_check *c, const uint8_t *subtree)
{
    const char *wrong = NULL;

    for (int l = 0;
         wrong == NULL && l < CV_TILES_LEVELS && c->level[l].n == CV_TILE_WIDTH;
         l++) {
        wrong = compare_tile(c, l);
        c->level[l].n = 0;
        if (l + 1 < CV_TILES_LEVELS) {
            uint8_t *next = c->level[l + 1].hash[c->level[l + 1].n++];

            if (l == 0 && subtree != NULL) {
                memcpy(next, subtree, CV_TREE_HASH);
            } else {
                cv_tree_root_of(c->level[l].hash[0], CV_TILE_WIDTH, next);
            }
        }
    }
    return wrong;
}

/* All leaves that the tiles have were there: what is left is partial. */
static const char *finish(struct cv_tiles_check *c)
{
    const char *wrong = NULL;

    for (int l = 0; wrong == NULL && l < CV_TILES_LEVELS; l++) {
        if (c->level[l].n > 0) {
            wrong = compare_tile(c, l);
        }
    }
    return wrong;
}

const char *cv_tiles_check_add(struct cv_tiles_check *c, struct cv_bytes record,
                               const uint8_t hash[CV_TREE_HASH],
                               const uint8_t *subtree, uint64_t offset)
{
    const char *wrong;

    if (c->at == c->size) {
        return NULL;
    }
    wrong = compare_record(c, record);
    if (wrong != NULL) {
        return wrong;
    }
    memcpy(c->level[0].hash[c->level[0].n++], hash, CV_TREE_HASH);
    c->at++;
    wrong = step(c, subtree);
    if (wrong == NULL && c->at == c->full && offset != c->offset) {
        wrong = CV_TILES_MARK ": it is not what the log says";
    }
    return wrong == NULL && c->at == c->size ? finish(c) : wrong;
}

const char *cv_tiles_check_archived(struct cv_tiles_check *c,
                                    const struct cv_tree *gone)
{
    const uint64_t tiles = gone->size / CV_TILE_WIDTH;
    const char *wrong = NULL;
    struct cv_tree tree;

    if (c->size < gone->size) {
        return "the tiles end before the archived records do";
    }
    cv_tree_init(&tree);
    for (uint64_t n = 0; wrong == NULL && n < tiles; n++) {
        struct cv_buf bytes;
        uint8_t root[CV_TREE_HASH];

        cv_buf_init(&bytes, NULL, sizeof c->level[0].hash);
        if (cv_tiles_read(c->vault, 0, n, CV_TILE_WIDTH, &bytes, NULL) !=
                CV_OK ||
            bytes.len != bytes.ceiling) {
            wrong =
                say(c, 0, n, CV_TILE_WIDTH, "it is not there, or not whole");
        } else {
            memcpy(c->level[0].hash, bytes.data, bytes.len);
            c->level[0].n = CV_TILE_WIDTH;
            c->at += CV_TILE_WIDTH;
            cv_tree_root_of(bytes.data, CV_TILE_WIDTH, root);
            cv_tree_append(&tree, root);
            wrong = step(c, root);
        }
        cv_buf_wipe(&bytes);
    }
    if (wrong == NULL &&
        (tree.n != gone->n ||
         memcmp(tree.nodes, gone->nodes, tree.n * (size_t)CV_TREE_HASH) != 0)) {
        wrong = "the tiles of archived records are not what was archived";
    }
    return wrong == NULL && c->at == c->size ? finish(c) : wrong;
}

const char *cv_tiles_check_end(struct cv_tiles_check *c)
{
    return c->at < c->size
               ? "the tiles speak of records that are not in the log"
               : NULL;
}
