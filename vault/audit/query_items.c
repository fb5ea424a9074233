/* Questions answered with trees. */
#include "vault/audit/index_internal.h"
#include "vault/audit/ops_internal.h"
#include "vault/audit/query_internal.h"
#include "vault/base/json.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status add_item(cJSON *items, struct cv_bytes leaf, cJSON **out,
                               struct cv_err *err)
{
    cJSON *item = NULL;
    enum cv_status status = cv_json_parse(NULL, leaf, &item, err);

    *out = NULL;
    if (status == CV_INVALID) {
        return CV_INTEGRITY;
    }
    if (status == CV_OK && !cJSON_AddItemToArray(items, item)) {
        cJSON_Delete(item);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *out = item;
    return status;
}

static enum cv_status items_one(void *ctx, uint64_t seq, struct cv_bytes leaf,
                                struct cv_err *err)
{
    cJSON *item;

    (void)seq;
    return add_item(ctx, leaf, &item, err);
}

enum cv_status cv_query_items(int vault, const struct cv_query_filter *filter,
                              cJSON **items, struct cv_err *err)
{
    cJSON *array = cJSON_CreateArray();
    enum cv_status status;

    *items = NULL;
    if (array == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    status = cv_query_run(vault, filter, items_one, array, err);
    if (status == CV_OK) {
        *items = array;
    } else {
        cJSON_Delete(array);
    }
    return status;
}

/* A permit that counts, and where its last outcome is (seq 0: none: the first
 * leaf of a log is no outcome). Places and hashes alone: of a million permits
 * their leaves would be gigabytes. */
struct permit {
    struct cv_query_cursor at, outcome;
    uint64_t op;
};

struct who {
    struct cv_match match;
    struct permit *permits; /* in the log's order */
    size_t n, size;
    struct cv_ops ops; /* theirs */
};

static enum cv_status too_many(struct cv_err *err)
{
    cv_fail(err, CV_INVALID, "more than %d permits", CV_QUERY_RING);
    cv_err_state(err, "none of them were given");
    cv_err_hint(err, "--since and --until name a period; an export of the "
                     "record has all of them");
    return CV_INVALID;
}

static enum cv_status take_decision(struct who *who, struct cv_bytes op,
                                    const struct cv_query_cursor *at,
                                    struct cv_err *err)
{
    if (who->n == CV_QUERY_RING) {
        return too_many(err);
    }
    if (who->n == who->size) {
        size_t size = who->size == 0 ? 256 : who->size * 2;
        struct permit *more = realloc(who->permits, size * sizeof *more);

        if (more == NULL) {
            return cv_fail(err, CV_INTERNAL, "out of memory");
        }
        who->permits = more;
        who->size = size;
    }
    if (!cv_ops_add(&who->ops, op)) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    who->permits[who->n++] = (struct permit){*at, {0, 0}, cv_ops_hash(op)};
    return CV_OK;
}

/* Outcomes follow soon, so the search goes from the end. */
static void take_outcome(struct who *who, struct cv_bytes op,
                         const struct cv_query_cursor *at)
{
    const uint64_t hash = cv_ops_hash(op);

    if (!cv_ops_has(&who->ops, op)) {
        return;
    }
    for (size_t i = who->n; i > 0; i--) {
        if (who->permits[i - 1].op == hash) {
            who->permits[i - 1].outcome = *at;
            return;
        }
    }
}

static enum cv_status who_one(void *ctx, const struct cv_query_cursor *at,
                              struct cv_bytes leaf, struct cv_err *err)
{
    static const char outcome[] = "\"phase\":\"outcome\"";
    struct who *who = ctx;
    struct cv_record record;
    enum cv_status status;

    /* An outcome need not name what its decision named. */
    if (!cv_match_maybe(&who->match, leaf) &&
        memmem(leaf.data, leaf.len, outcome, sizeof outcome - 1) == NULL) {
        return CV_OK;
    }
    status = cv_query_check(at, leaf, &record, err);
    if (status != CV_OK || !cv_index_is_release(record.action)) {
        return status;
    }
    if (cv_record_is(record.phase, "outcome")) {
        take_outcome(who, record.op, at);
        return CV_OK;
    }
    if (!cv_record_is(record.decision, "permit") ||
        !cv_record_is(record.phase, "decision") ||
        !cv_match_record(&who->match, &record)) {
        return CV_OK;
    }
    return take_decision(who, record.op, at, err);
}

/* ---- by the index ---- */

/* The ops of decisions that count, by the index. */
struct ops {
    char (*text)[33];
    struct cv_bytes *ops;
    size_t n;
    struct cv_query_cursor *places; /* the decisions' */
};

static void ops_free(struct ops *ops)
{
    free(ops->text);
    free(ops->ops);
    free(ops->places);
}

static bool is_decision(const struct who *who, const struct cv_record *record)
{
    return cv_index_is_release(record->action) &&
           cv_record_is(record->decision, "permit") &&
           cv_record_is(record->phase, "decision") &&
           cv_match_record(&who->match, record);
}

static enum cv_status find_ops(const struct who *who,
                               const struct cv_index_plan *plan,
                               struct cv_query_reader *reader, struct ops *ops,
                               struct cv_err *err)
{
    enum cv_status status = CV_OK;

    ops->text = calloc(plan->n + 1, sizeof *ops->text);
    ops->ops = calloc(plan->n + 1, sizeof *ops->ops);
    ops->places = calloc(plan->n + 1, sizeof *ops->places);
    if (ops->text == NULL || ops->ops == NULL || ops->places == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    for (size_t i = 0; i < plan->n && status == CV_OK; i++) {
        struct cv_record record;
        struct cv_bytes leaf;

        status =
            cv_query_reader_leaf(reader, &plan->places[i], &leaf, &record, err);
        if (status == CV_OK && !cv_match_record(&plan->must, &record)) {
            status = cv_query_lied(err);
        }
        if (status == CV_OK && is_decision(who, &record) &&
            record.op.len < sizeof *ops->text) {
            memcpy(ops->text[ops->n], record.op.data, record.op.len);
            ops->ops[ops->n] = (struct cv_bytes){
                (const uint8_t *)ops->text[ops->n], record.op.len};
            ops->places[ops->n++] = plan->places[i];
        }
    }
    return status;
}

static enum cv_status look_at(struct who *who, struct cv_query_reader *reader,
                              const struct cv_query_cursor *at,
                              struct cv_err *err)
{
    struct cv_record record;
    struct cv_bytes leaf;
    enum cv_status status =
        cv_query_reader_leaf(reader, at, &leaf, &record, err);

    return status == CV_OK ? who_one(who, at, leaf, err) : status;
}

/* Decisions and outcomes as they come in the log, then what is behind. */
static enum cv_status merge(struct who *who, int vault,
                            struct cv_query_reader *reader,
                            const struct ops *ops,
                            const struct cv_query_cursor *outcomes, size_t n,
                            struct cv_query_cursor end, struct cv_err *err)
{
    enum cv_status status = CV_OK;
    size_t i = 0, k = 0;

    while (status == CV_OK && (i < ops->n || k < n)) {
        bool first =
            k == n || (i < ops->n && ops->places[i].seq < outcomes[k].seq);

        status =
            look_at(who, reader, first ? &ops->places[i] : &outcomes[k], err);
        i += first;
        k += !first;
    }
    return status == CV_OK ? cv_query_scan(vault, &end, who_one, who, err)
                           : status;
}

/* *used false: the index is of no use, nothing was looked at. */
static enum cv_status who_indexed(struct who *who, int vault,
                                  const struct cv_query_filter *filter,
                                  bool *used, struct cv_err *err)
{
    struct cv_query_reader reader;
    struct cv_index_plan plan;
    struct cv_query_cursor *outcomes = NULL, end;
    struct ops ops = {0};
    size_t n = 0;
    enum cv_index_state state = CV_INDEX_ABSENT;
    enum cv_status status = cv_query_reader_open(vault, &reader, err);

    *used = false;
    memset(&plan, 0, sizeof plan);
    if (status == CV_OK) {
        status = cv_index_find(vault, &who->match, &plan, err);
    }
    state = plan.state;
    if (status == CV_OK && state == CV_INDEX_READY && plan.keyed) {
        status = find_ops(who, &plan, &reader, &ops, err);
        if (status == CV_OK) {
            state =
                cv_index_outcomes(vault, ops.ops, ops.n, &outcomes, &n, &end);
        }
        if (status == CV_OK && state == CV_INDEX_READY &&
            end.seq == plan.end.seq) {
            *used = true;
            status = merge(who, vault, &reader, &ops, outcomes, n, end, err);
        }
    }
    if (filter->distrusted != NULL &&
        (state == CV_INDEX_FOREIGN || state == CV_INDEX_DAMAGED)) {
        *filter->distrusted = true;
    }
    free(outcomes);
    ops_free(&ops);
    cv_index_plan_free(&plan);
    cv_query_reader_close(&reader);
    return status;
}

/* ---- the answer ---- */

static enum cv_status read_tree(struct cv_query_reader *reader,
                                const struct cv_query_cursor *at, cJSON **out,
                                struct cv_err *err)
{
    struct cv_record record;
    struct cv_bytes leaf;
    enum cv_status status =
        cv_query_reader_leaf(reader, at, &leaf, &record, err);

    *out = NULL;
    if (status == CV_OK) {
        status = cv_json_parse(NULL, leaf, out, err);
        status = status == CV_INVALID ? CV_INTEGRITY : status;
    }
    return status;
}

/* Puts the outcome's words into its decision's item. */
static enum cv_status add_outcome(struct cv_query_reader *reader,
                                  const struct cv_query_cursor *at, cJSON *item,
                                  struct cv_err *err)
{
    static const char *const keys[] = {"outcome", "error"};
    cJSON *outcome = NULL;
    enum cv_status status = read_tree(reader, at, &outcome, err);

    for (size_t i = 0; i < 2 && status == CV_OK; i++) {
        const cJSON *word = cJSON_GetObjectItemCaseSensitive(outcome, keys[i]);

        cJSON_DeleteItemFromObjectCaseSensitive(item, keys[i]);
        if (cJSON_IsString(word) &&
            !cv_json_add_str(item, keys[i], word->valuestring)) {
            status = cv_fail(err, CV_INTERNAL, "out of memory");
        }
    }
    cJSON_Delete(outcome);
    return status;
}

static enum cv_status give(const struct who *who, int vault, uint64_t limit,
                           cv_query_item_fn *fn, void *ctx, struct cv_err *err)
{
    struct cv_query_reader reader;
    size_t i = limit > 0 && who->n > limit ? who->n - (size_t)limit : 0;
    enum cv_status status = cv_query_reader_open(vault, &reader, err);

    for (; i < who->n && status == CV_OK; i++) {
        const struct permit *p = &who->permits[i];
        cJSON *item;

        status = read_tree(&reader, &p->at, &item, err);
        if (status == CV_OK && p->outcome.seq > 0) {
            status = add_outcome(&reader, &p->outcome, item, err);
        }
        if (status == CV_OK) {
            status = fn(ctx, item, err);
        } else {
            cJSON_Delete(item);
        }
    }
    cv_query_reader_close(&reader);
    return status;
}

enum cv_status cv_query_who_each(int vault,
                                 const struct cv_query_filter *filter,
                                 cv_query_item_fn *fn, void *ctx,
                                 struct cv_err *err)
{
    struct cv_query_filter own = *filter;
    struct cv_query_cursor from = {0, 0};
    struct who who = {.n = 0};
    bool done = false;
    enum cv_status status;

    own.action = NULL;
    own.outcome = NULL;
    status = cv_match_init(&who.match, &own, err);
    if (status == CV_OK) {
        if (own.indexed) {
            status = who_indexed(&who, vault, &own, &done, err);
        }
        if (status == CV_OK && !done) {
            status = cv_query_scan(vault, &from, who_one, &who, err);
        }
        cv_match_wipe(&who.match);
    }
    if (status == CV_OK && who.n > 0) {
        status = give(&who, vault, own.limit, fn, ctx, err);
    }
    cv_ops_wipe(&who.ops);
    free(who.permits);
    return status;
}

static enum cv_status keep_item(void *ctx, cJSON *item, struct cv_err *err)
{
    if (cJSON_AddItemToArray(ctx, item)) {
        return CV_OK;
    }
    cJSON_Delete(item);
    return cv_fail(err, CV_INTERNAL, "out of memory");
}

enum cv_status cv_query_who(int vault, const struct cv_query_filter *filter,
                            cJSON **items, struct cv_err *err)
{
    cJSON *all = cJSON_CreateArray();
    enum cv_status status =
        all == NULL ? cv_fail(err, CV_INTERNAL, "out of memory")
                    : cv_query_who_each(vault, filter, keep_item, all, err);

    *items = NULL;
    if (status == CV_OK) {
        *items = all;
    } else {
        cJSON_Delete(all);
    }
    return status;
}
