#include "vault/broker/slot_token_internal.h"

#include "vault/broker/module_internal.h"
#include "vault/store/store_slot.h"

#include <stdio.h>
#include <string.h>

#define KIND "token"
/* A sealed secret of 32 bytes, and a public key, in base64. */
#define SEALED_TEXT 128
#define KEY_TEXT 64

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

bool cv_slot_token_is(const cJSON *key)
{
    return strcmp(cv_entry_text(key, "kind"), KIND) == 0;
}

static const cJSON *token_of(const cJSON *record)
{
    return cJSON_GetObjectItemCaseSensitive(record, "token");
}

/* The key that the slot names, by id, and with the public key that the slot was
 * made for: another key in its place is found out by the module process. */
static enum cv_status find_key(struct cv_broker *b, const cJSON *token,
                               cJSON **key, struct cv_err *err)
{
    const char *uri = cv_entry_text(token, "uri");
    struct cv_message found = {0};
    cJSON *p = cJSON_CreateObject();
    const cJSON *ref = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &ref, 0},
    };
    enum cv_status s;

    *key = NULL;
    if (!cv_json_add_str(p, "uri", uri)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_module_call(b, uri, "FindKey", p, 0, &found, err);
    if (s == CV_OK) {
        s = cv_json_read(found.tree, "FindKey", fields, 1, false, err);
    }
    if (s == CV_OK) {
        *key = cJSON_Duplicate(ref, true);
        cJSON_DeleteItemFromObjectCaseSensitive(*key, "spki");
        if (!cv_json_add_str(*key, "spki", cv_entry_text(token, "spki"))) {
            cJSON_Delete(*key);
            *key = NULL;
            s = no_memory(err);
        }
    }
    cv_message_free(&found);
    return s;
}

/* A one-use key of the token process. */
static enum cv_status target(struct cv_broker *b, char out[KEY_TEXT + 1],
                             struct cv_err *err)
{
    struct cv_message answer = {0};
    const char *key = NULL;
    const struct cv_json_field fields[] = {
        {"public_key", CV_JSON_STRING, true, &key, KEY_TEXT},
    };
    enum cv_status s =
        cv_broker_token(b, "Target", cJSON_CreateObject(), 0, &answer, err);

    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "Target", fields, 1, true, err);
    }
    if (s == CV_OK) {
        (void)snprintf(out, KEY_TEXT + 1, "%s", key);
    }
    cv_message_free(&answer);
    return s;
}

/* Has the module process turn the slot's data into its secret, sealed to `to`.
 * The answer is the caller's to free. */
static enum cv_status unwrap(struct cv_broker *b, const cJSON *record,
                             const char *to, struct cv_message *answer,
                             const char **sealed, struct cv_err *err)
{
    const cJSON *token = token_of(record);
    const struct cv_json_field fields[] = {
        {"sealed", CV_JSON_STRING, true, sealed, SEALED_TEXT},
    };
    cJSON *key = NULL, *p = cJSON_CreateObject();
    enum cv_status s = find_key(b, token, &key, err);

    if (s == CV_OK &&
        (!cv_json_add_item(p, "key", key) ||
         !cv_json_add_item(p, "record", cJSON_Duplicate(token, true)) ||
         !cv_json_add_str(p, "to", to))) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cJSON_Delete(p);
        return s;
    }
    s = cv_module_call(b, cv_entry_text(token, "uri"), "UnwrapSlot", p, 0,
                       answer, err);
    return s == CV_OK
               ? cv_json_read(answer->tree, "UnwrapSlot", fields, 1, true, err)
               : s;
}

static cJSON *open_parameters(const struct cv_slot_token_vault *vault,
                              const cJSON *record, const char *sealed)
{
    cJSON *p = cJSON_CreateObject(), *slots = cJSON_CreateArray();
    cJSON *key = cJSON_CreateObject();
    cJSON *copy = cJSON_Duplicate(record, true);

    if (copy == NULL || !cJSON_AddItemToArray(slots, copy)) {
        cJSON_Delete(copy);
    }
    if (!cv_json_add_str(key, "kind", KIND) ||
        !cv_json_add_str(key, "secret", sealed)) {
        cJSON_Delete(key);
        key = NULL;
    }
    if (!cv_json_add_item(p, "slots", slots) ||
        !cv_json_add_item(p, "key", key) ||
        !cv_json_add_str(p, "vault_id", vault->id) ||
        !cv_json_add_str(p, "public_key", vault->public_key)) {
        cJSON_Delete(p);
        return NULL;
    }
    return p;
}

/* Opens the box key by one slot. */
static enum cv_status open_one(struct cv_broker *b,
                               const struct cv_slot_token_vault *vault,
                               const cJSON *record, struct cv_reply *reply,
                               struct cv_err *err)
{
    struct cv_message answer = {0}, opened = {0};
    const char *sealed = NULL;
    char to[KEY_TEXT + 1];
    cJSON *p;
    enum cv_status s = cv_module_need_login(
        b, cv_entry_text(token_of(record), "uri"), reply, err);

