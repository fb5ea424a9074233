/* What was cut off on a token, ended at its next login.
 *
 * The token says how far it came. A whole key, with the public half that it
 * must have, is finished forward: the row has the document. Anything less is
 * destroyed, after a leaf that says so. Keys of one batch go forward if all of
 * them are whole, else all of them back. What is left over besides (a half made
 * object may have neither id nor label) is found by the snapshot that the row
 * holds: it is told first, and destroyed at a later login if it is still the
 * same then, and bears no mark that is not ours. */
#include "vault/broker/held_recover_internal.h"
#include "vault/store/store_journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* In a transaction. */
static enum cv_status settle_key(struct cv_broker *b,
                                 const struct cv_held_recovery_key *key,
                                 enum cv_held_end end, struct cv_err *err)
{
    struct cv_store *store = b->vault->store;
    bool tell = end != CV_HELD_END_SILENT && key->decided && !key->told;
    struct cv_err none;
    enum cv_status s = CV_OK;

    cv_err_init(&none);
    if (end == CV_HELD_END_DONE || end == CV_HELD_END_GONE) {
        s = cv_store_entry_remove(
            store, cv_entry_text(key->row->json, "entry_id"), &none);
        s = s == CV_NOT_FOUND ? CV_OK : s;
    }
    if (s == CV_OK && end == CV_HELD_END_DONE) {
        s = cv_take_put(b, key->doc, NULL, err);
    }
    if (s == CV_OK) {
        s = cv_store_journal_remove(store, key->row->op, err);
    }
    /* A row that is done is told by the next start, should this one not. */
    if (s == CV_OK && tell) {
        s = cv_change_row(b, key->row->op, key->row->action, key->row->json,
                          end != CV_HELD_END_BACK, err);
    }
    return s;
}

/* Entered. */
static enum cv_status settle(struct cv_held_recovery *r, enum cv_held_end end,
                             struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    struct cv_store *store = b->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    if (s != CV_OK) {
        return s;
    }
    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = settle_key(b, &r->keys[i], end, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
        return s;
    }
    return end != CV_HELD_END_SILENT ? cv_broker_recover(b, err) : CV_OK;
}

enum cv_status cv_held_recover_settle(struct cv_held_recovery *r,
                                      enum cv_held_end end, struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(r->held.broker, err);

    if (s == CV_OK) {
        s = settle(r, end, err);
        cv_broker_leave(r->held.broker);
    }
    return s;
}

