/* A stretch of the log, as it lies there. By the index where there is one. */
#ifndef CERTVAULT_AUDIT_SPAN_H
#define CERTVAULT_AUDIT_SPAN_H

#include "vault/audit/query.h"

/* What a callback of cv_span_run returns to end it. */
#define CV_SPAN_STOP CV_STATUS_COUNT

/* *first: the number of the first leaf whose time is in the period of `when`
 * (its other members are not looked at); *end: one more than that of the last.
 * Between them may lie leaves of other times, where a clock was put back. Both
 * are the log's size where there is none. CV_NOT_FOUND, CV_INTEGRITY, CV_IO,
 * CV_INVALID (a time beyond year 9999). */
CV_MUST_USE enum cv_status cv_span_find(int vault,
                                        const struct cv_query_filter *when,
                                        uint64_t *first, uint64_t *end,
                                        struct cv_err *err);

/* Calls `fn` for each leaf from number `from` on until it returns CV_SPAN_STOP,
 * or the end. CV_NOT_FOUND, CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_span_run(int vault, uint64_t from,
                                       cv_query_fn *fn, void *ctx,
                                       struct cv_err *err);

#endif
