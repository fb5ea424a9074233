/* Where to look for what matches: out of the index, all its sums held. */
#include "vault/audit/index_internal.h"

#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <stdlib.h>
#include <string.h>

/* More places than these are not kept: then the log itself is read. */
#define PLACES_MAX 4000000

/* Words that one question can be about: globs, and buckets of ops. */
struct picked {
    struct cv_index_word *words; /* without texts */
    size_t n, size;
    uint64_t places;
};

struct found {
    struct cv_query_cursor *places;
    size_t n, size;
};

static bool pick(struct picked *p, const struct cv_index_word *w)
{
    if (p->n == p->size) {
        size_t size = p->size == 0 ? 16 : p->size * 2;
        struct cv_index_word *more = realloc(p->words, size * sizeof *more);

        if (more == NULL) {
            return false;
        }
        p->words = more;
        p->size = size;
    }
    p->words[p->n++] = *w;
    p->places += w->n;
    return true;
}

/* ---- which words ---- */

static struct cv_bytes inner(const struct cv_buf *spelt)
{
    return (struct cv_bytes){spelt->data + 1, spelt->len - 2};
}

static bool same(const struct cv_buf *spelt, struct cv_bytes text)
{
    struct cv_bytes want;

    if (spelt->len == 0) {
        return false;
    }
    want = inner(spelt);
    return want.len == text.len && memcmp(want.data, text.data, text.len) == 0;
}

static bool is_uid(const struct cv_match *m, struct cv_bytes text)
{
    uint64_t uid = 0;

    return m->has_uid && cv_canon_uint(text, &uid) && uid == m->uid;
}

/* The groups of words that must each hold a match; a group is any of them. */
enum group { ENTRIES, ACTORS, ACTIONS, OUTCOMES, GROUPS };

static enum group group_of(const struct cv_match *m,
                           const struct cv_index_word *w)
{
    switch (w->kind) {
    case CV_INDEX_ENTRY:
        return cv_match_like(&m->entry, w->text) ? ENTRIES : GROUPS;
    case CV_INDEX_ENTRY_ID:
        return same(&m->entry_id, w->text) ? ENTRIES : GROUPS;
    case CV_INDEX_USER:
        return same(&m->actor, w->text) ? ACTORS : GROUPS;
    case CV_INDEX_UID:
        return is_uid(m, w->text) ? ACTORS : GROUPS;
    case CV_INDEX_ACTION:
        return cv_match_like(&m->action, w->text) ? ACTIONS : GROUPS;
    case CV_INDEX_OUTCOME:
        return same(&m->outcome, w->text) ? OUTCOMES : GROUPS;
    default:
        return GROUPS;
    }
}

/* Is the group asked about at all? */
static bool is_asked(const struct cv_match *m, enum group g)
{
    switch (g) {
    case ENTRIES:
        return m->entry.len > 0 || m->entry_id.len > 0;
    case ACTORS:
        return m->actor.len > 0;
    case ACTIONS:
        return m->action.len > 0;
    case OUTCOMES:
        return m->outcome.len > 0;
    default:
        return false;
    }
}

void cv_index_read_words(struct cv_index *x, cv_index_word_fn *want, void *ctx)
{
    sqlite3_stmt *s = cv_index_prepare(x, "SELECT " CV_INDEX_WORD " FROM word");
    struct cv_index_sum all = {{0, 0}};
    bool room = true;

    while (room && cv_index_row(x, s)) {
        struct cv_index_word w;
        struct cv_index_sum sum;

        cv_index_read_word(s, &w);
        sum = cv_index_sum_word(&w);
        cv_index_sum_add(&all, &sum);
        room = want(ctx, &w);
    }
    (void)sqlite3_finalize(s);
    if (x->rc == SQLITE_OK && !room) {
        x->rc = SQLITE_NOMEM;
    } else if (x->rc == SQLITE_OK && !cv_index_sum_same(&all, &x->meta.words)) {
        x->rc = SQLITE_CORRUPT;
    }
}

/* ---- their lists ---- */

static bool get_varint(struct cv_bytes *from, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && from->len > 0; shift += 7) {
        uint8_t c = *from->data;

        from->data++;
        from->len--;
        *out |= (uint64_t)(c & 127) << shift;
        if (c < 128) {
            return true;
        }
    }
    return false;
}

