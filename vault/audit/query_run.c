/* A question with a filter: by the index as far as it goes, and by a scan. */
#include "vault/audit/index_internal.h"
#include "vault/audit/query_internal.h"

#include <stdlib.h>
#include <string.h>

/* A run with a filter, and a ring of the last places where it is limited. */
struct run {
    int vault;
    struct cv_match match;
    cv_query_fn *fn;
    void *ctx;
    struct cv_query_cursor *ring; /* NULL: not limited */
    uint64_t limit;
    uint64_t found;
    uint64_t last_seq; /* nothing behind it */
};

static enum cv_status run_one(void *ctx, const struct cv_query_cursor *at,
                              struct cv_bytes leaf, struct cv_err *err)
{
    struct run *run = ctx;
    struct cv_record record;
    enum cv_status status;

    if (at->seq > run->last_seq) {
        return CV_QUERY_STOP;
    }
    if (!cv_match_maybe(&run->match, leaf)) {
        return CV_OK;
    }
    status = cv_query_check(at, leaf, &record, err);
    if (status != CV_OK || !cv_match_record(&run->match, &record)) {
        return status;
    }
    if (run->ring == NULL) {
        return run->fn(run->ctx, at->seq, leaf, err);
    }
    run->ring[run->found++ % run->limit] = *at;
    return CV_OK;
}

static enum cv_status scan(struct run *run, const struct cv_query_cursor *from,
                           uint64_t last_seq, struct cv_err *err)
{
    struct cv_query_cursor at = *from;
    enum cv_status status;

    run->last_seq = last_seq;
    status = cv_query_scan(run->vault, &at, run_one, run, err);
    return status == CV_QUERY_STOP ? CV_OK : status;
}

/* Gives the leaves at `places`, which matched. */
static enum cv_status give(struct run *run, struct cv_query_reader *reader,
                           const struct cv_query_cursor *place,
                           struct cv_err *err)
{
    struct cv_record record;
    struct cv_bytes leaf;
    enum cv_status status =
        cv_query_reader_leaf(reader, place, &leaf, &record, err);

    return status == CV_OK ? run->fn(run->ctx, place->seq, leaf, err) : status;
}

static enum cv_status give_ring(struct run *run, struct cv_query_reader *reader,
                                struct cv_err *err)
{
    uint64_t n = run->found < run->limit ? run->found : run->limit;
    enum cv_status status = CV_OK;

    for (uint64_t i = run->found - n; i < run->found && status == CV_OK; i++) {
        status = give(run, reader, &run->ring[i % run->limit], err);
    }
    return status;
}

/* ---- by the index ---- */

/* A leaf that the index names: it must be what the index says, and it may
 * match. */
static enum cv_status look(struct run *run, const struct cv_index_plan *plan,
                           struct cv_query_reader *reader,
                           const struct cv_query_cursor *place,
                           struct cv_bytes *leaf, bool *matches,
                           struct cv_err *err)
{
    struct cv_record record;
    enum cv_status status =
        cv_query_reader_leaf(reader, place, leaf, &record, err);

    if (status == CV_OK && !cv_match_record(&plan->must, &record)) {
        status = cv_query_lied(err);
    }
    *matches = status == CV_OK && cv_match_record(&run->match, &record);
    return status;
}

static enum cv_status all_places(struct run *run,
                                 const struct cv_index_plan *plan,
                                 struct cv_query_reader *reader,
                                 struct cv_err *err)
{
    enum cv_status status = CV_OK;

    for (size_t i = 0; i < plan->n && status == CV_OK; i++) {
        struct cv_bytes leaf;
        bool matches;

        status =
            look(run, plan, reader, &plan->places[i], &leaf, &matches, err);
        if (matches) {
            status = run->fn(run->ctx, plan->places[i].seq, leaf, err);
        }
    }
    return status == CV_OK ? scan(run, &plan->end, UINT64_MAX, err) : status;
}

/* From the end on, so that few are read; what is behind the index first. */
static enum cv_status last_places(struct run *run, struct cv_index_plan *plan,
                                  struct cv_query_reader *reader,
                                  struct cv_err *err)
{
    enum cv_status status = scan(run, &plan->end, UINT64_MAX, err);
    size_t kept = plan->n;

