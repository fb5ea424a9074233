/* The index of the log: random logs and questions, answered with it and without
 * it, must come to the same; whatever is done to its file. */
#include "audit_test.h"
#include "full.h"

#include "vault/audit/index_internal.h"
#include "vault/audit/query.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE 1790000000
#define OPS 64 /* that an outcome may still come for */

static struct audit_vault vault;
static struct cv_log *writer;
static uint64_t state;
static int64_t now_s;
static char open_ops[OPS][CV_LEAF_OP + 1];
static const char *open_actions[OPS];

static const char *const users[] = {"alice",
                                    "b\xc3\xb6"
                                    "b",
                                    "carol \"c\"", "1000", NULL};
static const char *const actions[] = {"use",    "export", "sign.raw",
                                      "issue",  "list",   "edit",
                                      "remove", "fetch",  "audit.read"};
static const char *const names[] = {"prod-a", "prod-b",  "prod-c", "test/a",
                                    "test/b", "a.b.c-d", "x"};

static uint64_t seed_of_run(void)
{
    const char *given = getenv("CV_SEED");

    return given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid();
}

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % below;
}

#define PICK(list) (list)[draw(sizeof(list) / sizeof((list)[0]))]

static void start(uint64_t seed)
{
    state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    now_s = BASE;
    memset(open_ops, 0, sizeof open_ops);
    audit_test_vault(&vault);
    assert_int_equal(cv_log_open(vault.fd, CV_LOG_WRITE, &writer, NULL), CV_OK);
}

static void end(void)
{
    cv_log_close(writer);
    audit_test_remove(&vault);
}

static void entry_of(struct cv_leaf *l, char id[33])
{
    if (draw(8) != 0) {
        l->entry = PICK(names);
    }
    if (draw(4) != 0) {
        (void)snprintf(id, 33, "%032llx", (unsigned long long)draw(9) * 7919);
        l->entry_id = id;
    }
}

static void append_one(void)
{
    struct cv_leaf l;
    char id[33];
    size_t slot = draw(OPS);
    bool outcome = open_ops[slot][0] != '\0' && draw(2) == 0;
    cJSON *leaf = NULL;

    cv_leaf_init(&l);
    now_s += draw(200) == 0 ? -(int64_t)draw(3000) : (int64_t)draw(40);
    l.phase = outcome ? CV_LEAF_OUTCOME : CV_LEAF_DECISION;
    l.decision = draw(4) == 0 ? CV_LEAF_DENY : CV_LEAF_PERMIT;
    if (l.decision == CV_LEAF_DENY) {
        l.status = draw(2) == 0 ? CV_DENIED : CV_NOT_FOUND;
    }
    l.mode = "agent";
    l.host = "host";
    l.time_s = now_s;
    l.uid = (uid_t)(1000 + draw(3));
    l.user = PICK(users);
    if (outcome) {
        l.op = open_ops[slot];
        l.action = open_actions[slot];
        l.decision = CV_LEAF_PERMIT;
        l.outcome = draw(3) == 0 ? "failed" : "ok";
        l.status = strcmp(l.outcome, "ok") == 0 ? CV_OK : CV_IO;
    } else {
        cv_leaf_new_op(open_ops[slot]);
        l.op = open_ops[slot];
        l.action = open_actions[slot] = PICK(actions);
    }
    entry_of(&l, id);
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    assert_int_equal(cv_log_append(writer, leaf, NULL, NULL), CV_OK);
    cJSON_Delete(leaf);
    if (outcome && draw(4) != 0) {
        open_ops[slot][0] = '\0';
    }
}

static void append(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        append_one();
    }
    assert_int_equal(cv_log_commit(writer, NULL), CV_OK);
}

static void update(void)
{
    struct cv_index_told told = {0};

    do {
        assert_int_equal(cv_index_update(vault.fd, 0, &told, NULL), CV_OK);
    } while (!told.done);
    assert_int_equal(told.size, cv_log_size(writer));
}

/* ---- questions ---- */

struct question {
    struct cv_query_filter filter;
    char actor[16], id[33];
};