/* Before anything is destroyed by itself: a leaf that says what and why. */
enum cv_status cv_held_recover_tell(struct cv_held_recovery *r,
                                    const struct cv_held_recovery_key *key,
                                    const char *what, const char *digest,
                                    struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    const char *cut = cv_entry_text(key->row->json, "cut_op");
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = CV_OK;

    if (!cv_json_add_str(details, "cut_op",
                         cut[0] != '\0' ? cut : key->row->op) ||
        !cv_json_add_str(details, "object", what) ||
        !cv_json_add_str(details, "digest", digest)) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = cv_broker_event_now(b, "gc-destroy", key->doc, details, err);
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

static enum cv_status destroy(struct cv_held_recovery *r,
                              const struct cv_held_recovery_key *key,
                              struct cv_err *err)
{
    /* By id and label: what is half made may have another public half. */
    cJSON *ref = cJSON_Duplicate(key->ref, true);
    enum cv_status s = stay_logged_in(&r->held, err);

    if (s == CV_OK) {
        s = cv_held_recover_tell(r, key, "key", NULL, err);
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

static enum cv_status destroy_all(struct cv_held_recovery *r,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = destroy(r, &r->keys[i], err);
    }
    return s;
}

/* Keys. */

static bool is_gone(enum cv_status s)
{
    return s == CV_NOT_FOUND || s == CV_INTEGRITY;
}

/* The row as it is, with what was found out at this login. */
static enum cv_status mark_broken(struct cv_held_recovery *r,
                                  const struct cv_held_row *as,
                                  struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    struct cv_store *store = b->vault->store;
    cJSON *row = cJSON_Duplicate(as->json, true);
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_store_begin(store, err);
        if (s == CV_OK && !cv_json_add_str(row, "broken", b->held_login)) {
            s = no_memory(err);
        }
        if (s == CV_OK) {
            s = cv_store_journal_remove(store, as->op, err);
        }
        if (s == CV_OK) {
            s = cv_held_put_row(b, as->op, as->action, row, err);
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
static enum cv_status examine(struct cv_held_recovery *r,
                              const struct cv_held_row *row, const cJSON *ref,
                              bool *leaky, struct cv_err *err)
{
    const char *broken = cv_entry_text(row->json, "broken");
    bool told = false;
    enum cv_status s = cv_held_examine_told(&r->held, ref, leaky, &told, err);

    if (s == CV_OK || is_gone(s) || !told || s == CV_LOCKED || s == CV_AUTH ||
        s == CV_BUSY) {
        return s;
    }
    if (broken[0] == '\0') {
        struct cv_err unmarked;

        cv_err_init(&unmarked);
        (void)!mark_broken(r, row, &unmarked);
        return s;
    }
    return strcmp(broken, r->held.broker->held_login) == 0 ? s : CV_INTEGRITY;
}

/* A key that was made here: its public half is known from the token alone. */
static enum cv_status find_generated(struct cv_held_recovery *r,
                                     struct cv_err *err)
{
    struct cv_held_recovery_key *made = &r->keys[0];
    struct cv_message reply;
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(p, "uri", cv_entry_text(made->doc, "token_uri"));
    s = cv_held_call(&r->held, "FindKey", p, &reply, NULL, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "FindKey", fields, 1, false, err);
    }
    if (s == CV_OK && strcmp(cv_entry_text(key, "label"),
                             cv_entry_text(made->ref, "label")) != 0) {
        s = cv_fail(err, CV_INTEGRITY, "the key is half made");
    }
    if (s == CV_OK) {
        s = cv_held_generated(made->doc, cv_entry_text(key, "spki"), err);
    }
    cv_message_free(&reply);
    return s == CV_INVALID ? CV_INTEGRITY : s;
}

static bool says(const struct cv_held_recovery_key *key, const char *what)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(key->row->json, what));
}

/* Is this key what it was to be, and may it stay? CV_INTEGRITY: not. */
static enum cv_status look(struct cv_held_recovery *r,
                           struct cv_held_recovery_key *key, const char *state,
                           struct cv_err *err)
{
    bool leaky = false;
    enum cv_status s =
        examine(r, key->row, cv_entry_token_ref(key->doc), &leaky, err);

    if (s == CV_OK && leaky && !says(key, "may_leak")) {
        s = cv_fail(err, CV_INTEGRITY, "the token lets the key out");
    }
    if (s == CV_OK &&
        !cv_entry_token_set(key->doc, state,
                            cv_entry_text(key->doc, "provenance"), leaky)) {
        s = no_memory(err);
    }
    return s;
}

/* May what is there become entries? What was refused, and what policy permits
 * in one way alone when nobody can tell which it was, may not. CV_INTEGRITY:
 * no. Of several keys one that is surely not there decides, whatever the token
 * cannot tell of the others. */
static enum cv_status look_all(struct cv_held_recovery *r, bool import,
                               struct cv_err *err)
{
    enum cv_status all = CV_OK;

    for (size_t i = 0; i < r->n; i++) {
        if (says(&r->keys[i], "back") || !says(&r->keys[i], "any_way")) {
            return cv_fail(err, CV_INTEGRITY, "policy refused it");
        }
    }
    if (!import) {
        all = find_generated(r, err);
    }
    for (size_t i = 0; i < r->n && !is_gone(all); i++) {
        enum cv_status s = CV_OK;
        struct cv_err why;

        cv_err_init(&why);
        s = look(r, &r->keys[i], import ? "ready" : "pending", &why);
        if (s != CV_OK && (all == CV_OK || is_gone(s))) {
            all = s;
            *err = why;
        }
    }
    return all;
}

/* import, generate: forward where the keys are whole, else back. */
static enum cv_status end_making(struct cv_held_recovery *r, struct cv_err *err)
{
    bool import = strcmp(r->kind, CV_HELD_IMPORT) == 0;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    s = look_all(r, import, &why);
    if (s == CV_OK) {
        for (size_t i = 0; i < r->n && import; i++) {
            cJSON_Delete(cv_held_put_certificates(&r->held, r->keys[i].doc));
        }
        return cv_held_recover_settle(r, CV_HELD_END_DONE, err);
    }
    if (!is_gone(s)) {
        *err = why;
        return s;
    }
    s = destroy_all(r, err);
    if (s == CV_OK) {
        s = cv_held_debris_find(r, err);
    }
    return s == CV_OK ? cv_held_recover_settle(r, CV_HELD_END_BACK, err) : s;
}

/* rm: a key that is still whole stays, with its entry; else both are gone. */
static enum cv_status end_removal(struct cv_held_recovery *r,
                                  struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    s = examine(r, r->keys->row, r->keys->ref, NULL, &why);
    if (s == CV_OK) {
        return cv_held_recover_settle(r, CV_HELD_END_BACK, err);
    }
    if (!is_gone(s)) {
        *err = why;
        return s;
    }
    s = destroy(r, r->keys, err);
    return s == CV_OK ? cv_held_recover_settle(r, CV_HELD_END_GONE, err) : s;
}

static enum cv_status end_group(struct cv_held_recovery *r, struct cv_err *err)
{
    bool untouched = false;
    enum cv_status s = CV_OK;

    if (strcmp(r->kind, CV_HELD_DEBRIS) == 0) {
        return cv_held_debris_end(r, err);
    }
    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        struct cv_held_recovery_key *key = &r->keys[i];

        s = cv_change_look(r->held.broker, key->row->op, &key->decided,
                           &key->told, err);
        untouched = untouched || !key->decided || key->told;
    }
    if (s != CV_OK) {
        return s;
    }
    /* Nothing is done on a token before all decisions are durable, and no
     * failure is told before all is taken back. */
    if (untouched) {
        return cv_held_recover_settle(r, CV_HELD_END_BACK, err);
    }
    return strcmp(r->kind, CV_HELD_REMOVE) == 0 ? end_removal(r, err)
                                                : end_making(r, err);
}

