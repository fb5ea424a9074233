/* What was cut off on a token, ended at its next login.
 *
 * The token says how far it came. A whole key, with the public half that it
 * must have, is finished forward: the row has the document. Anything less is
 * destroyed, after a leaf that says so. What is left over besides (a half made
 * object may have neither id nor label) is found by the snapshot that the row
 * holds: it is told first, and destroyed at a later login if it is still the
 * same then, and bears no mark that is not ours. */
#include "vault/broker/held_recover_internal.h"
#include "vault/store/store_journal.h"

#include <stdio.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Entered. How it ended, in the record (`outcome` NULL: it is there), and the
 * row gone; `doc`: an entry that is put in the same transaction; `gone`: one
 * that is removed. */
static enum cv_status settle(struct cv_held_recovery *r, const char *outcome,
                             const cJSON *doc, bool gone, struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    struct cv_store *store = b->vault->store;
    const char *id = cv_entry_text(r->row->json, "entry_id");
    struct cv_err none;
    enum cv_status s = cv_store_begin(store, err);

    cv_err_init(&none);
    if (s == CV_OK && (doc != NULL || gone)) {
        s = cv_store_entry_remove(store, id, &none);
        s = s == CV_NOT_FOUND ? CV_OK : s;
    }
    if (s == CV_OK && doc != NULL) {
        s = cv_take_put(b, doc, NULL, err);
    }
    /* A row that is done is told by the next start, should this one not. */
    if (s == CV_OK) {
        s = cv_store_journal_remove(store, r->row->op, err);
    }
    if (s == CV_OK && outcome != NULL) {
        s = cv_change_row(b, r->row->op, r->row->action, r->row->json,
                          strcmp(outcome, "ok") == 0, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
        return s;
    }
    return outcome != NULL ? cv_broker_recover(b, err) : CV_OK;
}

enum cv_status cv_held_recover_settle(struct cv_held_recovery *r,
                                      const char *outcome, const cJSON *doc,
                                      bool gone, struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(r->held.broker, err);

    if (s == CV_OK) {
        s = settle(r, outcome, doc, gone, err);
        cv_broker_leave(r->held.broker);
    }
    return s;
}

/* Before anything is destroyed by itself: a leaf that says what and why. */
enum cv_status cv_held_recover_tell(struct cv_held_recovery *r,
                                    const char *what, const char *digest,
                                    struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    const char *cut = cv_entry_text(r->row->json, "cut_op");
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = CV_OK;

    if (!cv_json_add_str(details, "cut_op",
                         cut[0] != '\0' ? cut : r->row->op) ||
        !cv_json_add_str(details, "object", what) ||
        !cv_json_add_str(details, "digest", digest)) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = cv_broker_event_now(b, "gc-destroy", r->doc, details, err);
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    return s;
}

/* A key that does not work may have cost its session, and the login with it:
 * the process has the PIN that was right. */
static enum cv_status stay_logged_in(struct cv_held *held, struct cv_err *err)
{
    return cv_module_need_login(held->broker, held->uri, NULL, err);
}

static enum cv_status destroy(struct cv_held_recovery *r, struct cv_err *err)
{
    /* By id and label: what is half made may have another public half. */
    cJSON *ref = cJSON_Duplicate(r->ref, true);
    enum cv_status s = stay_logged_in(&r->held, err);

    if (s == CV_OK) {
        s = cv_held_recover_tell(r, "key", NULL, err);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(ref, "spki");
    if (s == CV_OK) {
        s = ref != NULL ? cv_held_destroy(&r->held, ref, err) : no_memory(err);
        /* What has the key's id and another's label is left to its owner. */
        s = s == CV_NOT_FOUND || s == CV_INTEGRITY ? CV_OK : s;
    }
    cJSON_Delete(ref);
    return s;
}

/* Keys. */

static bool is_gone(enum cv_status s)
{
    return s == CV_NOT_FOUND || s == CV_INTEGRITY;
}

/* The row as it is, with what was found out at this login. */
static enum cv_status mark_broken(struct cv_held_recovery *r,
                                  struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    struct cv_store *store = b->vault->store;
    cJSON *row = cJSON_Duplicate(r->row->json, true);
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_store_begin(store, err);
        if (s == CV_OK && !cv_json_add_str(row, "broken", b->held_login)) {
            s = no_memory(err);
        }
        if (s == CV_OK) {
            s = cv_store_journal_remove(store, r->row->op, err);
        }
        if (s == CV_OK) {
            s = cv_held_put_row(b, r->row->op, r->row->action, row, err);
        }
        if (s == CV_OK) {
            s = cv_store_commit(store, err);
        }
        if (s != CV_OK) {
            cv_store_rollback(store);
        }
        cv_broker_leave(b);
    }
    cJSON_Delete(row);
    return s;
}

/* Is the key there, and whole? CV_NOT_FOUND, CV_INTEGRITY: no. A key that is
 * there and does not work may be half made, or its token not well: it is broken
 * when it still does not at a later login. */
static enum cv_status examine(struct cv_held_recovery *r, const cJSON *ref,
                              bool *leaky, struct cv_err *err)
{
    const char *broken = cv_entry_text(r->row->json, "broken");
    bool told = false;
    enum cv_status s = cv_held_examine_told(&r->held, ref, leaky, &told, err);

    if (s == CV_OK || is_gone(s) || !told || s == CV_LOCKED || s == CV_AUTH ||
        s == CV_BUSY) {
        return s;
    }
    if (broken[0] == '\0') {
        struct cv_err unmarked;

        cv_err_init(&unmarked);
        (void)!mark_broken(r, &unmarked);
        return s;
    }
    return strcmp(broken, r->held.broker->held_login) == 0 ? s : CV_INTEGRITY;
}

/* A key that was made here: its public half is known from the token alone. */
static enum cv_status find_generated(struct cv_held_recovery *r,
                                     struct cv_err *err)
{
    struct cv_message reply;
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(p, "uri", cv_entry_text(r->doc, "token_uri"));
    s = cv_held_call(&r->held, "FindKey", p, &reply, NULL, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "FindKey", fields, 1, false, err);
    }
    if (s == CV_OK && strcmp(cv_entry_text(key, "label"),
                             cv_entry_text(r->ref, "label")) != 0) {
        s = cv_fail(err, CV_INTEGRITY, "the key is half made");
    }
    if (s == CV_OK) {
        s = cv_held_generated(r->doc, cv_entry_text(key, "spki"), err);
    }
    cv_message_free(&reply);
    return s == CV_INVALID ? CV_INTEGRITY : s;
}