static void make_question(struct question *q)
{
    struct cv_query_filter *f = &q->filter;

    cv_query_init(f);
    if (draw(3) == 0) {
        f->actor = PICK(users);
    } else if (draw(4) == 0) {
        (void)snprintf(q->actor, sizeof q->actor, "%s%d",
                       draw(2) == 0 ? "uid:" : "", 999 + (int)draw(5));
        f->actor = q->actor;
    }
    if (draw(3) == 0) {
        f->action = draw(4) == 0 ? "*e*" : PICK(actions);
    }
    if (draw(2) == 0) {
        f->entry = draw(4) == 0 ? "prod-?" : PICK(names);
    }
    if (draw(3) == 0) {
        (void)snprintf(q->id, sizeof q->id, "%032llx",
                       (unsigned long long)draw(10) * 7919);
        f->entry_id = q->id;
    }
    if (draw(4) == 0) {
        f->outcome = draw(2) == 0 ? "ok" : draw(2) == 0 ? "deny" : "permit";
        f->outcome = draw(4) != 0   ? f->outcome
                     : draw(2) == 0 ? "denied"
                                    : "refused";
    }
    if (draw(4) == 0) {
        f->since_s = BASE + (int64_t)draw((uint64_t)(now_s - BASE + 19000));
    }
    if (draw(4) == 0) {
        f->until_s = BASE + (int64_t)draw((uint64_t)(now_s - BASE + 19000));
    }
    if (draw(3) == 0) {
        f->limit = 1 + draw(draw(2) == 0 ? 5 : 3000);
    }
}

static char *answer(const struct cv_query_filter *f, bool who, bool indexed,
                    bool *distrusted)
{
    struct cv_query_filter own = *f;
    cJSON *items = NULL;
    char *text;
    struct cv_err err;
    enum cv_status status;

    cv_err_init(&err);
    own.indexed = indexed;
    own.distrusted = distrusted;
    status = who ? cv_query_who(vault.fd, &own, &items, &err)
                 : cv_query_items(vault.fd, &own, &items, &err);
    if (status != CV_OK) {
        fail_msg("%s", err.text);
    }
    text = cJSON_PrintUnformatted(items);
    cJSON_Delete(items);
    return text;
}

/* True where the index was there and was not believed. */
static bool compare(unsigned n)
{
    bool distrusted = false;

    for (unsigned i = 0; i < n && !distrusted; i++) {
        struct question q;
        bool who = draw(3) == 0;
        char *with, *without;

        make_question(&q);
        if (who && q.filter.entry == NULL) {
            q.filter.entry = names[0];
        }
        with = answer(&q.filter, who, true, &distrusted);
        without = answer(&q.filter, who, false, NULL);
        assert_string_equal(with, without);
        cJSON_free(with);
        cJSON_free(without);
    }
    return distrusted;
}

static void test_differential(void **unused)
{
    const uint64_t seed = seed_of_run();
    const unsigned logs = cv_full_run() ? 60 : 3;

    (void)unused;
    print_message("CV_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < logs; i++) {
        start(seed + i);
        for (unsigned k = 0; k < 6; k++) {
            append((unsigned)(1 + draw(k % 2 == 0 ? 40 : 900)));
            if (draw(4) != 0) {
                update();
                assert_int_equal(cv_index_check(vault.fd, NULL), CV_OK);
            }
            assert_false(compare(20));
        }
        end();
    }
}

/* ---- places ---- */

static enum cv_status count_one(void *ctx, uint64_t seq, struct cv_bytes leaf,
                                struct cv_err *err)
{
    uint64_t *next = ctx;

    (void)leaf;
    (void)err;
    assert_int_equal(seq, *next);
    ++*next;
    return CV_OK;
}

