/* What the files of the index share. */
#ifndef CERTVAULT_AUDIT_INDEX_INTERNAL_H
#define CERTVAULT_AUDIT_INDEX_INTERNAL_H

#include "vault/audit/index.h"
#include "vault/audit/match_internal.h"
#include "vault/audit/query_internal.h"

#include <sqlite3.h>

#define CV_INDEX_FILE "audit/index.db"
#define CV_INDEX_APPLICATION 0x63766978 /* "cvix" */
#define CV_INDEX_SCHEMA 1
#define CV_INDEX_SEGMENT 1024 /* leaves */
#define CV_INDEX_BUCKETS 256  /* of ops */
#define CV_INDEX_CHUNK 2048   /* bytes; a longer chunk is not added to */
#define CV_INDEX_TIME 21      /* as a leaf spells it, and a NUL */

/* What a word is. The numbers are in the file. */
enum cv_index_kind {
    CV_INDEX_ENTRY,    /* a name */
    CV_INDEX_ENTRY_ID, /* an id */
    CV_INDEX_USER,
    CV_INDEX_UID,
    CV_INDEX_ACTION,
    CV_INDEX_OUTCOME, /* or, where there is none, the decision */
    CV_INDEX_OP,      /* a bucket of ops: outcomes of releases alone */
    CV_INDEX_KINDS
};

/* Sums are added and taken away again, so that a change costs what it
 * changes. */
struct cv_index_sum {
    uint64_t half[2];
};

struct cv_index_meta {
    uint64_t size;              /* leaves that are in it */
    uint64_t offset;            /* where the next one begins in the log */
    uint64_t last;              /* where the last one does */
    uint8_t leaf[CV_TREE_HASH]; /* its hash: which log this is of */
    struct cv_index_sum words, segments;
};

/* A word and the list of its leaves, which is cut into chunks: for each leaf
 * varints (LEB128) of the distance of its number and of its offset from those
 * of the one before it, and for CV_INDEX_OP the upper half of the op's hash. */
struct cv_index_word {
    int64_t id;
    int64_t kind;
    struct cv_bytes text;    /* borrowed; as a leaf spells it */
    uint64_t n;              /* leaves */
    uint64_t seq, offset;    /* of the last one */
    int64_t chunk;           /* the number of the last chunk */
    struct cv_index_sum sum; /* over the chunks */
};

struct cv_index_segment {
    uint64_t n;
    uint64_t offset;
    char since[CV_INDEX_TIME]; /* the earliest and the latest time in it */
    char until[CV_INDEX_TIME];
};

/* An open index, in a transaction. */
struct cv_index {
    sqlite3 *db;
    int rc; /* the failure that stuck; SQLITE_OK */
    struct cv_index_meta meta;
};

/* ---- index_db.c ---- */

/* Opens it and begins a transaction: for reading, or (`create`) for writing,
 * then one that is absent is made, empty. Looks at form, sums of meta and at
 * the log where it must end. Anything but CV_INDEX_READY: nothing is open. */
enum cv_index_state cv_index_open(int vault, bool create, struct cv_index *out);
/* Commits (`keep`) or takes back. False: it was not committed. */
bool cv_index_close(struct cv_index *x, bool keep);
/* Writes meta. */
void cv_index_put_meta(struct cv_index *x);
/* Prepares, with failures that stick: NULL then. */
sqlite3_stmt *cv_index_prepare(struct cv_index *x, const char *sql);
/* One step: is there a row? */
bool cv_index_row(struct cv_index *x, sqlite3_stmt *s);
/* What a failed use of it means: busy, or damaged. */
enum cv_index_state cv_index_failed(const struct cv_index *x);

void cv_index_sum_add(struct cv_index_sum *to, const struct cv_index_sum *sum);
void cv_index_sum_take(struct cv_index_sum *from,
                       const struct cv_index_sum *sum);
struct cv_index_sum cv_index_sum_word(const struct cv_index_word *w);
struct cv_index_sum cv_index_sum_chunk(int64_t word, int64_t n,
                                       struct cv_bytes data);
struct cv_index_sum cv_index_sum_segment(const struct cv_index_segment *s);
bool cv_index_sum_same(const struct cv_index_sum *a,
                       const struct cv_index_sum *b);

/* Columns of word and of segment, in the order of the struct. */
#define CV_INDEX_WORD "id, kind, text, n, seq, offset, chunk, sum0, sum1"
#define CV_INDEX_COLUMNS "n, offset, since, until"
void cv_index_read_word(sqlite3_stmt *s, struct cv_index_word *out);
bool cv_index_read_segment(sqlite3_stmt *s, struct cv_index_segment *out);

/* ---- index_words.c: what a leaf is listed under ---- */

struct cv_index_term {
    enum cv_index_kind kind;
    struct cv_bytes text;
    uint32_t tag; /* for CV_INDEX_OP */
};
#define CV_INDEX_TERMS CV_INDEX_KINDS

/* Fills terms[]; texts are borrowed from the record, or constant. Returns how
 * many. */
size_t cv_index_terms(const struct cv_record *r,
                      struct cv_index_term terms[CV_INDEX_TERMS]);

/* The bucket and tag of an op. */
struct cv_index_term cv_index_op(struct cv_bytes op);

/* Is it an action that gives something out: use, sign.raw, export, issue? */
bool cv_index_is_release(struct cv_bytes action);

/* ---- index_find.c ---- */

/* Calls `want` (false: memory is gone) for every word, its text borrowed for
 * the call, and looks at the sum over all of them. Failures stick in x->rc. */
typedef bool cv_index_word_fn(void *ctx, const struct cv_index_word *w);
void cv_index_read_words(struct cv_index *x, cv_index_word_fn *want, void *ctx);

/* All leaves of a word; what it says of itself must be so. */
typedef bool cv_index_place_fn(void *ctx, const struct cv_query_cursor *at,
                               uint32_t tag);
void cv_index_read_list(struct cv_index *x, const struct cv_index_word *w,
                        cv_index_place_fn *fn, void *ctx);

/* Where to look for what matches. */
struct cv_index_plan {
    enum cv_index_state state;  /* CV_INDEX_READY: the rest is set */
    struct cv_query_cursor end; /* what is behind it is not in the index */
    bool keyed;                 /* `places` are all that can match before it */
    struct cv_query_cursor *places;
    size_t n;
    struct cv_match must; /* each of them matches this; borrows from `match` */
    struct cv_query_cursor first; /* not keyed: between these */
    uint64_t last_seq;
};

/* *plan is to be freed in any case. CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_index_find(int vault,
                                         const struct cv_match *match,
                                         struct cv_index_plan *plan,
                                         struct cv_err *err);
void cv_index_plan_free(struct cv_index_plan *plan);

/* The leaves listed under outcomes of these ops (32 hex digits each): a few too
 * many, in the log's order. On CV_INDEX_READY the caller frees *places. */
enum cv_index_state cv_index_outcomes(int vault, const struct cv_bytes *ops,
                                      size_t n_ops,
                                      struct cv_query_cursor **places,
                                      size_t *n, struct cv_query_cursor *end);

/* A place from which a scan comes past leaf `seq`; the log's beginning where
 * the index does not know. */
void cv_index_seek(int vault, uint64_t seq, struct cv_query_cursor *out);

/* The last place that it knows, and how many leaves lie before it. */
void cv_index_end(int vault, struct cv_query_cursor *out);

#endif
