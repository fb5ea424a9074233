/* Statements: what they are, and how they are run. */
#include "vault/store/store_internal.h"

#include <errno.h>
#include <string.h>

/* `labels` says again what entries.labels says, for searching. boxes and bodies
 * are apart from entries so that lists pass them over. Digests stand before
 * what they are of: see store_scrub.c. */
const char cv_store_sql_schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, digest BLOB NOT NULL,"
    " value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE slots(pos INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " digest BLOB NOT NULL, doc TEXT NOT NULL) STRICT;"
    "CREATE TABLE entries(id INTEGER PRIMARY KEY,"
    " entry_id BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,"
    " spki BLOB NOT NULL, ca_set BLOB NOT NULL, not_after INTEGER NOT NULL,"
    " created INTEGER NOT NULL, updated INTEGER NOT NULL,"
    " digest BLOB NOT NULL, labels TEXT NOT NULL, doc TEXT NOT NULL,"
    " UNIQUE(spki, ca_set)) STRICT;"
    "CREATE INDEX entries_not_after ON entries(not_after);"
    "CREATE TABLE bodies(id INTEGER PRIMARY KEY REFERENCES entries(id),"
    " digest BLOB NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE TABLE boxes(id INTEGER PRIMARY KEY REFERENCES entries(id),"
    " digest BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;"
    "CREATE TABLE labels(key TEXT NOT NULL, value TEXT NOT NULL,"
    " id INTEGER NOT NULL REFERENCES entries(id),"
    " PRIMARY KEY(key, value, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX labels_id ON labels(id);"
    "CREATE TABLE policy(version INTEGER PRIMARY KEY, sha256 TEXT NOT NULL,"
    " applied INTEGER NOT NULL, digest BLOB NOT NULL, text TEXT NOT NULL,"
    " resolution TEXT NOT NULL) STRICT;"
    "CREATE TABLE journal(pos INTEGER PRIMARY KEY, op TEXT NOT NULL UNIQUE,"
    " action TEXT NOT NULL, created INTEGER NOT NULL, digest BLOB NOT NULL,"
    " doc TEXT NOT NULL) STRICT;";

const char *const cv_store_sql_upgrades[CV_STORE_SCHEMA - 1] = {
    "CREATE TABLE logins(token TEXT PRIMARY KEY, digest BLOB NOT NULL,"
    " attempts INTEGER NOT NULL, begun INTEGER NOT NULL,"
    " last INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    /* Logins are written down for a user, not for a vault. */
    "DROP TABLE logins;",
    "CREATE TABLE requests(pos INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " key TEXT NOT NULL, uid INTEGER NOT NULL, created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, state INTEGER NOT NULL, digest BLOB NOT NULL,"
    " doc TEXT NOT NULL) STRICT;"
    "CREATE INDEX requests_uid ON requests(uid, key);"
    "CREATE INDEX requests_state ON requests(state, created);",
};

#define ENTRY                                                               \
    "SELECT id, entry_id, name, spki, ca_set, not_after, created, updated," \
    " digest, labels, doc FROM entries "

#define REQUEST                                                       \
    "SELECT id, key, uid, created, expires, state, digest, doc FROM " \
    "requests "

