/* The sealed vault's box key: held by the token process, opened by a secret
 * that passes through here once. Slots, unlock, lock. */
#include "vault/base/clock.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/service_internal.h"
#include "vault/broker/slot_file_internal.h"
#include "vault/broker/slot_token_internal.h"
#include "vault/store/store_slot.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The slots as they are stored, in an array. */
static enum cv_status add_slot(void *context, const char *id, const char *doc,
                               struct cv_err *err)
{
    cJSON *slot;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)doc, strlen(doc)}, &slot, err);

    (void)id;
    if (s == CV_OK && !cJSON_AddItemToArray(context, slot)) {
        cJSON_Delete(slot);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status no_vault(struct cv_broker *b, struct cv_err *err)
{
    (void)cv_fail(err, CV_NOT_FOUND, "there is no vault in %s",
                  b->options->folder);
    cv_err_hint(err, "make one: certvault init");
    return CV_NOT_FOUND;
}

static enum cv_status load_slots(struct cv_broker *b, cJSON **out,
                                 struct cv_err *err)
{
    enum cv_status s;

    *out = NULL;
    if (b->vault == NULL) {
        return no_vault(b, err);
    }
    *out = cJSON_CreateArray();
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_store_slot_list(b->vault->store, add_slot, *out, err);
    if (s != CV_OK) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return s;
}

/* What a caller may know of a slot. */
cJSON *cv_broker_slot_view(const cJSON *record)
{
    static const char *const keys[] = {"id", "kind", "path", "name", "created"};
    cJSON *view = cJSON_CreateObject();
    const char *uri;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text = cv_entry_text(record, keys[i]);

        if (text[0] != '\0') {
            (void)cv_json_add_str(view, keys[i], text);
        }
    }
    uri =
        cv_entry_text(cJSON_GetObjectItemCaseSensitive(record, "token"), "uri");
    if (uri[0] != '\0') {
        (void)cv_json_add_str(view, "uri", uri);
    }
    return view;
}

