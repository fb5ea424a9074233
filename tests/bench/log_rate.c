/* What a durable record costs, beside writing and syncing its bytes alone:
 *
 *     log_rate DIR ROUNDS        DIR is made; it must be on the disk in
 * question
 *
 * In each round, one after the other: a bare file of the same bytes, written
 * over preallocated zeros and synced; the log of a broker that stays; SQLite
 * (WAL, synchronous=FULL), an INSERT each. For groups of 1, 100 and 1,000 to a
 * sync. Prints records a second of the three, a line for each. */
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

#define MORE 74 /* bytes that the log adds: v, seq, prev */

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "log_rate: %s\n", what);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static cJSON *a_leaf(void)
{
    char op[CV_LEAF_OP + 1];
    struct cv_leaf l;
    cJSON *leaf = NULL;

    cv_leaf_new_op(op);
    cv_leaf_init(&l);
    l.op = op;
    l.phase = CV_LEAF_DECISION;
    l.mode = "service";
    l.host = "host.example";
    l.uid = 1000;
    l.user = "alice";
    l.action = "use";
    l.entry = "prod";
    l.decision = CV_LEAF_PERMIT;
    must(cv_leaf_build(&l, &leaf, NULL) == CV_OK, "no leaf");
    return leaf;
}

static double bare(int fd, uint8_t *group, size_t bytes, unsigned syncs,
                   unsigned n)
{
    double begin = now();
    off_t at = 0;

    for (unsigned i = 0; i < syncs; i++) {
        must(pwrite(fd, group, bytes * n, at) == (ssize_t)(bytes * n) &&
                 fdatasync(fd) == 0,
             "the bare file");
        at += (off_t)(bytes * n);
    }
    return syncs * n / (now() - begin);
}

static double ours(struct cv_log *log, cJSON *leaf, unsigned syncs, unsigned n)
{
    double begin = now();

    for (unsigned i = 0; i < syncs; i++) {
        for (unsigned k = 0; k < n; k++) {
            must(cv_log_append(log, leaf, NULL, NULL) == CV_OK, "append");
        }
        must(cv_log_commit(log, NULL) == CV_OK, "commit");
    }
    return syncs * n / (now() - begin);
}

static double peer(sqlite3 *db, const uint8_t *record, size_t bytes,
                   unsigned syncs, unsigned n)
{
    sqlite3_stmt *s = NULL;
    double begin = now();

    must(sqlite3_prepare_v2(db, "INSERT INTO log(leaf) VALUES(?)", -1, &s,
                            NULL) == SQLITE_OK,
         "prepare");
    for (unsigned i = 0; i < syncs; i++) {
        must(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK, "begin");
        for (unsigned k = 0; k < n; k++) {
            must(sqlite3_bind_blob(s, 1, record, (int)bytes, SQLITE_STATIC) ==
                         SQLITE_OK &&
                     sqlite3_step(s) == SQLITE_DONE &&
                     sqlite3_reset(s) == SQLITE_OK,
                 "insert");
        }
        must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK,
             "commit");
    }
    (void)sqlite3_finalize(s);
    return syncs * n / (now() - begin);
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

static int open_bare(int dir, const uint8_t *zeros, size_t len)
{
    int fd = openat(dir, "bare", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    must(fd >= 0 && write(fd, zeros, len) == (ssize_t)len && fsync(fd) == 0,
         "no bare file");
    return fd;
}

int main(int argc, char **argv)
{
    static const unsigned groups[][2] = {{1, 200}, {100, 40}, {1000, 10}};
    int dir = -1, fd, rounds = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    struct cv_log *log;
    sqlite3 *db;
    uint8_t *group;
    cJSON *leaf;
    char *text;
    size_t bytes;

    cv_arena_allow_unlocked();
    must(rounds > 0 && cv_arena_start(NULL) == CV_OK, "log_rate DIR ROUNDS");
    cv_json_start();
    (void)umask(077);
    must(cv_file_make_folder(argv[1], &dir, NULL) == CV_OK, "no folder");
    leaf = a_leaf();
    text = cJSON_PrintUnformatted(leaf);
    must(text != NULL, "memory");
    bytes = strlen(text) + MORE + 8;
    group = calloc(10000, bytes);
    must(group != NULL, "memory");
    fd = open_bare(dir, group, 10000 * bytes);
    memset(group, 'x', 10000 * bytes);
    log = open_log(dir);
    db = open_peer(argv[1]);
    for (int r = 0; r < rounds; r++) {
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
            unsigned n = groups[g][0], syncs = groups[g][1];
            double a = bare(fd, group, bytes, syncs, n);
            double b = ours(log, leaf, syncs, n);
            double c = peer(db, group, bytes, syncs, n);

            (void)printf("group %u bare %.0f log %.0f sqlite %.0f\n", n, a, b,
                         c);
            (void)fflush(stdout);
        }
    }
    (void)sqlite3_close(db);
    cv_log_close(log);
    cJSON_Delete(leaf);
    cJSON_free(text);
    free(group);
    return 0;
}