    if (s == CV_OK) {
        s = target(b, to, err);
    }
    if (s == CV_OK) {
        s = unwrap(b, record, to, &answer, &sealed, err);
    }
    if (s == CV_OK) {
        p = open_parameters(vault, record, sealed);
        s = p != NULL ? cv_broker_token(b, "Open", p, 0, &opened, err)
                      : no_memory(err);
    }
    cv_message_free(&opened);
    cv_message_free(&answer);
    return s;
}

enum cv_status cv_slot_token_open(struct cv_broker *b, const cJSON *slots,
                                  const cJSON *key, struct cv_reply *reply,
                                  char *slot_id, size_t slot_id_len,
                                  struct cv_err *err)
{
    const struct cv_slot_token_vault vault = {b->vault->id,
                                              b->vault->public_key};
    const char *wanted = cv_entry_text(key, "uri");
    const cJSON *record;
    enum cv_status s =
        cv_fail(err, CV_NOT_FOUND, "the vault has no key slot on such a token");

    cv_err_hint(err, "certvault slot list");
    cJSON_ArrayForEach(record, slots)
    {
        const char *uri = cv_entry_text(token_of(record), "uri");

        if (!cv_slot_token_is(record) ||
            (wanted[0] != '\0' && strcmp(wanted, uri) != 0)) {
            continue;
        }
        s = open_one(b, &vault, record, reply, err);
        if (s == CV_OK) {
            (void)snprintf(slot_id, slot_id_len, "%s",
                           cv_entry_text(record, "id"));
        }
        /* A token that is not there does not keep another from opening. */
        if (s != CV_NOT_FOUND && s != CV_UNAVAILABLE && s != CV_BUSY) {
            return s;
        }
    }
    return s;
}

/* The key that the slot will rest on. */
static enum cv_status slot_key(struct cv_broker *b, const char *uri,
                               struct cv_message *answer, cJSON **token,
                               bool *made, struct cv_err *err)
{
    const char *key_uri = NULL, *spki = NULL, *form = NULL;
    const cJSON *notes = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &key_uri, CV_LIMIT_URL},
        {"spki", CV_JSON_STRING, true, &spki, CV_KIB(1)},
        {"form", CV_JSON_STRING, true, &form, 32},
        {"made", CV_JSON_BOOL, true, made, 0},
        {"notes", CV_JSON_ARRAY, false, &notes, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    *token = cJSON_CreateObject();
    (void)cv_json_add_str(p, "uri", uri);
    s = cv_module_call(b, uri, "SlotKey", p, 0, answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer->tree, "SlotKey", fields,
                         sizeof(fields) / sizeof(fields[0]), true, err);
    }
    if (s == CV_OK && (!cv_json_add_str(*token, "uri", key_uri) ||
                       !cv_json_add_str(*token, "spki", spki) ||
                       !cv_json_add_str(*token, "form", form))) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cJSON_Delete(*token);
        *token = NULL;
    }
    return s;
}

/* Takes `token`. */
static enum cv_status wrap(struct cv_broker *b, const char *id, cJSON *token,
                           struct cv_message *answer, const cJSON **record,
                           struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"slot", CV_JSON_OBJECT, true, record, 0},
    };
    cJSON *p = cJSON_CreateObject(), *key = cJSON_CreateObject();
    enum cv_status s;
    bool ok = cv_json_add_str(key, "kind", KIND);

    ok = cv_json_add_item(key, "token", token) && ok;
    ok = cv_json_add_item(p, "key", key) && ok;
    if (!ok || !cv_json_add_str(p, "id", id)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_broker_token(b, "Wrap", p, 0, answer, err);
    return s == CV_OK ? cv_json_read(answer->tree, "Wrap", fields, 1, true, err)
                      : s;
}

enum cv_status cv_slot_token_wrap(struct cv_broker *b,
                                  const struct cv_slot_token_vault *vault,
                                  const char *id, const cJSON *key,
                                  struct cv_reply *reply,
                                  struct cv_message *answer,
                                  const cJSON **record, struct cv_err *err)
{
    const char *uri = cv_entry_text(key, "uri");
    struct cv_message found = {0};
    cJSON *token = NULL;
    bool made = false;
    enum cv_status s = cv_module_need_login(b, uri, reply, err);

    if (s == CV_OK) {
        s = slot_key(b, uri, &found, &token, &made, err);
    }
    if (s == CV_OK) {
        s = wrap(b, id, token, answer, record, err);
    }
    if (s == CV_OK) {
        s = open_one(b, vault, *record, reply, err);
    }
    if (s != CV_OK && made) {
        cv_err_state(err, "no slot was made; the key made for it is still on "
                          "the token");
        cv_err_hint(err, "certvault token objects %s", uri);
    }
    cv_message_free(&found);
    return s;
}
