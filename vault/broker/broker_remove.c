/* rm: all of the entries named, or none. */
#include "vault/broker/held_internal.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

struct removal {
    size_t n, n_rows; /* all; those whose rows alone go (`list`) */
    bool keep_key, destroy_key;
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
    r->docs = NULL;
    r->asks = NULL;
    r->list = NULL;
    r->n = r->n_rows = 0;
}

/* Is the key on a token, and to be destroyed with the entry? One that was there
 * before the entry was stays, unless it is said; of one that is lost there is
 * nothing to destroy. */
static bool goes_with_key(const struct removal *r, const cJSON *doc)
{
    return cv_entry_token_has(doc) && !r->keep_key &&
           strcmp(cv_entry_text(doc, "state"), "lost") != 0 &&
           (r->destroy_key ||
            strcmp(cv_entry_text(doc, "provenance"), "adopted") != 0);
}

static bool comes_twice(const struct removal *r, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (strcmp(cv_entry_text(r->docs[k], "entry_id"),
                   cv_entry_text(r->docs[i], "entry_id")) == 0) {
            return true;
        }
    }
    return false;
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
        if (s == CV_OK && comes_twice(r, i)) {
            s = cv_fail(err, CV_INVALID, "%s is named twice",
                        cv_entry_text(r->docs[i], "name"));
            cv_err_state(err, "nothing was removed");
        }
        if (s != CV_OK) {
            return s;
        }
        r->asks[i].doc = r->docs[i];
        if (!goes_with_key(r, r->docs[i])) {
            r->list[r->n_rows++] = &r->asks[i];
        }
        i++;
    }
    return CV_OK;
}

static enum cv_status remove_rows(struct cv_broker *b, struct removal *r,
                                  struct cv_err *err)
{
    struct cv_store *store = b->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    for (size_t i = 0; i < r->n_rows && s == CV_OK; i++) {
        s = cv_store_entry_remove(
            store, cv_entry_text(r->list[i]->doc, "entry_id"), err);
    }
    if (s == CV_OK) {
        s = cv_change_done(r->list, r->n_rows, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

static enum cv_status decide_row(struct cv_ask *ask, struct cv_err *err)
{
    cJSON *details = NULL;
    enum cv_status s;

    if (cv_entry_token_has(ask->doc)) {
        details = cJSON_CreateObject();
        (void)cv_json_add_bool(details, "key_kept", true);
        (void)cv_json_add_str(details, "token_uri",
                              cv_entry_text(ask->doc, "token_uri"));
    }
    s = cv_ask_decide(ask, ask->doc, details, err);
    cJSON_Delete(details);
    return s;
}

/* Entered. Every one is decided before any is removed. */
static enum cv_status remove_all(struct cv_broker *b, struct removal *r,
                                 bool dry_run, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = cv_ask_check(&r->asks[i], r->docs[i], NULL, err);
        if (s == CV_OK) {
            cv_ask_suppose(&r->asks[i]);
        }
    }
    cv_ask_suppose_end(b);
    for (size_t i = 0;
         i < r->n_rows && s == CV_OK && !dry_run && r->list[i] != NULL; i++) {
        s = decide_row(r->list[i], err);
        if (s != CV_OK) {
            cv_change_drop(r->list, i, s);
        }
    }
    if (s != CV_OK || dry_run || r->n_rows == 0) {
        return s;
    }
    s = cv_change_intend(r->list, r->n_rows, err);
    if (s != CV_OK) {
        return s;
    }
    s = remove_rows(b, r, err);
    return cv_change_end(r->list, r->n_rows, s, NULL, err);
}

/* Not entered. All their tokens are there, and logged in. */
static enum cv_status open_tokens(struct cv_broker *b, const struct removal *r,
                                  struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = CV_OK;
    size_t opened = 0;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        struct cv_held held = {.lock = -1};

        if (goes_with_key(r, r->docs[i])) {
            s = cv_held_open(b, cv_entry_token_uri(r->docs[i]), reply, &held,
                             err);
            if (s == CV_NOT_FOUND || s == CV_UNAVAILABLE) {
                cv_err_hint(err, "where its token is gone for good: rm "
                                 "--keep-key, or certvault token lost");
            }
            cv_held_close(&held);
        }
        opened = i + 1;
    }
    for (size_t i = opened; i < r->n && s == CV_LOCKED; i++) {
        if (goes_with_key(r, r->docs[i])) {
            cv_module_need_also(b, cv_entry_token_uri(r->docs[i]), reply);
        }
    }
    return s;
}

/* Not entered. One after the other: the token takes its time. */
static enum cv_status remove_keys(struct cv_broker *b, struct removal *r,
                                  struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        struct cv_held held = {.lock = -1};

        if (!goes_with_key(r, r->docs[i])) {
            continue;
        }
        s = cv_held_open(b, cv_entry_token_uri(r->docs[i]), reply, &held, err);
        if (s == CV_OK) {
            s = cv_held_remove(&held, &r->asks[i], r->docs[i], err);
        }
        cv_held_close(&held);
    }
    return s;
}

/* Entered, and left. Where a token is wanted it is logged in to without the
 * vault's lock, and what was read before is read again. */
static enum cv_status run(struct cv_broker *b, const cJSON *names,
                          const cJSON *parameters, struct removal *r,
                          bool dry_run, struct cv_reply *reply,
                          struct cv_err *err)
{
    enum cv_status s = removal_load(b, names, parameters, r, err);

    if (s == CV_OK && r->n_rows < r->n && !dry_run) {
        cv_broker_leave(b);
        s = open_tokens(b, r, reply, err);
        removal_free(r);
        if (s == CV_OK) {
            s = cv_broker_enter(b, err);
        }
        if (s != CV_OK) {
            return s;
        }
        s = removal_load(b, names, parameters, r, err);
    }
    if (s == CV_OK) {
        s = remove_all(b, r, dry_run, err);
    }
    cv_broker_leave(b);
    return s == CV_OK && !dry_run ? remove_keys(b, r, reply, err) : s;
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
    struct removal r = {0};
    const struct cv_json_field fields[] = {
        {"names", CV_JSON_ARRAY, true, &names, 0},
        {"keep_key", CV_JSON_BOOL, false, &r.keep_key, 0},
        {"destroy_key", CV_JSON_BOOL, false, &r.destroy_key, 0},
        {"dry_run", CV_JSON_BOOL, false, &dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
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
        s = run(b, names, parameters, &r, dry_run, reply, err);
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