/* import, generate: forward where the key is whole, else back. */
static enum cv_status end_making(struct cv_held_recovery *r, struct cv_err *err)
{
    bool import = strcmp(r->kind, CV_HELD_IMPORT) == 0;
    bool may_leak = cJSON_IsTrue(
        cJSON_GetObjectItemCaseSensitive(r->row->json, "may_leak"));
    struct cv_err why;
    bool leaky = false;
    enum cv_status s = CV_OK;

    cv_err_init(&why);
    if (!import) {
        s = find_generated(r, &why);
    }
    if (s == CV_OK) {
        s = examine(r, cv_entry_token_ref(r->doc), &leaky, &why);
    }
    if (s == CV_OK && leaky && !may_leak) {
        s = CV_INTEGRITY;
    }
    if (s == CV_OK) {
        if (!cv_entry_token_set(r->doc, import ? "ready" : "pending",
                                cv_entry_text(r->doc, "provenance"), leaky)) {
            return no_memory(err);
        }
        if (import) {
            cJSON_Delete(cv_held_put_certificates(&r->held, r->doc));
        }
        return cv_held_recover_settle(r, "ok", r->doc, false, err);
    }
    if (!is_gone(s)) {
        *err = why;
        return s;
    }
    s = destroy(r, err);
    if (s == CV_OK) {
        s = cv_held_debris_find(r, err);
    }
    return s == CV_OK ? cv_held_recover_settle(r, "aborted", NULL, false, err)
                      : s;
}