static enum cv_status add_views(cJSON *to, const char *key, const cJSON *slots,
                                struct cv_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(to, key);
    const cJSON *slot;

    cJSON_ArrayForEach(slot, slots)
    {
        cJSON *view = cv_broker_slot_view(slot);

        if (view == NULL || !cJSON_AddItemToArray(list, view)) {
            cJSON_Delete(view);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

enum cv_status cv_broker_token(struct cv_broker *b, const char *method,
                               cJSON *parameters, unsigned flags,
                               struct cv_message *reply, struct cv_err *err)
{
    char full[64];
    enum cv_status s;

    (void)snprintf(full, sizeof(full), "%s.%s", CV_INTERFACE_TOKEN, method);
    s = cv_helper_call(&b->token, full, parameters, flags, reply, err);
    if (b->token.channel == NULL) {
        b->unlocked = false;
        cv_relay_unlisten(b);
    }
    return s;
}

bool cv_broker_is_open(struct cv_broker *b)
{
    /* It ends by itself when nobody asks for long. */
    cv_helper_look(&b->token);
    if (b->token.channel == NULL && b->unlocked) {
        b->unlocked = false;
        cv_relay_unlisten(b);
    }
    return b->unlocked;
}

enum cv_status cv_broker_need_open(struct cv_broker *b, struct cv_reply *reply,
                                   struct cv_err *err)
{
    cJSON *slots = NULL;
    enum cv_status s;

    if (cv_broker_is_open(b)) {
        return CV_OK;
    }
    cv_relay_unlisten(b);
    if (cv_service_open(b, NULL) == CV_OK) {
        return CV_OK;
    }
    s = reply != NULL ? load_slots(b, &slots, err) : CV_OK;
    if (s == CV_OK && reply != NULL) {
        s = add_views(cv_reply_failure(reply), "slots", slots, err);
        cJSON_Delete(slots);
    }
    if (s != CV_OK) {
        return s;
    }
    s = cv_fail(err, CV_LOCKED, "the vault is locked");
    cv_err_state(err, "nothing was done");
    cv_err_hint(err, "give its passphrase (--passphrase-file), its key file "
                     "(--key-file), or run this on a terminal");
    return s;
}

/* Where a token alone opens the vault, its PIN is asked for beside. */
void cv_broker_open_also(struct cv_broker *b, struct cv_reply *reply)
{
    cJSON *slots = NULL;
    const cJSON *slot;
    struct cv_err err;
    bool others = b->unlocked && b->token.channel != NULL;

    cv_err_init(&err);
    if (others || load_slots(b, &slots, &err) != CV_OK) {
        return;
    }
    cJSON_ArrayForEach(slot, slots)
    {
        others = others || !cv_slot_token_is(slot);
    }
    if (!others && cJSON_GetArraySize(slots) > 0) {
        cv_module_need_also(
            b,
            cv_entry_text(
                cJSON_GetObjectItemCaseSensitive(slots->child, "token"), "uri"),
            reply);
    }
    cJSON_Delete(slots);
}

/* By what is typed or read from a file: one call of the token process. */
enum cv_status cv_broker_open_by_secret(struct cv_broker *b, const cJSON *slots,
                                        const cJSON *key, char *slot_id,
                                        size_t slot_id_len, struct cv_err *err)
{
    const char *opened = NULL;
    const struct cv_json_field fields[] = {
        {"slot_id", CV_JSON_STRING, true, &opened, CV_STORE_SLOT_ID},
    };
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "vault_id", b->vault->id) ||
        !cv_json_add_str(p, "public_key", b->vault->public_key) ||
        !cv_json_add_item(p, "slots", cJSON_Duplicate(slots, true)) ||
        !cv_json_add_item(p, "key", cJSON_Duplicate(key, true))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_broker_token(b, "Open", p, CV_CLIENT_SECRET_IN, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Open", fields, 1, true, err);
    }
    if (s == CV_OK) {
        (void)snprintf(slot_id, slot_id_len, "%s", opened);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_broker_open_box(struct cv_broker *b, const cJSON *key,
                                  struct cv_reply *reply, const char **slot_id,
                                  struct cv_err *err)
{
    static char id[CV_STORE_SLOT_ID + 1];
    cJSON *slots;
    enum cv_status s = load_slots(b, &slots, err);

    if (s == CV_OK) {
        s = cv_slot_token_is(key)
                ? cv_slot_token_open(b, slots, key, reply, id, sizeof(id), err)
                : cv_broker_open_by_secret(b, slots, key, id, sizeof(id), err);
        cJSON_Delete(slots);
    }
    if (s == CV_OK) {
        b->unlocked = true;
        *slot_id = id;
        cv_backup_open_log_key(b);
    }
    return s;
}

/* Of the slots that a locked vault names to somebody who may do nothing: of
 * which kinds they are, and which token; not where their files lie. */
static void hide_places(cJSON *slots)
{
    static const char *const keys[] = {"id", "path", "name", "created"};
    cJSON *slot;

    cJSON_ArrayForEach(slot, slots)
    {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            cJSON_DeleteItemFromObjectCaseSensitive(slot, keys[i]);
        }
    }
}

/* Without a key: what would open it. Nothing was tried, and what it answers is
 * in no record. */
static enum cv_status open_already(struct cv_broker *b, struct cv_reply *reply,
                                   struct cv_err *err)
{
    enum cv_status s = cv_broker_need_open(b, reply, err);

    if (s == CV_LOCKED && b->caller->peer.uid != geteuid()) {
        hide_places(
            cJSON_GetObjectItemCaseSensitive(cv_reply_failure(reply), "slots"));
    }
    return s;
}

/* Not decided: whoever has what opens it may open it. */
CV_BROKER_METHOD(unlock)
{
    struct cv_broker *b = context;
    const cJSON *key = NULL;
    const char *slot_id;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, false, &key, 0},
    };
    cJSON *details;
    enum cv_status s =
        cv_json_read(parameters, "Unlock", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && b->vault == NULL) {
        s = no_vault(b, err);
    }
    if (s == CV_OK && key == NULL) {
        return open_already(b, reply, err);
    }
    details = cJSON_CreateObject();
    if (s == CV_OK) {
        s = cv_broker_open_box(b, key, reply, &slot_id, err);
        if (s == CV_OK) {
            cv_service_locked(b, false);
            cv_prompt_done(&b->prompt, CV_PROMPT_UNLOCK);
            (void)cv_json_add_str(details, "slot", slot_id);
            (void)cv_json_add_str(cv_reply_parameters(reply), "slot_id",
                                  slot_id);
        }
        (void)cv_json_add_str(details, "method", "Unlock");
        cv_broker_event(b, "admin", s, details);
    }
    cJSON_Delete(details);
    return s;
}

/* Every connection is torn down; the relay stays, with no grant, so that who
 * asks is told why. */
static void lock_now(struct cv_broker *b)
{
    cv_relay_close_all(b, "the vault was locked", "certvault unlock");
    cv_relay_unlisten(b);
    cv_helper_stop(&b->token);
    cv_module_stop_all(b);
    b->unlocked = false;
    cv_service_locked(b, true);
}

/* Entered. Permitted, it is locked whether that can be recorded or not: a lock
 * releases nothing. *locked: it is. */
static enum cv_status lock_entered(struct cv_ask *ask, const cJSON *details,
                                   bool *locked, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_ask_decide(ask, NULL, details, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_broker_commit(b, err);
    lock_now(b);
    *locked = true;
    if (s == CV_OK) {
        s = cv_ask_outcome(ask, CV_OK, details, err);
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s != CV_OK) {
        cv_err_state(err, "the vault is locked all the same; not all of it is "
                          "in the record");
    }
    return s;
}

/* Decided like any change: whoever may lock everybody out may also not. */
CV_BROKER_METHOD(lock)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    cJSON *details = cJSON_CreateObject();
    bool locked = false;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    (void)reply;
    (void)cv_json_add_str(details, "method", "Lock");
    if (s == CV_OK) {
        s = cv_json_read(parameters, "Lock", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = lock_entered(&ask, details, &locked, err);
        cv_broker_leave(b);
    }
    if (locked) {
        cv_grant_end_all(b, "the vault was locked", "certvault unlock");
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cJSON_Delete(details);
    return s;
}

/* Slots. Each change is `admin`, decided, recorded, in one transaction. */

struct slot_change {
    const char *operation;
    const char *id;      /* that goes, or NULL */
    const cJSON *record; /* that comes, or NULL; borrowed */
};

static enum cv_status slot_put(struct cv_broker *b, const cJSON *record,
                               struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_STORE_SLOT_DOC);
    cv_json_write(record, CV_JSON_COMPACT, &text);
    s = cv_buf_status(&text, "a slot", err);
    if (s == CV_OK) {
        s = cv_store_slot_put(b->vault->store, cv_entry_text(record, "id"),
                              cv_buf_text(&text), err);
    }
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status count_slot(void *context, const char *id, const char *doc,
                                 struct cv_err *err)
{
    (void)id;
    (void)doc;
    (void)err;
    ++*(size_t *)context;
    return CV_OK;
}

/* Inside the transaction, where no other broker can remove the other one. */
static enum cv_status one_remains(struct cv_broker *b, struct cv_err *err)
{
    size_t n = 0;
    enum cv_status s = cv_store_slot_list(b->vault->store, count_slot, &n, err);

    if (s == CV_OK && n == 0) {
        s = cv_fail(err, CV_INVALID,
                    "this is the last slot: without it nothing opens the "
                    "vault");
        cv_err_state(err, "the slot is still there");
        cv_err_hint(err, "add another first: certvault slot add passphrase");
    }
    return s;
}

/* A slot that is replaced goes after the new one is in, all in one step. */
static enum cv_status
slot_store(struct cv_ask *ask, const struct slot_change *c, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_store_begin(b->vault->store, err);

    if (s == CV_OK && c->record != NULL) {
        s = slot_put(b, c->record, err);
    }
    if (s == CV_OK && c->id != NULL &&
        (c->record == NULL ||
         strcmp(c->id, cv_entry_text(c->record, "id")) != 0)) {
        s = cv_store_slot_remove(b->vault->store, c->id, err);
    }
    if (s == CV_OK) {
        s = one_remains(b, err);
    }
    if (s == CV_OK) {
        s = cv_change_done(&(struct cv_ask *){ask}, 1, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(b->vault->store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(b->vault->store);
    }
    return s;
}

static enum cv_status slot_run(struct cv_ask *ask, const struct slot_change *c,
                               struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "method", c->operation);
    (void)cv_json_add_str(details, "slot",
                          c->record != NULL ? cv_entry_text(c->record, "id")
                                            : c->id);
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = cv_ask_decide(ask, NULL, details, err);
        if (s == CV_OK) {
            s = cv_change_intend(&ask, 1, err);
        }
        if (s == CV_OK) {
            s = slot_store(ask, c, err);
            s = cv_change_end(&ask, 1, s, details, err);
        }
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    return s;
}

/* An id that no slot has: "s1", "s2"... */
static void new_id(const cJSON *slots, char out[16])
{
    for (int n = 1;; n++) {
        const cJSON *slot;
        bool taken = false;

        (void)snprintf(out, 16, "s%d", n);
        cJSON_ArrayForEach(slot, slots)
        {
            taken = taken || strcmp(cv_entry_text(slot, "id"), out) == 0;
        }
        if (!taken) {
            return;
        }
    }
}

static const cJSON *find_slot(const cJSON *slots, const char *id)
{
    const cJSON *slot;

    cJSON_ArrayForEach(slot, slots)
    {
        if (strcmp(cv_entry_text(slot, "id"), id) == 0) {
            return slot;
        }
    }
    return NULL;
}

static enum cv_status no_slot(const char *id, struct cv_err *err)
{
    char shown[CV_STORE_SLOT_ID];
    enum cv_status s =
        cv_fail(err, CV_NOT_FOUND, "there is no slot %s",
                cv_err_quote(shown, sizeof(shown), id, strlen(id)));

    cv_err_hint(err, "certvault slot list shows what there is");
    return s;
}

/* Before the token is asked, so that a caller who may not gets no prompt. */
static enum cv_status slot_allowed(struct cv_ask *ask, struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(ask->broker, err);

    if (s == CV_OK) {
        s = cv_ask_check(ask, NULL, NULL, err);
        cv_broker_leave(ask->broker);
    }
    return s;
}

/* Has the token wrap the open box key: `key` NULL asks for a recovery code.
 * *record is detached from the answer, which the caller frees. */
static enum cv_status wrap(struct cv_broker *b, const char *id,
                           const cJSON *key, struct cv_reply *reply,
                           struct cv_message *answer, const cJSON **record,
                           struct cv_err *err)
{
    const struct cv_slot_token_vault vault = {b->vault->id,
                                              b->vault->public_key};
    cJSON *p;
    enum cv_status s;

    if (key != NULL && cv_slot_token_is(key)) {
        return cv_slot_token_wrap(b, &vault, id, key, reply, answer, record,
                                  err);
    }
    p = cJSON_CreateObject();
    if (!cv_json_add_str(p, "id", id) ||
        (key != NULL &&
         !cv_json_add_item(p, "key", cJSON_Duplicate(key, true)))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_broker_token(b, key != NULL ? "Wrap" : "Recovery", p,
                        CV_CLIENT_SECRET_IN | CV_CLIENT_SECRET_OUT, answer,
                        err);
    if (s == CV_OK) {
        *record = cJSON_GetObjectItemCaseSensitive(answer->tree, "slot");
        if (!cJSON_IsObject(*record)) {
            s = cv_fail(err, CV_INTERNAL, "the token made no slot");
        }
    }
    return s;
}

struct slot_call {
    const char *id;
    const cJSON *key;
};

static enum cv_status slot_begin(struct cv_broker *b, const cJSON *parameters,
                                 bool with_id, bool with_key,
                                 struct slot_call *call, struct cv_ask *ask,
                                 cJSON **slots, struct cv_err *err)
{
    /* The first and the last of them are not everybody's. */
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &call->id, CV_STORE_SLOT_ID},
        CV_BROKER_ASK_FIELDS,
        {"key", CV_JSON_OBJECT, true, &call->key, 0},
    };
    const size_t n = sizeof(fields) / sizeof(fields[0]);
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, ask, err);

    *slots = NULL;
    if (s == CV_OK) {
        s = cv_json_read(parameters, "the request", fields + (with_id ? 0 : 1),
                         n - (with_id ? 0 : 1) - (with_key ? 0 : 1), true, err);
    }
    if (s == CV_OK && b->vault == NULL) {
        s = no_vault(b, err);
    }
    return s == CV_OK ? load_slots(b, slots, err) : s;
}

static enum cv_status slot_end(struct cv_ask *ask, enum cv_status s,
                               cJSON *slots, struct cv_err *err)
{
    if (s != CV_OK) {
        if (err->audit_seq >= 0) {
            ask->seq = err->audit_seq;
        }
        cv_ask_refused(ask, err);
    }
    cJSON_Delete(slots);
    return s;
}

CV_BROKER_METHOD(slot_list)
{
    struct cv_broker *b = context;
    struct slot_call call = {0};
    struct cv_ask ask;
    cJSON *slots;
    enum cv_status s =
        slot_begin(b, parameters, false, false, &call, &ask, &slots, err);

    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s == CV_OK) {
        s = add_views(cv_reply_parameters(reply), "items", slots, err);
    }
    return slot_end(&ask, s, slots, err);
}

/* Adds a slot: `call->key` NULL: a recovery code, told once. */
/* The slots that open the vault may be on another token than the new one. */
static enum cv_status need_open(struct cv_broker *b, const cJSON *key,
                                struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = cv_broker_need_open(b, reply, err);

    if (s == CV_LOCKED && cv_slot_token_is(key)) {
        cv_module_need_also(b, cv_entry_text(key, "uri"), reply);
    }
    return s;
}

static enum cv_status slot_make(struct cv_broker *b, const cJSON *parameters,
                                bool recovery, struct cv_reply *reply,
                                struct cv_err *err)
{
    struct slot_call call = {0};
    struct slot_change change = {.operation =
                                     recovery ? "SlotRecovery" : "SlotAdd"};
    struct cv_message answer = {0};
    char id[16];
    struct cv_ask ask;
    cJSON *slots;
    enum cv_status s =
        slot_begin(b, parameters, false, !recovery, &call, &ask, &slots, err);

    if (s == CV_OK && cJSON_GetArraySize(slots) >= CV_LIMIT_SLOTS) {
        s = cv_fail(err, CV_INVALID, "the vault has %d slots already",
                    CV_LIMIT_SLOTS);
    }
    if (s == CV_OK) {
        s = slot_allowed(&ask, err);
    }
    if (s == CV_OK && !recovery) {
        s = cv_slot_file_is_free(slots, call.key, "", err);
    }
    if (s == CV_OK) {
        s = need_open(b, recovery ? NULL : call.key, reply, err);
    }
    if (s == CV_OK) {
        new_id(slots, id);
        s = wrap(b, id, recovery ? NULL : call.key, reply, &answer,
                 &change.record, err);
    }
    if (s == CV_OK) {
        s = slot_run(&ask, &change, err);
    }
    if (s == CV_OK) {
        cJSON *out = cv_reply_parameters(reply);

        (void)cv_json_add_item(out, "slot", cv_broker_slot_view(change.record));
        if (recovery) {
            (void)cv_json_add_str(out, "secret",
                                  cv_entry_text(answer.tree, "secret"));
        }
    }
    cv_message_free(&answer);
    return slot_end(&ask, s, slots, err);
}

CV_BROKER_METHOD(slot_add)
{
    return slot_make(context, parameters, false, reply, err);
}

CV_BROKER_METHOD(slot_recovery)
{
    return slot_make(context, parameters, true, reply, err);
}

CV_BROKER_METHOD(slot_remove)
{
    struct cv_broker *b = context;
    struct slot_call call = {0};
    struct slot_change change = {.operation = "SlotRemove"};
    struct cv_ask ask;
    cJSON *slots;
    const cJSON *slot = NULL;
    enum cv_status s =
        slot_begin(b, parameters, true, false, &call, &ask, &slots, err);

    if (s == CV_OK) {
        slot = find_slot(slots, call.id);
        s = slot == NULL ? no_slot(call.id, err) : slot_allowed(&ask, err);
    }
    if (s == CV_OK) {
        change.id = call.id;
        s = slot_run(&ask, &change, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_item(cv_reply_parameters(reply), "slot",
                               cv_broker_slot_view(slot));
    }
    return slot_end(&ask, s, slots, err);
}

CV_BROKER_METHOD(slot_change)
{
    struct cv_broker *b = context;
    struct slot_call call = {0};
    struct slot_change change = {.operation = "SlotChange"};
    struct cv_message answer = {0};
    struct cv_ask ask;
    cJSON *slots;
    enum cv_status s =
        slot_begin(b, parameters, true, true, &call, &ask, &slots, err);

    if (s == CV_OK) {
        s = find_slot(slots, call.id) == NULL ? no_slot(call.id, err)
                                              : slot_allowed(&ask, err);
    }
    if (s == CV_OK) {
        s = cv_slot_file_is_free(slots, call.key, call.id, err);
    }
    if (s == CV_OK) {
        s = need_open(b, call.key, reply, err);
    }
    if (s == CV_OK) {
        s = cv_slot_file_is_new(b, slots, call.id, call.key, err);
    }
    if (s == CV_OK) {
        s = wrap(b, call.id, call.key, reply, &answer, &change.record, err);
    }
    if (s == CV_OK) {
        change.id = call.id;
        s = slot_run(&ask, &change, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_item(cv_reply_parameters(reply), "slot",
                               cv_broker_slot_view(change.record));
    }
    cv_message_free(&answer);
    return slot_end(&ask, s, slots, err);
}
