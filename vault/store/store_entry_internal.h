/* What the files that read and write entries share. */
#ifndef CERTVAULT_STORE_STORE_ENTRY_INTERNAL_H
#define CERTVAULT_STORE_STORE_ENTRY_INTERNAL_H

#include "vault/store/store_internal.h"

#define CV_STORE_ENTRY_ID 16   /* bytes of an entry's id */
#define CV_STORE_ENTRY_HASH 32 /* bytes of spki and ca_set */

/* The ids of an entry, as they are stored. */
struct cv_store_ids {
    uint8_t entry_id[CV_STORE_ENTRY_ID];
    uint8_t spki[CV_STORE_ENTRY_HASH];
    uint8_t ca_set[CV_STORE_ENTRY_HASH];
};

/* Room for the same as hexadecimal texts. */
struct cv_store_names {
    char entry_id[2 * CV_STORE_ENTRY_ID + 1];
    char spki[2 * CV_STORE_ENTRY_HASH + 1];
    char ca_set[2 * CV_STORE_ENTRY_HASH + 1];
};

/* CV_INVALID where one of them is not so many hex digits. */
CV_MUST_USE enum cv_status
cv_store_entry_read_ids(const struct cv_store_entry *entry,
                        struct cv_store_ids *out, struct cv_err *err);

/* The digest of an entry's row. */
void cv_store_entry_digest(const struct cv_store *store,
                           const struct cv_store_entry *entry,
                           const struct cv_store_ids *ids,
                           uint8_t out[CV_STORE_DIGEST]);

/* The digest of a body or a box: bound to its entry, not to its row's number.
 */
void cv_store_entry_part_digest(const struct cv_store *store, const char *table,
                                const uint8_t entry_id[CV_STORE_ENTRY_ID],
                                struct cv_bytes part,
                                uint8_t out[CV_STORE_DIGEST]);

/* Reads and checks the entry in the row that the statement stands on. Texts are
 * the statement's until its next step; ids are in `names`. */
CV_MUST_USE enum cv_status cv_store_entry_row(struct cv_store *store,
                                              sqlite3_stmt *statement,
                                              struct cv_store_entry *out,
                                              struct cv_store_names *names,
                                              struct cv_err *err);

/* Reads and checks the body or box (`which`: CV_SQL_BODY_GET, CV_SQL_BOX_GET)
 * of a row; *found false where it has none. Else the statement stands on it,
 * for the caller to end with cv_store_sql_done. */
CV_MUST_USE enum cv_status
cv_store_entry_part(struct cv_store *store, enum cv_store_sql which,
                    int64_t row, const uint8_t entry_id[CV_STORE_ENTRY_ID],
                    sqlite3_stmt **statement, struct cv_bytes *part,
                    bool *found, struct cv_err *err);

#endif
