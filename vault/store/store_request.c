#include "vault/store/store_request.h"

#include "vault/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[CV_STORE_REQUEST_STATES] = {
    "open", "approved", "denied", "used", "expired", "withdrawn",
};

const char *cv_store_request_word(enum cv_store_request_state state)
{
    return (unsigned)state < CV_STORE_REQUEST_STATES ? words[state] : "denied";
}

static void put_number(uint8_t out[8], int64_t n)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)((uint64_t)n >> (8 * i));
    }
}

static void request_digest(const struct cv_store *store,
                           const struct cv_store_request *r,
                           uint8_t out[CV_STORE_DIGEST])
{
    uint8_t numbers[32];
    const struct cv_store_field fields[] = {
        {r->id, strlen(r->id)},
        {r->key, strlen(r->key)},
        {numbers, sizeof numbers},
        {r->doc, strlen(r->doc)},
    };

    put_number(numbers, r->uid);
    put_number(numbers + 8, r->created);
    put_number(numbers + 16, r->expires);
    put_number(numbers + 24, (int64_t)r->state);
    cv_store_digest_of(store, "requests", fields, 4, out);
}

static bool is_hex(const char *text, size_t len)
{
    return text != NULL && strspn(text, "0123456789abcdef") == len &&
           text[len] == '\0';
}

static enum cv_status check(const struct cv_store_request *r,
                            struct cv_err *err)
{
    if (!is_hex(r->id, CV_STORE_REQUEST_ID) ||
        !is_hex(r->key, CV_STORE_REQUEST_KEY) || r->uid < 0 ||
        (unsigned)r->state >= CV_STORE_REQUEST_STATES || r->doc == NULL ||
        strnlen(r->doc, CV_STORE_DOC_MAX + 1) > CV_STORE_DOC_MAX) {
        return cv_fail(err, CV_INVALID, "not a request that can be stored");
    }
    return CV_OK;
}

/* The row that the statement stands on; texts are the statement's. */
static enum cv_status read_row(struct cv_store *store, sqlite3_stmt *s,
                               struct cv_store_request *out, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    int64_t state = sqlite3_column_int64(s, 5);

    out->id = cv_store_sql_column(s, 0);
    out->key = cv_store_sql_column(s, 1);
    out->uid = sqlite3_column_int64(s, 2);
    out->created = sqlite3_column_int64(s, 3);
    out->expires = sqlite3_column_int64(s, 4);
    out->state = state >= 0 && state < CV_STORE_REQUEST_STATES
                     ? (enum cv_store_request_state)state
                     : CV_STORE_REQUEST_DENIED;
    out->doc = cv_store_sql_column(s, 7);
    request_digest(store, out, digest);
    return cv_store_digest_check(s, 6, digest, "a request for approval", err);
}

struct copy {
    struct cv_store_request row;
    char id[CV_STORE_REQUEST_ID + 1];
    char key[CV_STORE_REQUEST_KEY + 1];
    char *doc;
};

void cv_store_request_free(struct cv_store_request *row)
{
    struct copy *copy = (struct copy *)(void *)row;

    if (copy != NULL) {
        free(copy->doc);
        free(copy);
    }
}

static enum cv_status copy_row(const struct cv_store_request *row,
                               struct cv_store_request **out,
                               struct cv_err *err)
{
    enum cv_status status = check(row, NULL);
    struct copy *copy;

    if (status != CV_OK) {
        return cv_fail(err, CV_INTEGRITY, "a request in the store is none");
    }
    copy = calloc(1, sizeof *copy);
    if (copy != NULL) {
        copy->doc = strdup(row->doc);
    }
    if (copy == NULL || copy->doc == NULL) {
        free(copy);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    copy->row = *row;
    memcpy(copy->id, row->id, sizeof copy->id);
    memcpy(copy->key, row->key, sizeof copy->key);
    copy->row.id = copy->id;
    copy->row.key = copy->key;
    copy->row.doc = copy->doc;
    *out = &copy->row;
    return CV_OK;
}

enum cv_status cv_store_request_put(struct cv_store *store,
                                    const struct cv_store_request *row,
                                    struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool own = false;
    enum cv_status status = check(row, err);

    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_REQUEST_PUT, &s, err);
    if (status == CV_OK) {
        request_digest(store, row, digest);
        cv_store_sql_text(s, 1, row->id);
        cv_store_sql_text(s, 2, row->key);
        cv_store_sql_int(s, 3, row->uid);
        cv_store_sql_int(s, 4, row->created);
        cv_store_sql_int(s, 5, row->expires);
        cv_store_sql_int(s, 6, (int64_t)row->state);
        cv_store_sql_blob(s, 7, digest, sizeof digest);
        cv_store_sql_text(s, 8, row->doc);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_request_move(struct cv_store *store,
                                     const struct cv_store_request *row,
                                     enum cv_store_request_state from,
                                     struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool own = false;
    enum cv_status status = check(row, err);

    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_REQUEST_MOVE, &s, err);
    if (status == CV_OK) {
        request_digest(store, row, digest);
        cv_store_sql_text(s, 1, row->id);
        cv_store_sql_int(s, 2, (int64_t)from);
        cv_store_sql_int(s, 3, (int64_t)row->state);
        cv_store_sql_blob(s, 4, digest, sizeof digest);
        cv_store_sql_text(s, 5, row->doc);
        status = cv_store_sql_run(store, s, err);
    }
    if (status == CV_OK && sqlite3_changes(store->db) == 0) {
        status = cv_fail(err, CV_NOT_FOUND, "the request is %s no more",
                         cv_store_request_word(from));
    }
    return cv_store_sql_leave(store, own, status, err);
}

/* The one row of a statement that is bound, as a copy. */
static enum cv_status take_one(struct cv_store *store, sqlite3_stmt *s,
                               struct cv_store_request **out,
                               struct cv_err *err)
{
    struct cv_store_request row;
    bool found = false;
    enum cv_status status = cv_store_sql_step(store, s, &found, err);

