/* The journal's rows about keys on tokens. A row holds all that is needed to
 * finish it, or to take it back, by another broker, later. */
#include "vault/base/clock.h"
#include "vault/broker/held_internal.h"
#include "vault/store/store_journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *spki_of(const cJSON *doc)
{
    return cv_entry_text(cJSON_GetObjectItemCaseSensitive(doc, "key"),
                         "spki_sha256");
}

static cJSON *make_row(const struct cv_held *held, const char *kind,
                       const struct cv_held_change *change, const char *batch,
                       bool back)
{
    const cJSON *doc = change->doc;
    cJSON *row = cJSON_CreateObject();

    if (cv_json_add_bool(row, "done", false) &&
        cv_json_add_str(row, "kind", kind) &&
        cv_json_add_str(row, "batch", batch) &&
        cv_json_add_str(row, "entry", cv_entry_text(doc, "name")) &&
        cv_json_add_str(row, "entry_id", cv_entry_text(doc, "entry_id")) &&
        cv_json_add_str(row, "spki", spki_of(doc)) &&
        cv_json_add_bool(row, "may_leak", change->may_leak) &&
        cv_json_add_bool(row, "any_way", change->any_way) &&
        (!back || cv_json_add_bool(row, "back", true)) &&
        cv_json_add_item(row, "key", cJSON_Duplicate(change->ref, true)) &&
        cv_json_add_item(row, "snapshot",
                         held->snapshot != NULL
                             ? cJSON_Duplicate(held->snapshot, true)
                             : cJSON_CreateArray()) &&
        cv_json_add_item(row, "doc", cJSON_Duplicate(doc, true))) {
        return row;
    }
    cJSON_Delete(row);
    return NULL;
}