    for (size_t i = plan->n;
         i > 0 && status == CV_OK && run->found + (plan->n - kept) < run->limit;
         i--) {
        struct cv_bytes leaf;
        bool matches;

        status =
            look(run, plan, reader, &plan->places[i - 1], &leaf, &matches, err);
        if (matches) {
            plan->places[--kept] = plan->places[i - 1];
        }
    }
    for (size_t i = kept; i < plan->n && status == CV_OK; i++) {
        status = give(run, reader, &plan->places[i], err);
    }
    return status == CV_OK ? give_ring(run, reader, err) : status;
}

/* Of a question without a word only times help, or a limit alone. */
static enum cv_status between(struct run *run, struct cv_index_plan *plan,
                              struct cv_query_reader *reader,
                              struct cv_err *err)
{
    enum cv_status status = CV_OK;

    if (run->ring != NULL && run->match.since[0] == '\0' &&
        run->match.until[0] == '\0' && plan->end.seq > run->limit) {
        cv_index_seek(run->vault, plan->end.seq - run->limit, &plan->first);
    }
    if (plan->first.seq < plan->end.seq) {
        status = scan(run, &plan->first, plan->last_seq, err);
    }
    if (status == CV_OK) {
        status = scan(run, &plan->end, UINT64_MAX, err);
    }
    return status == CV_OK && run->ring != NULL ? give_ring(run, reader, err)
                                                : status;
}

static enum cv_status run_indexed(struct run *run, struct cv_index_plan *plan,
                                  struct cv_query_reader *reader,
                                  struct cv_err *err)
{
    if (!plan->keyed) {
        return between(run, plan, reader, err);
    }
    return run->ring != NULL ? last_places(run, plan, reader, err)
                             : all_places(run, plan, reader, err);
}

static enum cv_status run_scan(struct run *run, struct cv_query_reader *reader,
                               struct cv_err *err)
{
    const struct cv_query_cursor from = {0, 0};
    enum cv_status status = scan(run, &from, UINT64_MAX, err);

    return status == CV_OK && run->ring != NULL ? give_ring(run, reader, err)
                                                : status;
}

static enum cv_status run_open(struct run *run,
                               const struct cv_query_filter *filter,
                               struct cv_query_reader *reader,
                               struct cv_err *err)
{
    struct cv_index_plan plan = {.state = CV_INDEX_ABSENT};
    enum cv_status status = CV_OK;

    if (filter->indexed) {
        status = cv_index_find(run->vault, &run->match, &plan, err);
        if (filter->distrusted != NULL && (plan.state == CV_INDEX_FOREIGN ||
                                           plan.state == CV_INDEX_DAMAGED)) {
            *filter->distrusted = true;
        }
    }
    if (status == CV_OK) {
        status = plan.state == CV_INDEX_READY
                     ? run_indexed(run, &plan, reader, err)
                     : run_scan(run, reader, err);
    }
    cv_index_plan_free(&plan);
    return status;
}

enum cv_status cv_query_run(int vault, const struct cv_query_filter *filter,
                            cv_query_fn *fn, void *ctx, struct cv_err *err)
{
    struct run run = {
        .vault = vault, .fn = fn, .ctx = ctx, .limit = filter->limit};
    struct cv_query_reader reader;
    enum cv_status status = cv_match_init(&run.match, filter, err);

    if (status != CV_OK) {
        return status;
    }
    if (run.limit > CV_QUERY_RING) {
        status = cv_fail(err, CV_INVALID, "a limit is at most %d records",
                         CV_QUERY_RING);
        cv_err_hint(err, "without one, all are given; --since and --until "
                         "name a period");
    } else if (run.limit > 0) {
        run.ring = calloc((size_t)run.limit, sizeof *run.ring);
        if (run.ring == NULL) {
            status = cv_fail(err, CV_INTERNAL, "out of memory");
        }
    }
    if (status == CV_OK) {
        status = cv_query_reader_open(vault, &reader, err);
        if (status == CV_NOT_FOUND) {
            cv_fail(err, CV_NOT_FOUND, "there is no audit log");
        }
        if (status == CV_OK) {
            status = run_open(&run, filter, &reader, err);
        }
        cv_query_reader_close(&reader);
    }
    free(run.ring);
    cv_match_wipe(&run.match);
    return status;
}
