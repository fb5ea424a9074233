/* Lists of entries. First the rows are found, in the order of their names, by
 * indexes alone; then each is read. */
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/store/store_entry_internal.h"

#include <stdlib.h>
#include <string.h>

#define SQL_MAX CV_KIB(16)

void cv_store_entry_filter_init(struct cv_store_filter *filter)
{
    memset(filter, 0, sizeof *filter);
    filter->not_after_upto = INT64_MAX;
}

/* Up to the first character that stands for others. */
static size_t plain_len(const char *pattern)
{
    return strcspn(pattern, "*?");
}

/* What a name with this prefix is below: the prefix with its last byte one
 * higher ("" where there is none: names are ASCII). */
static void next_prefix(const char *pattern, size_t len,
                        char out[CV_LIMIT_PATTERN + 1])
{
    memcpy(out, pattern, len);
    out[len] = '\0';
    out[len - 1]++;
}

static void add_labels(struct cv_buf *sql, const struct cv_store_filter *f)
{
    /* The first label leads to the entries, the others are looked up. */
    for (size_t i = 0; i < f->n_labels; i++) {
        const char *start =
            i == 0 ? " AND e.id IN (SELECT id FROM labels WHERE key = ?"
                   : " AND EXISTS (SELECT 1 FROM labels WHERE id = e.id AND"
                     " key = ?";

        cv_buf_add_str(sql, start);
        cv_buf_add_str(sql,
                       f->labels[i].value == NULL ? ")" : " AND value = ?)");
    }
}

static void write_sql(struct cv_buf *sql, const struct cv_store_filter *f)
{
    cv_buf_add_str(sql, "SELECT e.id FROM entries AS e WHERE 1");
    add_labels(sql, f);
    if (f->spki != NULL) {
        cv_buf_add_str(sql, " AND e.spki = ?");
    }
    if (f->not_after_upto != INT64_MAX) {
        cv_buf_add_str(sql, " AND e.not_after <= ?");
    }
    if (f->pattern != NULL) {
        if (plain_len(f->pattern) > 0) {
            cv_buf_add_str(sql, " AND e.name >= ? AND e.name < ?");
        }
        cv_buf_add_str(sql, " AND cv_glob(?, e.name)");
    }
    cv_buf_add_str(sql, " ORDER BY e.name");
}

/* What is bound has to live as long as the statement. */
struct bound {
    uint8_t spki[CV_STORE_ENTRY_HASH];
    char from[CV_LIMIT_PATTERN + 1];
    char below[CV_LIMIT_PATTERN + 1];
};

static void bind(sqlite3_stmt *s, const struct cv_store_filter *f,
                 struct bound *b)
{
    int at = 1;

    for (size_t i = 0; i < f->n_labels; i++) {
        cv_store_sql_text(s, at++, f->labels[i].key);
        if (f->labels[i].value != NULL) {
            cv_store_sql_text(s, at++, f->labels[i].value);
        }
    }
    if (f->spki != NULL) {
        cv_store_sql_blob(s, at++, b->spki, sizeof b->spki);
    }
    if (f->not_after_upto != INT64_MAX) {
        cv_store_sql_int(s, at++, f->not_after_upto);
    }
    if (f->pattern != NULL) {
        size_t len = plain_len(f->pattern);

        if (len > 0) {
            memcpy(b->from, f->pattern, len);
            b->from[len] = '\0';
            next_prefix(f->pattern, len, b->below);
            cv_store_sql_text(s, at++, b->from);
            cv_store_sql_text(s, at++, b->below);
        }
        cv_store_sql_text(s, at++, f->pattern);
    }
}

static enum cv_status check_filter(const struct cv_store_filter *f,
                                   struct bound *b, struct cv_err *err)
{
    if (f->n_labels > CV_LIMIT_LABELS) {
        return cv_fail(err, CV_INVALID, "too many labels to list by");
    }
    if (f->pattern != NULL && strlen(f->pattern) > CV_LIMIT_PATTERN) {
        return cv_fail(err, CV_INVALID, "the pattern is too long");
    }
    return f->spki == NULL ? CV_OK
                           : cv_decode_hex_exact(f->spki, "spki", b->spki,
                                                 sizeof b->spki, err);
}

