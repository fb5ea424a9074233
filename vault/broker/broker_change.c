#include "vault/broker/change_internal.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/room.h"

#include "vault/audit/query.h"
#include "vault/base/clock.h"
#include "vault/store/store_journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A journal row: what the outcome leaf needs, and whether the change was made.
 */
static enum cv_status put_row(struct cv_broker *b, const char *op,
                              const char *action, const char *const words[3],
                              bool done, struct cv_err *err)
{
    cJSON *row = cJSON_CreateObject();
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_KIB(16));
    if (row == NULL || !cv_json_add_bool(row, "done", done) ||
        !cv_json_add_str(row, "entry", words[0]) ||
        !cv_json_add_str(row, "entry_id", words[1]) ||
        !cv_json_add_str(row, "spki", words[2])) {
        cJSON_Delete(row);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_json_write(row, CV_JSON_COMPACT, &text);
    cJSON_Delete(row);
    s = cv_buf_status(&text, "a journal row", err);
    if (s == CV_OK) {
        s = cv_store_journal_add(b->vault->store, op, action,
                                 cv_buf_text(&text), cv_clock_now_s(), err);
    }
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status add_row(const struct cv_ask *ask, bool done,
                              struct cv_err *err)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(ask->doc, "key");
    const char *const words[] = {
        cv_entry_text(ask->doc, "name"),
        cv_entry_text(ask->doc, "entry_id"),
        cv_entry_text(key, "spki_sha256"),
    };

    return put_row(ask->broker, ask->op, cv_action_name(ask->action), words,
                   done, err);
}

enum cv_status cv_change_row(struct cv_broker *b, const char *op,
                             const char *action, const cJSON *from, bool done,
                             struct cv_err *err)
{
    const char *const words[] = {
        cv_entry_text(from, "entry"),
        cv_entry_text(from, "entry_id"),
        cv_entry_text(from, "spki"),
    };

    return put_row(b, op, action, words, done, err);
}

static enum cv_status add_rows(struct cv_ask *const *asks, size_t n, bool done,
                               struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        s = add_row(asks[i], done, err);
    }
    return s;
}

static enum cv_status remove_rows(struct cv_ask *const *asks, size_t n,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        s = cv_store_journal_remove(asks[i]->broker->vault->store, asks[i]->op,
                                    err);
    }
    return s;
}

typedef enum cv_status rows_fn(struct cv_ask *const *asks, size_t n,
                               struct cv_err *err);

static enum cv_status run_once(struct cv_ask *const *asks, size_t n,
                               rows_fn *run, struct cv_err *err)
{
    struct cv_store *store = asks[0]->broker->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    if (s == CV_OK) {
        s = run(asks, n, err);
        if (s == CV_OK) {
            s = cv_store_commit(store, err);
        }
        if (s != CV_OK) {
            cv_store_rollback(store);
        }
    }
    return s;
}

static enum cv_status in_transaction(struct cv_ask *const *asks, size_t n,
                                     rows_fn *run, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    do {
        cv_err_init(&why);
        s = run_once(asks, n, run, &why);
    } while (s == CV_IO && cv_room_give(asks[0]));
    if (s != CV_OK && err != NULL) {
        *err = why;
    }
    return s;
}

static enum cv_status intend(struct cv_ask *const *asks, size_t n,
                             struct cv_err *err)
{
    return add_rows(asks, n, false, err);
}

enum cv_status cv_change_put_rows(struct cv_ask *const *asks, size_t n,
                                  struct cv_err *err)
{
    return n > 0 ? in_transaction(asks, n, intend, err) : CV_OK;
}

void cv_change_drop_rows(struct cv_ask *const *asks, size_t n)
{
    if (n > 0) {
        (void)!in_transaction(asks, n, remove_rows, NULL);
    }
}