static const char *const texts[CV_SQL_COUNT] = {
    [CV_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [CV_SQL_BEGIN_READ] = "BEGIN",
    [CV_SQL_COMMIT] = "COMMIT",
    [CV_SQL_ROLLBACK] = "ROLLBACK",
    [CV_SQL_META_GET] = "SELECT digest, value FROM meta WHERE key = ?1",
    [CV_SQL_META_PUT] = "INSERT INTO meta(key, digest, value) "
                        "VALUES(?1, ?2, ?3) ON CONFLICT(key) DO UPDATE "
                        "SET digest = ?2, value = ?3",
    [CV_SQL_ENTRY_PUT] =
        "INSERT INTO entries(entry_id, name, spki, ca_set, not_after, created,"
        " updated, digest, labels, doc)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [CV_SQL_ENTRY_UPDATE] =
        "UPDATE entries SET name = ?2, not_after = ?3, updated = ?4,"
        " digest = ?5, labels = ?6, doc = ?7 WHERE id = ?1",
    [CV_SQL_ENTRY_REMOVE] = "DELETE FROM entries WHERE id = ?1",
    [CV_SQL_ENTRY_BY_NAME] = ENTRY "WHERE name = ?1",
    [CV_SQL_ENTRY_BY_ID] = ENTRY "WHERE entry_id = ?1",
    [CV_SQL_ENTRY_BY_IDENTITY] = ENTRY "WHERE spki = ?1 AND ca_set = ?2",
    [CV_SQL_ENTRY_BY_ROW] = ENTRY "WHERE id = ?1",
    [CV_SQL_ENTRY_COUNT] = "SELECT count(*) FROM entries",
    [CV_SQL_BODY_PUT] = "INSERT INTO bodies(id, digest, body)"
                        " VALUES(?1, ?2, ?3) ON CONFLICT(id) DO UPDATE"
                        " SET digest = ?2, body = ?3",
    [CV_SQL_BODY_GET] = "SELECT digest, body FROM bodies WHERE id = ?1",
    [CV_SQL_BODY_REMOVE] = "DELETE FROM bodies WHERE id = ?1",
    [CV_SQL_BOX_PUT] = "INSERT INTO boxes(id, digest, sealed)"
                       " VALUES(?1, ?2, ?3) ON CONFLICT(id) DO UPDATE"
                       " SET digest = ?2, sealed = ?3",
    [CV_SQL_BOX_GET] = "SELECT digest, sealed FROM boxes WHERE id = ?1",
    [CV_SQL_BOX_REMOVE] = "DELETE FROM boxes WHERE id = ?1",
    [CV_SQL_LABEL_PUT] = "INSERT INTO labels(key, value, id)"
                         " VALUES(?1, ?2, ?3)",
    [CV_SQL_LABELS_REMOVE] = "DELETE FROM labels WHERE id = ?1",
    [CV_SQL_SLOT_GET] = "SELECT digest, doc FROM slots WHERE id = ?1",
    [CV_SQL_SLOT_PUT] = "INSERT INTO slots(id, digest, doc)"
                        " VALUES(?1, ?2, ?3)",
    [CV_SQL_SLOT_UPDATE] = "UPDATE slots SET digest = ?2, doc = ?3"
                           " WHERE id = ?1",
    [CV_SQL_SLOT_REMOVE] = "DELETE FROM slots WHERE id = ?1",
    [CV_SQL_SLOT_LIST] = "SELECT id, digest, doc FROM slots ORDER BY pos",
    [CV_SQL_POLICY_CURRENT] =
        "SELECT version, sha256, applied, digest, text, resolution"
        " FROM policy ORDER BY version DESC LIMIT 1",
    [CV_SQL_POLICY_VERSION] =
        "SELECT version, sha256, applied, digest, text, resolution"
        " FROM policy WHERE version = ?1",
    [CV_SQL_POLICY_PUT] =
        "INSERT INTO policy(version, sha256, applied, digest, text,"
        " resolution) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT(version) DO UPDATE SET applied = ?3, digest = ?4,"
        " resolution = ?6",
    [CV_SQL_POLICY_HISTORY] =
        "SELECT version, sha256, applied, digest, text, resolution"
        " FROM policy ORDER BY version DESC",
    [CV_SQL_JOURNAL_PUT] =
        "INSERT INTO journal(op, action, created, digest, doc)"
        " VALUES(?1, ?2, ?3, ?4, ?5)",
    [CV_SQL_JOURNAL_REMOVE] = "DELETE FROM journal WHERE op = ?1",
    [CV_SQL_JOURNAL_LIST] = "SELECT op, action, created, digest, doc"
                            " FROM journal ORDER BY pos",
    [CV_SQL_REQUEST_PUT] =
        "INSERT INTO requests(id, key, uid, created, expires, state, digest,"
        " doc) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [CV_SQL_REQUEST_MOVE] = "UPDATE requests SET state = ?3, digest = ?4,"
                            " doc = ?5 WHERE id = ?1 AND state = ?2",
    [CV_SQL_REQUEST_BY_ID] = REQUEST "WHERE id = ?1",
    /* open and approved are the first two states */
    [CV_SQL_REQUEST_BY_KEY] =
        REQUEST "WHERE uid = ?1 AND key = ?2 AND state <= 1"
                " ORDER BY pos DESC LIMIT 1",
    [CV_SQL_REQUEST_LIST] = REQUEST "WHERE state <= ?1 ORDER BY pos",
    [CV_SQL_REQUEST_COUNT] = "SELECT count(*) FROM requests"
                             " WHERE state <= 1 AND (?1 = -1 OR uid = ?1)",
    [CV_SQL_REQUEST_SINCE] = "SELECT count(*) FROM requests"
                             " WHERE uid = ?1 AND created >= ?2",
    [CV_SQL_REQUEST_PRUNE] =
        "DELETE FROM requests WHERE state > 1 AND created < ?1",
};

enum cv_status cv_store_sql_get(struct cv_store *store, enum cv_store_sql which,
                                sqlite3_stmt **out, struct cv_err *err)
{
    sqlite3_stmt **kept = &store->statements[which];

    *out = NULL;
    if (*kept == NULL) {
        int rc = sqlite3_prepare_v3(store->db, texts[which], -1,
                                    SQLITE_PREPARE_PERSISTENT, kept, NULL);

        if (rc != SQLITE_OK) {
            return cv_store_sql_fail(store, rc, "read", err);
        }
    }
    *out = *kept;
    return CV_OK;
}

void cv_store_sql_done(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

static enum cv_status damaged(struct cv_store *store, int rc,
                              struct cv_err *err)
{
    cv_fail_native(err, CV_INTEGRITY, CV_DOMAIN_SQLITE, rc,
                   "%s is damaged or not this program's: %s", CV_STORE_FILE,
                   sqlite3_errstr(rc));
    (void)store;
    cv_err_hint(err, "restore the vault's folder from a backup; keep a copy of "
                     "it as it is");
    return CV_INTEGRITY;
}

/* What cannot be had room for in the memory that processes share is an I/O
 * error to SQLite. */
static enum cv_status unwritable(struct cv_store *store, int rc,
                                 const char *doing, struct cv_err *err)
{
    int kind = rc & 0xff;
    int why = store->db != NULL ? sqlite3_system_errno(store->db) : 0;
    bool full = kind == SQLITE_FULL ||
                ((kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN) &&
                 (why == ENOSPC || why == EDQUOT));

    store->full = store->full || full;
    /* To begin and to commit count as reading, and yet want room. */
    cv_fail_native(err, CV_IO, CV_DOMAIN_SQLITE, rc, "cannot %s the store: %s",
                   full ? "write" : doing,
                   full ? sqlite3_errstr(SQLITE_FULL) : sqlite3_errstr(rc));
    cv_err_hint(err, full ? "make room on its file system, then try again"
                          : "see why its file cannot be read or written, "
                            "then try again");
    return CV_IO;
}

enum cv_status cv_store_sql_fail(struct cv_store *store, int rc,
                                 const char *doing, struct cv_err *err)
{
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_UNIQUE ||
                       rc == SQLITE_CONSTRAINT_PRIMARYKEY
                   ? cv_fail_native(err, CV_EXISTS, CV_DOMAIN_SQLITE, rc,
                                    "it is in the store already")
                   : cv_fail_native(err, CV_INTERNAL, CV_DOMAIN_SQLITE, rc,
                                    "cannot %s the store: %s", doing,
                                    sqlite3_errstr(rc));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* statements are fixed: then the tables are not ours */
    case SQLITE_SCHEMA:
    case SQLITE_FORMAT:
    case SQLITE_MISMATCH:
        return damaged(store, rc, err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        cv_fail_native(err, CV_BUSY, CV_DOMAIN_SQLITE, rc,
                       "another process holds the store");
        cv_err_hint(err, "try again in a moment");
        return CV_BUSY;
    case SQLITE_NOMEM:
    case SQLITE_MISUSE:
    case SQLITE_TOOBIG:
        return cv_fail_native(err, CV_INTERNAL, CV_DOMAIN_SQLITE, rc,
                              "cannot %s the store: %s", doing,
                              sqlite3_errstr(rc));
    default:
        return unwritable(store, rc, doing, err);
    }
}

enum cv_status cv_store_sql_step(struct cv_store *store,
                                 sqlite3_stmt *statement, bool *row,
                                 struct cv_err *err)
{
    int rc = sqlite3_step(statement);

    *row = rc == SQLITE_ROW;
    if (*row) {
        return CV_OK;
    }
    cv_store_sql_done(statement);
    if (rc == SQLITE_DONE) {
        return CV_OK;
    }
    return cv_store_sql_fail(
        store, rc, sqlite3_stmt_readonly(statement) ? "read" : "write", err);
}

enum cv_status cv_store_sql_run(struct cv_store *store, sqlite3_stmt *statement,
                                struct cv_err *err)
{
    bool row = true;
    enum cv_status status = CV_OK;

    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, statement, &row, err);
    }
    return status;
}