static bool read_chunk(struct cv_bytes data, bool tagged,
                       struct cv_query_cursor *at, uint64_t *n,
                       cv_index_place_fn *fn, void *ctx)
{
    while (data.len > 0) {
        uint64_t seq, offset, tag = 0;

        if (!get_varint(&data, &seq) || !get_varint(&data, &offset) ||
            (tagged && !get_varint(&data, &tag))) {
            return false;
        }
        at->seq += seq;
        at->offset += offset;
        ++*n;
        if (!fn(ctx, at, (uint32_t)tag)) {
            return false;
        }
    }
    return true;
}

void cv_index_read_list(struct cv_index *x, const struct cv_index_word *w,
                        cv_index_place_fn *fn, void *ctx)
{
    sqlite3_stmt *s = cv_index_prepare(
        x, "SELECT n, data FROM chunk WHERE word = ?1 ORDER BY n");
    struct cv_index_sum all = {{0, 0}};
    struct cv_query_cursor at = {0, 0};
    uint64_t n = 0;
    bool good = true;

    if (s != NULL) {
        (void)sqlite3_bind_int64(s, 1, w->id);
    }
    while (good && cv_index_row(x, s)) {
        struct cv_bytes data = {sqlite3_column_blob(s, 1),
                                (size_t)sqlite3_column_bytes(s, 1)};
        struct cv_index_sum sum =
            cv_index_sum_chunk(w->id, sqlite3_column_int64(s, 0), data);

        cv_index_sum_add(&all, &sum);
        good = read_chunk(data, w->kind == CV_INDEX_OP, &at, &n, fn, ctx);
    }
    (void)sqlite3_finalize(s);
    if (x->rc == SQLITE_OK &&
        (!good || !cv_index_sum_same(&all, &w->sum) || n != w->n ||
         at.seq != w->seq || at.offset != w->offset)) {
        x->rc = SQLITE_CORRUPT;
    }
}

static bool keep(struct found *f, const struct cv_query_cursor *at)
{
    if (f->n == f->size) {
        size_t size = f->size == 0 ? 256 : f->size * 2;
        struct cv_query_cursor *more =
            realloc(f->places, size * sizeof *f->places);

        if (more == NULL) {
            return false;
        }
        f->places = more;
        f->size = size;
    }
    f->places[f->n++] = *at;
    return true;
}

static bool keep_place(void *ctx, const struct cv_query_cursor *at,
                       uint32_t tag)
{
    (void)tag;
    return keep(ctx, at);
}

