/* The file of the index, its form and its sums. */
#include "vault/audit/index_internal.h"

#include "vault/audit/archived.h"
#include "vault/audit/crc32c_internal.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char schema[] =
    "CREATE TABLE meta(id INTEGER PRIMARY KEY, size INTEGER, offset INTEGER,"
    " last INTEGER, leaf BLOB, words0 INTEGER, words1 INTEGER,"
    " segments0 INTEGER, segments1 INTEGER, sum BLOB);"
    "CREATE TABLE word(id INTEGER PRIMARY KEY, kind INTEGER, text BLOB,"
    " n INTEGER, seq INTEGER, offset INTEGER, chunk INTEGER, sum0 INTEGER,"
    " sum1 INTEGER, UNIQUE(kind, text));"
    "CREATE TABLE chunk(word INTEGER, n INTEGER, data BLOB,"
    " PRIMARY KEY(word, n)) WITHOUT ROWID;"
    "CREATE TABLE segment(n INTEGER PRIMARY KEY, offset INTEGER, since TEXT,"
    " until TEXT);"
    "PRAGMA application_id = 1668704632; PRAGMA user_version = 1;";

#define META_COLUMNS \
    "size, offset, last, leaf, words0, words1, segments0, segments1"

/* ---- sums ---- */

/* Without a secret: it finds accidents, and hands that do not know of it. */
static struct cv_index_sum sum_of(const void *data, size_t len)
{
    static const uint8_t key[crypto_shorthash_siphashx24_KEYBYTES] =
        "certvault/index";
    struct cv_index_sum out;

    (void)crypto_shorthash_siphashx24((uint8_t *)&out, data, len, key);
    return out;
}

void cv_index_sum_add(struct cv_index_sum *to, const struct cv_index_sum *sum)
{
    to->half[0] += sum->half[0];
    to->half[1] += sum->half[1];
}

void cv_index_sum_take(struct cv_index_sum *from,
                       const struct cv_index_sum *sum)
{
    from->half[0] -= sum->half[0];
    from->half[1] -= sum->half[1];
}

