/* Putting, changing and removing entries. */
#include "vault/store/store_entry.h"

#include "vault/base/encode.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/store/store_entry_internal.h"

#include <string.h>

static enum cv_status too_long(const char *what, struct cv_err *err)
{
    return cv_fail(err, CV_INVALID, "an entry's %s is missing or too long",
                   what);
}

static bool fits(const char *text)
{
    return text != NULL &&
           strnlen(text, CV_STORE_DOC_MAX + 1) <= CV_STORE_DOC_MAX;
}

/* *labels is the tree of the entry's labels, for the caller to free. */
static enum cv_status check(const struct cv_store_entry *e, cJSON **labels,
                            struct cv_err *err)
{
    const cJSON *item;
    int n = 0;
    enum cv_status status = cv_name_check(e->name, err);

    *labels = NULL;
    if (status != CV_OK) {
        return status;
    }
    if (!fits(e->doc) || !fits(e->labels)) {
        return too_long("document", err);
    }
    if (e->body != NULL && !fits(e->body)) {
        return too_long("body", err);
    }
    if (e->sealed.len > CV_LIMIT_SEALED) {
        return too_long("sealed key", err);
    }
    status = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)e->labels, strlen(e->labels)},
        labels, err);
    if (status == CV_OK && !cJSON_IsObject(*labels)) {
        status = cv_fail(err, CV_INVALID, "labels: not an object");
    }
    cJSON_ArrayForEach(item, *labels)
    {
        if (status == CV_OK &&
            (++n > CV_LIMIT_LABELS || !cJSON_IsString(item))) {
            status = cv_fail(err, CV_INVALID, "labels: too many, or no texts");
        }
        if (status == CV_OK) {
            status = cv_name_check_label(item->string, item->valuestring, err);
        }
    }
    if (status != CV_OK) {
        cJSON_Delete(*labels);
        *labels = NULL;
    }
    return status;
}

static enum cv_status put_labels(struct cv_store *store, int64_t row,
                                 const cJSON *labels, struct cv_err *err)
{
    const cJSON *item;
    sqlite3_stmt *s;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_LABEL_PUT, &s, err);

    cJSON_ArrayForEach(item, labels)
    {
        if (status == CV_OK) {
            cv_store_sql_text(s, 1, item->string);
            cv_store_sql_text(s, 2, item->valuestring);
            cv_store_sql_int(s, 3, row);
            status = cv_store_sql_run(store, s, err);
        }
    }
    return status;
}

