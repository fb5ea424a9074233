#include "vault/store/store.h"

#include "vault/base/file.h"
#include "vault/base/name.h"
#include "vault/store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_FILE "vault.db.new"

/* The absolute path of `name` in the folder, free of links (SQLite refuses any
 * on the way), once it is clear that it is the folder that was opened. */
static enum cv_status path_of(const char *folder, int folder_fd,
                              const char *name, char out[PATH_MAX],
                              struct cv_err *err)
{
    struct stat open_one, named;
    size_t len;

    if (realpath(folder, out) == NULL || stat(out, &named) != 0 ||
        fstat(folder_fd, &open_one) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at the vault's folder");
    }
    if (named.st_dev != open_one.st_dev || named.st_ino != open_one.st_ino) {
        return cv_fail(err, CV_CONFIG, "the vault's folder was replaced");
    }
    len = strlen(out);
    if (len + strlen(name) + 2 > PATH_MAX) {
        return cv_fail(err, CV_CONFIG, "the vault's path is too long");
    }
    (void)snprintf(out + len, PATH_MAX - len, "/%s", name);
    return CV_OK;
}

/* By its name, not by a descriptor: closing one would drop SQLite's locks. */
static enum cv_status check_file(int folder_fd, struct cv_err *err)
{
    struct stat st;

    if (fstatat(folder_fd, CV_STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            return cv_fail_errno(err, CV_IO, "cannot look at %s",
                                 CV_STORE_FILE);
        }
        if (fstatat(folder_fd, CV_STORE_FILE "-wal", &st,
                    AT_SYMLINK_NOFOLLOW) == 0) {
            return cv_fail(err, CV_INTEGRITY, "%s is gone, but not its WAL",
                           CV_STORE_FILE);
        }
        return cv_fail(err, CV_NOT_FOUND, "there is no vault in this folder");
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
        (st.st_mode & 077) != 0) {
        cv_fail(err, CV_CONFIG, "%s is not a file of your own with mode 0600",
                CV_STORE_FILE);
        cv_err_hint(err, "chmod 600 it, if only you have used it so far");
        return CV_CONFIG;
    }
    if (st.st_size == 0) {
        return cv_fail(err, CV_INTEGRITY, "%s is empty", CV_STORE_FILE);
    }
    return CV_OK;
}

static enum cv_status run(struct cv_store *store, const char *sql,
                          const char *doing, struct cv_err *err)
{
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? CV_OK : cv_store_sql_fail(store, rc, doing, err);
}

static void configure(sqlite3 *db)
{
    static const struct {
        int what;
        int on;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
    };

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        (void)sqlite3_db_config(db, settings[i].what, settings[i].on,
                                (int *)NULL);
    }
    (void)sqlite3_busy_timeout(db, CV_STORE_BUSY_MS);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)(2 * CV_STORE_DOC_MAX));
}

static void glob(sqlite3_context *context, int n, sqlite3_value **args)
{
    const unsigned char *pattern = sqlite3_value_text(args[0]);
    const unsigned char *text = sqlite3_value_text(args[1]);

    (void)n;
    sqlite3_result_int(
        context, pattern != NULL && text != NULL &&
                     cv_name_glob((const char *)pattern, (const char *)text));
}

/* Opens the connection; what is in the file is not yet looked at. */
static enum cv_status connect_as(const char *path, int flags,
                                 struct cv_store **out, struct cv_err *err)
{
    struct cv_store *store = calloc(1, sizeof *store);
    int rc;

