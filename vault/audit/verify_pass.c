/* Reading the log once, with several threads.
 *
 * They are all alike. Each takes the next piece of the file, as many whole
 * frames as fit (one at a time: where a piece ends is only known when it was
 * read), looks at its records, and then waits for its turn to take them: the
 * chain has an order. So while one takes, the others look. */
#include "vault/audit/verify_internal.h"

#include "vault/audit/wal_internal.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE CV_KIB(256)
#define FRAMES CV_TREE_MADE_LEAVES /* most in a piece */
#define AHEAD 8                    /* records */
#define THREADS 2
#define THREADS_MAX 16
#define SMALL CV_MIB(2) /* a log up to here is read by one */

struct pass {
    struct cv_verify *v;
    const struct cv_verify_options *options;
    pthread_mutex_t reading;
    uint64_t offset; /* from here on: `reading` */
    uint64_t end;
    uint64_t given;   /* pieces */
    uint64_t records; /* in them */
    bool done;        /* no further piece is given */
    pthread_mutex_t taking;
    pthread_cond_t turn;
    uint64_t taken; /* pieces; from here on: `taking` */
    bool over;      /* what comes after them does not count */
};

struct piece {
    uint64_t number;
    uint64_t first;                /* the first record's place in the log */
    size_t len;                    /* bytes that were read */
    size_t n;                      /* frames */
    struct cv_verify_progress now; /* once it was taken */
    uint8_t *bytes;
    struct cv_verify_look *look;
    struct cv_record *room; /* not on the stack, which would be zeroed */
    struct cv_tree_made *made;
};

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* Reads what it can get. */
static size_t read_some(int fd, uint64_t offset, uint8_t *out, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(offset + got));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
    }
    return got;
}

/* Finds the whole frames; how many bytes they are. */
static size_t find_frames(struct piece *piece)
{
    size_t at = 0;

    piece->n = 0;
    while (piece->n < FRAMES && piece->len - at > CV_WAL_HEADER) {
        size_t len = get_u32(piece->bytes + at);

        if (len == 0 || len > CV_LIMIT_LEAF ||
            len > piece->len - at - CV_WAL_HEADER) {
            break;
        }
        piece->look[piece->n].at = at + CV_WAL_HEADER;
        piece->look[piece->n].len = len;
        piece->n++;
        at += CV_WAL_HEADER + len;
    }
    return at;
}

/* The next piece; false: there is none. */
static bool get_piece(struct pass *pass, struct piece *piece)
{
    bool got;

    (void)pthread_mutex_lock(&pass->reading);
    got = !pass->done && pass->offset < pass->end;
    if (got) {
        uint64_t left = pass->end - pass->offset;
        size_t len = left < PIECE ? (size_t)left : PIECE;

        piece->number = pass->given++;
        piece->len = read_some(pass->v->fd, pass->offset, piece->bytes, len);
        piece->first = pass->records;
        pass->offset += find_frames(piece);
        pass->records += piece->n;
        pass->done = piece->len < len || piece->n == 0;
    }
    (void)pthread_mutex_unlock(&pass->reading);
    return got;
}

/* Looks at the records; false: one has not the checksum that it should have,
 * and is the first that is not in the piece any more. */
static bool look_at(struct piece *piece)
{
    const size_t n = piece->n;

    cv_tree_made_begin(piece->made, piece->first);
    piece->n = cv_verify_look_at_all(piece->bytes, piece->look, n, piece->room,
                                     piece->made->hash);
    cv_tree_made_end(piece->made, piece->n);
    return piece->n == n;
}

static void take_all(struct cv_verify *v, const struct piece *piece)
{
    for (size_t i = 0; i < piece->n; i++) {
        const struct cv_verify_look *look = &piece->look[i];

        if (i + AHEAD < piece->n) {
            cv_ops_expect(&v->ops, look[AHEAD].op);
        }
        cv_verify_take(v, look, piece->made->hash[i], piece->made,
                       (struct cv_bytes){piece->bytes + look->at, look->len},
                       true);
    }
}

/* Takes the piece when it is its turn; false: it did not come to that. */
static bool take_turn(struct pass *pass, struct piece *piece, bool good)
{
    bool over;

    (void)pthread_mutex_lock(&pass->taking);
    while (pass->taken != piece->number && !pass->over) {
        (void)pthread_cond_wait(&pass->turn, &pass->taking);
    }
    over = pass->over;
    (void)pthread_mutex_unlock(&pass->taking);
    if (over) {
        return false;
    }
    take_all(pass->v, piece); /* nobody else does until the turn is over */
    piece->now.records = pass->v->at.tree.size;
    piece->now.at = pass->v->at.offset;
    piece->now.end = pass->end;
    (void)pthread_mutex_lock(&pass->taking);
    pass->taken++;
    pass->over = pass->over || !good;
    (void)pthread_cond_broadcast(&pass->turn);
    (void)pthread_mutex_unlock(&pass->taking);
    return good;
}

/* What each thread does. `first`: it is the caller's. */
static void work(struct pass *pass, bool first)
{
    const struct cv_verify_options *o = pass->options;
    struct piece piece = {.bytes = malloc(PIECE),
                          .look = calloc(FRAMES, sizeof *piece.look),
                          .room = calloc(1, sizeof *piece.room),
                          .made = calloc(1, sizeof *piece.made)};
    bool good = piece.bytes != NULL && piece.look != NULL &&
                piece.room != NULL && piece.made != NULL;

    while (good && get_piece(pass, &piece)) {
        good = look_at(&piece);
        good = take_turn(pass, &piece, good);
        if (first && good && o != NULL && o->progress != NULL) {
            o->progress(o->context, &piece.now);
        }
    }
    free(piece.bytes);
    free(piece.look);
    free(piece.room);
    free(piece.made);
}

static void *run(void *pass)
{
    work(pass, false);
    return NULL;
}

void cv_verify_pass(struct cv_verify *v, uint64_t end,
                    const struct cv_verify_options *options)
{
    struct pass pass = {.v = v,
                        .options = options,
                        .offset = v->at.offset,
                        .records = v->at.tree.size,
                        .end = end,
                        .reading = PTHREAD_MUTEX_INITIALIZER,
                        .taking = PTHREAD_MUTEX_INITIALIZER,
                        .turn = PTHREAD_COND_INITIALIZER};
    pthread_t thread[THREADS_MAX];
    unsigned want = options != NULL && options->threads > 0 ? options->threads
                    : end < SMALL                           ? 1
                                                            : THREADS;
    unsigned n = 0;

    while (n + 1 < want && n < THREADS_MAX &&
           pthread_create(&thread[n], NULL, run, &pass) == 0) {
        n++;
    }
    work(&pass, true);
    while (n > 0) {
        (void)pthread_join(thread[--n], NULL);
    }
    (void)pthread_cond_destroy(&pass.turn);
    (void)pthread_mutex_destroy(&pass.taking);
    (void)pthread_mutex_destroy(&pass.reading);
}