/* Puts a body or a box. */
static enum cv_status put_part(struct cv_store *store, enum cv_store_sql which,
                               const char *table, int64_t row,
                               const uint8_t entry_id[CV_STORE_ENTRY_ID],
                               struct cv_bytes part, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    enum cv_status status = cv_store_sql_get(store, which, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_entry_part_digest(store, table, entry_id, part, digest);
    cv_store_sql_int(s, 1, row);
    cv_store_sql_blob(s, 2, digest, sizeof digest);
    if (which == CV_SQL_BODY_PUT) {
        cv_store_sql_text(s, 3, (const char *)part.data);
    } else {
        cv_store_sql_blob(s, 3, part.data, part.len);
    }
    return cv_store_sql_run(store, s, err);
}

static enum cv_status put_parts(struct cv_store *store, int64_t row,
                                const struct cv_store_entry *e,
                                const uint8_t entry_id[CV_STORE_ENTRY_ID],
                                struct cv_err *err)
{
    enum cv_status status = CV_OK;

    if (e->body != NULL) {
        status = put_part(
            store, CV_SQL_BODY_PUT, "bodies", row, entry_id,
            (struct cv_bytes){(const uint8_t *)e->body, strlen(e->body)}, err);
    }
    if (status == CV_OK && e->sealed.len > 0) {
        status = put_part(store, CV_SQL_BOX_PUT, "boxes", row, entry_id,
                          e->sealed, err);
    }
    return status;
}

/* The name of the entry that the row of a bound statement is; "" if none. */
static void name_of(struct cv_store *store, sqlite3_stmt *s, char *out,
                    size_t out_len)
{
    bool row = false;

    out[0] = '\0';
    if (cv_store_sql_step(store, s, &row, NULL) == CV_OK && row) {
        const char *name = cv_store_sql_column(s, 2);

        cv_err_quote(out, out_len, name, strlen(name));
        cv_store_sql_done(s);
    }
}

/* Says which entry is in the way. */
static enum cv_status in_the_way(struct cv_store *store,
                                 const struct cv_store_entry *e,
                                 const struct cv_store_ids *ids,
                                 struct cv_err *err)
{
    char name[CV_LIMIT_NAME + 1] = "";
    sqlite3_stmt *s;

    if (cv_store_sql_get(store, CV_SQL_ENTRY_BY_IDENTITY, &s, NULL) == CV_OK) {
        cv_store_sql_blob(s, 1, ids->spki, CV_STORE_ENTRY_HASH);
        cv_store_sql_blob(s, 2, ids->ca_set, CV_STORE_ENTRY_HASH);
        name_of(store, s, name, sizeof name);
    }
    if (name[0] != '\0') {
        cv_fail(err, CV_EXISTS, "this identity is in the vault already, as %s",
                name);
        cv_err_hint(err, "`certvault show %s` tells about it", name);
        return CV_EXISTS;
    }
    cv_fail(err, CV_EXISTS, "there is an entry %s already", e->name);
    cv_err_hint(err, "choose another name, or rename that entry");
    return CV_EXISTS;
}

static enum cv_status insert(struct cv_store *store,
                             const struct cv_store_entry *e,
                             const struct cv_store_ids *ids, int64_t *row,
                             struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    struct cv_err why;
    sqlite3_stmt *s;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_ENTRY_PUT, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_entry_digest(store, e, ids, digest);
    cv_store_sql_blob(s, 1, ids->entry_id, CV_STORE_ENTRY_ID);
    cv_store_sql_text(s, 2, e->name);
    cv_store_sql_blob(s, 3, ids->spki, CV_STORE_ENTRY_HASH);
    cv_store_sql_blob(s, 4, ids->ca_set, CV_STORE_ENTRY_HASH);
    cv_store_sql_int(s, 5, e->not_after);
    cv_store_sql_int(s, 6, e->created);
    cv_store_sql_int(s, 7, e->updated);
    cv_store_sql_blob(s, 8, digest, sizeof digest);
    cv_store_sql_text(s, 9, e->labels);
    cv_store_sql_text(s, 10, e->doc);
    cv_err_init(&why);
    status = cv_store_sql_run(store, s, &why);
    *row = sqlite3_last_insert_rowid(store->db);
    if (status == CV_EXISTS) {
        return in_the_way(store, e, ids, err);
    }
    if (status != CV_OK && err != NULL) {
        *err = why;
    }
    return status;
}

enum cv_status cv_store_entry_put(struct cv_store *store,
                                  const struct cv_store_entry *entry,
                                  struct cv_err *err)
{
    struct cv_store_ids ids;
    cJSON *labels = NULL;
    int64_t row = 0;
    bool own = false;
    enum cv_status status = cv_store_entry_read_ids(entry, &ids, err);

    if (status == CV_OK) {
        status = check(entry, &labels, err);
    }
    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status != CV_OK) {
        cJSON_Delete(labels);
        return status;
    }
    status = insert(store, entry, &ids, &row, err);
    if (status == CV_OK) {
        status = put_labels(store, row, labels, err);
    }
    if (status == CV_OK) {
        status = put_parts(store, row, entry, ids.entry_id, err);
    }
    cJSON_Delete(labels);
    return cv_store_sql_leave(store, own, status, err);
}

/* The row of the entry with this id, and what does not change of it. */
static enum cv_status row_of(struct cv_store *store,
                             const uint8_t id[CV_STORE_ENTRY_ID], int64_t *row,
                             struct cv_store_entry *kept,
                             struct cv_store_names *names, struct cv_err *err)
{
    sqlite3_stmt *s;
    bool there = false;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_ENTRY_BY_ID, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_blob(s, 1, id, CV_STORE_ENTRY_ID);
    status = cv_store_sql_step(store, s, &there, err);
    if (status != CV_OK) {
        return status;
    }
    if (!there) {
        return cv_fail(err, CV_NOT_FOUND, "there is no such entry");
    }
    *row = sqlite3_column_int64(s, 0);
    status = cv_store_entry_row(store, s, kept, names, err);
    cv_store_sql_done(s); /* texts are gone; ids and numbers stay */
    return status;
}

/* Notes for the scrubbing what the entry's sealed key looks like now; not when
 * it stays the same. */
static enum cv_status forget_box(struct cv_store *store, int64_t row,
                                 const uint8_t id[CV_STORE_ENTRY_ID],
                                 struct cv_bytes next, struct cv_err *err)
{
    struct cv_bytes box;
    sqlite3_stmt *s;
    bool found;
    enum cv_status status = cv_store_entry_part(store, CV_SQL_BOX_GET, row, id,
                                                &s, &box, &found, err);

    if (status != CV_OK || !found) {
        return status;
    }
    if (box.len != next.len || box.len == 0 ||
        memcmp(box.data, next.data, box.len) != 0) {
        cv_store_scrub_note(store, sqlite3_column_blob(s, 0), box);
    }
    cv_store_sql_done(s);
    return CV_OK;
}

