#include "vault/store/store_slot.h"

#include "vault/store/store_internal.h"

#include <string.h>

static void slot_digest(const struct cv_store *store, const char *id,
                        const char *doc, uint8_t out[CV_STORE_DIGEST])
{
    const struct cv_store_field fields[] = {{id, strlen(id)},
                                            {doc, strlen(doc)}};

    cv_store_digest_of(store, "slots", fields, 2, out);
}

static enum cv_status check(const char *id, const char *doc, struct cv_err *err)
{
    size_t len = strnlen(id, CV_STORE_SLOT_ID + 1);

    if (len == 0 || len > CV_STORE_SLOT_ID ||
        strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789._-") != len) {
        return cv_fail(err, CV_INVALID, "not a slot's id");
    }
    if (doc != NULL &&
        strnlen(doc, CV_STORE_SLOT_DOC + 1) > CV_STORE_SLOT_DOC) {
        return cv_fail(err, CV_INVALID, "the slot's record is too long");
    }
    return CV_OK;
}

/* Is there one, and what does it look like; noted for the scrubbing where
 * something else takes its place. */
static enum cv_status forget(struct cv_store *store, const char *id,
                             const char *next, bool *found, struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_SLOT_GET, &s, err);

    *found = false;
    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_text(s, 1, id);
    status = cv_store_sql_step(store, s, found, err);
    if (status == CV_OK && *found) {
        const char *doc = cv_store_sql_column(s, 1);

        if (next == NULL || strcmp(doc, next) != 0) {
            /* The digest alone: records begin alike. */
            cv_store_scrub_note(store,
                                sqlite3_column_bytes(s, 0) == CV_STORE_DIGEST
                                    ? sqlite3_column_blob(s, 0)
                                    : NULL,
                                (struct cv_bytes){NULL, 0});
        }
        cv_store_sql_done(s);
    }
    return status;
}

static enum cv_status put(struct cv_store *store, const char *id,
                          const char *doc, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool found;
    enum cv_status status = forget(store, id, doc, &found, err);

    if (status == CV_OK) {
        status = cv_store_sql_get(
            store, found ? CV_SQL_SLOT_UPDATE : CV_SQL_SLOT_PUT, &s, err);
    }
    if (status != CV_OK) {
        return status;
    }
    slot_digest(store, id, doc, digest);
    cv_store_sql_text(s, 1, id);
    cv_store_sql_blob(s, 2, digest, sizeof digest);
    cv_store_sql_text(s, 3, doc);
    return cv_store_sql_run(store, s, err);
}

enum cv_status cv_store_slot_put(struct cv_store *store, const char *id,
                                 const char *doc, struct cv_err *err)
{
    bool own = false;
    enum cv_status status = check(id, doc, err);

    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status != CV_OK) {
        return status;
    }
    status = put(store, id, doc, err);
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_slot_remove(struct cv_store *store, const char *id,
                                    struct cv_err *err)
{
    sqlite3_stmt *s;
    bool own = false, found = false;
    enum cv_status status = cv_store_sql_enter(store, &own, err);

    if (status != CV_OK) {
        return status;
    }
    status = forget(store, id, NULL, &found, err);
    if (status == CV_OK && !found) {
        status = cv_fail(err, CV_NOT_FOUND, "there is no such slot");
        cv_err_hint(err, "`certvault slot list` shows what there is");
    }
    if (status == CV_OK) {
        status = cv_store_sql_get(store, CV_SQL_SLOT_REMOVE, &s, err);
    }
    if (status == CV_OK) {
        cv_store_sql_text(s, 1, id);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_slot_list(struct cv_store *store, cv_store_slot_fn *fn,
                                  void *ctx, struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = true;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_SLOT_LIST, &s, err);

    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, s, &row, err);
        if (status == CV_OK && row) {
            const char *id = cv_store_sql_column(s, 0);
            const char *doc = cv_store_sql_column(s, 2);
            uint8_t digest[CV_STORE_DIGEST];

            slot_digest(store, id, doc, digest);
            status = cv_store_digest_check(s, 1, digest, "a slot", err);
            status = status == CV_OK ? fn(ctx, id, doc, err) : status;
            if (status != CV_OK) {
                cv_store_sql_done(s);
            }
        }
    }
    return status;
}
