/* What a durable record costs, beside writing and syncing its bytes alone:
 *
 *     log_rate DIR ROUNDS    DIR is made; on the disk that is to be measured
 *
 * In each round, one after the other, for groups of 1, 100 and 1,000 records to
 * a sync: a bare file of the same bytes, written over preallocated zeros, one
 * pwrite and one fdatasync a group; the log of a broker that stays, each record
 * checked, spelt, read again, hashed and summed, zeros ahead included; SQLite
 * (WAL, synchronous=FULL), an INSERT of the record's bytes each by a prepared
 * statement, a transaction a group. Who is first changes with the round. A
 * line a round and group:
 *
 *     GROUP  records a second: BARE LOG SQLITE  us of processor: BARE LOG
 * SQLITE
 */
#include "vault/audit/leaf.h"
#include "vault/audit/log.h"
#include "vault/audit/logkey.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FRAME_HEADER 8
#define MANY 1000     /* most records that a peer is given at once */
#define A_ROUND 14200 /* records that each of the three writes in a round */

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "log_rate: %s\n", what);
        exit(1);
    }
}

static double now(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What is measured. */
struct rig {
    int bare;
    off_t end; /* of what was appended to it */
    struct cv_log *log;
    struct cv_leaf leaf;
    sqlite3 *db;
    sqlite3_stmt *insert;
    uint8_t *frames; /* MANY times the frame of such a record */
    size_t len;      /* of a frame */
};

static void fill_leaf(struct cv_leaf *l)
{
    static char op[CV_LEAF_OP + 1];

    cv_leaf_new_op(op);
    cv_leaf_init(l);
    l->op = op;
    l->phase = CV_LEAF_DECISION;
    l->mode = "service";
    l->host = "host.example";
    l->uid = 1000;
    l->user = "alice";
    l->action = "use";
    l->entry = "prod";
    l->decision = CV_LEAF_PERMIT;
}

static void bare(struct rig *r, unsigned syncs, unsigned n)
{
    const size_t bytes = r->len * n;

    for (unsigned i = 0; i < syncs; i++, r->end += (off_t)bytes) {
        must(pwrite(r->bare, r->frames, bytes, r->end) == (ssize_t)bytes &&
                 fdatasync(r->bare) == 0,
             "the bare file");
    }
}

static void ours(struct rig *r, unsigned syncs, unsigned n)
{
    for (unsigned i = 0; i < syncs; i++) {
        for (unsigned k = 0; k < n; k++) {
            must(cv_log_append_leaf(r->log, &r->leaf, NULL, NULL) == CV_OK,
                 "append");
        }
        must(cv_log_commit(r->log, NULL) == CV_OK, "commit");
    }
}

static void peer(struct rig *r, unsigned syncs, unsigned n)
{
    const uint8_t *record = r->frames + FRAME_HEADER;
    const int bytes = (int)(r->len - FRAME_HEADER);

    for (unsigned i = 0; i < syncs; i++) {
        must(sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK,
             "begin");
        for (unsigned k = 0; k < n; k++) {
            must(sqlite3_bind_blob(r->insert, 1, record, bytes,
                                   SQLITE_STATIC) == SQLITE_OK &&
                     sqlite3_step(r->insert) == SQLITE_DONE &&
                     sqlite3_reset(r->insert) == SQLITE_OK,
                 "insert");
        }
        must(sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK,
             "commit");
    }
}

static struct cv_log *open_log(int dir)
{
    struct cv_note_key key;
    struct cv_log *log = NULL;

    must(cv_logkey_create(dir, "bench.example/log", &key, NULL) == CV_OK &&
             cv_log_open(dir, CV_LOG_CREATE, &log, NULL) == CV_OK,
         "no log");
    cv_log_stay(log);
    return log;
}

static sqlite3 *open_peer(const char *folder)
{
    char path[4096];
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof path, "%s/peer.db", folder);
    must(sqlite3_open(path, &db) == SQLITE_OK &&
             sqlite3_exec(db,
                          "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
                          "CREATE TABLE log(n INTEGER PRIMARY KEY, leaf BLOB)",
                          NULL, NULL, NULL) == SQLITE_OK,
         "no database");
    return db;
}

