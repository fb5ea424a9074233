/* The whole index against the log: of each word how many leaves, and a sum over
 * their places, once by the log and once by the index. */
#include "vault/audit/index_internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 16384 /* at first; a power of two */

struct word {
    uint8_t *text; /* NULL: an empty slot */
    size_t len;
    int64_t kind;
    uint64_t n;
    struct cv_index_sum sum;
    bool seen; /* by the index */
};

struct check {
    struct word *words;
    size_t size, used, seen;
    struct cv_index x;
    struct cv_index_segment segment; /* by the log */
    struct cv_index_sum all_segments;
    bool has_segment;
    const char *wrong;
};

static struct word *find(struct word *words, size_t size, int64_t kind,
                         struct cv_bytes text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) + (uint64_t)kind;
    size_t i;

    for (size_t k = 0; k < text.len; k++) {
        h = (h ^ text.data[k]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 29;
    for (i = (size_t)h & (size - 1); words[i].text != NULL;
         i = (i + 1) & (size - 1)) {
        if (words[i].kind == kind && words[i].len == text.len &&
            memcmp(words[i].text, text.data, text.len) == 0) {
            break;
        }
    }
    return &words[i];
}

static bool grow(struct check *c)
{
    const size_t size = c->size == 0 ? SLOTS : c->size * 2;
    struct word *words = calloc(size, sizeof *words);

    if (words == NULL) {
        return false;
    }
    for (size_t i = 0; i < c->size; i++) {
        struct word *w = &c->words[i];

        if (w->text != NULL) {
            *find(words, size, w->kind, (struct cv_bytes){w->text, w->len}) =
                *w;
        }
    }
    free(c->words);
    c->words = words;
    c->size = size;
    return true;
}

static struct word *word_of(struct check *c, const struct cv_index_term *t)
{
    struct word *w;

    if ((c->used + 1) * 2 > c->size && !grow(c)) {
        return NULL;
    }
    w = find(c->words, c->size, (int64_t)t->kind, t->text);
    if (w->text == NULL) {
        w->text = malloc(t->text.len);
        if (w->text == NULL) {
            return NULL;
        }
        memcpy(w->text, t->text.data, t->text.len);
        w->len = t->text.len;
        w->kind = (int64_t)t->kind;
        c->used++;
    }
    return w;
}

static void add_place(struct cv_index_sum *to, const struct cv_query_cursor *at,
                      uint32_t tag)
{
    static const uint8_t key[crypto_shorthash_siphashx24_KEYBYTES] = "place";
    const uint64_t all[] = {at->seq, at->offset, tag};
    struct cv_index_sum one;

    (void)crypto_shorthash_siphashx24((uint8_t *)&one, (const uint8_t *)all,
                                      sizeof all, key);
    cv_index_sum_add(to, &one);
}

/* ---- segments ---- */

static void end_segment(struct check *c)
{
    struct cv_index_sum sum;

    if (c->has_segment) {
        sum = cv_index_sum_segment(&c->segment);
        cv_index_sum_add(&c->all_segments, &sum);
    }
    c->has_segment = false;
}

static void add_time(struct check *c, const struct cv_query_cursor *at,
                     struct cv_bytes time)
{
    struct cv_index_segment *g = &c->segment;

    /* The first may begin in the middle: archived.h. */
    if (at->seq % CV_INDEX_SEGMENT == 0 || !c->has_segment) {
        end_segment(c);
        memset(g, 0, sizeof *g);
        g->n = at->seq / CV_INDEX_SEGMENT;
        g->offset = at->offset;
        c->has_segment = true;
    }
    if (g->since[0] == '\0' || memcmp(time.data, g->since, time.len) < 0) {
        memcpy(g->since, time.data, time.len);
    }
    if (memcmp(time.data, g->until, time.len) > 0) {
        memcpy(g->until, time.data, time.len);
    }
}

/* ---- both sides ---- */

static enum cv_status take(void *ctx, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    struct check *c = ctx;
    struct cv_index_term terms[CV_INDEX_TERMS];
    struct cv_record record;
    enum cv_status status;
    size_t n;

    if (at->seq == c->x.meta.size) {
        return CV_QUERY_STOP;
    }
    status = cv_query_check(at, leaf, &record, err);
    if (status != CV_OK) {
        return status;
    }
    n = cv_index_terms(&record, terms);
    for (size_t i = 0; i < n; i++) {
        struct word *w = word_of(c, &terms[i]);

        if (w == NULL) {
            return cv_fail(err, CV_INTERNAL, "out of memory");
        }
        w->n++;
        add_place(&w->sum, at, terms[i].tag);
    }
    add_time(c, at, record.time);
    return CV_OK;
}

static bool sum_place(void *ctx, const struct cv_query_cursor *at, uint32_t tag)
{
    add_place(ctx, at, tag);
    return true;
}

static bool look(void *ctx, const struct cv_index_word *w)
{
    struct check *c = ctx;
    struct word *own = find(c->words, c->size, w->kind, w->text);
    struct cv_index_sum sum = {{0, 0}};

    if (own->text == NULL || own->seen) {
        c->wrong = "it has a word that the log has not";
        return true;
    }
    own->seen = true;
    c->seen++;
    cv_index_read_list(&c->x, w, sum_place, &sum);
    if (c->x.rc == SQLITE_OK &&
        (w->n != own->n || !cv_index_sum_same(&sum, &own->sum))) {
        c->wrong = "a word has other leaves than in the log";
    }
    return true;
}

static void compare(struct check *c)
{
    sqlite3_stmt *s;

    end_segment(c);
    cv_index_read_words(&c->x, look, c);
    if (c->wrong == NULL && c->seen != c->used) {
        c->wrong = "it lacks a word that the log has";
    }
    s = cv_index_prepare(&c->x, "SELECT " CV_INDEX_COLUMNS " FROM segment");
    while (cv_index_row(&c->x, s)) {
        struct cv_index_segment g;
        struct cv_index_sum sum;

        if (!cv_index_read_segment(s, &g)) {
            c->wrong = "its times are not the log's";
        }
        sum = cv_index_sum_segment(&g);
        cv_index_sum_take(&c->all_segments, &sum);
    }
    (void)sqlite3_finalize(s);
    if (c->wrong == NULL &&
        (c->all_segments.half[0] != 0 || c->all_segments.half[1] != 0)) {
        c->wrong = "its times are not the log's";
    }
    if (c->x.rc != SQLITE_OK && cv_index_failed(&c->x) == CV_INDEX_DAMAGED) {
        c->wrong = "it is damaged";
    }
}

static enum cv_status differs(const char *wrong, struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "the index differs from the log: %s", wrong);
    cv_err_hint(err, "find out who changed it, then run `certvault audit "
                     "rebuild`, which makes it again");
    return CV_INTEGRITY;
}

enum cv_status cv_index_check(int vault, struct cv_err *err)
{
    struct cv_query_cursor at = {0, 0};
    struct check c;
    enum cv_status status;

    memset(&c, 0, sizeof c);
    switch (cv_index_open(vault, false, &c.x)) {
    case CV_INDEX_FOREIGN:
        return differs("it is of another log", err);
    case CV_INDEX_DAMAGED:
        return differs("it is damaged", err);
    case CV_INDEX_READY:
        break;
    default:
        return CV_OK;
    }
    if (!grow(&c)) {
        (void)cv_index_close(&c.x, false);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    status = cv_query_scan(vault, &at, take, &c, err);
    status = status == CV_QUERY_STOP ? CV_OK : status;
    if (status == CV_OK && at.seq != c.x.meta.size) {
        c.wrong = "it has more leaves";
    } else if (status == CV_OK) {
        compare(&c);
    }
    (void)cv_index_close(&c.x, false);
    for (size_t i = 0; i < c.size; i++) {
        free(c.words[i].text);
    }
    free(c.words);
    return status == CV_OK && c.wrong != NULL ? differs(c.wrong, err) : status;
}