static void test_places(void **unused)
{
    struct cv_query_cursor cursor;
    struct cv_buf leaf;
    uint64_t next;

    (void)unused;
    start(7);
    append(5000);
    update();
    append(100);
    for (uint64_t last = 1; last < 6000; last = last * 3 + 1) {
        next = last > 5100 ? 0 : 5100 - last;
        assert_int_equal(
            cv_query_tail(vault.fd, last, &cursor, count_one, &next, NULL),
            CV_OK);
        assert_int_equal(next, 5100);
        assert_int_equal(cursor.seq, 5100);
    }
    for (uint64_t seq = 0; seq < 5100; seq += 333) {
        char want[40];

        cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
        assert_int_equal(cv_query_record(vault.fd, seq, &leaf, NULL), CV_OK);
        (void)snprintf(want, sizeof want, "\"seq\":%llu,",
                       (unsigned long long)seq);
        assert_non_null(strstr(cv_buf_text(&leaf), want));
        cv_buf_wipe(&leaf);
    }
    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    assert_int_equal(cv_query_record(vault.fd, 5100, &leaf, NULL),
                     CV_NOT_FOUND);
    cv_buf_wipe(&leaf);
    end();
}

/* ---- what is done to its file ---- */

static void path_of(char out[256])
{
    (void)snprintf(out, 256, "%s/%s", vault.path, CV_INDEX_FILE);
}