static int by_seq(const void *a, const void *b)
{
    const struct cv_query_cursor *x = a, *y = b;

    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* In the log's order, each once. */
static void order(struct found *f)
{
    size_t n = 0;

    if (f->n > 1) {
        qsort(f->places, f->n, sizeof *f->places, by_seq);
    }
    for (size_t i = 0; i < f->n; i++) {
        if (n == 0 || f->places[n - 1].seq != f->places[i].seq) {
            f->places[n++] = f->places[i];
        }
    }
    f->n = n;
}

static void read_group(struct cv_index *x, const struct picked *p,
                       struct found *out)
{
    for (size_t i = 0; i < p->n && x->rc == SQLITE_OK; i++) {
        cv_index_read_list(x, &p->words[i], keep_place, out);
    }
    if (p->n > 1) {
        order(out);
    }
}

/* ---- keyed ---- */

struct groups {
    const struct cv_match *match;
    struct picked picked[GROUPS];
};

static bool want_group(void *ctx, const struct cv_index_word *w)
{
    struct groups *g = ctx;
    enum group of = group_of(g->match, w);

    return of == GROUPS || pick(&g->picked[of], w);
}

/* What the others of the question are about is looked at in the leaves. */
static void must_match(struct cv_match *must, const struct cv_match *match,
                       enum group by)
{
    static const struct cv_buf any = {0};

    *must = *match;
    must->since[0] = '\0';
    must->until[0] = '\0';
    must->deny = CV_MATCH_DENY; /* the index does not tell them apart */
    if (by != ENTRIES) {
        must->entry = any;
        must->entry_id = any;
    }
    if (by != ACTORS) {
        must->actor = any;
        must->has_uid = false;
    }
    if (by != ACTIONS) {
        must->action = any;
    }
    if (by != OUTCOMES) {
        must->outcome = any;
    }
}

/* By the group that has fewest. */
static bool find_keyed(struct cv_index *x, const struct cv_match *match,
                       struct cv_index_plan *plan)
{
    struct groups g = {.match = match};
    struct found found = {0};
    enum group by = GROUPS;

    for (int i = 0; i < GROUPS; i++) {
        by = is_asked(match, (enum group)i) ? (enum group)i : by;
    }
    if (by == GROUPS) {
        return false;
    }
    cv_index_read_words(x, want_group, &g);
    for (int i = 0; i < GROUPS; i++) {
        if (is_asked(match, (enum group)i) &&
            g.picked[i].places < g.picked[by].places) {
            by = (enum group)i;
        }
    }
    plan->keyed = g.picked[by].places <= PLACES_MAX;
    if (plan->keyed && x->rc == SQLITE_OK) {
        read_group(x, &g.picked[by], &found);
        must_match(&plan->must, match, by);
    }
    plan->places = found.places;
    plan->n = found.n;
    for (int i = 0; i < GROUPS; i++) {
        free(g.picked[i].words);
    }
    return plan->keyed;
}

/* ---- by time ---- */

static bool overlaps(const struct cv_match *m, const struct cv_index_segment *g)
{
    return (m->since[0] == '\0' || strcmp(g->until, m->since) >= 0) &&
           (m->until[0] == '\0' || strcmp(g->since, m->until) <= 0);
}

/* All segments are looked at, and their sum. */
static void find_time(struct cv_index *x, const struct cv_match *m,
                      struct cv_index_plan *plan)
{
    sqlite3_stmt *s = cv_index_prepare(x, "SELECT " CV_INDEX_COLUMNS
                                          " FROM segment ORDER BY n");
    struct cv_index_sum all = {{0, 0}};
    bool any = false, good = true;

    plan->first = plan->end;
    plan->last_seq = 0;
    while (good && cv_index_row(x, s)) {
        struct cv_index_segment g;
        struct cv_index_sum sum;

        good = cv_index_read_segment(s, &g);
        sum = cv_index_sum_segment(&g);
        cv_index_sum_add(&all, &sum);
        if (good && overlaps(m, &g)) {
            if (!any) {
                plan->first =
                    (struct cv_query_cursor){g.offset, g.n * CV_INDEX_SEGMENT};
            }
            any = true;
            plan->last_seq = (g.n + 1) * CV_INDEX_SEGMENT - 1;
        }
    }
    (void)sqlite3_finalize(s);
    if (x->rc == SQLITE_OK &&
        (!good || !cv_index_sum_same(&all, &x->meta.segments))) {
        x->rc = SQLITE_CORRUPT;
    }
    if (plan->last_seq >= plan->end.seq) {
        plan->last_seq = plan->end.seq == 0 ? 0 : plan->end.seq - 1;
    }
}

enum cv_status cv_index_find(int vault, const struct cv_match *match,
                             struct cv_index_plan *plan, struct cv_err *err)
{
    struct cv_index x;

    memset(plan, 0, sizeof *plan);
    plan->state = cv_index_open(vault, false, &x);
    if (plan->state != CV_INDEX_READY) {
        return CV_OK;
    }
    plan->end = (struct cv_query_cursor){x.meta.offset, x.meta.size};
    if (!find_keyed(&x, match, plan) && x.rc == SQLITE_OK) {
        find_time(&x, match, plan);
    }
    if (x.rc != SQLITE_OK) {
        plan->state = cv_index_failed(&x);
    }
    (void)cv_index_close(&x, false);
    if (x.rc == SQLITE_NOMEM) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return CV_OK;
}

void cv_index_plan_free(struct cv_index_plan *plan)
{
    free(plan->places);
    plan->places = NULL;
}

/* ---- outcomes of ops ---- */

struct wanted {
    uint32_t *tags; /* of the ops in one bucket, by turns */
    const struct cv_bytes *ops;
    size_t n_ops;
    bool bucket[CV_INDEX_BUCKETS];
    struct picked picked;
    struct found found;
};

static size_t bucket_of(struct cv_bytes text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len && i < 2; i++) {
        uint8_t c = text.data[i];

        unsigned digit = c <= '9' ? (unsigned)c - '0' : (unsigned)c - 'a' + 10;

        n = n * 16 + digit % 16;
    }
    return n;
}

