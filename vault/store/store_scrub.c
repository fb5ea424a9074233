/* Removing for good.
 *
 * secure_delete overwrites what is deleted where it lies. But when SQLite moves
 * rows between pages it leaves their old bytes in what is then the unused part
 * of a page, and those are not overwritten when the row is deleted later. So
 * after a removal the database is searched for samples of what went away, and
 * built anew (VACUUM) where one is found. Of a row that was moved a beginning
 * remains, seldom an end: its digest stands before its content, and samples are
 * taken all along. */
#include "vault/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

#define STEP 64            /* bytes from one sample to the next */
#define CHUNK (256 * 1024) /* read at once; whole pages */
#define FILTER (1u << 16)  /* bits */

/* Needles sorted, and a bit for each of their beginnings. */
struct search {
    const uint8_t *needles;
    size_t n;
    uint8_t filter[FILTER / 8];
};

void cv_store_scrub_note(struct cv_store *store, const void *digest,
                         struct cv_bytes content)
{
    store->scrub_due = true;
    if (digest != NULL) {
        cv_buf_add(&store->needles, digest, CV_STORE_NEEDLE);
    }
    for (size_t at = 0; at + CV_STORE_NEEDLE <= content.len; at += STEP) {
        cv_buf_add(&store->needles, content.data + at, CV_STORE_NEEDLE);
    }
}

void cv_store_scrub_begin(struct cv_store *store)
{
    store->due_before = store->scrub_due;
    store->needles_before = store->needles.len;
}

void cv_store_scrub_rollback(struct cv_store *store)
{
    store->scrub_due = store->due_before;
    if (store->needles.len > store->needles_before) {
        store->needles.len = store->needles_before;
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, CV_STORE_NEEDLE);
}

static unsigned slot_of(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return (v * 2654435761U) >> 16;
}

static void prepare(struct search *s, struct cv_buf *needles)
{
    memset(s, 0, sizeof *s);
    s->n = needles->len / CV_STORE_NEEDLE;
    qsort(needles->data, s->n, CV_STORE_NEEDLE, compare);
    s->needles = needles->data;
    for (size_t i = 0; i < s->n; i++) {
        unsigned bit = slot_of(s->needles + i * CV_STORE_NEEDLE);

        s->filter[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

static bool is_in(const struct search *s, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i + CV_STORE_NEEDLE <= len; i++) {
        unsigned bit = slot_of(data + i);

        if ((s->filter[bit / 8] >> bit % 8 & 1) != 0 &&
            bsearch(data + i, s->needles, s->n, CV_STORE_NEEDLE, compare) !=
                NULL) {
            return true;
        }
    }
    return false;
}

/* Only in pages of B-trees are there unused parts: leaves and inner pages of
 * tables and indexes (SQLite's file format, section 1.6). Others are zeroed
 * when they are freed. The first page has its header behind the file's. */
static bool is_tree_page(const uint8_t *page, bool first)
{
    uint8_t type = page[first ? 100 : 0];

    return type == 0x02 || type == 0x05 || type == 0x0a || type == 0x0d;
}

/* Reads through SQLite's own descriptor: closing another would drop its locks.
 * An error counts as found. */
static bool search_file(sqlite3 *db, const struct search *s, size_t page_size)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    uint8_t *chunk = malloc(CHUNK);
    bool found = true;

    if (chunk != NULL &&
        sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) ==
            SQLITE_OK &&
        file != NULL && file->pMethods != NULL &&
        file->pMethods->xFileSize(file, &size) == SQLITE_OK) {
        found = false;
    }
    for (sqlite3_int64 at = 0; !found && at < size; at += CHUNK) {
        size_t len = size - at < CHUNK ? (size_t)(size - at) : CHUNK;

        found = file->pMethods->xRead(file, chunk, (int)len, at) != SQLITE_OK;
        for (size_t p = 0; !found && p + page_size <= len; p += page_size) {
            found = is_tree_page(chunk + p, at == 0 && p == 0) &&
                    is_in(s, chunk + p, page_size);
        }
    }
    free(chunk);
    return found;
}

static size_t page_size_of(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    size_t size = 0;

    if (sqlite3_prepare_v2(db, "PRAGMA page_size", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        size = (size_t)sqlite3_column_int(s, 0);
    }
    (void)sqlite3_finalize(s);
    return size;
}

static bool empty_wal(sqlite3 *db)
{
    return sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE,
                                     NULL, NULL) == SQLITE_OK;
}

bool cv_store_scrub_now(struct cv_store *store)
{
    struct search *s = malloc(sizeof *s);
    size_t page_size = page_size_of(store->db);
    bool ok = s != NULL && page_size >= 512 && CHUNK % page_size == 0 &&
              store->needles.status == CV_OK && empty_wal(store->db);

    if (ok && store->needles.len > 0) {
        prepare(s, &store->needles);
        if (search_file(store->db, s, page_size)) {
            ok = sqlite3_exec(store->db, "VACUUM", NULL, NULL, NULL) ==
                     SQLITE_OK &&
                 empty_wal(store->db);
        }
    }
    free(s);
    if (ok) {
        cv_buf_wipe(&store->needles);
        store->scrub_due = false;
    }
    return ok;
}