static enum cv_status write_row(struct cv_store *store, int64_t row,
                                const struct cv_store_entry *e,
                                const struct cv_store_ids *ids,
                                struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    struct cv_err why;
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_ENTRY_UPDATE, &s, err);

    if (status != CV_OK) {
        return status;
    }
    cv_store_entry_digest(store, e, ids, digest);
    cv_store_sql_int(s, 1, row);
    cv_store_sql_text(s, 2, e->name);
    cv_store_sql_int(s, 3, e->not_after);
    cv_store_sql_int(s, 4, e->updated);
    cv_store_sql_blob(s, 5, digest, sizeof digest);
    cv_store_sql_text(s, 6, e->labels);
    cv_store_sql_text(s, 7, e->doc);
    cv_err_init(&why);
    status = cv_store_sql_run(store, s, &why);
    if (status == CV_EXISTS) {
        cv_fail(err, CV_EXISTS, "there is an entry %s already", e->name);
        cv_err_hint(err, "choose another name, or rename that entry");
    } else if (status != CV_OK && err != NULL) {
        *err = why;
    }
    return status;
}

static enum cv_status replace_labels(struct cv_store *store, int64_t row,
                                     const cJSON *labels, struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_LABELS_REMOVE, &s, err);

    if (status == CV_OK) {
        cv_store_sql_int(s, 1, row);
        status = cv_store_sql_run(store, s, err);
    }
    return status == CV_OK ? put_labels(store, row, labels, err) : status;
}

/* Within a transaction. */
static enum cv_status update(struct cv_store *store,
                             const struct cv_store_entry *entry,
                             const cJSON *labels, struct cv_err *err)
{
    struct cv_store_names names;
    struct cv_store_entry next = *entry, kept = {0};
    struct cv_store_ids ids;
    int64_t row = 0;
    enum cv_status status = cv_decode_hex_exact(
        entry->entry_id, "entry_id", ids.entry_id, CV_STORE_ENTRY_ID, err);

    if (status == CV_OK) {
        status = row_of(store, ids.entry_id, &row, &kept, &names, err);
    }
    if (status != CV_OK) {
        return status;
    }
    next.spki = kept.spki;
    next.ca_set = kept.ca_set;
    next.created = kept.created;
    status = cv_store_entry_read_ids(&next, &ids, err);
    if (status == CV_OK) {
        status = write_row(store, row, &next, &ids, err);
    }
    if (status == CV_OK) {
        status = replace_labels(store, row, labels, err);
    }
    if (status == CV_OK && entry->sealed.len > 0) {
        status = forget_box(store, row, ids.entry_id, entry->sealed, err);
    }
    return status == CV_OK ? put_parts(store, row, entry, ids.entry_id, err)
                           : status;
}

enum cv_status cv_store_entry_update(struct cv_store *store,
                                     const struct cv_store_entry *entry,
                                     struct cv_err *err)
{
    cJSON *labels = NULL;
    bool own = false;
    enum cv_status status = check(entry, &labels, err);

    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status == CV_OK) {
        status = update(store, entry, labels, err);
        status = cv_store_sql_leave(store, own, status, err);
    }
    cJSON_Delete(labels);
    return status;
}

static enum cv_status remove_row(struct cv_store *store, int64_t row,
                                 struct cv_err *err)
{
    static const enum cv_store_sql steps[] = {
        CV_SQL_LABELS_REMOVE, CV_SQL_BOX_REMOVE, CV_SQL_BODY_REMOVE,
        CV_SQL_ENTRY_REMOVE};
    enum cv_status status = CV_OK;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == CV_OK;
         i++) {
        sqlite3_stmt *s;

        status = cv_store_sql_get(store, steps[i], &s, err);
        if (status == CV_OK) {
            cv_store_sql_int(s, 1, row);
            status = cv_store_sql_run(store, s, err);
        }
    }
    return status;
}

enum cv_status cv_store_entry_remove(struct cv_store *store,
                                     const char *entry_id, struct cv_err *err)
{
    struct cv_store_names names;
    struct cv_store_entry kept;
    uint8_t id[CV_STORE_ENTRY_ID];
    int64_t row = 0;
    bool own = false;
    enum cv_status status =
        cv_decode_hex_exact(entry_id, "entry_id", id, CV_STORE_ENTRY_ID, err);

    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status != CV_OK) {
        return status;
    }
    status = row_of(store, id, &row, &kept, &names, err);
    if (status == CV_OK) {
        status = forget_box(store, row, id, (struct cv_bytes){NULL, 0}, err);
    }
    if (status == CV_OK) {
        status = remove_row(store, row, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}
