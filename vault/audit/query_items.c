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

struct who {
    struct cv_match match;
    cJSON *items;      /* decisions, in the log's order */
    struct cv_ops ops; /* theirs */
};

static enum cv_status take_decision(struct who *who, struct cv_bytes op,
                                    struct cv_bytes leaf, struct cv_err *err)
{
    cJSON *item = NULL;

    if (!cv_ops_add(&who->ops, op)) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return add_item(who->items, leaf, &item, err);
}

/* The decision of this op: outcomes follow soon, so the search goes from the
 * end. */
static cJSON *find_decision(const struct who *who, struct cv_bytes op)
{
    cJSON *last = who->items->child == NULL ? NULL : who->items->child->prev;

    for (cJSON *i = last; i != NULL;
         i = i == who->items->child ? NULL : i->prev) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(i, "op");

        if (cJSON_IsString(own) && cv_record_is(op, own->valuestring)) {
            return i;
        }
    }
    return NULL;
}

/* Puts the outcome's words into its decision's item. */
static enum cv_status take_outcome(const struct who *who, struct cv_bytes op,
                                   struct cv_bytes leaf, struct cv_err *err)
{
    static const char *const keys[] = {"outcome", "error"};
    cJSON *item = cv_ops_has(&who->ops, op) ? find_decision(who, op) : NULL;
    cJSON *outcome = NULL;
    enum cv_status status;

    if (item == NULL) {
        return CV_OK;
    }
    status = cv_json_parse(NULL, leaf, &outcome, err);
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
        return take_outcome(who, record.op, leaf, err);
    }
    if (!cv_record_is(record.decision, "permit") ||
        !cv_record_is(record.phase, "decision") ||
        !cv_match_record(&who->match, &record)) {
        return CV_OK;
    }
    return take_decision(who, record.op, leaf, err);
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

enum cv_status cv_query_who(int vault, const struct cv_query_filter *filter,
                            cJSON **items, struct cv_err *err)
{
    struct cv_query_filter own = *filter;
    struct cv_query_cursor from = {0, 0};
    struct who who = {.items = cJSON_CreateArray()};
    bool done = false;
    enum cv_status status;

    *items = NULL;
    own.action = NULL;
    own.outcome = NULL;
    if (who.items == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
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
    cv_ops_wipe(&who.ops);
    while (status == CV_OK && own.limit > 0 &&
           (uint64_t)cJSON_GetArraySize(who.items) > own.limit) {
        cJSON_DeleteItemFromArray(who.items, 0);
    }
    if (status == CV_OK) {
        *items = who.items;
    } else {
        cJSON_Delete(who.items);
    }
    return status;
}
