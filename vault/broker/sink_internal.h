/* What sink.c and sink_cursor.c share. */
#ifndef CERTVAULT_BROKER_SINK_INTERNAL_H
#define CERTVAULT_BROKER_SINK_INTERNAL_H

#include "vault/broker/broker_internal.h"
#include "vault/broker/sink.h"

#define CV_SINK_PREV 45 /* base64 of a leaf's hash */

/* Where a sink is in the log. */
struct cv_sink_place {
    struct cv_query_cursor at; /* the next leaf */
    char prev[CV_SINK_PREV];   /* the hash of the one before; "": not known */
    uint64_t gap;              /* records before it that were skipped and of
                                  which the sink was not told yet */
};

struct cv_sink {
    const struct cv_spawner_sink *o;
    struct cv_sink_place place;
    bool checked; /* the log goes on from there as it did */
    bool changed; /* and not stored */
    struct cv_sink_place marks[CV_LIMIT_SINK_UNSURE]; /* before each batch of
                                                         this connection */
    size_t n_marks;
    struct cv_channel *channel; /* NULL: not running */
    uint32_t child;
    bool asked;    /* a batch is out: */
    size_t n;      /* its leaves ... */
    bool with_gap; /* ... behind a word about a gap */
    struct cv_query_cursor after[CV_LIMIT_SINK_BATCH]; /* the places behind */
    char last[CV_SINK_PREV];                           /* the last one's hash */
    int64_t until_ms;                                  /* for its answer */
    int64_t asked_ms;
    int64_t retry_ms; /* not before; 0: now */
    uint64_t failures;
    char error[160];
    bool skipping;
    uint64_t skipped_from;
    uint64_t gaps; /* records, since the start */
};

struct cv_sinks {
    struct cv_sink *sink;
    size_t n;
    int lock; /* held; -1: another broker has it */
    bool loaded;
    bool hurried;
    int64_t stored_ms, looked_ms;
    struct timespec changed; /* the log's file, when it was last looked at */
};

/* Reads audit/sinks into the sinks that are configured; what it does not know
 * begins at the log's beginning, and a file that cannot be read is none. */
void cv_sink_cursor_load(struct cv_broker *b, struct cv_sinks *all);

/* Writes it; a failure is tried again later. */
void cv_sink_cursor_store(struct cv_broker *b, struct cv_sinks *all);

/* The base64 of a leaf's hash. */
void cv_sink_cursor_hash(struct cv_bytes leaf, char out[CV_SINK_PREV]);

#endif