enum cv_status cv_change_intend(struct cv_ask *const *asks, size_t n,
                                struct cv_err *err)
{
    enum cv_status s = cv_change_put_rows(asks, n, err);

    if (s == CV_OK) {
        s = cv_broker_commit(asks[0]->broker, err);
        if (s != CV_OK) {
            /* The rows tell of leaves that are not there; a start drops them.
             */
            cv_change_drop_rows(asks, n);
        }
        return s;
    }
    cv_err_state(err, "nothing was changed");
    /* The decisions are queued: told with their outcome, or not at all. */
    cv_change_drop(asks, n, s);
    return s;
}

void cv_change_drop(struct cv_ask *const *asks, size_t n, enum cv_status status)
{
    for (size_t i = 0; i < n; i++) {
        (void)!cv_ask_outcome(asks[i], status, NULL, NULL);
    }
    if (n > 0) {
        (void)!cv_broker_commit(asks[0]->broker, NULL);
    }
}

enum cv_status cv_change_done(struct cv_ask *const *asks, size_t n,
                              struct cv_err *err)
{
    enum cv_status s = remove_rows(asks, n, err);

    return s == CV_OK ? add_rows(asks, n, true, err) : s;
}

enum cv_status cv_change_end(struct cv_ask *const *asks, size_t n,
                             enum cv_status status, const cJSON *details,
                             struct cv_err *err)
{
    struct cv_err record;
    enum cv_status s = CV_OK;

    cv_err_init(&record);
    for (size_t i = 0; i < n && s == CV_OK; i++) {
        s = cv_ask_outcome(asks[i], status, details, &record);
    }
    if (s == CV_OK) {
        s = cv_broker_commit(asks[0]->broker, &record);
    }
    if (s == CV_OK) {
        /* A row that stays is harmless: its outcome is in the log. */
        (void)!in_transaction(asks, n, remove_rows, NULL);
    }
    if (status != CV_OK || s == CV_OK) {
        return status;
    }
    cv_err_state(&record, "the change was made; its outcome is recorded at the "
                          "next start");
    if (err != NULL) {
        *err = record;
    }
    return s;
}

/* Recovery. */

struct row {
    char op[CV_LEAF_OP + 1];
    char action[32];
    cJSON *doc;
    bool decided; /* the log has its decision */
    bool told;    /* and its outcome */
};

struct rows {
    struct row *row;
    size_t n;
};

static void rows_free(struct rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        cJSON_Delete(r->row[i].doc);
    }
    free(r->row);
}

/* Of members too: what they would mean is not known either. */
static bool is_plain(const cJSON *row)
{
    static const char *const members[] = {"done", "entry", "entry_id", "spki"};
    const cJSON *item;

    cJSON_ArrayForEach(item, row)
    {
        bool known = false;

        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
            known = known || strcmp(item->string, members[i]) == 0;
        }
        if (!known) {
            return false;
        }
    }
    return cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(row, "done"));
}

