/* Everything there is, checked. */
#include "vault/base/json.h"
#include "vault/store/store_entry_internal.h"
#include "vault/store/store_journal.h"
#include "vault/store/store_policy.h"
#include "vault/store/store_request.h"
#include "vault/store/store_slot.h"

#include <string.h>

static enum cv_status damaged(const char *what, struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "%s is damaged: %s", CV_STORE_FILE, what);
    cv_err_hint(err, "restore the vault's folder from a backup; keep a copy of "
                     "it as it is");
    return CV_INTEGRITY;
}

/* Runs a query that must have no row, or one that says "ok". */
static enum cv_status expect_ok(struct cv_store *store, const char *sql,
                                const char *what, struct cv_err *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &s, NULL);
    enum cv_status status;

    if (rc != SQLITE_OK) {
        return cv_store_sql_fail(store, rc, "read", err);
    }
    status = cv_store_sql_step(store, s, &row, err);
    if (status == CV_OK && row &&
        strcmp(cv_store_sql_column(s, 0), "ok") != 0) {
        status = damaged(what, err);
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* The index of labels must say what the entry says: as many, and each. */
static enum cv_status check_labels(struct cv_store *store,
                                   const struct cv_store_entry *e,
                                   struct cv_err *err)
{
    static const char sql[] =
        "SELECT (SELECT count(*) FROM labels AS l WHERE l.id = e.id) ="
        " (SELECT count(*) FROM json_each(e.labels)) AND NOT EXISTS"
        " (SELECT 1 FROM json_each(e.labels) AS j WHERE NOT EXISTS"
        " (SELECT 1 FROM labels AS l WHERE l.id = e.id AND l.key = j.key AND"
        " l.value = j.value)) FROM entries AS e WHERE e.name = ?1";
    sqlite3_stmt *s = NULL;
    bool row = false;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &s, NULL);
    enum cv_status status;

    if (rc != SQLITE_OK) {
        return cv_store_sql_fail(store, rc, "read", err);
    }
    cv_store_sql_text(s, 1, e->name);
    status = cv_store_sql_step(store, s, &row, err);
    if (status == CV_OK && (!row || sqlite3_column_int(s, 0) != 1)) {
        status = damaged("labels and their index differ", err);
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* Body and box of an entry, by reading it whole. */
static enum cv_status check_entry(void *ctx, const struct cv_store_entry *entry,
                                  struct cv_err *err)
{
    struct cv_store *store = ctx;
    struct cv_store_entry *whole = NULL;
    enum cv_status status =
        cv_store_entry_by_id(store, entry->entry_id, true, &whole, err);

    if (status == CV_OK) {
        status = check_labels(store, whole, err);
    }
    cv_store_entry_free(whole);
    return status;
}

static enum cv_status pass_slot(void *ctx, const char *id, const char *doc,
                                struct cv_err *err)
{
    (void)ctx;
    (void)id;
    (void)doc;
    (void)err;
    return CV_OK;
}

static enum cv_status
pass_policy(void *ctx, const struct cv_store_policy *policy, struct cv_err *err)
{
    (void)ctx;
    (void)policy;
    (void)err;
    return CV_OK;
}

static enum cv_status pass_journal(void *ctx, const char *op,
                                   const char *action, const char *doc,
                                   int64_t created, struct cv_err *err)
{
    (void)op;
    (void)action;
    (void)created;
    return pass_slot(ctx, NULL, doc, err);
}

static enum cv_status
pass_request(void *ctx, const struct cv_store_request *row, struct cv_err *err)
{
    (void)row;
    return pass_slot(ctx, NULL, NULL, err);
}

enum cv_status cv_store_check(struct cv_store *store, struct cv_err *err)
{
    struct cv_store_filter all;
    enum cv_status status = expect_ok(store, "PRAGMA integrity_check(1)",
                                      "SQLite's own check fails", err);

    cv_store_entry_filter_init(&all);
    if (status == CV_OK) {
        status = expect_ok(store, "PRAGMA foreign_key_check",
                           "rows without their entry", err);
    }
    if (status == CV_OK) {
        status = cv_store_entry_list(store, &all, check_entry, store, err);
    }
    if (status == CV_OK) {
        status = cv_store_slot_list(store, pass_slot, NULL, err);
    }
    if (status == CV_OK) {
        status = cv_store_policy_history(store, pass_policy, NULL, err);
    }
    if (status == CV_OK) {
        status = cv_store_journal_list(store, pass_journal, NULL, err);
    }
    if (status == CV_OK) {
        status = cv_store_request_list(store, true, pass_request, NULL, err);
    }
    return status;
}