    *out = NULL;
    if (store == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    cv_buf_init(&store->needles, NULL, (size_t)64 * 1024 * 1024);
    rc = sqlite3_open_v2(path, &store->db,
                         flags | SQLITE_OPEN_NOMUTEX |
                             SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                         NULL);
    if (rc == SQLITE_OK) {
        configure(store->db);
        rc = sqlite3_create_function_v2(store->db, "cv_glob", 2,
                                        SQLITE_UTF8 | SQLITE_DETERMINISTIC |
                                            SQLITE_DIRECTONLY,
                                        NULL, glob, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        enum cv_status status = cv_store_sql_fail(store, rc, "open", err);

        cv_store_close(store);
        return status;
    }
    *out = store;
    return CV_OK;
}

static enum cv_status connect_to(const char *path, struct cv_store **out,
                                 struct cv_err *err)
{
    return connect_as(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, out,
                      err);
}

#define SETTINGS                                              \
    "PRAGMA secure_delete = ON; PRAGMA cell_size_check = ON;" \
    "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"       \
    "PRAGMA cache_size = -65536; PRAGMA synchronous = FULL;"

/* The first column of the first row of a query of one number. */
static enum cv_status ask(struct cv_store *store, const char *sql,
                          int64_t *number, char *text, size_t text_len,
                          struct cv_err *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &s, NULL);
    enum cv_status status;

    if (rc != SQLITE_OK) {
        return cv_store_sql_fail(store, rc, "read", err);
    }
    status = cv_store_sql_step(store, s, &row, err);
    if (status == CV_OK && row) {
        *number = sqlite3_column_int64(s, 0);
        if (text != NULL) {
            (void)snprintf(text, text_len, "%s", cv_store_sql_column(s, 0));
        }
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* In a transaction: from schema `version` to this one. */
static enum cv_status run_upgrades(struct cv_store *store, int64_t version,
                                   struct cv_err *err)
{
    char number[48];
    enum cv_status status = CV_OK;

    for (; version < CV_STORE_SCHEMA && status == CV_OK; version++) {
        status = run(store, cv_store_sql_upgrades[version - 1], "upgrade", err);
    }
    (void)snprintf(number, sizeof number, "PRAGMA user_version = %d;",
                   CV_STORE_SCHEMA);
    return status == CV_OK ? run(store, number, "upgrade", err) : status;
}

/* Another process may do the same: who comes second finds it done. */
static enum cv_status upgrade(struct cv_store *store, struct cv_err *err)
{
    int64_t version = CV_STORE_SCHEMA;
    enum cv_status status = cv_store_begin(store, err);

    if (status != CV_OK) {
        return status;
    }
    status = ask(store, "PRAGMA user_version", &version, NULL, 0, err);
    if (status == CV_OK && version < CV_STORE_SCHEMA) {
        status = run_upgrades(store, version, err);
    }
    if (status == CV_OK) {
        status = cv_store_commit(store, err);
    }
    if (status != CV_OK) {
        cv_store_rollback(store);
    }
    return status;
}

static enum cv_status check_version(struct cv_store *store, struct cv_err *err)
{
    int64_t application = 0, version = 0, unused = 0;
    char mode[16] = "";
    enum cv_status status =
        ask(store, "PRAGMA application_id", &application, NULL, 0, err);

    if (status == CV_OK) {
        status = ask(store, "PRAGMA user_version", &version, NULL, 0, err);
    }
    if (status == CV_OK) {
        status =
            ask(store, "PRAGMA journal_mode", &unused, mode, sizeof mode, err);
    }
    if (status != CV_OK) {
        return status;
    }
    if (application != CV_STORE_APPLICATION || strcmp(mode, "wal") != 0 ||
        version < 1) {
        return cv_fail(err, CV_INTEGRITY, "%s is not a vault's database",
                       CV_STORE_FILE);
    }
    if (version > CV_STORE_SCHEMA) {
        cv_fail(err, CV_INTEGRITY, "%s was written by a newer certvault",
                CV_STORE_FILE);
        cv_err_hint(err, "use that version, or a newer one");
        return CV_INTEGRITY;
    }
    return version < CV_STORE_SCHEMA ? upgrade(store, err) : CV_OK;
}

static bool is_id(const char *text)
{
    return strspn(text, "0123456789abcdef") == CV_STORE_ID &&
           text[CV_STORE_ID] == '\0';
}

/* The vault's id is part of every digest, its own row's too. */
static enum cv_status read_id(struct cv_store *store, struct cv_err *err)
{
    struct cv_buf id;
    sqlite3_stmt *s;
    bool row = false;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_META_GET, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_text(s, 1, "vault_id");
    status = cv_store_sql_step(store, s, &row, err);
    if (status == CV_OK && row) {
        (void)snprintf(store->vault_id, sizeof store->vault_id, "%s",
                       cv_store_sql_column(s, 1));
        cv_store_sql_done(s);
    }
    if (status != CV_OK) {
        return status;
    }
    if (!is_id(store->vault_id)) {
        return cv_fail(err, CV_INTEGRITY, "%s does not say whose it is",
                       CV_STORE_FILE);
    }
    cv_buf_init(&id, NULL, 64);
    status = cv_store_meta_get(store, "vault_id", &id, err);
    cv_buf_wipe(&id);
    return status;
}

enum cv_status cv_store_open(const char *folder, int folder_fd,
                             struct cv_store **out, struct cv_err *err)
{
    char path[PATH_MAX];
    struct cv_store *store = NULL;
    enum cv_status status = check_file(folder_fd, err);

    *out = NULL;
    if (status == CV_OK) {
        status = path_of(folder, folder_fd, CV_STORE_FILE, path, err);
    }
    if (status == CV_OK) {
        status = connect_to(path, &store, err);
    }
    if (store == NULL) {
        return status;
    }
    status = run(store, SETTINGS, "open", err);
    if (status == CV_OK) {
        status = check_version(store, err);
    }
    if (status == CV_OK) {
        status = read_id(store, err);
    }
    if (status != CV_OK) {
        cv_store_close(store);
        return status;
    }
    *out = store;
    return CV_OK;
}

/* By the descriptor: what is below it is all that the caller's sandbox may
 * read. `immutable` keeps SQLite from locks, from the WAL and from making
 * files; a row that is changed meanwhile has the wrong digest, or no form. */
enum cv_status cv_store_peek(int folder_fd, const char *key, struct cv_buf *out,
                             struct cv_err *err)
{
    char path[80];
    struct cv_store *store = NULL;
    enum cv_status status = check_file(folder_fd, err);

    if (status == CV_OK) {
        (void)snprintf(path, sizeof path,
                       "file:/proc/self/fd/%d/" CV_STORE_FILE "?immutable=1",
                       folder_fd);
        status = connect_as(path, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                            &store, err);
    }
    if (store != NULL) {
        status = read_id(store, err); /* digests are over it, too */
        if (status == CV_OK) {
            status = cv_store_meta_get(store, key, out, err);
        }
        cv_store_close(store);
    }
    return status == CV_OK || status == CV_NOT_FOUND || status == CV_CONFIG
               ? status
               : cv_fail(err, CV_BUSY, CV_STORE_FILE " cannot be read now");
}

/* Fills the new file and closes it, so that all of it is in the one file. */
static enum cv_status build(const char *path, const char *vault_id,
                            struct cv_err *err)
{
    char application[64], page[64];
    struct cv_store *store = NULL;
    enum cv_status status = connect_to(path, &store, err);

    if (store == NULL) {
        return status;
    }
    (void)snprintf(application, sizeof application,
                   "PRAGMA application_id = %d;", CV_STORE_APPLICATION);
    (void)snprintf(store->vault_id, sizeof store->vault_id, "%s", vault_id);
    (void)snprintf(page, sizeof page, "PRAGMA page_size = %d;", CV_STORE_PAGE);
    status = run(store, page, "make", err);
    if (status == CV_OK) {
        status = run(store, SETTINGS "PRAGMA journal_mode = WAL;", "make", err);
    }
    if (status == CV_OK) {
        status = cv_store_begin(store, err);
    }
    if (status == CV_OK) {
        status = run(store, application, "make", err);
    }
    if (status == CV_OK) {
        status = run(store, cv_store_sql_schema, "make", err);
    }
    if (status == CV_OK) {
        status = run_upgrades(store, 1, err);
    }
    if (status == CV_OK) {
        status = cv_store_meta_put(store, "vault_id", vault_id, err);
    }
    if (status == CV_OK) {
        status = cv_store_commit(store, err);
    }
    if (status == CV_OK) {
        int rc = sqlite3_wal_checkpoint_v2(
            store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

        status =
            rc == SQLITE_OK ? CV_OK : cv_store_sql_fail(store, rc, "make", err);
    }
    cv_store_close(store);
    return status;
}

static void remove_new(int folder_fd)
{
    (void)unlinkat(folder_fd, NEW_FILE, 0);
    (void)unlinkat(folder_fd, NEW_FILE "-wal", 0);
    (void)unlinkat(folder_fd, NEW_FILE "-shm", 0);
}

static enum cv_status put_in_place(int folder_fd, struct cv_err *err)
{
    int fd = -1;
    enum cv_status status = cv_file_open(folder_fd, NEW_FILE, O_RDWR, &fd, err);

    if (status == CV_OK && fsync(fd) != 0) {
        status = cv_fail_errno(err, CV_IO, "cannot put the store on disk");
    }
    cv_file_close(&fd);
    if (status != CV_OK) {
        return status;
    }
    if (renameat2(folder_fd, NEW_FILE, folder_fd, CV_STORE_FILE,
                  RENAME_NOREPLACE) != 0) {
        return errno == EEXIST
                   ? cv_fail(err, CV_EXISTS, "there is a vault here already")
                   : cv_fail_errno(err, CV_IO, "cannot put the store in place");
    }
    return cv_file_sync_folder(folder_fd, err);
}

enum cv_status cv_store_create(const char *folder, int folder_fd,
                               const char *vault_id, struct cv_store **out,
                               struct cv_err *err)
{
    char path[PATH_MAX];
    struct stat st;
    int fd = -1;
    enum cv_status status;

    *out = NULL;
    if (!is_id(vault_id)) {
        return cv_fail(err, CV_INVALID, "not a vault id");
    }
    if (fstatat(folder_fd, CV_STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return cv_fail(err, CV_EXISTS, "there is a vault here already");
    }
    status = path_of(folder, folder_fd, NEW_FILE, path, err);
    if (status == CV_OK) {
        remove_new(folder_fd);
        status = cv_file_open(folder_fd, NEW_FILE, O_RDWR | O_CREAT | O_EXCL,
                              &fd, err);
        cv_file_close(&fd);
    }
    if (status == CV_OK) {
        status = build(path, vault_id, err);
    }
    if (status == CV_OK) {
        status = put_in_place(folder_fd, err);
    }
    remove_new(folder_fd);
    return status == CV_OK ? cv_store_open(folder, folder_fd, out, err)
                           : status;
}

void cv_store_close(struct cv_store *store)
{
    if (store == NULL) {
        return;
    }
    if (store->db != NULL) {
        cv_store_rollback(store);
        if (store->scrub_due) {
            (void)cv_store_scrub_now(store);
        }
    }
    for (int i = 0; i < CV_SQL_COUNT; i++) {
        (void)sqlite3_finalize(store->statements[i]);
    }
    (void)sqlite3_close_v2(store->db);
    cv_buf_wipe(&store->needles);
    free(store);
}

const char *cv_store_vault_id(const struct cv_store *store)
{
    return store->vault_id;
}

bool cv_store_in_transaction(const struct cv_store *store)
{
    return sqlite3_get_autocommit(store->db) == 0;
}

bool cv_store_was_full(const struct cv_store *store)
{
    return store->full;
}

enum cv_status cv_store_begin(struct cv_store *store, struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_BEGIN, &s, err);

    if (status != CV_OK) {
        return status;
    }
    if (cv_store_in_transaction(store)) {
        return cv_fail(err, CV_INTERNAL, "a transaction is open already");
    }
    cv_store_scrub_begin(store);
    store->full = false;
    return cv_store_sql_run(store, s, err);
}

enum cv_status cv_store_commit(struct cv_store *store, struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status;

    if (!cv_store_in_transaction(store)) {
        return cv_fail(err, CV_INTERNAL, "no transaction is open");
    }
    status = cv_store_sql_get(store, CV_SQL_COMMIT, &s, err);
    if (status == CV_OK) {
        status = cv_store_sql_run(store, s, err);
    }
    if (status != CV_OK) {
        cv_store_rollback(store);
        return status;
    }
    if (store->scrub_due) {
        (void)cv_store_scrub_now(store);
    }
    return CV_OK;
}

void cv_store_rollback(struct cv_store *store)
{
    sqlite3_stmt *s;
    bool row;

    if (sqlite3_txn_state(store->db, NULL) == SQLITE_TXN_WRITE) {
        cv_store_scrub_rollback(store);
    }
    if (cv_store_in_transaction(store) &&
        cv_store_sql_get(store, CV_SQL_ROLLBACK, &s, NULL) == CV_OK &&
        cv_store_sql_step(store, s, &row, NULL) != CV_OK) {
        return; /* SQLite rolled back by itself */
    }
}

static void meta_digest(const struct cv_store *store, const char *key,
                        const char *value, uint8_t out[CV_STORE_DIGEST])
{
    const struct cv_store_field fields[] = {{key, strlen(key)},
                                            {value, strlen(value)}};

    cv_store_digest_of(store, "meta", fields, 2, out);
}

enum cv_status cv_store_meta_get(struct cv_store *store, const char *key,
                                 struct cv_buf *out, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool row = false;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_META_GET, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_text(s, 1, key);
    status = cv_store_sql_step(store, s, &row, err);
    if (status != CV_OK) {
        return status;
    }
    if (!row) {
        return cv_fail(err, CV_NOT_FOUND, "the store has no %s", key);
    }
    meta_digest(store, key, cv_store_sql_column(s, 1), digest);
    status = cv_store_digest_check(s, 0, digest, "a fact", err);
    if (status == CV_OK) {
        cv_buf_add_str(out, cv_store_sql_column(s, 1));
        status = cv_buf_status(out, key, err);
    }
    cv_store_sql_done(s);
    return status;
}

enum cv_status cv_store_meta_put(struct cv_store *store, const char *key,
                                 const char *value, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool own;
    enum cv_status status = cv_store_sql_enter(store, &own, err);

    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_META_PUT, &s, err);
    if (status == CV_OK) {
        meta_digest(store, key, value, digest);
        cv_store_sql_text(s, 1, key);
        cv_store_sql_blob(s, 2, digest, sizeof digest);
        cv_store_sql_text(s, 3, value);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}