static void sql(const char *text)
{
    char path[256];
    sqlite3 *db = NULL;

    path_of(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

/* Each is noticed, by a question or at the latest by the check; then the index
 * is made again. */
static const char *const edits[] = {
    "DELETE FROM word WHERE kind = 0 AND text = x'70726f642d61'",
    "DELETE FROM word",
    "DELETE FROM chunk WHERE word = 1",
    "DELETE FROM chunk",
    "DELETE FROM segment WHERE n = 1",
    "DELETE FROM meta",
    "UPDATE word SET text = x'7a' WHERE text = x'70726f642d61'",
    "UPDATE word SET n = n - 1 WHERE id = 2",
    "UPDATE chunk SET data = substr(data, 1, length(data) - 3)",
    "UPDATE chunk SET data = x''",
    "UPDATE segment SET offset = offset + 1",
    "UPDATE segment SET until = '2000-01-01T00:00:00Z'",
    "UPDATE segment SET until = 'x'",
    "UPDATE meta SET size = size - 1",
    "UPDATE meta SET offset = offset + 8",
    "UPDATE meta SET leaf = zeroblob(32)",
    "UPDATE meta SET sum = 'x'",
    "DROP TABLE chunk",
    "DROP TABLE word",
    "PRAGMA application_id = 1",
    "PRAGMA user_version = 0",
};

static void test_edits(void **unused)
{
    (void)unused;
    start(11);
    append(1500);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        struct cv_index_told told;

        update();
        assert_int_equal(cv_index_check(vault.fd, NULL), CV_OK);
        sql(edits[i]);
        print_message("%s\n", edits[i]);
        assert_int_equal(cv_index_check(vault.fd, NULL), CV_INTEGRITY);
        assert_true(compare(60));
        /* what a question noticed, the broker removes */
        assert_int_equal(cv_index_remove(vault.fd, NULL), CV_OK);
        assert_int_equal(cv_index_update(vault.fd, 0, &told, NULL), CV_OK);
        assert_false(compare(5));
    }
    end();
}

static void test_newer(void **unused)
{
    struct cv_index_told told;
    uint8_t *before, *after;
    size_t n_before, n_after;

    (void)unused;
    start(12);
    append(300);
    update();
    sql("PRAGMA user_version = 2");
    before = audit_test_read(&vault, CV_INDEX_FILE, &n_before);
    assert_false(compare(20));
    assert_int_equal(cv_index_update(vault.fd, 0, &told, NULL), CV_OK);
    assert_int_equal(told.state, CV_INDEX_NEWER);
    assert_true(told.done);
    assert_int_equal(cv_index_check(vault.fd, NULL), CV_OK);
    after = audit_test_read(&vault, CV_INDEX_FILE, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_after);
    free(before);
    free(after);
    end();
}

/* Of another log; of this one with its end changed; of a longer one. */
static void test_foreign(void **unused)
{
    struct cv_index_told told;
    uint8_t *other;
    size_t len;

    (void)unused;
    start(13);
    append(400);
    update();
    other = audit_test_read(&vault, CV_INDEX_FILE, &len);
    end();
    start(14);
    append(900);
    audit_test_write(&vault, CV_INDEX_FILE, other, len);
    free(other);
    assert_true(compare(20));
    assert_int_equal(cv_index_check(vault.fd, NULL), CV_INTEGRITY);
    assert_int_equal(cv_index_update(vault.fd, 0, &told, NULL), CV_OK);
    assert_int_equal(told.state, CV_INDEX_FOREIGN);
    assert_int_equal(told.size, 900);
    assert_false(compare(20));
    assert_int_equal(cv_index_check(vault.fd, NULL), CV_OK);
    end();
}

/* Garbage of each kind: bytes flipped anywhere, cut off anywhere, nothing. */
static void test_garbage(void **unused)
{
    const uint64_t seed = seed_of_run();
    const unsigned n = cv_full_run() ? 1500 : 40;
    uint8_t *good, *bad;
    size_t len;

    (void)unused;
    print_message("CV_SEED=%llu\n", (unsigned long long)seed);
    start(seed);
    append(700);
    update();
    good = audit_test_read(&vault, CV_INDEX_FILE, &len);
    bad = malloc(len);
    assert_non_null(bad);
    for (unsigned i = 0; i < n; i++) {
        size_t cut = len;

        memcpy(bad, good, len);
        if (i % 4 == 0) {
            cut = i == 0 ? 0 : draw(len);
        } else if (i % 4 == 1) {
            size_t at = draw(len - 600);

            for (size_t k = 0; k < 512; k++) {
                bad[at + k] = (uint8_t)draw(256);
            }
        } else {
            bad[draw(len)] ^= (uint8_t)(1U << draw(8));
        }
        audit_test_write(&vault, CV_INDEX_FILE, bad, cut);
        (void)compare(4);
    }
    free(good);
    free(bad);
    end();
}

static void test_modes(void **unused)
{
    char path[256];
    sqlite3 *db = NULL;
    struct cv_index_told told;

    (void)unused;
    start(15);
    append(500);
    update();
    path_of(path);
    /* another process writes */
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_false(compare(10));
    append(50);
    assert_int_equal(cv_index_update(vault.fd, 0, &told, NULL), CV_OK);
    assert_true(told.done);
    assert_false(compare(10));
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_close(db);
    /* a link, and open to others */
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(compare(3));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_true(compare(3));
    update();
    assert_false(compare(3));
    end();
}

/* A hit that the log does not bear out, though all sums are right. */
static void test_lies(void **unused)
{
    struct cv_query_filter f;
    struct cv_index x;
    struct cv_index_word w;
    struct cv_index_sum sum;
    struct cv_err err;
    sqlite3_stmt *s;
    cJSON *items = NULL;

    (void)unused;
    start(16);
    append(500);
    update();
    assert_int_equal(cv_index_open(vault.fd, true, &x), CV_INDEX_READY);
    s = cv_index_prepare(&x, "SELECT " CV_INDEX_WORD " FROM word WHERE kind = 0"
                             " AND text = x'78'");
    assert_true(cv_index_row(&x, s));
    cv_index_read_word(s, &w);
    sum = cv_index_sum_word(&w);
    cv_index_sum_take(&x.meta.words, &sum);
    w.text = (struct cv_bytes){(const uint8_t *)"prod-!", 6};
    sum = cv_index_sum_word(&w);
    cv_index_sum_add(&x.meta.words, &sum);
    (void)sqlite3_finalize(s);
    (void)sqlite3_exec(x.db,
                       "UPDATE word SET text = CAST('prod-!' AS BLOB) WHERE "
                       "kind = 0 AND text = x'78'",
                       NULL, NULL, NULL);
    cv_index_put_meta(&x);
    assert_true(cv_index_close(&x, true));
    cv_query_init(&f);
    f.indexed = true;
    f.entry = "prod-!";
    cv_err_init(&err);
    assert_int_equal(cv_query_items(vault.fd, &f, &items, &err), CV_INTEGRITY);
    assert_non_null(strstr(err.hint, "audit rebuild"));
    assert_int_equal(cv_query_who(vault.fd, &f, &items, &err), CV_INTEGRITY);
    assert_int_equal(cv_index_check(vault.fd, NULL), CV_INTEGRITY);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differential), cmocka_unit_test(test_places),
        cmocka_unit_test(test_edits),        cmocka_unit_test(test_newer),
        cmocka_unit_test(test_foreign),      cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_modes),        cmocka_unit_test(test_lies),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
