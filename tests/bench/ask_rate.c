/* Questions to a log of many records:
 *
 *     ask_rate fill DIR RECORDS     appends so many to the log of a vault that
 *                                   nobody serves
 *     ask_rate run DIR ROUNDS       makes its index (in steps, the longest is
 *                                   told), then asks by entry, interleaved: by
 *                                   the index, and by a scan
 *
 * Each round is a line: milliseconds of the query and of `who` by the index,
 * then of the query by a scan; and how many leaves were found. */
#include "vault/audit/index.h"
#include "vault/audit/leaf.h"
#include "vault/audit/log.h"
#include "vault/audit/query.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRIES 1000

static void must(enum cv_status status, const struct cv_err *err)
{
    if (status != CV_OK) {
        (void)fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static double now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A permit and its outcome by turns, now and then a denial. */
static void append(struct cv_log *log, unsigned long i, struct cv_err *err)
{
    static char op[CV_LEAF_OP + 1];
    struct cv_leaf l;
    char entry[32], user[16];
    cJSON *leaf = NULL;
    const bool denied = i % 20 == 0;

    if (i % 2 == 0) {
        cv_leaf_new_op(op);
    }
    (void)snprintf(entry, sizeof entry, "prod-%lu", i / 2 % ENTRIES);
    (void)snprintf(user, sizeof user, "user%lu", i / 2 % 37);
    cv_leaf_init(&l);
    l.op = op;
    l.phase = i % 2 == 0 ? CV_LEAF_DECISION : CV_LEAF_OUTCOME;
    l.decision = i % 2 != 0 ? CV_LEAF_NONE
                 : denied   ? CV_LEAF_DENY
                            : CV_LEAF_PERMIT;
    l.outcome = i % 2 == 0 ? NULL : "ok";
    l.mode = "service";
    l.host = "host.example";
    l.user = user;
    l.uid = 1000;
    l.action = i % 10 < 2 ? "export" : "use";
    l.entry = entry;
    l.reason = "a reason of ordinary length, as people type them";
    must(cv_leaf_build(&l, &leaf, err), err);
    must(cv_log_append(log, leaf, NULL, err), err);
    cJSON_Delete(leaf);
}

static void fill(int dir, unsigned long records)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    must(cv_log_open(dir, CV_LOG_WRITE, &log, &err), &err);
    for (unsigned long i = 0; i < records; i++) {
        append(log, i, &err);
        if (i % 10000 == 9999 || i + 1 == records) {
            must(cv_log_commit(log, &err), &err);
        }
    }
    printf("%llu records, %llu bytes\n", (unsigned long long)cv_log_size(log),
           (unsigned long long)cv_log_bytes(log));
    cv_log_close(log);
}

static void build(int dir)
{
    struct cv_index_told told;
    struct cv_err err;
    double begin = now_ms(), longest = 0;

    cv_err_init(&err);
    must(cv_index_remove(dir, &err), &err);
    do {
        double step = now_ms();

        must(cv_index_update(dir, 0, &told, &err), &err);
        step = now_ms() - step;
        longest = step > longest ? step : longest;
    } while (!told.done);
    printf("index of %llu records: %.0f ms, longest step %.1f ms\n",
           (unsigned long long)told.size, now_ms() - begin, longest);
}

static double ask(int dir, const char *entry, bool who, bool indexed, int *n)
{
    struct cv_query_filter f;
    struct cv_err err;
    cJSON *items = NULL;
    double begin = now_ms();

    cv_err_init(&err);
    cv_query_init(&f);
    f.entry = entry;
    f.indexed = indexed;
    must(who ? cv_query_who(dir, &f, &items, &err)
             : cv_query_items(dir, &f, &items, &err),
         &err);
    begin = now_ms() - begin;
    *n = cJSON_GetArraySize(items);
    cJSON_Delete(items);
    return begin;
}

static void run(int dir, unsigned long rounds)
{
    build(dir);
    for (unsigned long i = 0; i < rounds; i++) {
        char entry[32];
        int n = 0, m = 0, k = 0;
        double query, who, scan;

        (void)snprintf(entry, sizeof entry, "prod-%lu", i * 37 % ENTRIES);
        query = ask(dir, entry, false, true, &n);
        who = ask(dir, entry, true, true, &k);
        scan = ask(dir, entry, false, false, &m);
        printf("%.2f %.2f %.1f %d\n", query, who, scan, n == m ? n : -1);
    }
}

int main(int argc, char **argv)
{
    struct cv_err err;
    int dir = -1;

    if (argc != 4 ||
        (strcmp(argv[1], "fill") != 0 && strcmp(argv[1], "run") != 0)) {
        (void)fprintf(stderr, "ask_rate fill|run DIR N\n");
        return 64;
    }
    cv_json_start();
    cv_err_init(&err);
    must(cv_file_open_folder(argv[2], &dir, &err), &err);
    if (strcmp(argv[1], "fill") == 0) {
        fill(dir, strtoul(argv[3], NULL, 10));
    } else {
        run(dir, strtoul(argv[3], NULL, 10));
    }
    cv_file_close(&dir);
    return 0;
}
