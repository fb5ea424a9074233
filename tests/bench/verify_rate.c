/* A log of many records, and how long it takes to verify it:
 *
 *     verify_rate make DIR RECORDS BYTES     a vault's folder with such a log
 *     verify_rate run DIR ROUNDS             interleaved: one SHA-256 over the
 *                                            log's bytes, verify on one thread,
 *                                            verify on two
 *
 * `run` prints a line for each round: seconds of the three on the wall and on
 * the processors, and at last the most memory that was resident, in KiB. */
#include "vault/audit/leaf.h"
#include "vault/audit/log.h"
#include "vault/audit/logkey.h"
#include "vault/audit/tiles.h"
#include "vault/audit/verify.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MORE 74 /* bytes that the log adds: v, seq, prev */

static void must(enum cv_status status, const struct cv_err *err)
{
    if (status != CV_OK) {
        (void)fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

/* Seconds: on the wall, and of this process on the processors. */
struct took {
    double wall;
    double cpu;
};

static double read_clock(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct took now(void)
{
    return (struct took){read_clock(CLOCK_MONOTONIC),
                         read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

static struct took since(struct took begin)
{
    struct took end = now();

    return (struct took){end.wall - begin.wall, end.cpu - begin.cpu};
}

/* A permit and its outcome by turns, made long by the reason. */
static void append(struct cv_log *log, unsigned long i, size_t bytes,
                   struct cv_err *err)
{
    static char op[CV_LEAF_OP + 1];
    static size_t pad;
    struct cv_leaf l;
    char entry[32], reason[257];
    cJSON *leaf = NULL;
    char *text;
    size_t len;

    if (i % 2 == 0) {
        cv_leaf_new_op(op);
    }
    (void)snprintf(entry, sizeof entry, "prod-%lu", i / 2 % 1000);
    memset(reason, 'x', sizeof reason - 1);
    reason[pad] = '\0';
    cv_leaf_init(&l);
    l.op = op;
    l.phase = i % 2 == 0 ? CV_LEAF_DECISION : CV_LEAF_OUTCOME;
    l.decision = i % 2 == 0 ? CV_LEAF_PERMIT : CV_LEAF_NONE;
    l.outcome = i % 2 == 0 ? NULL : "ok";
    l.mode = "service";
    l.host = "host.example";
    l.user = "alice";
    l.uid = 1000;
    l.action = "export";
    l.entry = entry;
    l.reason = pad > 0 ? reason : NULL;
    must(cv_leaf_build(&l, &leaf, err), err);
    text = cJSON_PrintUnformatted(leaf);
    len = strlen(text) + MORE;
    cJSON_free(text);
    if (len < bytes && pad < sizeof reason - 1) {
        pad++; /* they grow until they are long enough */
    } else if (len > bytes && pad > 0) {
        pad--;
    }
    must(cv_log_append(log, leaf, NULL, err), err);
    cJSON_Delete(leaf);
}

static int make(const char *dir, unsigned long records, size_t bytes)
{
    struct cv_note_key key;
    struct cv_log *log = NULL;
    struct cv_err err;
    int fd = -1;

    cv_err_init(&err);
    if (mkdir(dir, 0700) != 0) {
        perror(dir);
        return 1;
    }
    must(cv_file_open_folder(dir, &fd, &err), &err);
    must(cv_logkey_create(fd, "certvault.example/bench", &key, &err), &err);
    must(cv_log_open(fd, CV_LOG_CREATE, &log, &err), &err);
    for (unsigned long i = 0; i < records; i++) {
        append(log, i, bytes, &err);
        if (i % 10000 == 9999 || i + 1 == records) {
            must(cv_log_commit(log, &err), &err);
        }
    }
    if (getenv("CV_TILES") != NULL) {
        must(cv_tiles_update(fd, records, &err), &err);
    }
    printf("%lu records, %llu bytes each\n", records,
           (unsigned long long)(cv_log_bytes(log) / records));
    cv_log_close(log);
    cv_file_close(&fd);
    return 0;
}

/* One pass over the same bytes, read as verify reads them. */
static struct took one_pass(int dir)
{
    static unsigned char bytes[1 << 20];
    unsigned char out[32];
    struct took begin = now();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int fd = openat(dir, "audit/log", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    (void)EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        (void)EVP_DigestUpdate(ctx, bytes, (size_t)n);
    }
    (void)EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    (void)close(fd);
    return since(begin);
}

static struct took verify(int dir, unsigned threads)
{
    const struct cv_verify_options options = {.threads = threads};
    struct cv_err err;
    cJSON *report = NULL;
    struct took begin = now();

    cv_err_init(&err);
    must(cv_verify_log(dir, &options, &report, &err), &err);
    cJSON_Delete(report);
    return since(begin);
}

static int run(const char *dir, unsigned rounds)
{
    struct rusage usage;
    struct cv_err err;
    int fd = -1;

    cv_err_init(&err);
    must(cv_file_open_folder(dir, &fd, &err), &err);
    (void)one_pass(fd); /* into the cache */
    for (unsigned i = 0; i < rounds; i++) {
        struct took pass = one_pass(fd), one = verify(fd, 1),
                    two = verify(fd, 2);

        printf("%.4f %.4f %.4f %.4f %.4f %.4f\n", pass.wall, one.wall, two.wall,
               pass.cpu, one.cpu, two.cpu);
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("%ld\n", usage.ru_maxrss);
    cv_file_close(&fd);
    return 0;
}

int main(int argc, char **argv)
{
    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK) {
        return 1;
    }
    cv_json_start();
    (void)umask(077);
    if (argc == 5 && strcmp(argv[1], "make") == 0) {
        return make(argv[2], strtoul(argv[3], NULL, 10),
                    strtoul(argv[4], NULL, 10));
    }
    if (argc == 4 && strcmp(argv[1], "run") == 0) {
        return run(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    }
    (void)fprintf(stderr, "see the beginning of the source\n");
    return 64;
}