/* rm: a key that is still whole stays, with its entry; else both are gone. */
static enum cv_status end_removal(struct cv_held_recovery *r,
                                  struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    s = examine(r, r->ref, NULL, &why);
    if (s == CV_OK) {
        return cv_held_recover_settle(r, "aborted", NULL, false, err);
    }
    if (!is_gone(s)) {
        *err = why;
        return s;
    }
    s = destroy(r, err);
    return s == CV_OK ? cv_held_recover_settle(r, "ok", NULL, true, err) : s;
}

static enum cv_status end_row(struct cv_held_recovery *r, struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    bool decided = false, told = false;
    enum cv_status s;

    if (strcmp(r->kind, CV_HELD_DEBRIS) == 0) {
        return cv_held_debris_end(r, err);
    }
    s = cv_change_look(b, r->row->op, &decided, &told, err);
    if (s != CV_OK) {
        return s;
    }
    /* Nothing is done on a token before the decision is durable. */
    if (!decided || told) {
        return cv_held_recover_settle(r, NULL, NULL, false, err);
    }
    return strcmp(r->kind, CV_HELD_REMOVE) == 0 ? end_removal(r, err)
                                                : end_making(r, err);
}

static enum cv_status end_rows(struct cv_broker *b, const char *token,
                               struct cv_held *held, struct cv_err *err)
{
    struct cv_held_rows rows;
    enum cv_status s = cv_held_rows(b, token, &rows, err);

    for (size_t i = 0; s == CV_OK && i < rows.n; i++) {
        const cJSON *json = rows.row[i].json;
        const cJSON *doc = cJSON_GetObjectItemCaseSensitive(json, "doc");
        struct cv_held_recovery r = {
            .held = *held,
            .row = &rows.row[i],
            .kind = cv_entry_text(json, "kind"),
            .ref = cJSON_GetObjectItemCaseSensitive(json, "key"),
            .doc = doc != NULL ? cJSON_Duplicate(doc, true) : NULL,
        };

        s = end_row(&r, err);
        cJSON_Delete(r.doc);
        /* What the token cannot tell now waits, and holds nothing else up. */
        if (s == CV_UNAVAILABLE || s == CV_BUSY || s == CV_LOCKED ||
            s == CV_AUTH || s == CV_INVALID) {
            s = CV_OK;
        }
    }
    cv_held_rows_free(&rows);
    return s;
}

enum cv_status cv_held_recover(struct cv_broker *b, const char *token,
                               struct cv_err *err)
{
    struct cv_held held = {.broker = b, .lock = -1};
    struct cv_held_rows rows;
    struct cv_err busy;
    enum cv_status s = cv_held_rows(b, token, &rows, err);
    size_t n = rows.n;

    if (s != CV_OK || n == 0) {
        return s;
    }
    cv_held_rows_free(&rows);
    (void)snprintf(held.uri, sizeof(held.uri), "%s", token);
    cv_err_init(&busy);
    /* Whoever is at work there is not cut off. */
    s = cv_held_try_lock(&held, &busy);
    if (s == CV_OK) {
        s = end_rows(b, token, &held, err);
        if (s == CV_OK) {
            s = stay_logged_in(&held, err);
        } else {
            cv_err_prefix(err, "what was cut off on the token is not ended");
        }
    } else {
        s = CV_OK;
    }
    cv_held_close(&held);
    return s;
}

void cv_held_logged_in(struct cv_broker *b, const char *token)
{
    struct cv_err err;

    cv_err_init(&err);
    cv_leaf_new_op(b->held_login);
    if (b->vault != NULL) {
        (void)!cv_held_recover(b, token, &err);
    }
}
