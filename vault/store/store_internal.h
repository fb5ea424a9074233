/* What the files of the store share: the connection, its statements, row
 * digests, and the scrubbing of what was removed. */
#ifndef CERTVAULT_STORE_STORE_INTERNAL_H
#define CERTVAULT_STORE_STORE_INTERNAL_H

#include "vault/store/store.h"
#include "vault/store/store_entry.h"

#include <sqlite3.h>

#define CV_STORE_FILE "vault.db"
#define CV_STORE_APPLICATION 0x63767374 /* "cvst" */
#define CV_STORE_DIGEST 32              /* bytes */
#define CV_STORE_BUSY_MS 5000
#define CV_STORE_PAGE 16384 /* bytes: a large import writes few pages */
#define CV_STORE_NEEDLE 16  /* bytes that are searched for */

/* Statements are prepared when first used and kept. */
enum cv_store_sql {
    CV_SQL_BEGIN,
    CV_SQL_BEGIN_READ,
    CV_SQL_COMMIT,
    CV_SQL_ROLLBACK,
    CV_SQL_META_GET,
    CV_SQL_META_PUT,
    CV_SQL_ENTRY_PUT,
    CV_SQL_ENTRY_UPDATE,
    CV_SQL_ENTRY_REMOVE,
    CV_SQL_ENTRY_BY_NAME,
    CV_SQL_ENTRY_BY_ID,
    CV_SQL_ENTRY_BY_IDENTITY,
    CV_SQL_ENTRY_BY_ROW,
    CV_SQL_ENTRY_COUNT,
    CV_SQL_BODY_PUT,
    CV_SQL_BODY_GET,
    CV_SQL_BODY_REMOVE,
    CV_SQL_BOX_PUT,
    CV_SQL_BOX_GET,
    CV_SQL_BOX_REMOVE,
    CV_SQL_LABEL_PUT,
    CV_SQL_LABELS_REMOVE,
    CV_SQL_SLOT_GET,
    CV_SQL_SLOT_PUT,
    CV_SQL_SLOT_UPDATE,
    CV_SQL_SLOT_REMOVE,
    CV_SQL_SLOT_LIST,
    CV_SQL_POLICY_CURRENT,
    CV_SQL_POLICY_VERSION,
    CV_SQL_POLICY_PUT,
    CV_SQL_POLICY_HISTORY,
    CV_SQL_JOURNAL_PUT,
    CV_SQL_JOURNAL_REMOVE,
    CV_SQL_JOURNAL_LIST,
    CV_SQL_REQUEST_PUT,
    CV_SQL_REQUEST_MOVE,
    CV_SQL_REQUEST_BY_ID,
    CV_SQL_REQUEST_BY_KEY,
    CV_SQL_REQUEST_LIST,
    CV_SQL_REQUEST_COUNT,
    CV_SQL_REQUEST_SINCE,
    CV_SQL_REQUEST_PRUNE,
    CV_SQL_COUNT
};

struct cv_store {
    sqlite3 *db;
    sqlite3_stmt *statements[CV_SQL_COUNT];
    char vault_id[CV_STORE_ID + 1];
    bool full;             /* the last transaction found no room */
    bool scrub_due;        /* something was removed */
    struct cv_buf needles; /* CV_STORE_NEEDLE bytes each: what it looked like */
    bool due_before;       /* both as they were when the transaction began */
    size_t needles_before;
};

/* ---- statements (store_sql.c) ---- */

/* The tables of schema 1, and what makes each later schema of the one before:
 * [0] makes 2 of 1. A new database goes through all of them. */
extern const char cv_store_sql_schema[];
extern const char *const cv_store_sql_upgrades[CV_STORE_SCHEMA - 1];

/* A statement, ready to be bound. */
CV_MUST_USE enum cv_status cv_store_sql_get(struct cv_store *store,
                                            enum cv_store_sql which,
                                            sqlite3_stmt **out,
                                            struct cv_err *err);

/* One step. *row tells whether there is one; when there is none the statement
 * is reset, as it is after an error. */
CV_MUST_USE enum cv_status cv_store_sql_step(struct cv_store *store,
                                             sqlite3_stmt *statement, bool *row,
                                             struct cv_err *err);

/* Runs a statement that gives no rows. */
CV_MUST_USE enum cv_status cv_store_sql_run(struct cv_store *store,
                                            sqlite3_stmt *statement,
                                            struct cv_err *err);

/* Resets it and lets go of what is bound; NULL is fine. */
void cv_store_sql_done(sqlite3_stmt *statement);

/* Turns SQLite's answer into a status (CV_EXISTS for a broken UNIQUE). */
enum cv_status cv_store_sql_fail(struct cv_store *store, int rc,
                                 const char *doing, struct cv_err *err);

/* Binding; what is bound must live until the statement is done. */
void cv_store_sql_text(sqlite3_stmt *statement, int at, const char *text);
void cv_store_sql_blob(sqlite3_stmt *statement, int at, const void *data,
                       size_t len);
void cv_store_sql_int(sqlite3_stmt *statement, int at, int64_t value);
/* A column as text, "" where it is none. */
const char *cv_store_sql_column(sqlite3_stmt *statement, int at);

/* A change that is a transaction of its own where there is none: *own tells
 * cv_store_sql_leave whether it has to end one. */
CV_MUST_USE enum cv_status cv_store_sql_enter(struct cv_store *store, bool *own,
                                              struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_sql_leave(struct cv_store *store, bool own,
                                              enum cv_status status,
                                              struct cv_err *err);

/* ---- digests (store_digest.c) ---- */

struct cv_store_field {
    const void *data;
    size_t len;
};

/* Over the vault's id, the table's name and the fields, each with its length.
 */
void cv_store_digest_of(const struct cv_store *store, const char *table,
                        const struct cv_store_field *fields, size_t n,
                        uint8_t out[CV_STORE_DIGEST]);

/* Does column `at` hold this digest? CV_INTEGRITY otherwise. */
CV_MUST_USE enum cv_status
cv_store_digest_check(sqlite3_stmt *statement, int at,
                      const uint8_t digest[CV_STORE_DIGEST], const char *what,
                      struct cv_err *err);

/* ---- removing for good (store_scrub.c) ---- */

/* Notes what a row that goes away looked like in the file: its digest, and its
 * content in samples. */
void cv_store_scrub_note(struct cv_store *store, const void *digest,
                         struct cv_bytes content);

/* A transaction begins; it is rolled back: what it noted is forgotten. */
void cv_store_scrub_begin(struct cv_store *store);
void cv_store_scrub_rollback(struct cv_store *store);

/* Empties the WAL and sees to it that nothing of what was noted is in the file.
 * False: another process is in the way, try later. */
bool cv_store_scrub_now(struct cv_store *store);

#endif