/* With zeros for all that the rounds will append: no block of it is new, and
 * none is written a second time, as in a log. */
static int open_bare(int dir, const struct rig *r, long rounds)
{
    int fd = openat(dir, "bare", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint8_t *zeros = calloc(A_ROUND, r->len);
    ssize_t len = (ssize_t)(A_ROUND * r->len);

    must(fd >= 0 && zeros != NULL, "no bare file");
    for (long i = 0; i < rounds; i++) {
        must(write(fd, zeros, (size_t)len) == len, "no bare file");
    }
    must(fsync(fd) == 0, "no bare file");
    free(zeros);
    return fd;
}

/* The frame of a record that is in the log: what the peers write. */
static void take_frame(int dir, struct rig *r)
{
    uint64_t before;
    int fd = openat(dir, "audit/log", O_RDONLY | O_CLOEXEC);

    ours(r, 1, 1);
    before = cv_log_bytes(r->log);
    ours(r, 1, 1);
    r->len = (size_t)(cv_log_bytes(r->log) - before);
    r->frames = malloc(MANY * r->len);
    must(r->frames != NULL && fd >= 0 &&
             pread(fd, r->frames, r->len, (off_t)before) == (ssize_t)r->len,
         "no frame");
    for (size_t i = 1; i < MANY; i++) {
        memcpy(r->frames + i * r->len, r->frames, r->len);
    }
    (void)close(fd);
}

static void measure(struct rig *r, unsigned round, unsigned n, unsigned syncs)
{
    static void (*const all[3])(struct rig *, unsigned, unsigned) = {bare, ours,
                                                                     peer};
    double rate[3], cpu[3];

    for (unsigned i = 0; i < 3; i++) {
        unsigned who = (round + i) % 3;
        double wall = now(CLOCK_MONOTONIC);
        double busy = now(CLOCK_PROCESS_CPUTIME_ID);

        all[who](r, syncs, n);
        rate[who] = syncs * n / (now(CLOCK_MONOTONIC) - wall);
        cpu[who] = (now(CLOCK_PROCESS_CPUTIME_ID) - busy) * 1e6 / (syncs * n);
    }
    (void)printf("%u %.0f %.0f %.0f %.2f %.2f %.2f\n", n, rate[0], rate[1],
                 rate[2], cpu[0], cpu[1], cpu[2]);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static const unsigned groups[][2] = {{1, 200}, {100, 40}, {1000, 10}};
    int dir = -1;
    long rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    struct rig r;

    memset(&r, 0, sizeof r);
    cv_arena_allow_unlocked();
    must(rounds > 0 && cv_arena_start(NULL) == CV_OK, "log_rate DIR ROUNDS");
    cv_json_start();
    (void)umask(077);
    must(cv_file_make_folder(argv[1], &dir, NULL) == CV_OK, "no folder");
    fill_leaf(&r.leaf);
    r.log = open_log(dir);
    take_frame(dir, &r);
    r.bare = open_bare(dir, &r, rounds);
    r.db = open_peer(argv[1]);
    must(sqlite3_prepare_v2(r.db, "INSERT INTO log(leaf) VALUES(?)", -1,
                            &r.insert, NULL) == SQLITE_OK,
         "prepare");
    (void)fprintf(stderr, "a frame has %zu bytes\n", r.len);
    for (unsigned i = 0; i < rounds; i++) {
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
            measure(&r, i, groups[g][0], groups[g][1]);
        }
    }
    (void)sqlite3_finalize(r.insert);
    (void)sqlite3_close(r.db);
    cv_log_close(r.log);
    free(r.frames);
    return 0;
}