static bool want_bucket(void *ctx, const struct cv_index_word *w)
{
    struct wanted *q = ctx;

    return w->kind != CV_INDEX_OP || !q->bucket[bucket_of(w->text)] ||
           pick(&q->picked, w);
}

static int by_tag(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static bool keep_tagged(void *ctx, const struct cv_query_cursor *at,
                        uint32_t tag)
{
    struct wanted *q = ctx;

    return bsearch(&tag, q->tags, q->n_ops, sizeof tag, by_tag) == NULL ||
           keep(&q->found, at);
}

enum cv_index_state cv_index_outcomes(int vault, const struct cv_bytes *ops,
                                      size_t n_ops,
                                      struct cv_query_cursor **places,
                                      size_t *n, struct cv_query_cursor *end)
{
    struct wanted q = {.ops = ops, .n_ops = n_ops};
    struct cv_index x;
    enum cv_index_state state = cv_index_open(vault, false, &x);

    *places = NULL;
    *n = 0;
    if (state != CV_INDEX_READY) {
        return state;
    }
    *end = (struct cv_query_cursor){x.meta.offset, x.meta.size};
    q.tags = calloc(n_ops + 1, sizeof *q.tags);
    if (q.tags == NULL) {
        x.rc = SQLITE_NOMEM;
    } else {
        for (size_t i = 0; i < n_ops; i++) {
            struct cv_index_term t = cv_index_op(ops[i]);

            q.tags[i] = t.tag;
            q.bucket[bucket_of(t.text)] = true;
        }
        qsort(q.tags, n_ops, sizeof *q.tags, by_tag);
        cv_index_read_words(&x, want_bucket, &q);
    }
    for (size_t i = 0; i < q.picked.n && x.rc == SQLITE_OK; i++) {
        cv_index_read_list(&x, &q.picked.words[i], keep_tagged, &q);
    }
    order(&q.found);
    state = x.rc == SQLITE_OK ? CV_INDEX_READY : cv_index_failed(&x);
    (void)cv_index_close(&x, false);
    free(q.tags);
    free(q.picked.words);
    if (state != CV_INDEX_READY) {
        free(q.found.places);
        return state;
    }
    *places = q.found.places;
    *n = q.found.n;
    return state;
}

/* ---- places ---- */

void cv_index_seek(int vault, uint64_t seq, struct cv_query_cursor *out)
{
    struct cv_index x;
    struct cv_index_plan plan = {0};
    struct cv_match any = {0};
    sqlite3_stmt *s;

    *out = (struct cv_query_cursor){0, 0};
    if (cv_index_open(vault, false, &x) != CV_INDEX_READY) {
        return;
    }
    plan.end = (struct cv_query_cursor){x.meta.offset, x.meta.size};
    find_time(&x, &any, &plan); /* for the sum over all segments */
    if (seq >= x.meta.size) {
        *out = plan.end;
    } else {
        s = cv_index_prepare(&x, "SELECT " CV_INDEX_COLUMNS
                                 " FROM segment WHERE n = ?1");
        if (s != NULL) {
            (void)sqlite3_bind_int64(s, 1, (int64_t)(seq / CV_INDEX_SEGMENT));
        }
        if (cv_index_row(&x, s)) {
            struct cv_index_segment g;

            (void)cv_index_read_segment(s, &g);
            *out = (struct cv_query_cursor){g.offset, g.n * CV_INDEX_SEGMENT};
        }
        (void)sqlite3_finalize(s);
    }
    if (x.rc != SQLITE_OK) {
        *out = (struct cv_query_cursor){0, 0};
    }
    (void)cv_index_close(&x, false);
}

void cv_index_end(int vault, struct cv_query_cursor *out)
{
    struct cv_index x;

    *out = (struct cv_query_cursor){0, 0};
    if (cv_index_open(vault, false, &x) == CV_INDEX_READY) {
        *out = (struct cv_query_cursor){x.meta.offset, x.meta.size};
        (void)cv_index_close(&x, false);
    }
}