    if (status != CV_OK) {
        return status;
    }
    if (!found) {
        return cv_fail(err, CV_NOT_FOUND, "there is no such request");
    }
    status = read_row(store, s, &row, err);
    if (status == CV_OK) {
        status = copy_row(&row, out, err);
    }
    cv_store_sql_done(s);
    return status;
}

enum cv_status cv_store_request_by_id(struct cv_store *store, const char *id,
                                      struct cv_store_request **out,
                                      struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_REQUEST_BY_ID, &s, err);

    *out = NULL;
    if (status == CV_OK) {
        cv_store_sql_text(s, 1, id);
        status = take_one(store, s, out, err);
    }
    return status;
}

enum cv_status cv_store_request_by_key(struct cv_store *store, int64_t uid,
                                       const char *key,
                                       struct cv_store_request **out,
                                       struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_REQUEST_BY_KEY, &s, err);

    *out = NULL;
    if (status == CV_OK) {
        cv_store_sql_int(s, 1, uid);
        cv_store_sql_text(s, 2, key);
        status = take_one(store, s, out, err);
    }
    return status;
}

enum cv_status cv_store_request_list(struct cv_store *store, bool all,
                                     cv_store_request_fn *fn, void *ctx,
                                     struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = true;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_REQUEST_LIST, &s, err);

    if (status == CV_OK) {
        cv_store_sql_int(
            s, 1, all ? CV_STORE_REQUEST_STATES : CV_STORE_REQUEST_APPROVED);
    }
    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, s, &row, err);
        if (status == CV_OK && row) {
            struct cv_store_request request;

            status = read_row(store, s, &request, err);
            status = status == CV_OK ? fn(ctx, &request, err) : status;
            if (status != CV_OK) {
                cv_store_sql_done(s);
            }
        }
    }
    return status;
}

static enum cv_status count_rows(struct cv_store *store,
                                 enum cv_store_sql which, int64_t uid,
                                 int64_t since, uint64_t *out,
                                 struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = false;
    enum cv_status status = cv_store_sql_get(store, which, &s, err);

    *out = 0;
    if (status == CV_OK) {
        cv_store_sql_int(s, 1, uid);
        if (which == CV_SQL_REQUEST_SINCE) {
            cv_store_sql_int(s, 2, since);
        }
        status = cv_store_sql_step(store, s, &row, err);
    }
    if (status == CV_OK && row) {
        *out = (uint64_t)sqlite3_column_int64(s, 0);
        cv_store_sql_done(s);
    }
    return status;
}

enum cv_status cv_store_request_count(struct cv_store *store, int64_t uid,
                                      uint64_t *out, struct cv_err *err)
{
    return count_rows(store, CV_SQL_REQUEST_COUNT, uid, 0, out, err);
}

enum cv_status cv_store_request_since(struct cv_store *store, int64_t uid,
                                      int64_t since, uint64_t *out,
                                      struct cv_err *err)
{
    return count_rows(store, CV_SQL_REQUEST_SINCE, uid, since, out, err);
}

enum cv_status cv_store_request_prune(struct cv_store *store, int64_t before,
                                      struct cv_err *err)
{
    sqlite3_stmt *s;
    bool own = false;
    enum cv_status status = cv_store_sql_enter(store, &own, err);

    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_REQUEST_PRUNE, &s, err);
    if (status == CV_OK) {
        cv_store_sql_int(s, 1, before);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}