/* The rows, as int64_t one behind the other. */
static enum cv_status find_rows(struct cv_store *store,
                                const struct cv_store_filter *f,
                                struct cv_buf *rows, struct cv_err *err)
{
    struct bound bound;
    struct cv_buf sql;
    sqlite3_stmt *s = NULL;
    bool row = true;
    int rc;
    enum cv_status status = check_filter(f, &bound, err);

    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&sql, NULL, SQL_MAX);
    write_sql(&sql, f);
    status = cv_buf_status(&sql, "a list", err);
    rc = status != CV_OK
             ? SQLITE_OK
             : sqlite3_prepare_v2(store->db, cv_buf_text(&sql), -1, &s, NULL);
    if (rc != SQLITE_OK) {
        status = cv_store_sql_fail(store, rc, "read", err);
    }
    if (status == CV_OK) {
        bind(s, f, &bound);
    }
    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, s, &row, err);
        if (status == CV_OK && row) {
            int64_t id = sqlite3_column_int64(s, 0);

            cv_buf_add(rows, &id, sizeof id);
        }
    }
    (void)sqlite3_finalize(s);
    cv_buf_wipe(&sql);
    return status == CV_OK ? cv_buf_status(rows, "a list", err) : status;
}

static enum cv_status give_row(struct cv_store *store, int64_t id,
                               cv_store_entry_fn *fn, void *ctx,
                               struct cv_err *err)
{
    struct cv_store_names names;
    struct cv_store_entry entry;
    sqlite3_stmt *s;
    bool row = false;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_ENTRY_BY_ROW, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_int(s, 1, id);
    status = cv_store_sql_step(store, s, &row, err);
    if (status != CV_OK || !row) {
        return status == CV_OK ? cv_fail(err, CV_INTEGRITY,
                                         "an index of the store is damaged")
                               : status;
    }
    status = cv_store_entry_row(store, s, &entry, &names, err);
    if (status == CV_OK) {
        status = fn(ctx, &entry, err);
    }
    cv_store_sql_done(s);
    return status;
}

/* Finding and reading see the same moment. */
static enum cv_status begin_reading(struct cv_store *store, bool *own,
                                    struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status;

    *own = !cv_store_in_transaction(store);
    if (!*own) {
        return CV_OK;
    }
    status = cv_store_sql_get(store, CV_SQL_BEGIN_READ, &s, err);
    return status == CV_OK ? cv_store_sql_run(store, s, err) : status;
}

enum cv_status cv_store_entry_list(struct cv_store *store,
                                   const struct cv_store_filter *filter,
                                   cv_store_entry_fn *fn, void *ctx,
                                   struct cv_err *err)
{
    struct cv_buf rows;
    bool own;
    enum cv_status status = begin_reading(store, &own, err);

    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&rows, NULL, CV_MIB(256));
    status = find_rows(store, filter, &rows, err);
    for (size_t at = 0; status == CV_OK && at < rows.len;
         at += sizeof(int64_t)) {
        int64_t id;

        memcpy(&id, rows.data + at, sizeof id);
        status = give_row(store, id, fn, ctx, err);
    }
    cv_buf_wipe(&rows);
    if (own) {
        cv_store_rollback(store);
    }
    return status;
}

enum cv_status cv_store_entry_count(struct cv_store *store, uint64_t *n,
                                    struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = false;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_ENTRY_COUNT, &s, err);

    *n = 0;
    if (status == CV_OK) {
        status = cv_store_sql_step(store, s, &row, err);
    }
    if (status == CV_OK && row) {
        *n = (uint64_t)sqlite3_column_int64(s, 0);
        cv_store_sql_done(s);
    }
    return status;
}