enum cv_status cv_held_put_row(struct cv_broker *b, const char *op,
                               const char *action, const cJSON *row,
                               struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    if (row == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_init(&text, NULL, CV_STORE_DOC_MAX);
    cv_json_write(row, CV_JSON_COMPACT, &text);
    s = cv_buf_status(&text, "a journal row", err);
    if (s == CV_OK) {
        s = cv_store_journal_add(b->vault->store, op, action,
                                 cv_buf_text(&text), cv_clock_now_s(), err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* In a transaction. Of several keys each row names the first's operation. */
static enum cv_status put_rows(struct cv_held *held, const char *kind,
                               const struct cv_held_change *changes, size_t n,
                               bool again, struct cv_err *err)
{
    struct cv_broker *b = held->broker;
    const char *batch = n > 1 ? changes[0].ask->op : NULL;
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        struct cv_ask *ask = changes[i].ask;
        cJSON *row = make_row(held, kind, &changes[i], batch, again);

        if (again) {
            s = cv_store_journal_remove(b->vault->store, ask->op, err);
        }
        if (s == CV_OK) {
            s = cv_held_put_row(b, ask->op, cv_action_name(ask->action), row,
                                err);
        }
        cJSON_Delete(row);
    }
    return s;
}

static enum cv_status remove_rows(struct cv_store *store,
                                  const struct cv_held_change *changes,
                                  size_t n, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        s = cv_store_journal_remove(store, changes[i].ask->op, err);
    }
    return s;
}

static enum cv_status end_transaction(struct cv_store *store, enum cv_status s,
                                      struct cv_err *err)
{
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

static void drop_rows(struct cv_store *store,
                      const struct cv_held_change *changes, size_t n)
{
    struct cv_err err;

    cv_err_init(&err);
    if (cv_store_begin(store, &err) == CV_OK) {
        (void)!end_transaction(store, remove_rows(store, changes, n, &err),
                               &err);
    }
}

enum cv_status cv_held_put_rows(struct cv_held *held, const char *kind,
                                const struct cv_held_change *changes, size_t n,
                                struct cv_err *err)
{
    struct cv_store *store = held->broker->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    return s == CV_OK
               ? end_transaction(
                     store, put_rows(held, kind, changes, n, false, err), err)
               : s;
}

enum cv_status cv_held_begin(struct cv_held *held, const char *kind,
                             const struct cv_held_change *changes, size_t n,
                             struct cv_err *err)
{
    struct cv_broker *b = held->broker;
    enum cv_status s = cv_held_put_rows(held, kind, changes, n, err);
    enum cv_status told = CV_OK;

    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
        if (s != CV_OK) {
            drop_rows(b->vault->store, changes, n);
        }
        return s;
    }
    cv_err_state(err, "nothing was changed");
    for (size_t i = 0; i < n && told == CV_OK; i++) {
        told = cv_ask_outcome(changes[i].ask, s, NULL, NULL);
    }
    if (told == CV_OK) {
        (void)!cv_broker_commit(b, NULL);
    }
    return s;
}

enum cv_status cv_held_turn_back(struct cv_held *held, const char *kind,
                                 const struct cv_held_change *changes, size_t n,
                                 struct cv_err *err)
{
    struct cv_store *store = held->broker->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    return s == CV_OK
               ? end_transaction(
                     store, put_rows(held, kind, changes, n, true, err), err)
               : s;
}

/* In a transaction. */
static enum cv_status put_entry(struct cv_broker *b, const cJSON *doc,
                                struct cv_err *err)
{
    struct cv_err missing;
    enum cv_status s;

    cv_err_init(&missing);
    s = cv_store_entry_remove(b->vault->store, cv_entry_text(doc, "entry_id"),
                              &missing);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        if (err != NULL) {
            *err = missing;
        }
        return s;
    }
    return cv_take_put(b, doc, NULL, err);
}

enum cv_status cv_held_store(const struct cv_held_change *changes, size_t n,
                             struct cv_err *err)
{
    struct cv_broker *b = changes[0].ask->broker;
    struct cv_store *store = b->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    if (s != CV_OK) {
        return s;
    }
    for (size_t i = 0; i < n && s == CV_OK; i++) {
        struct cv_ask *ask = changes[i].ask;

        s = put_entry(b, changes[i].doc, err);
        if (s == CV_OK) {
            s = cv_change_done(&ask, 1, err);
        }
    }
    return end_transaction(store, s, err);
}

enum cv_status cv_held_update(struct cv_broker *b,
                              const struct cv_store_entry *from,
                              const cJSON *doc, struct cv_err *err)
{
    struct cv_store_entry row = *from;
    struct cv_buf view, body, labels;
    enum cv_status s;

    cv_buf_init(&view, NULL, CV_STORE_DOC_MAX);
    cv_buf_init(&body, NULL, CV_STORE_DOC_MAX);
    cv_buf_init(&labels, NULL, CV_KIB(64));
    s = cv_broker_split_entry(doc, &view, &body, &labels, err);
    row.doc = cv_buf_text(&view);
    row.body = cv_buf_text(&body);
    row.labels = cv_buf_text(&labels);
    row.sealed = (struct cv_bytes){NULL, 0};
    if (s == CV_OK) {
        s = cv_store_begin(b->vault->store, err);
    }
    if (s == CV_OK) {
        s = cv_store_entry_update(b->vault->store, &row, err);
        s = s == CV_OK ? cv_store_commit(b->vault->store, err) : s;
        if (s != CV_OK) {
            cv_store_rollback(b->vault->store);
        }
    }
    cv_buf_wipe(&view);
    cv_buf_wipe(&body);
    cv_buf_wipe(&labels);
    return s;
}

/* Reading. */

struct collecting {
    struct cv_held_rows *out;
    const char *token;
};

static bool is_wanted(const struct collecting *c, const cJSON *json)
{
    const cJSON *ref = cJSON_GetObjectItemCaseSensitive(json, "key");

    return cJSON_HasObjectItem(json, "kind") &&
           !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "done")) &&
           (c->token == NULL ||
            strcmp(cv_entry_text(ref, "token"), c->token) == 0);
}

