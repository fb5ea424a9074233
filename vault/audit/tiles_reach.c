/* The tiles that are there, by their names alone. */
#include "vault/audit/tiles_internal.h"

#include "vault/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* x001/x234/.../567: more are beyond any log. */
#define DEPTH 6

struct at {
    int level; /* -1: records */
    uint64_t n;
    int depth;
};

static void reached(struct cv_tiles_reach *out, const struct at *at, uint64_t n,
                    unsigned width)
{
    const int shift = at->level < 0 ? 0 : 8 * at->level;
    uint64_t leaves = n * CV_TILE_WIDTH + width;

    leaves = leaves > UINT64_MAX >> shift ? UINT64_MAX : leaves << shift;
    if (leaves > out->size) {
        out->size = leaves;
        cv_tiles_path(at->level, n, width, out->path);
    }
}

static void keep(struct cv_tiles_reach *out, int level, uint64_t n,
                 unsigned width)
{
    out->more = out->more || out->n_partials == CV_TILES_PARTIALS;
    if (!out->more) {
        out->partial[out->n_partials++] =
            (struct cv_tiles_partial){level, n, width};
    }
}

/* A number of `len` digits; false: it is none. */
static bool digits(const char *text, size_t len, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *out = *out * 10 + (unsigned)(text[i] - '0');
    }
    return len > 0;
}

static DIR *list_of(int above, const char *name)
{
    int fd =
        openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (list == NULL) {
        cv_file_close(&fd);
    }
    return list;
}

static void look_partial(int above, const char *name, const struct at *at,
                         uint64_t n, struct cv_tiles_reach *out)
{
    DIR *list = list_of(above, name);
    const struct dirent *item;
    unsigned width;

    while (list != NULL && (item = readdir(list)) != NULL) {
        if (strlen(item->d_name) <= 3 &&
            digits(item->d_name, strlen(item->d_name), &width) && width > 0 &&
            width < CV_TILE_WIDTH) {
            reached(out, at, n, width);
            keep(out, at->level, n, width);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

static void look(int above, const char *name, const struct at *at,
                 struct cv_tiles_reach *out)
{
    DIR *list = list_of(above, name);
    const struct dirent *item;

    while (list != NULL && (item = readdir(list)) != NULL) {
        const char *word = item->d_name;
        const size_t len = strlen(word);
        unsigned part;

        if (len == 3 && digits(word, 3, &part)) {
            reached(out, at, at->n * 1000 + part, CV_TILE_WIDTH);
        } else if (len == 5 && strcmp(word + 3, ".p") == 0 &&
                   digits(word, 3, &part)) {
            look_partial(dirfd(list), word, at, at->n * 1000 + part, out);
        } else if (len == 4 && word[0] == 'x' && digits(word + 1, 3, &part) &&
                   at->depth < DEPTH) {
            const struct at next = {at->level, at->n * 1000 + part,
                                    at->depth + 1};

            look(dirfd(list), word, &next, out);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

void cv_tiles_reach(int vault, struct cv_tiles_reach *out)
{
    memset(out, 0, sizeof *out);
    for (int level = -1; level < CV_TILES_LEVELS; level++) {
        const struct at at = {.level = level};
        char folder[32];

        if (level < 0) {
            (void)snprintf(folder, sizeof folder, "audit/tile/entries");
        } else {
            (void)snprintf(folder, sizeof folder, "audit/tile/%d", level);
        }
        look(vault, folder, &at, out);
    }
}
