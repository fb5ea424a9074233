/* Rows of entries, as they are read and what their digests are over. */
#include "vault/base/encode.h"
#include "vault/store/store_entry_internal.h"

#include <string.h>

enum cv_status cv_store_entry_read_ids(const struct cv_store_entry *e,
                                       struct cv_store_ids *out,
                                       struct cv_err *err)
{
    enum cv_status status = cv_decode_hex_exact(
        e->entry_id, "entry_id", out->entry_id, CV_STORE_ENTRY_ID, err);

    if (status == CV_OK) {
        status = cv_decode_hex_exact(e->spki, "spki", out->spki,
                                     CV_STORE_ENTRY_HASH, err);
    }
    if (status == CV_OK) {
        status = cv_decode_hex_exact(e->ca_set, "ca_set", out->ca_set,
                                     CV_STORE_ENTRY_HASH, err);
    }
    return status;
}

void cv_store_entry_digest(const struct cv_store *store,
                           const struct cv_store_entry *e,
                           const struct cv_store_ids *ids,
                           uint8_t out[CV_STORE_DIGEST])
{
    const int64_t times[] = {e->not_after, e->created, e->updated};
    uint8_t numbers[24];
    const struct cv_store_field fields[] = {
        {ids, sizeof *ids},        {e->name, strlen(e->name)},
        {numbers, sizeof numbers}, {e->labels, strlen(e->labels)},
        {e->doc, strlen(e->doc)},
    };

    for (size_t i = 0; i < sizeof numbers; i++) {
        numbers[i] = (uint8_t)((uint64_t)times[i / 8] >> (8 * (i % 8)));
    }
    cv_store_digest_of(store, "entries", fields, 5, out);
}

void cv_store_entry_part_digest(const struct cv_store *store, const char *table,
                                const uint8_t entry_id[CV_STORE_ENTRY_ID],
                                struct cv_bytes part,
                                uint8_t out[CV_STORE_DIGEST])
{
    const struct cv_store_field fields[] = {{entry_id, CV_STORE_ENTRY_ID},
                                            {part.data, part.len}};

    cv_store_digest_of(store, table, fields, 2, out);
}

/* A column of exactly `len` bytes as hexadecimal; "" where it is not that. */
static void column_hex(sqlite3_stmt *s, int at, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *data = sqlite3_column_blob(s, at);

    out[0] = '\0';
    if (data == NULL || sqlite3_column_bytes(s, at) != (int)len) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

enum cv_status cv_store_entry_row(struct cv_store *store, sqlite3_stmt *s,
                                  struct cv_store_entry *out,
                                  struct cv_store_names *names,
                                  struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    struct cv_store_ids ids;

    column_hex(s, 1, CV_STORE_ENTRY_ID, names->entry_id);
    column_hex(s, 3, CV_STORE_ENTRY_HASH, names->spki);
    column_hex(s, 4, CV_STORE_ENTRY_HASH, names->ca_set);
    memset(out, 0, sizeof *out);
    out->entry_id = names->entry_id;
    out->spki = names->spki;
    out->ca_set = names->ca_set;
    out->name = cv_store_sql_column(s, 2);
    out->not_after = sqlite3_column_int64(s, 5);
    out->created = sqlite3_column_int64(s, 6);
    out->updated = sqlite3_column_int64(s, 7);
    out->labels = cv_store_sql_column(s, 9);
    out->doc = cv_store_sql_column(s, 10);
    if (cv_store_entry_read_ids(out, &ids, NULL) != CV_OK) {
        memset(&ids, 0, sizeof ids); /* no digest is over that */
    }
    cv_store_entry_digest(store, out, &ids, digest);
    return cv_store_digest_check(s, 8, digest, "an entry", err);
}

enum cv_status cv_store_entry_part(struct cv_store *store,
                                   enum cv_store_sql which, int64_t row,
                                   const uint8_t entry_id[CV_STORE_ENTRY_ID],
                                   sqlite3_stmt **s, struct cv_bytes *part,
                                   bool *found, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    enum cv_status status = cv_store_sql_get(store, which, s, err);

    *found = false;
    *part = (struct cv_bytes){NULL, 0};
    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_int(*s, 1, row);
    status = cv_store_sql_step(store, *s, found, err);
    if (status != CV_OK || !*found) {
        return status;
    }
    part->data = sqlite3_column_blob(*s, 1);
    part->len = (size_t)sqlite3_column_bytes(*s, 1);
    cv_store_entry_part_digest(store,
                               which == CV_SQL_BODY_GET ? "bodies" : "boxes",
                               entry_id, *part, digest);
    status = cv_store_digest_check(*s, 0, digest, "an entry", err);
    if (status != CV_OK) {
        cv_store_sql_done(*s);
        *found = false;
    }
    return status;
}
