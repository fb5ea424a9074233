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

/* What leads to the entries; all else is then held against each. SQLite would
 * have to guess which is the shortest way: here it is counted, up to a limit.
 */
enum way {
    BY_NAME, /* all of them, or those with a prefix */
    BY_EXPIRY,
    BY_KEY,
    BY_LABEL /* the first; BY_LABEL + i: the next */
};

#define COUNT_MAX "1000" /* more than that is many */

static bool has_prefix(const struct cv_store_filter *f)
{
    return f->pattern != NULL && plain_len(f->pattern) > 0;
}

static void add_label(struct cv_buf *sql, const struct cv_store_label *label)
{
    cv_buf_add_str(sql,
                   label->value == NULL ? "key = ?" : "key = ? AND value = ?");
}

/* FROM and the condition that the way is. */
static void add_way(struct cv_buf *sql, const struct cv_store_filter *f,
                    int way)
{
    switch (way) {
    case BY_NAME:
        cv_buf_add_str(sql, " FROM entries AS e WHERE ");
        cv_buf_add_str(sql, has_prefix(f) ? "e.name >= ? AND e.name < ?" : "1");
        break;
    case BY_EXPIRY:
        cv_buf_add_str(sql, " FROM entries AS e INDEXED BY entries_not_after"
                            " WHERE e.not_after <= ?");
        break;
    case BY_KEY:
        cv_buf_add_str(sql, " FROM entries AS e WHERE e.spki = ?");
        break;
    default:
        cv_buf_add_str(sql, " FROM labels AS l CROSS JOIN entries AS e"
                            " ON e.id = l.id WHERE ");
        add_label(sql, &f->labels[way - BY_LABEL]);
        break;
    }
}

/* Conditions that no index may be used for (that is what + is for). */
static void add_rest(struct cv_buf *sql, const struct cv_store_filter *f,
                     int way)
{
    for (size_t i = 0; i < f->n_labels; i++) {
        if ((int)i != way - BY_LABEL) {
            cv_buf_add_str(sql, " AND EXISTS (SELECT 1 FROM labels WHERE ");
            add_label(sql, &f->labels[i]);
            cv_buf_add_str(sql, " AND id = e.id)");
        }
    }
    if (f->spki != NULL && way != BY_KEY) {
        cv_buf_add_str(sql, " AND +e.spki = ?");
    }
    if (f->not_after_upto != INT64_MAX && way != BY_EXPIRY) {
        cv_buf_add_str(sql, " AND +e.not_after <= ?");
    }
    if (f->pattern != NULL) {
        cv_buf_add_str(sql, " AND cv_glob(?, e.name)");
    }
}

/* What is bound has to live as long as the statement. */
struct bound {
    uint8_t spki[CV_STORE_ENTRY_HASH];
    char from[CV_LIMIT_PATTERN + 1];
    char below[CV_LIMIT_PATTERN + 1];
};

static int bind_label(sqlite3_stmt *s, int at, const struct cv_store_label *l)
{
    cv_store_sql_text(s, at++, l->key);
    if (l->value != NULL) {
        cv_store_sql_text(s, at++, l->value);
    }
    return at;
}

/* As add_way; the number of the next parameter. */
static int bind_way(sqlite3_stmt *s, const struct cv_store_filter *f, int way,
                    const struct bound *b)
{
    switch (way) {
    case BY_NAME:
        if (!has_prefix(f)) {
            return 1;
        }
        cv_store_sql_text(s, 1, b->from);
        cv_store_sql_text(s, 2, b->below);
        return 3;
    case BY_EXPIRY:
        cv_store_sql_int(s, 1, f->not_after_upto);
        return 2;
    case BY_KEY:
        cv_store_sql_blob(s, 1, b->spki, sizeof b->spki);
        return 2;
    default:
        return bind_label(s, 1, &f->labels[way - BY_LABEL]);
    }
}