static enum cv_status collect(void *context, const char *op, const char *action,
                              const char *doc, int64_t created,
                              struct cv_err *err)
{
    struct collecting *c = context;
    struct cv_held_row *more, *row;
    cJSON *json = NULL;
    enum cv_status s;

    /* Most rows are of other changes, and short. */
    if (strstr(doc, "\"kind\"") == NULL) {
        return CV_OK;
    }
    s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)doc, strlen(doc)}, &json, err);
    if (s != CV_OK || !is_wanted(c, json)) {
        cJSON_Delete(json);
        return s;
    }
    more = reallocarray(c->out->row, c->out->n + 1, sizeof(*more));
    if (more == NULL) {
        cJSON_Delete(json);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    c->out->row = more;
    row = &more[c->out->n++];
    memset(row, 0, sizeof(*row));
    (void)snprintf(row->op, sizeof(row->op), "%s", op);
    (void)snprintf(row->action, sizeof(row->action), "%s", action);
    row->created_s = created;
    row->json = json;
    return CV_OK;
}

enum cv_status cv_held_rows(struct cv_broker *b, const char *token,
                            struct cv_held_rows *out, struct cv_err *err)
{
    struct collecting c = {out, token};
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    s = cv_store_journal_list(b->vault->store, collect, &c, err);
    if (s != CV_OK) {
        cv_held_rows_free(out);
    }
    return s;
}

void cv_held_rows_free(struct cv_held_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        cJSON_Delete(rows->row[i].json);
    }
    free(rows->row);
    memset(rows, 0, sizeof(*rows));
}

static bool same(const cJSON *a, const cJSON *b, const char *key)
{
    const char *text = cv_entry_text(a, key);

    return text[0] != '\0' && strcmp(text, cv_entry_text(b, key)) == 0;
}

enum cv_status cv_held_check_free(struct cv_broker *b, const cJSON *doc,
                                  struct cv_err *err)
{
    struct cv_held_rows rows;
    enum cv_status s = cv_held_rows(b, NULL, &rows, err);

    for (size_t i = 0; s == CV_OK && i < rows.n; i++) {
        const cJSON *other =
            cJSON_GetObjectItemCaseSensitive(rows.row[i].json, "doc");

        if (same(doc, other, "name") ||
            (strcmp(spki_of(doc), spki_of(other)) == 0 &&
             same(doc, other, "ca_set"))) {
            s = cv_fail(err, CV_EXISTS,
                        "%s is on its way already, and its token has not said "
                        "how far it came",
                        cv_entry_text(other, "name"));
            cv_err_state(err, "nothing was changed");
            cv_err_hint(err, "certvault token login '%s' finds out",
                        cv_entry_text(cJSON_GetObjectItemCaseSensitive(
                                          rows.row[i].json, "key"),
                                      "token"));
        }
    }
    cv_held_rows_free(&rows);
    return s;
}

static bool add_view(cJSON *list, const struct cv_held_row *row)
{
    const cJSON *ref = cJSON_GetObjectItemCaseSensitive(row->json, "key");
    const cJSON *objects =
        cJSON_GetObjectItemCaseSensitive(row->json, "objects");
    const char *entry = cv_entry_text(row->json, "entry");
    char since[CV_CLOCK_TEXT_LEN];
    cJSON *item = cJSON_CreateObject();

    if (cv_json_add_str(item, "kind", cv_entry_text(row->json, "kind")) &&
        cv_json_add_str(item, "action", row->action) &&
        cv_json_add_str(item, "entry", entry[0] != '\0' ? entry : NULL) &&
        cv_json_add_str(item, "token_uri", cv_entry_text(ref, "token")) &&
        cv_json_add_str(item, "since",
                        cv_clock_format(row->created_s, since)) &&
        (objects == NULL ||
         cv_json_add_item(item, "objects", cJSON_Duplicate(objects, true))) &&
        cJSON_AddItemToArray(list, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

cJSON *cv_held_rows_view(const struct cv_held_rows *rows)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < rows->n; i++) {
        if (list == NULL || !add_view(list, &rows->row[i])) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}
