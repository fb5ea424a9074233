#include "vault/store/store_journal.h"

#include "vault/store/store_internal.h"

#include <string.h>

#define WORD_MAX 64 /* an op, an action */

static void journal_digest(const struct cv_store *store, const char *op,
                           const char *action, const char *doc, int64_t created,
                           uint8_t out[CV_STORE_DIGEST])
{
    uint8_t number[8];
    const struct cv_store_field fields[] = {
        {op, strlen(op)},
        {action, strlen(action)},
        {number, sizeof number},
        {doc, strlen(doc)},
    };

    for (int i = 0; i < 8; i++) {
        number[i] = (uint8_t)((uint64_t)created >> (8 * i));
    }
    cv_store_digest_of(store, "journal", fields, 4, out);
}

static bool is_word(const char *text)
{
    size_t len = strnlen(text, WORD_MAX + 1);

    return len > 0 && len <= WORD_MAX;
}

enum cv_status cv_store_journal_add(struct cv_store *store, const char *op,
                                    const char *action, const char *doc,
                                    int64_t created, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool own;
    enum cv_status status;

    if (!is_word(op) || !is_word(action) ||
        strnlen(doc, CV_STORE_DOC_MAX + 1) > CV_STORE_DOC_MAX) {
        return cv_fail(err, CV_INVALID, "not a journal's row");
    }
    status = cv_store_sql_enter(store, &own, err);
    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_JOURNAL_PUT, &s, err);
    if (status == CV_OK) {
        journal_digest(store, op, action, doc, created, digest);
        cv_store_sql_text(s, 1, op);
        cv_store_sql_text(s, 2, action);
        cv_store_sql_int(s, 3, created);
        cv_store_sql_blob(s, 4, digest, sizeof digest);
        cv_store_sql_text(s, 5, doc);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_journal_remove(struct cv_store *store, const char *op,
                                       struct cv_err *err)
{
    sqlite3_stmt *s;
    bool own;
    enum cv_status status = cv_store_sql_enter(store, &own, err);

    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_JOURNAL_REMOVE, &s, err);
    if (status == CV_OK) {
        cv_store_sql_text(s, 1, op);
        status = cv_store_sql_run(store, s, err);
    }
    if (status == CV_OK && sqlite3_changes(store->db) == 0) {
        status = cv_fail(err, CV_NOT_FOUND, "the journal has no such row");
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_journal_list(struct cv_store *store,
                                     cv_store_journal_fn *fn, void *ctx,
                                     struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = true;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_JOURNAL_LIST, &s, err);

    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, s, &row, err);
        if (status == CV_OK && row) {
            const char *op = cv_store_sql_column(s, 0);
            const char *action = cv_store_sql_column(s, 1);
            int64_t created = sqlite3_column_int64(s, 2);
            const char *doc = cv_store_sql_column(s, 4);
            uint8_t digest[CV_STORE_DIGEST];

            journal_digest(store, op, action, doc, created, digest);
            status = cv_store_digest_check(s, 3, digest, "the journal", err);
            status = status == CV_OK ? fn(ctx, op, action, doc, created, err)
                                     : status;
            if (status != CV_OK) {
                cv_store_sql_done(s);
            }
        }
    }
    return status;
}
