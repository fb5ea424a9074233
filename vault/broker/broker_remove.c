/* rm: all of the entries named, or none. */
#include "vault/base/clock.h"
#include "vault/broker/change_internal.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

struct removal {
    size_t n;
    struct cv_ask *asks;
    struct cv_ask **list;
    cJSON **docs;
};

static void removal_free(struct removal *r)
{
    for (size_t i = 0; r->docs != NULL && i < r->n; i++) {
        cJSON_Delete(r->docs[i]);
    }
    free(r->docs);
    free(r->asks);
    free(r->list);
}

static enum cv_status removal_load(struct cv_broker *b, const cJSON *names,
                                   const cJSON *parameters, struct removal *r,
                                   struct cv_err *err)
{
    const cJSON *item;
    size_t i = 0;
    int n = cJSON_GetArraySize(names);

    if (n < 1 || n > CV_LIMIT_BATCH) {
        return cv_fail(err, CV_INVALID, "from 1 to %d names at a time",
                       CV_LIMIT_BATCH);
    }
    r->n = (size_t)n;
    r->asks = calloc(r->n, sizeof(*r->asks));
    r->list = calloc(r->n, sizeof(struct cv_ask *));
    r->docs = calloc(r->n, sizeof(cJSON *));
    if (r->asks == NULL || r->list == NULL || r->docs == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, names)
    {
        struct cv_store_entry *row;
        enum cv_status s;

        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_INVALID, "a name is not a text");
        }
        s = cv_broker_load_entry(b, item->valuestring, false, &row, &r->docs[i],
                                 err);
        cv_store_entry_free(row);
        if (s == CV_OK) {
            s = cv_ask_begin(b, CV_ACTION_REMOVE, parameters, &r->asks[i], err);
        }
        if (s != CV_OK) {
            return s;
        }
        r->list[i] = &r->asks[i];
        i++;
    }
    return CV_OK;
}

static enum cv_status remove_rows(struct cv_broker *b, struct removal *r,
                                  struct cv_err *err)
{
    struct cv_store *store = b->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = cv_store_entry_remove(store, cv_entry_text(r->docs[i], "entry_id"),
                                  err);
    }
    if (s == CV_OK) {
        s = cv_change_done(r->list, r->n, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

/* Entered. Every one is decided before any is removed. */
static enum cv_status remove_all(struct cv_broker *b, struct removal *r,
                                 bool dry_run, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = cv_ask_check(&r->asks[i], r->docs[i], NULL, err);
    }
    for (size_t i = 0; i < r->n && s == CV_OK && !dry_run; i++) {
        s = cv_ask_decide(&r->asks[i], r->docs[i], NULL, err);
    }
    if (s != CV_OK || dry_run) {
        return s;
    }
    s = cv_change_intend(r->list, r->n, err);
    if (s != CV_OK) {
        return s;
    }
    s = remove_rows(b, r, err);
    return cv_change_end(r->list, r->n, s, NULL, err);
}

static enum cv_status show_removed(const struct removal *r,
                                   struct cv_reply *reply, struct cv_err *err)
{
    cJSON *items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");

    for (size_t i = 0; i < r->n; i++) {
        cJSON *view = cv_entry_view(r->docs[i]);

        if (view == NULL || !cJSON_AddItemToArray(items, view)) {
            cJSON_Delete(view);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

CV_BROKER_METHOD(remove)
{
    struct cv_broker *b = context;
    const cJSON *names = NULL;
    bool dry_run = false;
    const struct cv_json_field fields[] = {
        {"names", CV_JSON_ARRAY, true, &names, 0},
        {"dry_run", CV_JSON_BOOL, false, &dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct removal r = {0};
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_REMOVE, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Remove", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = removal_load(b, names, parameters, &r, err);
        if (s == CV_OK) {
            s = remove_all(b, &r, dry_run, err);
        }
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = show_removed(&r, reply, err);
    }
    if (s != CV_OK) {
        ask.seq = err->audit_seq;
        cv_ask_refused(&ask, err);
    }
    removal_free(&r);
    return s;
}
