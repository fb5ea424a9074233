#include "vault/store/store_copy.h"

#include "vault/base/file.h"
#include "vault/store/store_internal.h"

#include <stdlib.h>

#define STEP (256 * 1024)
#define TRIES 8

static sqlite3_file *file_of(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db, "main", which, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL) {
        return NULL;
    }
    return file;
}

/* In a transaction that may write: nobody adds to the WAL, and an empty one
 * means that the file alone holds everything. */
static bool is_wal_empty(sqlite3 *db)
{
    sqlite3_file *wal = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
    sqlite3_int64 size = 0;

    return wal == NULL ||
           (wal->pMethods->xFileSize(wal, &size) == SQLITE_OK && size == 0);
}

/* Everything into the file, and a transaction that keeps it so. Between the two
 * another process may have written. */
static enum cv_status settle(struct cv_store *store, struct cv_err *err)
{
    enum cv_status s;

    for (int i = 0; i < TRIES; i++) {
        (void)sqlite3_wal_checkpoint_v2(store->db, "main",
                                        SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        s = cv_store_begin(store, err);
        if (s != CV_OK) {
            return s;
        }
        if (is_wal_empty(store->db)) {
            return CV_OK;
        }
        cv_store_rollback(store);
    }
    return cv_fail(err, CV_BUSY, "another process keeps the store busy");
}

/* Through SQLite's own descriptor: closing another would drop its locks. */
static enum cv_status copy(sqlite3 *db, int fd, uint64_t *size,
                           struct cv_err *err)
{
    sqlite3_file *file = file_of(db, SQLITE_FCNTL_FILE_POINTER);
    sqlite3_int64 end = 0;
    uint8_t *room = malloc(STEP);
    enum cv_status s = CV_OK;

    if (room == NULL || file == NULL ||
        file->pMethods->xFileSize(file, &end) != SQLITE_OK) {
        s = cv_fail(err, CV_INTERNAL, "the store cannot be copied");
    }
    for (sqlite3_int64 at = 0; at < end && s == CV_OK; at += STEP) {
        int len = end - at < STEP ? (int)(end - at) : STEP;

        if (file->pMethods->xRead(file, room, len, at) != SQLITE_OK) {
            s = cv_fail(err, CV_IO, "cannot read %s", CV_STORE_FILE);
        } else {
            s = cv_file_write(fd, (struct cv_bytes){room, (size_t)len},
                              "the store's copy", err);
        }
    }
    free(room);
    *size = (uint64_t)end;
    return s;
}

enum cv_status cv_store_copy(struct cv_store *store, int fd, uint64_t *size,
                             struct cv_err *err)
{
    enum cv_status s = settle(store, err);

    *size = 0;
    if (s == CV_OK) {
        s = copy(store->db, fd, size, err);
        cv_store_rollback(store);
    }
    return s;
}