bool cv_index_sum_same(const struct cv_index_sum *a,
                       const struct cv_index_sum *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

struct cv_index_sum cv_index_sum_word(const struct cv_index_word *w)
{
    const struct cv_index_sum text = sum_of(w->text.data, w->text.len);
    const uint64_t all[] = {
        (uint64_t)w->id, (uint64_t)w->kind, w->text.len,
        text.half[0],    text.half[1],      w->n,
        w->seq,          w->offset,         (uint64_t)w->chunk,
        w->sum.half[0],  w->sum.half[1]};

    return sum_of(all, sizeof all);
}

struct cv_index_sum cv_index_sum_chunk(int64_t word, int64_t n,
                                       struct cv_bytes data)
{
    const struct cv_index_sum bytes = sum_of(data.data, data.len);
    const uint64_t all[] = {(uint64_t)word, (uint64_t)n, data.len,
                            bytes.half[0], bytes.half[1]};

    return sum_of(all, sizeof all);
}

struct cv_index_sum cv_index_sum_segment(const struct cv_index_segment *s)
{
    struct {
        uint64_t n, offset;
        char since[CV_INDEX_TIME + 3], until[CV_INDEX_TIME + 3];
    } all;

    memset(&all, 0, sizeof all);
    all.n = s->n;
    all.offset = s->offset;
    memcpy(all.since, s->since, sizeof s->since);
    memcpy(all.until, s->until, sizeof s->until);
    return sum_of(&all, sizeof all);
}

static struct cv_index_sum sum_meta(const struct cv_index_meta *m)
{
    uint64_t all[7 + CV_TREE_HASH / 8] = {m->size,
                                          m->offset,
                                          m->last,
                                          m->words.half[0],
                                          m->words.half[1],
                                          m->segments.half[0],
                                          m->segments.half[1]};

    memcpy(all + 7, m->leaf, CV_TREE_HASH);
    return sum_of(all, sizeof all);
}

/* ---- statements ---- */

static bool stuck(struct cv_index *x, int rc)
{
    if (x->rc == SQLITE_OK && rc != SQLITE_OK && rc != SQLITE_ROW &&
        rc != SQLITE_DONE) {
        x->rc = rc;
    }
    return x->rc != SQLITE_OK;
}

sqlite3_stmt *cv_index_prepare(struct cv_index *x, const char *sql)
{
    sqlite3_stmt *s = NULL;

    if (x->rc != SQLITE_OK ||
        stuck(x, sqlite3_prepare_v2(x->db, sql, -1, &s, NULL))) {
        return NULL;
    }
    return s;
}

bool cv_index_row(struct cv_index *x, sqlite3_stmt *s)
{
    int rc;

    if (s == NULL || x->rc != SQLITE_OK) {
        return false;
    }
    rc = sqlite3_step(s);
    return !stuck(x, rc) && rc == SQLITE_ROW;
}

static void run(struct cv_index *x, const char *sql)
{
    if (x->rc == SQLITE_OK) {
        (void)stuck(x, sqlite3_exec(x->db, sql, NULL, NULL, NULL));
    }
}

enum cv_index_state cv_index_failed(const struct cv_index *x)
{
    switch (x->rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table that is not there */
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
        return CV_INDEX_DAMAGED;
    default:
        return CV_INDEX_BUSY;
    }
}

/* ---- reading rows ---- */

static uint64_t number(sqlite3_stmt *s, int column)
{
    return (uint64_t)sqlite3_column_int64(s, column);
}

static struct cv_bytes blob(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    int len = sqlite3_column_bytes(s, column);

    return (struct cv_bytes){data, data == NULL || len < 0 ? 0 : (size_t)len};
}

void cv_index_read_word(sqlite3_stmt *s, struct cv_index_word *out)
{
    out->id = sqlite3_column_int64(s, 0);
    out->kind = sqlite3_column_int64(s, 1);
    out->text = blob(s, 2);
    out->n = number(s, 3);
    out->seq = number(s, 4);
    out->offset = number(s, 5);
    out->chunk = sqlite3_column_int64(s, 6);
    out->sum.half[0] = number(s, 7);
    out->sum.half[1] = number(s, 8);
}

bool cv_index_read_segment(sqlite3_stmt *s, struct cv_index_segment *out)
{
    struct cv_bytes since = blob(s, 2), until = blob(s, 3);

    memset(out, 0, sizeof *out);
    out->n = number(s, 0);
    out->offset = number(s, 1);
    if (since.len != CV_INDEX_TIME - 1 || until.len != CV_INDEX_TIME - 1) {
        return false;
    }
    memcpy(out->since, since.data, since.len);
    memcpy(out->until, until.data, until.len);
    return true;
}

static bool read_meta(struct cv_index *x)
{
    sqlite3_stmt *s = cv_index_prepare(x, "SELECT " META_COLUMNS
                                          ", sum FROM meta WHERE id = 0");
    struct cv_index_meta *m = &x->meta;
    bool good = false;

    if (cv_index_row(x, s)) {
        struct cv_bytes leaf = blob(s, 3), sum = blob(s, 8);
        struct cv_index_sum own;

        m->size = number(s, 0);
        m->offset = number(s, 1);
        m->last = number(s, 2);
        m->words = (struct cv_index_sum){{number(s, 4), number(s, 5)}};
        m->segments = (struct cv_index_sum){{number(s, 6), number(s, 7)}};
        if (leaf.len == CV_TREE_HASH && sum.len == sizeof own) {
            memcpy(m->leaf, leaf.data, CV_TREE_HASH);
            own = sum_meta(m);
            good = memcmp(&own, sum.data, sizeof own) == 0;
        }
    }
    (void)sqlite3_finalize(s);
    return good;
}

void cv_index_put_meta(struct cv_index *x)
{
    sqlite3_stmt *s = cv_index_prepare(
        x, "INSERT OR REPLACE INTO meta(id, " META_COLUMNS
           ", sum) VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    const struct cv_index_meta *m = &x->meta;
    const struct cv_index_sum sum = sum_meta(m);
    const uint64_t numbers[] = {m->size, m->offset, m->last};
    const uint64_t sums[] = {m->words.half[0], m->words.half[1],
                             m->segments.half[0], m->segments.half[1]};

    for (int i = 0; i < 3 && s != NULL; i++) {
        (void)sqlite3_bind_int64(s, i + 1, (int64_t)numbers[i]);
    }
    for (int i = 0; i < 4 && s != NULL; i++) {
        (void)sqlite3_bind_int64(s, i + 5, (int64_t)sums[i]);
    }
    if (s != NULL) {
        (void)sqlite3_bind_blob(s, 4, m->leaf, CV_TREE_HASH, SQLITE_STATIC);
        (void)sqlite3_bind_blob(s, 9, &sum, (int)sizeof sum, SQLITE_STATIC);
    }
    (void)cv_index_row(x, s);
    (void)sqlite3_finalize(s);
}

/* ---- opening ---- */

/* SQLite wants a path; the folder is known by its descriptor. */
static bool path_of(int vault, char out[PATH_MAX])
{
    char link[64];
    struct stat open_one, named;
    ssize_t n;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", vault);
    n = readlink(link, out, PATH_MAX - sizeof CV_INDEX_FILE - 1);
    if (n <= 0 || (size_t)n >= PATH_MAX - sizeof CV_INDEX_FILE - 1) {
        return false;
    }
    out[n] = '\0';
    if (stat(out, &named) != 0 || fstat(vault, &open_one) != 0 ||
        named.st_dev != open_one.st_dev || named.st_ino != open_one.st_ino) {
        return false;
    }
    (void)snprintf(out + n, PATH_MAX - (size_t)n, "/%s", CV_INDEX_FILE);
    return true;
}

/* By its name, not by a descriptor: closing one would drop SQLite's locks. */
static enum cv_index_state look(int vault)
{
    struct stat st;

    if (fstatat(vault, CV_INDEX_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? CV_INDEX_ABSENT : CV_INDEX_BUSY;
    }
    return S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1 &&
                   (st.st_mode & 077) == 0 && st.st_size > 0
               ? CV_INDEX_READY
               : CV_INDEX_DAMAGED;
}

static void configure(sqlite3 *db)
{
    static const int off[] = {SQLITE_DBCONFIG_TRUSTED_SCHEMA,
                              SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_VIEW};

    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        (void)sqlite3_db_config(db, off[i], 0, (int *)NULL);
    }
    (void)sqlite3_busy_timeout(db, 0);
}

static int64_t pragma(struct cv_index *x, const char *sql)
{
    sqlite3_stmt *s = cv_index_prepare(x, sql);
    int64_t value = cv_index_row(x, s) ? sqlite3_column_int64(s, 0) : -1;

    (void)sqlite3_finalize(s);
    return value;
}

static enum cv_index_state check_form(struct cv_index *x)
{
    const int64_t application = pragma(x, "PRAGMA application_id");
    const int64_t version = pragma(x, "PRAGMA user_version");

    if (x->rc != SQLITE_OK) {
        return cv_index_failed(x);
    }
    if (application == CV_INDEX_APPLICATION && version > CV_INDEX_SCHEMA) {
        return CV_INDEX_NEWER;
    }
    if (application != CV_INDEX_APPLICATION || version != CV_INDEX_SCHEMA ||
        !read_meta(x)) {
        return x->rc == SQLITE_OK ? CV_INDEX_DAMAGED : cv_index_failed(x);
    }
    return CV_INDEX_READY;
}

/* Is the leaf there that must be the index's last? By its hash, and by what
 * each leaf holds of the one before it, all the others are too. */
static enum cv_index_state check_log(int vault, const struct cv_index_meta *m)
{
    uint8_t frame[CV_WAL_HEADER + CV_LIMIT_LEAF], hash[CV_TREE_HASH];
    const size_t len = (size_t)(m->offset - m->last);
    enum cv_index_state state = CV_INDEX_FOREIGN;
    int fd = -1;

    if (m->size == 0) {
        return m->offset == 0 ? CV_INDEX_READY : CV_INDEX_DAMAGED;
    }
    if (m->offset <= m->last + CV_WAL_HEADER || len > sizeof frame ||
        cv_file_open(vault, "audit/log", O_RDONLY, &fd, NULL) != CV_OK) {
        return CV_INDEX_FOREIGN;
    }
    if (pread(fd, frame, len, (off_t)m->last) == (ssize_t)len) {
        cv_tree_leaf(
            (struct cv_bytes){frame + CV_WAL_HEADER, len - CV_WAL_HEADER},
            hash);
        if (memcmp(hash, m->leaf, CV_TREE_HASH) == 0) {
            state = CV_INDEX_READY;
        }
    }
    cv_file_close(&fd);
    return state;
}

/* Does it begin where the log does (archived.h)? */
static enum cv_index_state check_begin(int vault, struct cv_index *x)
{
    struct cv_archived gone;
    sqlite3_stmt *s;
    bool same;

    if (x->meta.size == 0) {
        return CV_INDEX_READY;
    }
    s = cv_index_prepare(x, "SELECT n, offset FROM segment ORDER BY n LIMIT 1");
    same = cv_index_row(x, s) &&
           cv_archived_read(vault, &gone, NULL) == CV_OK &&
           (uint64_t)sqlite3_column_int64(s, 0) ==
               gone.tree.size / CV_INDEX_SEGMENT &&
           (uint64_t)sqlite3_column_int64(s, 1) == gone.offset;
    (void)sqlite3_finalize(s);
    return same                 ? CV_INDEX_READY
           : x->rc == SQLITE_OK ? CV_INDEX_FOREIGN
                                : cv_index_failed(x);
}

static void make(struct cv_index *x)
{
    run(x, schema);
    memset(&x->meta, 0, sizeof x->meta);
    cv_index_put_meta(x);
}

static enum cv_index_state begin(struct cv_index *x, int vault, bool fresh,
                                 bool write)
{
    enum cv_index_state state;

    run(x, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
           "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;"
           "PRAGMA synchronous = OFF;");
    run(x, write ? "BEGIN IMMEDIATE" : "BEGIN");
    if (fresh) {
        make(x);
        return x->rc == SQLITE_OK ? CV_INDEX_READY : cv_index_failed(x);
    }
    state = x->rc == SQLITE_OK ? check_form(x) : cv_index_failed(x);
    if (state == CV_INDEX_READY) {
        state = check_begin(vault, x);
    }
    return state == CV_INDEX_READY ? check_log(vault, &x->meta) : state;
}

/* Makes the file itself, so that it is 0600 whatever the umask. */
static bool make_file(int vault)
{
    int fd = -1;
    bool made = cv_file_open(vault, CV_INDEX_FILE, O_RDWR | O_CREAT | O_EXCL,
                             &fd, NULL) == CV_OK;

    cv_file_close(&fd);
    return made;
}

enum cv_index_state cv_index_open(int vault, bool create, struct cv_index *out)
{
    enum cv_index_state state = look(vault);
    const bool fresh = state == CV_INDEX_ABSENT && create;
    char path[PATH_MAX];

    memset(out, 0, sizeof *out);
    if (fresh) {
        state = make_file(vault) ? CV_INDEX_READY : CV_INDEX_BUSY;
    }
    if (state == CV_INDEX_READY && !path_of(vault, path)) {
        state = CV_INDEX_BUSY;
    }
    if (state != CV_INDEX_READY) {
        return state;
    }
    if (stuck(out,
              sqlite3_open_v2(path, &out->db,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                  SQLITE_OPEN_PRIVATECACHE |
                                  SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                              NULL))) {
        state = cv_index_failed(out);
    } else {
        configure(out->db);
        state = begin(out, vault, fresh, create);
    }
    if (state != CV_INDEX_READY) {
        (void)cv_index_close(out, false);
    }
    return state;
}

bool cv_index_close(struct cv_index *x, bool keep)
{
    bool kept;

    if (x->db == NULL) {
        return false;
    }
    if (keep) {
        run(x, "COMMIT");
    }
    kept = keep && x->rc == SQLITE_OK;
    if (!kept) {
        (void)sqlite3_exec(x->db, "ROLLBACK", NULL, NULL, NULL);
    }
    (void)sqlite3_close(x->db);
    x->db = NULL;
    return kept;
}

enum cv_status cv_index_remove(int vault, struct cv_err *err)
{
    static const char *const names[] = {CV_INDEX_FILE, CV_INDEX_FILE "-journal",
                                        CV_INDEX_FILE "-wal",
                                        CV_INDEX_FILE "-shm"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (unlinkat(vault, names[i], 0) != 0 && errno != ENOENT) {
            return cv_fail_errno(err, CV_IO, "cannot remove %s", names[i]);
        }
    }
    return CV_OK;
}
