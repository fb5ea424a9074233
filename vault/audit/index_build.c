/* Taking further leaves into the index. */
#include "vault/audit/index_internal.h"

#include "vault/audit/wal_internal.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SLOTS 16384 /* at first; a power of two */
/* Lists that one step gathers: terms of a leaf, each its own. */
#define LIST_CEILING CV_MIB(16)

/* A word of this step and what is to be added to its list. */
struct list {
    enum cv_index_kind kind;
    uint8_t *text;
    size_t len;
    struct cv_index_word word;
    struct cv_index_word was; /* as the index has it, where it is `known` */
    bool known;
    struct cv_buf data;
};

struct build {
    struct cv_index x;
    struct list **lists; /* a table of all, by their hash */
    size_t size, used;
    struct cv_index_segment segment; /* that is being filled */
    bool has_segment, old_segment;   /* it is in the index as `before` */
    struct cv_index_segment before;
    sqlite3_stmt *get_word, *put_word, *get_chunk, *put_chunk, *put_segment;
    uint64_t taken;
    bool more; /* the log has further leaves */
};

static void list_free(struct list *l)
{
    if (l != NULL) {
        cv_buf_wipe(&l->data);
        free(l->text);
        free(l);
    }
}

static void build_free(struct build *b)
{
    sqlite3_stmt *all[] = {b->get_word, b->put_word, b->get_chunk, b->put_chunk,
                           b->put_segment};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        (void)sqlite3_finalize(all[i]);
    }
    for (size_t i = 0; i < b->size; i++) {
        list_free(b->lists[i]);
    }
    free(b->lists);
}

/* ---- the table of this step's words ---- */