/* The rows that were begun together with row `first`, in r->keys. */
static void gather(const struct cv_held_rows *rows, size_t first,
                   struct cv_held_recovery *r)
{
    const char *batch = cv_entry_text(rows->row[first].json, "batch");

    r->kind = cv_entry_text(rows->row[first].json, "kind");
    r->n = 0;
    for (size_t i = first; i < rows->n; i++) {
        const struct cv_held_row *row = &rows->row[i];
        const cJSON *doc = cJSON_GetObjectItemCaseSensitive(row->json, "doc");

        if (i != first &&
            (batch[0] == '\0' ||
             strcmp(cv_entry_text(row->json, "batch"), batch) != 0)) {
            continue;
        }
        r->keys[r->n++] = (struct cv_held_recovery_key){
            .row = row,
            .ref = cJSON_GetObjectItemCaseSensitive(row->json, "key"),
            .doc = doc != NULL ? cJSON_Duplicate(doc, true) : NULL,
        };
    }
}

/* Was it ended with an earlier row? */
static bool is_later(const struct cv_held_rows *rows, size_t at)
{
    const char *batch = cv_entry_text(rows->row[at].json, "batch");

    for (size_t i = 0; i < at && batch[0] != '\0'; i++) {
        if (strcmp(cv_entry_text(rows->row[i].json, "batch"), batch) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status end_rows(struct cv_broker *b, const char *token,
                               struct cv_held *held, struct cv_err *err)
{
    struct cv_held_recovery r = {.held = *held};
    struct cv_held_rows rows;
    enum cv_status s = cv_held_rows(b, token, &rows, err);

    if (s == CV_OK && rows.n > 0) {
        r.keys = calloc(rows.n, sizeof(*r.keys));
        s = r.keys != NULL ? CV_OK : no_memory(err);
    }
    for (size_t i = 0; s == CV_OK && i < rows.n; i++) {
        if (is_later(&rows, i)) {
            continue;
        }
        gather(&rows, i, &r);
        s = end_group(&r, err);
        for (size_t k = 0; k < r.n; k++) {
            cJSON_Delete(r.keys[k].doc);
        }
        /* What the token cannot tell now waits, and holds nothing else up. */
        if (s == CV_UNAVAILABLE || s == CV_BUSY || s == CV_LOCKED ||
            s == CV_AUTH || s == CV_INVALID) {
            s = CV_OK;
        }
    }
    free(r.keys);
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
