/* Questions answered with trees. */
#include "vault/audit/match_internal.h"
#include "vault/audit/ops_internal.h"
#include "vault/audit/query_internal.h"
#include "vault/base/json.h"

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

static bool is_release(struct cv_bytes action)
{
    static const char *const words[] = {"use", "sign.raw", "export", "issue"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (cv_record_is(action, words[i])) {
            return true;
        }
    }
    return false;
}

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
    if (status != CV_OK || !is_release(record.action)) {
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

enum cv_status cv_query_who(int vault, const struct cv_query_filter *filter,
                            cJSON **items, struct cv_err *err)
{
    struct cv_query_filter own = *filter;
    struct cv_query_cursor from = {0, 0};
    struct who who = {.items = cJSON_CreateArray()};
    enum cv_status status;

    *items = NULL;
    own.action = NULL;
    own.outcome = NULL;
    if (who.items == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    status = cv_match_init(&who.match, &own, err);
    if (status == CV_OK) {
        status = cv_query_scan(vault, &from, who_one, &who, err);
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
