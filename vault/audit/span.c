#include "vault/audit/span.h"

#include "vault/audit/index_internal.h"
#include "vault/audit/query_internal.h"

#include <string.h>

struct span {
    struct cv_match match;
    bool any, stop; /* stop: at the first */
    uint64_t first, last, last_seq;
};

static enum cv_status look(void *ctx, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    struct span *span = ctx;
    struct cv_record record;
    enum cv_status status;

    if (at->seq > span->last_seq) {
        return CV_QUERY_STOP;
    }
    status = cv_query_check(at, leaf, &record, err);
    if (status != CV_OK || !cv_match_record(&span->match, &record)) {
        return status;
    }
    if (!span->any) {
        span->first = at->seq;
    }
    span->any = true;
    span->last = at->seq;
    return span->stop ? CV_QUERY_STOP : CV_OK;
}

static enum cv_status scan(struct span *span, int vault,
                           struct cv_query_cursor *at, uint64_t last_seq,
                           bool stop, struct cv_err *err)
{
    enum cv_status status;

    span->stop = stop;
    span->last_seq = last_seq;
    status = cv_query_scan(vault, at, look, span, err);
    return status == CV_QUERY_STOP ? CV_OK : status;
}

/* What is in the index: the first one from the front, the last one from the
 * back, a segment at a time. */
static enum cv_status indexed(struct span *span, int vault,
                              const struct cv_index_plan *plan,
                              struct cv_err *err)
{
    struct span back = *span;
    struct cv_query_cursor at = plan->first;
    uint64_t seq = plan->last_seq;
    enum cv_status status;

    if (plan->first.seq >= plan->end.seq) {
        return CV_OK;
    }
    status = scan(span, vault, &at, plan->last_seq, true, err);
    while (status == CV_OK && span->any && !back.any) {
        cv_index_seek(vault, seq, &at);
        status = scan(&back, vault, &at, seq, false, err);
        if (back.any) {
            span->last = back.last;
        }
        if (seq < CV_INDEX_SEGMENT) {
            break;
        }
        seq = seq / CV_INDEX_SEGMENT * CV_INDEX_SEGMENT - 1;
    }
    return status;
}

enum cv_status cv_span_find(int vault, const struct cv_query_filter *when,
                            uint64_t *first, uint64_t *end, struct cv_err *err)
{
    struct cv_query_filter own;
    struct cv_index_plan plan;
    struct cv_query_cursor at = {0, 0};
    struct span span = {0};
    enum cv_status status;

    cv_query_init(&own);
    own.since_s = when->since_s;
    own.until_s = when->until_s;
    status = cv_match_init(&span.match, &own, err);
    if (status != CV_OK) {
        return status;
    }
    status = cv_index_find(vault, &span.match, &plan, err);
    if (status == CV_OK && plan.state == CV_INDEX_READY) {
        status = indexed(&span, vault, &plan, err);
        at = plan.end;
    }
    if (status == CV_OK) {
        status = scan(&span, vault, &at, UINT64_MAX, false, err);
    }
    *first = span.any ? span.first : at.seq;
    *end = span.any ? span.last + 1 : at.seq;
    cv_index_plan_free(&plan);
    cv_match_wipe(&span.match);
    return status;
}

struct run {
    uint64_t from;
    cv_query_fn *fn;
    void *ctx;
};

static enum cv_status run_one(void *ctx, const struct cv_query_cursor *at,
                              struct cv_bytes leaf, struct cv_err *err)
{
    const struct run *run = ctx;
    struct cv_record record;
    enum cv_status status;

    if (at->seq < run->from) {
        return CV_OK;
    }
    status = cv_query_check(at, leaf, &record, err);
    return status == CV_OK ? run->fn(run->ctx, at->seq, leaf, err) : status;
}

enum cv_status cv_span_run(int vault, uint64_t from, cv_query_fn *fn, void *ctx,
                           struct cv_err *err)
{
    struct run run = {from, fn, ctx};
    struct cv_query_cursor at;
    enum cv_status status;

    cv_index_seek(vault, from, &at);
    status = cv_query_scan(vault, &at, run_one, &run, err);
    return status == CV_SPAN_STOP ? CV_OK : status;
}