static size_t slot_of(struct list *const *lists, size_t size,
                      enum cv_index_kind kind, struct cv_bytes text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) + (uint64_t)kind;
    size_t i;

    for (size_t k = 0; k < text.len; k++) {
        h = (h ^ text.data[k]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 29;
    for (i = (size_t)h & (size - 1); lists[i] != NULL;
         i = (i + 1) & (size - 1)) {
        if (lists[i]->kind == kind && lists[i]->len == text.len &&
            memcmp(lists[i]->text, text.data, text.len) == 0) {
            break;
        }
    }
    return i;
}

static bool grow(struct build *b)
{
    const size_t size = b->size == 0 ? SLOTS : b->size * 2;
    struct list **lists = calloc(size, sizeof *lists);

    if (lists == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->size; i++) {
        struct list *l = b->lists[i];

        if (l != NULL) {
            lists[slot_of(lists, size, l->kind,
                          (struct cv_bytes){l->text, l->len})] = l;
        }
    }
    free(b->lists);
    b->lists = lists;
    b->size = size;
    return true;
}

/* What the index has of it. */
static void get_word(struct build *b, struct list *l)
{
    sqlite3_stmt *s = b->get_word;

    if (s == NULL) {
        return;
    }
    (void)sqlite3_bind_int(s, 1, (int)l->kind);
    (void)sqlite3_bind_blob(s, 2, l->text, (int)l->len, SQLITE_STATIC);
    if (cv_index_row(&b->x, s)) {
        cv_index_read_word(s, &l->word);
        l->known = true;
    }
    (void)sqlite3_reset(s);
    l->word.kind = (int64_t)l->kind;
    l->word.text = (struct cv_bytes){l->text, l->len};
    l->was = l->word;
}

static struct list *list_of(struct build *b, const struct cv_index_term *t)
{
    struct list *l;
    size_t i;

    if ((b->used + 1) * 2 > b->size && !grow(b)) {
        return NULL;
    }
    i = slot_of(b->lists, b->size, t->kind, t->text);
    if (b->lists[i] != NULL) {
        return b->lists[i];
    }
    l = calloc(1, sizeof *l);
    if (l == NULL || (l->text = malloc(t->text.len)) == NULL) {
        free(l);
        return NULL;
    }
    memcpy(l->text, t->text.data, t->text.len);
    l->len = t->text.len;
    l->kind = t->kind;
    cv_buf_init(&l->data, NULL, LIST_CEILING);
    get_word(b, l);
    b->lists[i] = l;
    b->used++;
    return l;
}

static void add_varint(struct cv_buf *out, uint64_t value)
{
    while (value >= 128) {
        cv_buf_add_char(out, (char)(uint8_t)(value | 128));
        value >>= 7;
    }
    cv_buf_add_char(out, (char)(uint8_t)value);
}

static bool add_term(struct build *b, const struct cv_index_term *t,
                     const struct cv_query_cursor *at)
{
    struct list *l = list_of(b, t);

    if (l == NULL) {
        return false;
    }
    add_varint(&l->data, at->seq - l->word.seq);
    add_varint(&l->data, at->offset - l->word.offset);
    if (t->kind == CV_INDEX_OP) {
        add_varint(&l->data, t->tag);
    }
    l->word.seq = at->seq;
    l->word.offset = at->offset;
    l->word.n++;
    return l->data.status == CV_OK;
}

/* ---- segments ---- */

static void put_segment(struct build *b)
{
    sqlite3_stmt *s = b->put_segment;
    struct cv_index_sum sum;

    if (!b->has_segment || s == NULL) {
        return;
    }
    if (b->old_segment) {
        sum = cv_index_sum_segment(&b->before);
        cv_index_sum_take(&b->x.meta.segments, &sum);
    }
    sum = cv_index_sum_segment(&b->segment);
    cv_index_sum_add(&b->x.meta.segments, &sum);
    (void)sqlite3_bind_int64(s, 1, (int64_t)b->segment.n);
    (void)sqlite3_bind_int64(s, 2, (int64_t)b->segment.offset);
    (void)sqlite3_bind_text(s, 3, b->segment.since, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 4, b->segment.until, -1, SQLITE_STATIC);
    (void)cv_index_row(&b->x, s);
    (void)sqlite3_reset(s);
    b->has_segment = false;
    b->old_segment = false;
}

/* The last one may be open. */
static void get_segment(struct build *b)
{
    sqlite3_stmt *s;

    if (b->x.meta.size % CV_INDEX_SEGMENT == 0) {
        return;
    }
    s = cv_index_prepare(&b->x, "SELECT " CV_INDEX_COLUMNS
                                " FROM segment WHERE n = ?1");
    if (s != NULL) {
        (void)sqlite3_bind_int64(s, 1,
                                 (int64_t)(b->x.meta.size / CV_INDEX_SEGMENT));
    }
    if (cv_index_row(&b->x, s) && cv_index_read_segment(s, &b->segment)) {
        b->before = b->segment;
        b->has_segment = true;
        b->old_segment = true;
    } else if (b->x.rc == SQLITE_OK) {
        b->x.rc = SQLITE_CORRUPT;
    }
    (void)sqlite3_finalize(s);
}

static void add_time(struct build *b, const struct cv_query_cursor *at,
                     struct cv_bytes time)
{
    struct cv_index_segment *g = &b->segment;

    if (at->seq % CV_INDEX_SEGMENT == 0) {
        put_segment(b);
    }
    if (!b->has_segment) {
        memset(g, 0, sizeof *g);
        g->n = at->seq / CV_INDEX_SEGMENT;
        g->offset = at->offset;
        b->has_segment = true;
    }
    if (g->since[0] == '\0' || memcmp(time.data, g->since, time.len) < 0) {
        memcpy(g->since, time.data, time.len);
    }
    if (memcmp(time.data, g->until, time.len) > 0) {
        memcpy(g->until, time.data, time.len);
    }
}

/* ---- the step ---- */

static enum cv_status take(void *ctx, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    struct build *b = ctx;
    struct cv_index_meta *m = &b->x.meta;
    struct cv_index_term terms[CV_INDEX_TERMS];
    struct cv_record record;
    enum cv_status status;
    size_t n;

    if (b->taken == CV_INDEX_STEP) {
        b->more = true;
        return CV_QUERY_STOP;
    }
    status = cv_query_check(at, leaf, &record, err);
    if (status != CV_OK) {
        return status;
    }
    n = cv_index_terms(&record, terms);
    for (size_t i = 0; i < n; i++) {
        if (!add_term(b, &terms[i], at)) {
            return cv_fail(err, CV_INTERNAL, "out of memory");
        }
    }
    add_time(b, at, record.time);
    cv_tree_leaf(leaf, m->leaf);
    m->last = at->offset;
    m->offset = at->offset + CV_WAL_HEADER + leaf.len;
    m->size = at->seq + 1;
    b->taken++;
    return CV_OK;
}

/* The last chunk goes on while it is short. */
static void add_chunk(struct build *b, struct list *l, struct cv_index_word *w)
{
    sqlite3_stmt *s = b->get_chunk;
    struct cv_index_sum sum;
    struct cv_buf data;

    cv_buf_init(&data, NULL, LIST_CEILING + CV_INDEX_CHUNK);
    if (l->known && s != NULL) {
        (void)sqlite3_bind_int64(s, 1, w->id);
        (void)sqlite3_bind_int64(s, 2, w->chunk);
        if (!cv_index_row(&b->x, s)) {
            b->x.rc = b->x.rc == SQLITE_OK ? SQLITE_CORRUPT : b->x.rc;
        } else if (sqlite3_column_bytes(s, 0) < CV_INDEX_CHUNK) {
            cv_buf_add(&data, sqlite3_column_blob(s, 0),
                       (size_t)sqlite3_column_bytes(s, 0));
            sum = cv_index_sum_chunk(w->id, w->chunk, cv_buf_bytes(&data));
            cv_index_sum_take(&w->sum, &sum);
        } else {
            w->chunk++;
        }
        (void)sqlite3_reset(s);
    }
    cv_buf_add(&data, l->data.data, l->data.len);
    sum = cv_index_sum_chunk(w->id, w->chunk, cv_buf_bytes(&data));
    cv_index_sum_add(&w->sum, &sum);
    s = b->put_chunk;
    if (s != NULL && data.status == CV_OK) {
        (void)sqlite3_bind_int64(s, 1, w->id);
        (void)sqlite3_bind_int64(s, 2, w->chunk);
        (void)sqlite3_bind_blob(s, 3, data.data, (int)data.len, SQLITE_STATIC);
        (void)cv_index_row(&b->x, s);
        (void)sqlite3_reset(s);
    } else if (b->x.rc == SQLITE_OK) {
        b->x.rc = SQLITE_NOMEM;
    }
    cv_buf_wipe(&data);
}

static void put_word(struct build *b, const struct cv_index_word *w)
{
    const int64_t numbers[] = {
        (int64_t)w->n, (int64_t)w->seq,         (int64_t)w->offset,
        w->chunk,      (int64_t)w->sum.half[0], (int64_t)w->sum.half[1]};
    sqlite3_stmt *s = b->put_word;

    if (s == NULL) {
        return;
    }
    (void)sqlite3_bind_int64(s, 1, w->id);
    (void)sqlite3_bind_int64(s, 2, w->kind);
    (void)sqlite3_bind_blob(s, 3, w->text.data, (int)w->text.len,
                            SQLITE_STATIC);
    for (int i = 0; i < 6; i++) {
        (void)sqlite3_bind_int64(s, i + 4, numbers[i]);
    }
    (void)cv_index_row(&b->x, s);
    (void)sqlite3_reset(s);
}

static int64_t next_word(struct cv_index *x)
{
    sqlite3_stmt *s =
        cv_index_prepare(x, "SELECT coalesce(max(id), 0) + 1 FROM word");
    int64_t next = cv_index_row(x, s) ? sqlite3_column_int64(s, 0) : 1;

    (void)sqlite3_finalize(s);
    return next;
}

static void put_lists(struct build *b)
{
    int64_t next = next_word(&b->x);

    for (size_t i = 0; i < b->size && b->x.rc == SQLITE_OK; i++) {
        struct list *l = b->lists[i];
        struct cv_index_sum sum;

        if (l == NULL) {
            continue;
        }
        if (l->known) {
            sum = cv_index_sum_word(&l->was);
            cv_index_sum_take(&b->x.meta.words, &sum);
        } else {
            l->word.id = next++;
        }
        add_chunk(b, l, &l->word);
        put_word(b, &l->word);
        sum = cv_index_sum_word(&l->word);
        cv_index_sum_add(&b->x.meta.words, &sum);
    }
}

static void prepare(struct build *b)
{
    b->get_word =
        cv_index_prepare(&b->x, "SELECT " CV_INDEX_WORD
                                " FROM word WHERE kind = ?1 AND text = ?2");
    b->put_word = cv_index_prepare(
        &b->x, "INSERT OR REPLACE INTO word(" CV_INDEX_WORD
               ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    b->get_chunk = cv_index_prepare(
        &b->x, "SELECT data FROM chunk WHERE word = ?1 AND n = ?2");
    b->put_chunk =
        cv_index_prepare(&b->x, "INSERT OR REPLACE INTO chunk(word, n, data)"
                                " VALUES (?1, ?2, ?3)");
    b->put_segment = cv_index_prepare(
        &b->x, "INSERT OR REPLACE INTO segment(" CV_INDEX_COLUMNS
               ") VALUES (?1, ?2, ?3, ?4)");
    get_segment(b);
}

/* One step on an open index; it is closed afterwards. */
static enum cv_status step(int vault, struct build *b,
                           struct cv_index_told *out, struct cv_err *err)
{
    struct cv_query_cursor at = {b->x.meta.offset, b->x.meta.size};
    const uint64_t before = b->x.meta.size;
    enum cv_status status;

    prepare(b);
    status =
        b->x.rc == SQLITE_OK ? cv_query_scan(vault, &at, take, b, err) : CV_OK;
    status = status == CV_QUERY_STOP ? CV_OK : status;
    if (status == CV_OK && b->taken > 0) {
        put_segment(b);
        put_lists(b);
        cv_index_put_meta(&b->x);
    }
    build_free(b);
    out->done = !b->more;
    out->size = b->x.meta.size;
    if (status == CV_OK && b->taken == 0 && b->x.rc == SQLITE_OK) {
        (void)cv_index_close(&b->x, true); /* it may be new */
    } else if (!cv_index_close(&b->x, status == CV_OK)) {
        out->size = before;
        out->done = true;
        out->state = b->x.rc == SQLITE_OK ? out->state : cv_index_failed(&b->x);
    }
    return status;
}

/* Is what the log has beyond it not worth a write? */
static bool is_well(int vault, const struct cv_index_meta *m, uint64_t slack)
{
    struct stat st;

    return fstatat(vault, "audit/log", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (uint64_t)st.st_size <= m->offset + slack;
}

enum cv_status cv_index_update(int vault, uint64_t slack,
                               struct cv_index_told *out, struct cv_err *err)
{
    struct build b;
    enum cv_index_state state;

    memset(&b, 0, sizeof b);
    memset(out, 0, sizeof *out);
    state = cv_index_open(vault, false, &b.x);
    (void)cv_index_close(&b.x, false);
    out->state = state;
    out->size = b.x.meta.size;
    out->done = true;
    if (state == CV_INDEX_NEWER || state == CV_INDEX_BUSY ||
        (state == CV_INDEX_READY && is_well(vault, &b.x.meta, slack))) {
        return CV_OK;
    }
    if (state == CV_INDEX_DAMAGED || state == CV_INDEX_FOREIGN) {
        if (cv_index_remove(vault, NULL) != CV_OK) {
            return CV_OK;
        }
    }
    if (cv_index_open(vault, true, &b.x) != CV_INDEX_READY) {
        return CV_OK;
    }
    return step(vault, &b, out, err);
}
