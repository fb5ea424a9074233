/* Whether the key of an entry is where it should be: ready or lost. */
#include "vault/base/clock.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/signer.h"

#include <string.h>

#define LONGEST 1024 /* details' texts */

/* Entered. Puts `state` into the entry with this id, if it says otherwise. */
static enum cv_status set_state(struct cv_broker *b, const char *name,
                                const char *from, const char *to,
                                struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    cJSON *doc = NULL, *details = cJSON_CreateObject();
    bool leaky;
    enum cv_status s = cv_broker_load_entry(b, name, false, &row, &doc, err);

    if (s == CV_OK && strcmp(cv_entry_text(doc, "state"), from) == 0) {
        leaky = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "leaky"));
        if (!cv_json_add_str(details, "state", to) ||
            !cv_entry_token_set(doc, to, cv_entry_text(doc, "provenance"),
                                leaky)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        if (s == CV_OK) {
            s = cv_broker_event_now(b, "edit", doc, details, err);
        }
        if (s == CV_OK) {
            s = cv_held_update(b, row, doc, err);
        }
    }
    cv_store_entry_free(row);
    cJSON_Delete(doc);
    cJSON_Delete(details);
    return s;
}

static void set_now(struct cv_broker *b, const cJSON *doc, const char *from,
                    const char *to)
{
    struct cv_err err;

    cv_err_init(&err);
    if (strcmp(cv_entry_text(doc, "state"), from) == 0 &&
        cv_broker_enter(b, &err) == CV_OK) {
        (void)!set_state(b, cv_entry_text(doc, "name"), from, to, &err);
        cv_broker_leave(b);
    }
}

void cv_held_found(struct cv_broker *b, const cJSON *doc)
{
    set_now(b, doc, "lost", "ready");
}

void cv_held_missed(struct cv_broker *b, const cJSON *doc)
{
    struct cv_module_token token;

    /* A token that is not there says nothing about its keys. */
    if (cv_module_token(b, cv_entry_token_uri(doc), &token, NULL, NULL) ==
            CV_OK &&
        (token.logged_in || !token.login_required)) {
        set_now(b, doc, "ready", "lost");
    }
}

/* token lost */

struct losing {
    const char *token;
    cJSON *docs;         /* of those that are not lost yet */
    int64_t log_keys;    /* that changes of the log's key were cut off with */
    struct cv_held held; /* the lock, where there are any */
};

static enum cv_status collect(void *context, const struct cv_store_entry *row,
                              struct cv_err *err)
{
    struct losing *l = context;
    cJSON *doc = NULL;
    enum cv_status s;

    if (strstr(row->doc, "\"location\":\"token\"") == NULL) {
        return CV_OK;
    }
    s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        &doc, err);
    if (s == CV_OK &&
        cv_held_uri_covers(l->token, cv_entry_text(doc, "token_uri")) &&
        cJSON_AddItemToArray(l->docs, doc)) {
        return CV_OK;
    }
    cJSON_Delete(doc);
    return s;
}

/* Entered. Each that is on it is said to be lost; the answer shows them. */
static enum cv_status lose_all(struct cv_ask *ask, const cJSON *docs,
                               cJSON *items, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    const cJSON *doc;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(doc, docs)
    {
        const char *name = cv_entry_text(doc, "name");
        struct cv_store_entry *row = NULL;
        cJSON *now = NULL;

        s = set_state(b, name, "ready", "lost", err);
        if (s == CV_OK) {
            s = set_state(b, name, "pending", "lost", err);
        }
        if (s == CV_OK) {
            s = cv_broker_load_entry(b, name, false, &row, &now, err);
        }
        if (s == CV_OK && !cJSON_AddItemToArray(items, cv_entry_view(now))) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        cv_store_entry_free(row);
        cJSON_Delete(now);
        if (s != CV_OK) {
            break;
        }
    }
    return s;
}

/* The record says which token, unless the URI says more than that. */
static void add_token(cJSON *details, const char *uri)
{
    const size_t len = strcspn(uri, "?");
    char name[LONGEST + 1];

    if (len < sizeof(name)) {
        memcpy(name, uri, len);
        name[len] = '\0';
        if (cv_held_uri_is_token(name)) {
            (void)cv_json_add_str(details, "token", name);
        }
    }
}

/* Entered. What is there to be given up? */
static enum cv_status find_lost(struct cv_broker *b, struct losing *l,
                                struct cv_err *err)
{
    struct cv_store_filter all;
    enum cv_status s;

    cv_store_entry_filter_init(&all);
    s = cv_store_entry_list(b->vault->store, &all, collect, l, err);
    if (s == CV_OK) {
        s = cv_signer_count(b, l->token, &l->log_keys, err);
    }
    if (s == CV_OK && cJSON_GetArraySize(l->docs) == 0 && l->log_keys == 0) {
        s = cv_fail(err, CV_NOT_FOUND,
                    "no entry has its key on that token, and no key of a "
                    "change that was cut off may be there");
        cv_err_hint(err, "certvault list -o json shows token_uri of each, "
                         "certvault doctor the tokens of changes that were cut "
                         "off");
    }
    /* Who makes one has the lock until it is the log's. */
    if (s == CV_OK && l->log_keys > 0) {
        s = cv_held_try_lock(&l->held, err);
    }
    return s;
}

static enum cv_status run_lost(struct cv_ask *ask, struct losing *l,
                               cJSON *items, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = find_lost(b, l, err);

    (void)cv_json_add_str(details, "method", "TokenLost");
    (void)cv_json_add_int(details, "items", cJSON_GetArraySize(l->docs));
    if (l->log_keys > 0) {
        (void)cv_json_add_int(details, "unfinished", l->log_keys);
        add_token(details, l->token);
    }
    if (s == CV_OK) {
        s = cv_ask_decide(ask, NULL, details, err);
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s == CV_OK) {
        s = lose_all(ask, l->docs, items, err);
        if (s == CV_OK && l->log_keys > 0) {
            s = cv_signer_give_up(b, l->token, err);
        }
        if (cv_ask_outcome(ask, s, details, NULL) == CV_OK) {
            (void)!cv_broker_commit(b, NULL);
        }
    }
    cJSON_Delete(details);
    return s;
}

CV_BROKER_METHOD(token_lost)
{
    struct cv_broker *b = context;
    struct losing l = {.held = {.broker = b, .lock = -1}};
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &l.token, CV_HELD_URI},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "TokenLost", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        l.docs = cJSON_CreateArray();
        s = run_lost(
            &ask, &l,
            cJSON_AddArrayToObject(cv_reply_parameters(reply), "items"), err);
        cv_broker_leave(b);
    }
    cv_held_close(&l.held);
    if (s == CV_OK && l.log_keys > 0) {
        (void)cv_json_add_int(cv_reply_parameters(reply), "log_keys",
                              l.log_keys);
    } else if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cJSON_Delete(l.docs);
    return s;
}
