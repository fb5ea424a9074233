/* Asking the log: a scan through audit/log, without lock. What is found are the
 * leaves themselves (their own keys). CRC and form of every leaf that is passed
 * are checked (CV_INTEGRITY); the chain is verify's affair. A torn tail ends
 * the scan. Time grows with the log.
 *
 * With `indexed` the index (index.h) says where to look, and only what it does
 * not have yet is scanned; the answer is the same. Where it cannot be used, all
 * is scanned. A leaf that it names and that is not what it says is CV_INTEGRITY
 * with the hint `audit rebuild`. */
#ifndef CERTVAULT_AUDIT_QUERY_H
#define CERTVAULT_AUDIT_QUERY_H

#include "vault/base/buf.h"

#include <stdbool.h>

#include <cjson/cJSON.h>

/* All that is given must match. Texts NULL: any. Globs (`*`, `?`) are taken in
 * action and entry. */
struct cv_query_filter {
    const char *actor; /* actor.user, or a uid ("1000", "uid:1000") */
    const char *action;
    const char *entry;    /* the name then; or, where given too, */
    const char *entry_id; /* this id: either is a match */
    /* The outcome, or "permit"/"deny": the decision. Of "deny", "denied" is
     * what policy or a freeze denied, "refused" what had another reason. */
    const char *outcome;
    int64_t since_s; /* inclusive, both; INT64_MIN, INT64_MAX: any */
    int64_t until_s;
    uint64_t limit; /* the last so many of what matches; 0: all */
    bool indexed;   /* by the index, where there is one */
    /* Where not NULL, and `indexed`: becomes true if there is an index that
     * is damaged, or another log's, and that was not used. */
    bool *distrusted;
};

/* Matches everything. */
void cv_query_init(struct cv_query_filter *filter);

/* Reads {"actor", "action", "entry", "entry_id", "since", "until", "outcome",
 * "limit"} (times in seconds since 1970); texts are borrowed from `object`.
 * CV_INVALID: another key, wrong type. */
CV_MUST_USE enum cv_status cv_query_read(const cJSON *object,
                                         struct cv_query_filter *out,
                                         struct cv_err *err);

/* Called for each leaf, in the log's order, with its bytes (borrowed for the
 * call). Anything but CV_OK ends the scan and is what it returns. */
typedef enum cv_status cv_query_fn(void *ctx, uint64_t seq,
                                   struct cv_bytes leaf, struct cv_err *err);

/* CV_NOT_FOUND: no log. CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_query_run(int vault,
                                        const struct cv_query_filter *filter,
                                        cv_query_fn *fn, void *ctx,
                                        struct cv_err *err);

/* As cv_query_run, as an array of trees that the caller frees. */
CV_MUST_USE enum cv_status cv_query_items(int vault,
                                          const struct cv_query_filter *filter,
                                          cJSON **items, struct cv_err *err);

/* Called with each item, which it takes. */
typedef enum cv_status cv_query_item_fn(void *ctx, cJSON *item,
                                        struct cv_err *err);

/* Who used or released an entry: the permits of use, sign.raw, export and issue
 * for filter->entry (and entry_id), one item an op: the decision's leaf, and
 * `outcome`, `error` of its outcome where there is one. filter->action and
 * outcome are not looked at. One item after the other; what is kept are 40
 * bytes a permit. CV_INVALID: more than a million of them. */
CV_MUST_USE enum cv_status
cv_query_who_each(int vault, const struct cv_query_filter *filter,
                  cv_query_item_fn *fn, void *ctx, struct cv_err *err);

/* The same as an array that the caller frees. */
CV_MUST_USE enum cv_status cv_query_who(int vault,
                                        const struct cv_query_filter *filter,
                                        cJSON **items, struct cv_err *err);

/* Appends the bytes of leaf `seq` (no LF). CV_NOT_FOUND: none such. */
CV_MUST_USE enum cv_status cv_query_record(int vault, uint64_t seq,
                                           struct cv_buf *out,
                                           struct cv_err *err);

/* A place in the log, for following it. Zeroed: its beginning. */
struct cv_query_cursor {
    uint64_t offset; /* bytes */
    uint64_t seq;
};

/* The last `last` leaves, and the place behind them. */
CV_MUST_USE enum cv_status cv_query_tail(int vault, uint64_t last,
                                         struct cv_query_cursor *cursor,
                                         cv_query_fn *fn, void *ctx,
                                         struct cv_err *err);

/* Leaves from the cursor to the end as it is now; the cursor moves behind each
 * that `fn` took. CV_INTEGRITY also when the log is shorter than the cursor. */
CV_MUST_USE enum cv_status cv_query_follow(int vault,
                                           struct cv_query_cursor *cursor,
                                           cv_query_fn *fn, void *ctx,
                                           struct cv_err *err);

#endif