/* Binding fails for want of memory or a wrong number only; the step then fails
 * on NOT NULL or finds nothing. */
void cv_store_sql_text(sqlite3_stmt *statement, int at, const char *text)
{
    (void)sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

void cv_store_sql_blob(sqlite3_stmt *statement, int at, const void *data,
                       size_t len)
{
    (void)sqlite3_bind_blob64(statement, at, len == 0 ? "" : data, len,
                              SQLITE_STATIC);
}

void cv_store_sql_int(sqlite3_stmt *statement, int at, int64_t value)
{
    (void)sqlite3_bind_int64(statement, at, value);
}

const char *cv_store_sql_column(sqlite3_stmt *statement, int at)
{
    const unsigned char *text = sqlite3_column_text(statement, at);

    return text == NULL ? "" : (const char *)text;
}

enum cv_status cv_store_sql_enter(struct cv_store *store, bool *own,
                                  struct cv_err *err)
{
    *own = !cv_store_in_transaction(store);
    return *own ? cv_store_begin(store, err) : CV_OK;
}

enum cv_status cv_store_sql_leave(struct cv_store *store, bool own,
                                  enum cv_status status, struct cv_err *err)
{
    if (!own) {
        return status;
    }
    if (status != CV_OK) {
        cv_store_rollback(store);
        return status;
    }
    return cv_store_commit(store, err);
}
