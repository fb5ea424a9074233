/* Finding one entry. */
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/store/store_entry_internal.h"

#include <stdlib.h>
#include <string.h>

/* An entry with all that its pointers lead to. */
struct copy {
    struct cv_store_entry entry;
    struct cv_buf bytes[5]; /* name, labels, doc, body, sealed */
    struct cv_store_names names;
};

void cv_store_entry_free(struct cv_store_entry *entry)
{
    struct copy *copy = (struct copy *)(void *)entry;

    if (copy == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof copy->bytes / sizeof copy->bytes[0]; i++) {
        cv_buf_wipe(&copy->bytes[i]);
    }
    free(copy);
}

/* `len` bytes of `data` into b, with a NUL behind them. */
static enum cv_status keep(struct cv_buf *b, const void *data, size_t len,
                           struct cv_err *err)
{
    if (cv_buf_room(b, len) != NULL) {
        cv_buf_add(b, data, len);
    }
    return cv_buf_status(b, "an entry", err);
}

static enum cv_status keep_part(struct cv_store *store, enum cv_store_sql which,
                                int64_t row,
                                const uint8_t entry_id[CV_STORE_ENTRY_ID],
                                struct cv_buf *out, bool *found,
                                struct cv_err *err)
{
    struct cv_bytes part;
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_entry_part(store, which, row, entry_id, &s, &part, found, err);

    if (status == CV_OK && *found) {
        status = keep(out, part.data, part.len, err);
        cv_store_sql_done(s);
    }
    return status;
}

static enum cv_status copy_row(struct cv_store *store, sqlite3_stmt *s,
                               struct copy *copy, struct cv_err *err)
{
    struct cv_store_entry *e = &copy->entry;
    enum cv_status status = cv_store_entry_row(store, s, e, &copy->names, err);

    for (size_t i = 0; i < 5; i++) {
        cv_buf_init(&copy->bytes[i], NULL, CV_STORE_DOC_MAX);
    }
    if (status == CV_OK) {
        status = keep(&copy->bytes[0], e->name, strlen(e->name), err);
    }
    if (status == CV_OK) {
        status = keep(&copy->bytes[1], e->labels, strlen(e->labels), err);
    }
    if (status == CV_OK) {
        status = keep(&copy->bytes[2], e->doc, strlen(e->doc), err);
    }
    e->name = cv_buf_text(&copy->bytes[0]);
    e->labels = cv_buf_text(&copy->bytes[1]);
    e->doc = cv_buf_text(&copy->bytes[2]);
    return status;
}

static enum cv_status copy_parts(struct cv_store *store, int64_t row,
                                 bool sealed, struct copy *copy,
                                 struct cv_err *err)
{
    struct cv_store_entry *e = &copy->entry;
    uint8_t entry_id[CV_STORE_ENTRY_ID];
    bool found = false;
    enum cv_status status = cv_decode_hex_exact(
        e->entry_id, "entry_id", entry_id, CV_STORE_ENTRY_ID, err);

    if (status == CV_OK) {
        status = keep_part(store, CV_SQL_BODY_GET, row, entry_id,
                           &copy->bytes[3], &found, err);
    }
    if (status == CV_OK && found) {
        e->body = cv_buf_text(&copy->bytes[3]);
    }
    if (status == CV_OK && sealed) {
        status = keep_part(store, CV_SQL_BOX_GET, row, entry_id,
                           &copy->bytes[4], &found, err);
        e->sealed = cv_buf_bytes(&copy->bytes[4]);
    }
    return status;
}

/* The entry that a bound statement finds. */
static enum cv_status find(struct cv_store *store, sqlite3_stmt *s,
                           const char *shown, bool sealed,
                           struct cv_store_entry **out, struct cv_err *err)
{
    char quoted[CV_LIMIT_NAME + 1];
    struct copy *copy;
    int64_t row;
    bool there = false;
    enum cv_status status = cv_store_sql_step(store, s, &there, err);

    if (status == CV_OK && !there) {
        cv_err_quote(quoted, sizeof quoted, shown, strlen(shown));
        cv_fail(err, CV_NOT_FOUND, "there is no entry %s", quoted);
        cv_err_hint(err, "`certvault list` shows what there is");
        return CV_NOT_FOUND;
    }
    if (status != CV_OK) {
        return status;
    }
    copy = calloc(1, sizeof *copy);
    if (copy == NULL) {
        cv_store_sql_done(s);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    row = sqlite3_column_int64(s, 0);
    status = copy_row(store, s, copy, err);
    cv_store_sql_done(s);
    if (status == CV_OK) {
        status = copy_parts(store, row, sealed, copy, err);
    }
    if (status != CV_OK) {
        cv_store_entry_free(&copy->entry);
        return status;
    }
    *out = &copy->entry;
    return CV_OK;
}

enum cv_status cv_store_entry_by_name(struct cv_store *store, const char *name,
                                      bool sealed, struct cv_store_entry **out,
                                      struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_ENTRY_BY_NAME, &s, err);

    *out = NULL;
    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_text(s, 1, name);
    return find(store, s, name, sealed, out, err);
}

enum cv_status cv_store_entry_by_id(struct cv_store *store,
                                    const char *entry_id, bool sealed,
                                    struct cv_store_entry **out,
                                    struct cv_err *err)
{
    uint8_t id[CV_STORE_ENTRY_ID];
    sqlite3_stmt *s;
    enum cv_status status =
        cv_decode_hex_exact(entry_id, "entry_id", id, CV_STORE_ENTRY_ID, err);

    *out = NULL;
    if (status == CV_OK) {
        status = cv_store_sql_get(store, CV_SQL_ENTRY_BY_ID, &s, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_blob(s, 1, id, CV_STORE_ENTRY_ID);
    return find(store, s, entry_id, sealed, out, err);
}

enum cv_status cv_store_entry_by_identity(struct cv_store *store,
                                          const char *spki, const char *ca_set,
                                          bool sealed,
                                          struct cv_store_entry **out,
                                          struct cv_err *err)
{
    uint8_t hash[2][CV_STORE_ENTRY_HASH];
    sqlite3_stmt *s;
    enum cv_status status =
        cv_decode_hex_exact(spki, "spki", hash[0], CV_STORE_ENTRY_HASH, err);

    *out = NULL;
    if (status == CV_OK) {
        status = cv_decode_hex_exact(ca_set, "ca_set", hash[1],
                                     CV_STORE_ENTRY_HASH, err);
    }
    if (status == CV_OK) {
        status = cv_store_sql_get(store, CV_SQL_ENTRY_BY_IDENTITY, &s, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_blob(s, 1, hash[0], CV_STORE_ENTRY_HASH);
    cv_store_sql_blob(s, 2, hash[1], CV_STORE_ENTRY_HASH);
    return find(store, s, "with this key and these CAs", sealed, out, err);
}
