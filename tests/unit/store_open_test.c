/* Making and opening the store, and every way in which its file can be wrong.
 */
#include "store_test.h"
#include "tests/unit/full.h"

#include "vault/base/file.h"
#include "vault/store/store_internal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static enum cv_status try_open(const struct store_folder *f)
{
    struct cv_store *store = NULL;
    struct cv_err err;
    enum cv_status status;

    cv_err_init(&err);
    status = cv_store_open(f->path, f->fd, &store, &err);
    assert_int_equal(status == CV_OK, store != NULL);
    assert_int_equal(err.status, status);
    cv_store_close(store);
    return status;
}

/* Opened, and everything read. */
static enum cv_status try_all(const struct store_folder *f)
{
    struct cv_store *store = NULL;
    enum cv_status status = cv_store_open(f->path, f->fd, &store, NULL);

    if (status == CV_OK) {
        status = cv_store_check(store, NULL);
    }
    cv_store_close(store);
    return status;
}

static void fill(struct cv_store *store, unsigned n)
{
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    for (unsigned i = 0; i < n; i++) {
        struct store_test_room room;
        struct cv_store_entry e = store_test_entry(&room, i);

        assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
    }
    assert_int_equal(cv_store_commit(store, NULL), CV_OK);
}

static void test_create(void **state)
{
    struct store_folder f;
    struct cv_store *store, *second = NULL;
    struct stat st;
    static const char *const names[] = {"vault.db", "vault.db-wal",
                                        "vault.db-shm"};

    (void)state;
    store_test_folder(&f);
    assert_int_equal(try_open(&f), CV_NOT_FOUND);
    assert_int_equal(cv_store_create(f.path, f.fd, "short", &store, NULL),
                     CV_INVALID);
    store = store_test_create(&f);
    assert_string_equal(cv_store_vault_id(store), STORE_TEST_ID);
    fill(store, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fstatat(f.fd, names[i], &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    assert_int_equal(faccessat(f.fd, "vault.db.new", F_OK, 0), -1);
    assert_int_equal(
        cv_store_create(f.path, f.fd, STORE_TEST_ID, &second, NULL), CV_EXISTS);
    assert_null(second);
    cv_store_close(store);
    cv_store_close(NULL);
    assert_int_equal(try_all(&f), CV_OK);
    /* what a killed init left */
    assert_int_equal(unlinkat(f.fd, "vault.db", 0), 0);
    store_test_write(&f, "vault.db.new", "half", 4);
    store = store_test_create(&f);
    cv_store_close(store);
    store_test_remove(&f);
}

static void test_wrong_files(void **state)
{
    static const char zeros[8192];
    struct store_folder f, g;
    size_t len;
    uint8_t *bytes;
    struct cv_store *store = NULL;

    (void)state;
    store_test_folder(&f);
    store_test_folder(&g);
    cv_store_close(store_test_create(&f));
    bytes = store_test_read(&f, "vault.db", &len);
    store_test_write(&f, "vault.db", "", 0);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    store_test_write(&f, "vault.db", zeros, sizeof zeros);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    store_test_write(&f, "vault.db", "not a database at all", 21);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    store_test_write(&f, "vault.db", bytes, 100);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    store_test_write(&f, "vault.db", bytes, len / 2);
    assert_int_equal(try_all(&f), CV_INTEGRITY);
    bytes[63]++; /* user_version: a schema to come */
    store_test_write(&f, "vault.db", bytes, len);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    bytes[63]--;
    bytes[68] ^= 1; /* application_id: another program's */
    store_test_write(&f, "vault.db", bytes, len);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    bytes[68] ^= 1;
    store_test_write(&f, "vault.db", bytes, len);
    assert_int_equal(try_all(&f), CV_OK);
    assert_int_equal(unlinkat(f.fd, "vault.db", 0), 0);
    store_test_write(&f, "vault.db-wal", "x", 1);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    assert_int_equal(unlinkat(f.fd, "vault.db-wal", 0), 0);
    assert_int_equal(try_open(&f), CV_NOT_FOUND);
    /* not a file of ours alone */
    assert_int_equal(symlinkat("elsewhere", f.fd, "vault.db"), 0);
    assert_int_equal(try_open(&f), CV_CONFIG);
    assert_int_equal(unlinkat(f.fd, "vault.db", 0), 0);
    store_test_write(&f, "vault.db", bytes, len);
    assert_int_equal(fchmodat(f.fd, "vault.db", 0644, 0), 0);
    assert_int_equal(try_open(&f), CV_CONFIG);
    assert_int_equal(fchmodat(f.fd, "vault.db", 0600, 0), 0);
    assert_int_equal(linkat(f.fd, "vault.db", f.fd, "other", 0), 0);
    assert_int_equal(try_open(&f), CV_CONFIG);
    assert_int_equal(unlinkat(f.fd, "other", 0), 0);
    /* a folder that is not the one that was opened */
    assert_int_equal(cv_store_open(g.path, f.fd, &store, NULL), CV_CONFIG);
    free(bytes);
    store_test_remove(&f);
    store_test_remove(&g);
}

static void test_folder_by_link(void **state)
{
    struct store_folder f;
    struct cv_store *store = NULL;
    char link[160];

    (void)state;
    store_test_folder(&f);
    cv_store_close(store_test_create(&f));
    (void)snprintf(link, sizeof link, "%s.link", f.path);
    assert_int_equal(symlink(f.path, link), 0);
    assert_int_equal(cv_store_open(link, f.fd, &store, NULL), CV_OK);
    cv_store_close(store);
    assert_int_equal(unlink(link), 0);
    store_test_remove(&f);
}

/* The entry is there as it was put. */
static void check_one(const struct store_folder *f, unsigned nr)
{
    struct cv_store *store = store_test_open(f);
    struct store_test_room room;
    struct cv_store_entry want = store_test_entry(&room, nr), *e = NULL;

    assert_int_equal(cv_store_entry_by_name(store, want.name, true, &e, NULL),
                     CV_OK);
    assert_string_equal(e->entry_id, want.entry_id);
    assert_string_equal(e->labels, want.labels);
    assert_string_equal(e->doc, want.doc);
    assert_string_equal(e->body, want.body);
    assert_int_equal(e->not_after, want.not_after);
    assert_int_equal(e->sealed.len, want.sealed.len);
    assert_memory_equal(e->sealed.data, want.sealed.data, want.sealed.len);
    cv_store_entry_free(e);
    cv_store_close(store);
}

/* Any byte of any page: seen at the open or when it is read, or it was of no
 * account; never another answer. */
static void test_flips(void **state)
{
    unsigned rounds = cv_full_run() ? 20000 : 600;
    unsigned seen = 0;
    struct store_folder f;
    struct cv_store *store;
    size_t len;
    uint8_t *bytes;
    uint64_t x = 1;

    (void)state;
    store_test_folder(&f);
    store = store_test_create(&f);
    fill(store, 50);
    cv_store_close(store);
    bytes = store_test_read(&f, "vault.db", &len);
    for (unsigned i = 0; i < rounds; i++) {
        size_t at;
        enum cv_status status;

        x = x * UINT64_C(6364136223846793005) + 1442695041;
        at = (size_t)(x >> 20) % len;
        bytes[at] ^= (uint8_t)(1 << (x >> 60) % 8);
        store_test_write(&f, "vault.db", bytes, len);
        status = try_all(&f);
        if (status != CV_OK && status != CV_INTEGRITY) {
            fail_msg("byte %zu: status %d", at, status);
        }
        seen += status == CV_INTEGRITY;
        if (status == CV_OK) {
            check_one(&f, i % 50);
        }
        bytes[at] ^= (uint8_t)(1 << (x >> 60) % 8);
        (void)unlinkat(f.fd, "vault.db-wal", 0);
        (void)unlinkat(f.fd, "vault.db-shm", 0);
    }
    /* About half of the file is entries; the rest is free space in pages. */
    print_message("%u of %u flips seen\n", seen, rounds);
    assert_true(seen > rounds / 5 * 2);
    free(bytes);
    store_test_remove(&f);
}

/* A row of another vault's store, byte for byte: its digest is over its own
 * vault's id. */
static void test_foreign_row(void **state)
{
    struct store_folder f;
    struct cv_store *store = NULL;
    struct cv_store_entry *e = NULL;
    sqlite3 *db = NULL;
    char path[200];

    (void)state;
    store_test_folder(&f);
    store = store_test_create(&f);
    fill(store, 2);
    cv_store_close(store);
    (void)snprintf(path, sizeof path, "%s/vault.db", f.path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE entries SET name = 'prod-x' WHERE id = 1",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    store = store_test_open(&f);
    assert_int_equal(cv_store_entry_by_name(store, "prod-x", false, &e, NULL),
                     CV_INTEGRITY);
    assert_null(e);
    assert_int_equal(
        cv_store_entry_by_name(store, "test-00001", true, &e, NULL), CV_OK);
    cv_store_entry_free(e);
    cv_store_close(store);
    /* the sealed key of one entry put under another */
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DELETE FROM boxes WHERE id = 2;"
                                  "UPDATE boxes SET id = 2 WHERE id = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    store = store_test_open(&f);
    assert_int_equal(
        cv_store_entry_by_name(store, "test-00001", true, &e, NULL),
        CV_INTEGRITY);
    cv_store_close(store);
    /* another vault's id */
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE meta SET value = "
                                  "'ffffffffffffffffffffffffffffffff'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(try_open(&f), CV_INTEGRITY);
    store_test_remove(&f);
}

static void test_labels_index(void **state)
{
    struct store_folder f;
    struct cv_store *store;
    sqlite3 *db = NULL;
    char path[200];

    (void)state;
    store_test_folder(&f);
    store = store_test_create(&f);
    fill(store, 5);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
    cv_store_close(store);
    (void)snprintf(path, sizeof path, "%s/vault.db", f.path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DELETE FROM labels WHERE id = 3 AND "
                                  "key = 'env'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(try_all(&f), CV_INTEGRITY);
    store_test_remove(&f);
}

static void test_meta(void **state)
{
    struct store_folder f;
    struct cv_store *store;
    struct cv_buf b;

    (void)state;
    store_test_folder(&f);
    store = store_test_create(&f);
    cv_buf_init(&b, NULL, 1024);
    assert_int_equal(cv_store_meta_get(store, "public_key", &b, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(cv_store_meta_put(store, "public_key", "abc", NULL),
                     CV_OK);
    assert_int_equal(cv_store_meta_put(store, "public_key", "def", NULL),
                     CV_OK);
    assert_int_equal(cv_store_meta_get(store, "public_key", &b, NULL), CV_OK);
    assert_string_equal(cv_buf_text(&b), "def");
    cv_buf_wipe(&b);
    cv_store_close(store);
    store = store_test_open(&f);
    assert_int_equal(cv_store_meta_get(store, "public_key", &b, NULL), CV_OK);
    assert_string_equal(cv_buf_text(&b), "def");
    cv_buf_wipe(&b);
    cv_store_close(store);
    store_test_remove(&f);
}

static void test_transactions(void **state)
{
    struct store_folder f;
    struct cv_store *a, *b;
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 1);
    uint64_t n = 9;

    (void)state;
    store_test_folder(&f);
    a = store_test_create(&f);
    b = store_test_open(&f);
    assert_int_equal(cv_store_commit(a, NULL), CV_INTERNAL);
    cv_store_rollback(a);
    assert_int_equal(cv_store_begin(a, NULL), CV_OK);
    assert_true(cv_store_in_transaction(a));
    assert_int_equal(cv_store_begin(a, NULL), CV_INTERNAL);
    assert_int_equal(cv_store_entry_put(a, &e, NULL), CV_OK);
    assert_int_equal(cv_store_entry_count(a, &n, NULL), CV_OK);
    assert_int_equal(n, 1);
    /* the other sees committed rows alone */
    assert_int_equal(cv_store_entry_count(b, &n, NULL), CV_OK);
    assert_int_equal(n, 0);
    cv_store_rollback(a);
    assert_false(cv_store_in_transaction(a));
    assert_int_equal(cv_store_entry_count(a, &n, NULL), CV_OK);
    assert_int_equal(n, 0);
    assert_int_equal(cv_store_entry_put(a, &e, NULL), CV_OK);
    assert_int_equal(cv_store_entry_count(b, &n, NULL), CV_OK);
    assert_int_equal(n, 1);
    /* left open: closed as if it had never been */
    assert_int_equal(cv_store_begin(a, NULL), CV_OK);
    assert_int_equal(cv_store_entry_remove(a, e.entry_id, NULL), CV_OK);
    cv_store_close(a);
    assert_int_equal(cv_store_entry_count(b, &n, NULL), CV_OK);
    assert_int_equal(n, 1);
    cv_store_close(b);
    store_test_remove(&f);
}

static void check_setting(const struct cv_store *store, const char *name,
                          const char *want)
{
    sqlite3_stmt *s = NULL;
    char sql[64];

    (void)snprintf(sql, sizeof sql, "PRAGMA %s", name);
    assert_int_equal(sqlite3_prepare_v2(store->db, sql, -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(s, 0), want);
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

static void test_settings(void **state)
{
    struct store_folder f;
    struct cv_store *store;

    (void)state;
    store_test_folder(&f);
    cv_store_close(store_test_create(&f));
    store = store_test_open(&f);
    check_setting(store, "journal_mode", "wal");
    check_setting(store, "synchronous", "2");
    check_setting(store, "secure_delete", "1");
    check_setting(store, "foreign_keys", "1");
    check_setting(store, "trusted_schema", "0");
    check_setting(store, "cell_size_check", "1");
    check_setting(store, "mmap_size", "0");
    check_setting(store, "temp_store", "2");
    cv_store_close(store);
    store_test_remove(&f);
}

/* Two writers at once: the second waits, then says so. */
static void test_busy(void **state)
{
    struct store_folder f;
    struct cv_store *a, *b;
    struct cv_err err;

    (void)state;
    store_test_folder(&f);
    a = store_test_create(&f);
    b = store_test_open(&f);
    assert_int_equal(cv_store_begin(a, NULL), CV_OK);
    cv_err_init(&err);
    assert_int_equal(sqlite3_busy_timeout(b->db, 20), SQLITE_OK);
    assert_int_equal(cv_store_meta_put(b, "x", "y", &err), CV_BUSY);
    assert_true(err.hint[0] != '\0');
    cv_store_rollback(a);
    assert_int_equal(cv_store_meta_put(b, "x", "y", NULL), CV_OK);
    cv_store_close(a);
    cv_store_close(b);
    store_test_remove(&f);
}

/* Killed in the middle of a transaction, and right after one. */
static void test_killed(void **state)
{
    struct store_folder f;
    struct cv_store *store;
    uint64_t n = 0;
    int wait_status = 0;
    pid_t pid;

    (void)state;
    store_test_folder(&f);
    cv_store_close(store_test_create(&f));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_test_room room;
        struct cv_store_entry e;

        store = store_test_open(&f);
        fill(store, 10);
        e = store_test_entry(&room, 100);
        if (cv_store_begin(store, NULL) != CV_OK ||
            cv_store_entry_put(store, &e, NULL) != CV_OK) {
            _exit(1);
        }
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(WEXITSTATUS(wait_status), 9);
    store = store_test_open(&f);
    assert_int_equal(cv_store_entry_count(store, &n, NULL), CV_OK);
    assert_int_equal(n, 10);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
    cv_store_close(store);
    store_test_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_folder_by_link),
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_foreign_row),
        cmocka_unit_test(test_labels_index),
        cmocka_unit_test(test_meta),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests(tests, store_test_start, NULL);
}