/* As add_rest. */
static void bind_rest(sqlite3_stmt *s, const struct cv_store_filter *f, int way,
                      const struct bound *b, int at)
{
    for (size_t i = 0; i < f->n_labels; i++) {
        if ((int)i != way - BY_LABEL) {
            at = bind_label(s, at, &f->labels[i]);
        }
    }
    if (f->spki != NULL && way != BY_KEY) {
        cv_store_sql_blob(s, at++, b->spki, sizeof b->spki);
    }
    if (f->not_after_upto != INT64_MAX && way != BY_EXPIRY) {
        cv_store_sql_int(s, at++, f->not_after_upto);
    }
    if (f->pattern != NULL) {
        cv_store_sql_text(s, at, f->pattern);
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
    if (has_prefix(f)) {
        size_t len = plain_len(f->pattern);

        memcpy(b->from, f->pattern, len);
        b->from[len] = '\0';
        next_prefix(f->pattern, len, b->below);
    }
    return f->spki == NULL ? CV_OK
                           : cv_decode_hex_exact(f->spki, "spki", b->spki,
                                                 sizeof b->spki, err);
}

static enum cv_status prepare(struct cv_store *store, const struct cv_buf *sql,
                              sqlite3_stmt **s, struct cv_err *err)
{
    enum cv_status status = cv_buf_status(sql, "a list", err);
    int rc;

    *s = NULL;
    if (status != CV_OK) {
        return status;
    }
    rc = sqlite3_prepare_v2(store->db, cv_buf_text(sql), -1, s, NULL);
    return rc == SQLITE_OK ? CV_OK : cv_store_sql_fail(store, rc, "read", err);
}

/* How many entries this way leads to, up to COUNT_MAX. */
static enum cv_status count_way(struct cv_store *store,
                                const struct cv_store_filter *f, int way,
                                const struct bound *b, int64_t *n,
                                struct cv_err *err)
{
    struct cv_buf sql;
    sqlite3_stmt *s = NULL;
    bool row = false;
    enum cv_status status;

    cv_buf_init(&sql, NULL, SQL_MAX);
    cv_buf_add_str(&sql, "SELECT count(*) FROM (SELECT 1");
    if (way >= BY_LABEL) { /* without a look at the entries */
        cv_buf_add_str(&sql, " FROM labels WHERE ");
        add_label(&sql, &f->labels[way - BY_LABEL]);
    } else {
        add_way(&sql, f, way);
    }
    cv_buf_add_str(&sql, " LIMIT " COUNT_MAX ")");
    status = prepare(store, &sql, &s, err);
    if (status == CV_OK) {
        (void)bind_way(s, f, way, b);
        status = cv_store_sql_step(store, s, &row, err);
    }
    *n = status == CV_OK && row ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_finalize(s);
    cv_buf_wipe(&sql);
    return status;
}

static bool is_way(const struct cv_store_filter *f, int way)
{
    switch (way) {
    case BY_NAME:
        return true;
    case BY_EXPIRY:
        return f->not_after_upto != INT64_MAX;
    case BY_KEY:
        return f->spki != NULL;
    default:
        return (size_t)(way - BY_LABEL) < f->n_labels;
    }
}

/* The way that leads to the fewest. */
static enum cv_status pick_way(struct cv_store *store,
                               const struct cv_store_filter *f,
                               const struct bound *b, int *best,
                               struct cv_err *err)
{
    int64_t least = INT64_MAX;
    int ways = BY_LABEL + (int)f->n_labels, possible = 0;
    enum cv_status status = CV_OK;

    *best = BY_NAME;
    for (int way = 0; way < ways; way++) {
        possible += is_way(f, way);
    }
    for (int way = 0; way < ways && possible > 1 && status == CV_OK; way++) {
        int64_t n = 0;

        if (!is_way(f, way)) {
            continue;
        }
        status = count_way(store, f, way, b, &n, err);
        if (n < least) {
            least = n;
            *best = way;
        }
    }
    return status;
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
    int way = BY_NAME;
    enum cv_status status = check_filter(f, &bound, err);

    if (status == CV_OK) {
        status = pick_way(store, f, &bound, &way, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&sql, NULL, SQL_MAX);
    cv_buf_add_str(&sql, "SELECT e.id");
    add_way(&sql, f, way);
    add_rest(&sql, f, way);
    cv_buf_add_str(&sql,
                   way == BY_NAME ? " ORDER BY e.name" : " ORDER BY +e.name");
    status = prepare(store, &sql, &s, err);
    if (status == CV_OK) {
        bind_rest(s, f, way, &bound, bind_way(s, f, way, &bound));
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