bool cv_change_is_known(const char *action, const cJSON *row)
{
    static const char *const kinds[] = {CV_HELD_IMPORT, CV_HELD_GENERATE,
                                        CV_HELD_REMOVE, CV_HELD_DEBRIS};
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(row, "kind");

    if (!cJSON_IsObject(row)) {
        return false;
    }
    if (kind == NULL) {
        return cv_action_from_name(action) != CV_ACTION_NONE && is_plain(row);
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (cJSON_IsString(kind) && strcmp(kind->valuestring, kinds[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status unknown_row(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INTEGRITY,
                               "the vault has an unfinished change that "
                               "this certvault does not know");

    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "a newer certvault began it: use that one");
    return s;
}

static enum cv_status collect(void *context, const char *op, const char *action,
                              const char *doc, int64_t created,
                              struct cv_err *err)
{
    struct rows *r = context;
    struct row *more, *row;
    cJSON *json = NULL;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)doc, strlen(doc)}, &json, err);

    (void)created;
    if (s == CV_OK && !cv_change_is_known(action, json)) {
        s = unknown_row(err);
    }
    /* Those with a kind are about a token, which alone can say how far they
     * came (held_recover.c). */
    if (s != CV_OK || cJSON_HasObjectItem(json, "kind")) {
        cJSON_Delete(json);
        return s;
    }
    more = reallocarray(r->row, r->n + 1, sizeof(*more));
    if (more == NULL) {
        cJSON_Delete(json);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    r->row = more;
    row = &r->row[r->n++];
    memset(row, 0, sizeof(*row));
    (void)snprintf(row->op, sizeof(row->op), "%s", op);
    (void)snprintf(row->action, sizeof(row->action), "%s", action);
    row->doc = json;
    return CV_OK;
}

/* Does this leaf belong to one of the rows? */
static enum cv_status look(void *context, uint64_t seq, struct cv_bytes leaf,
                           struct cv_err *err)
{
    struct rows *r = context;

    (void)seq;
    (void)err;
    for (size_t i = 0; i < r->n; i++) {
        struct row *row = &r->row[i];

        if (memmem(leaf.data, leaf.len, row->op, CV_LEAF_OP) != NULL) {
            row->decided = true;
            row->told = row->told || memmem(leaf.data, leaf.len,
                                            "\"phase\":\"outcome\"", 17);
        }
    }
    return CV_OK;
}

/* The outcome that a crash kept from being told. */
static enum cv_status tell(struct cv_broker *b, const struct row *row,
                           struct cv_err *err)
{
    const bool done =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row->doc, "done"));
    struct cv_leaf leaf;
    const char *entry = cv_entry_text(row->doc, "entry");
    const char *id = cv_entry_text(row->doc, "entry_id");
    const char *spki = cv_entry_text(row->doc, "spki");

    cv_leaf_init(&leaf);
    leaf.op = row->op;
    leaf.phase = CV_LEAF_OUTCOME;
    leaf.decision = CV_LEAF_PERMIT;
    leaf.mode = "exec";
    leaf.host = b->host;
    leaf.uid = geteuid();
    leaf.action = row->action;
    leaf.entry = entry[0] != '\0' ? entry : NULL;
    leaf.entry_id = id[0] != '\0' ? id : NULL;
    leaf.spki = spki[0] != '\0' ? spki : NULL;
    leaf.outcome = done ? "ok" : "aborted";
    return cv_log_append_leaf(b->vault->log, &leaf, NULL, err);
}

static enum cv_status finish(struct cv_broker *b, struct rows *r,
                             struct cv_err *err)
{
    struct cv_store *store = b->vault->store;
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        if (r->row[i].decided && !r->row[i].told) {
            s = tell(b, &r->row[i], err);
        }
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s == CV_OK) {
        s = cv_store_begin(store, err);
    }
    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = cv_store_journal_remove(store, r->row[i].op, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

enum cv_status cv_change_look(struct cv_broker *b, const char *op,
                              bool *decided, bool *told, struct cv_err *err)
{
    struct cv_query_filter all;
    struct row row = {0};
    struct rows r = {&row, 1};
    enum cv_status s;

    (void)snprintf(row.op, sizeof(row.op), "%s", op);
    cv_query_init(&all);
    s = cv_query_run(b->vault->dir, &all, look, &r, err);
    *decided = row.decided;
    *told = row.told;
    return s;
}

enum cv_status cv_broker_recover(struct cv_broker *b, struct cv_err *err)
{
    struct cv_query_filter all;
    struct rows r = {0};
    enum cv_status s = cv_store_journal_list(b->vault->store, collect, &r, err);

    if (s == CV_OK && r.n > 0) {
        cv_query_init(&all);
        s = cv_query_run(b->vault->dir, &all, look, &r, err);
        if (s == CV_OK) {
            s = finish(b, &r, err);
        }
    }
    rows_free(&r);
    return s;
}
