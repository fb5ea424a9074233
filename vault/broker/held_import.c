/* A key's way onto a token: import and fetch with --to token. */
#include "vault/broker/held_internal.h"

#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Is one of the ways permitted in which a token takes keys? Asked before the
 * token is: whoever may not have it there need not know what the token can. */
static enum cv_status check_ways(struct cv_ask *ask, cJSON *doc,
                                 struct cv_err *err)
{
    if (!cv_entry_token_set(doc, "ready", "unwrapped", false)) {
        return no_memory(err);
    }
    if (cv_ask_would(ask, doc)) {
        return CV_OK;
    }
    return cv_entry_token_set(doc, "ready", "imported", false)
               ? cv_ask_check(ask, doc, NULL, err)
               : no_memory(err);
}

enum cv_status cv_held_may(struct cv_held *held, struct cv_ask *ask, cJSON *doc,
                           const char *type, int bits, struct cv_err *err)
{
    char way[16] = "";
    enum cv_status s = cv_broker_enter(held->broker, err);

    if (s == CV_OK) {
        s = check_ways(ask, doc, err);
        cv_broker_leave(held->broker);
    }
    if (s == CV_OK) {
        s = cv_held_accepts(held, type, bits, way, err);
    }
    if (s == CV_OK && !cv_entry_token_set(doc, "ready", way, false)) {
        s = no_memory(err);
    }
    return s;
}

static cJSON *import_parameters(const struct cv_held *held,
                                const struct cv_take *t)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(t->doc, "key");
    const cJSON *ref = cv_entry_token_ref(t->doc);
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(t->doc, "certificate");
    cJSON *p = cJSON_CreateObject();
    cJSON *sealed = cJSON_AddObjectToObject(p, "key");

    if (cv_json_add_str(sealed, "vault_id", held->broker->vault->id) &&
        cv_json_add_str(sealed, "entry_id",
                        cv_entry_text(t->doc, "entry_id")) &&
        cv_json_add_str(sealed, "spki_sha256",
                        cv_entry_text(key, "spki_sha256")) &&
        cv_json_add_str(sealed, "certificate",
                        cv_entry_text(certificate, "pem")) &&
        cv_json_add_str(sealed, "sealed",
                        cv_entry_text(t->identity, "sealed")) &&
        cv_json_add_str(p, "token", held->uri) &&
        cv_json_add_str(p, "id", cv_entry_text(ref, "id")) &&
        cv_json_add_str(p, "label", cv_entry_text(ref, "label")) &&
        cv_held_add_certificates(p, t->doc) &&
        cv_json_add_bool(p, "allow_leaky", held->may_leak)) {
        return p;
    }
    cJSON_Delete(p);
    return NULL;
}

/* What the token made of it, into the document. */
static enum cv_status read_result(const cJSON *answer, struct cv_take *t,
                                  struct cv_err *err)
{
    const char *way = NULL;
    const cJSON *findings = NULL, *notes = NULL, *item;
    cJSON *kept;
    const struct cv_json_field fields[] = {
        {"way", CV_JSON_STRING, true, &way, 15},
        {"findings", CV_JSON_OBJECT, true, &findings, 0},
        {"notes", CV_JSON_ARRAY, false, &notes, 0},
    };
    enum cv_status s =
        cv_json_read(answer, "Import", CV_BROKER_FIELDS(fields), true, err);
    bool leaky;

    if (s != CV_OK) {
        return s;
    }
    leaky = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(findings, "leaky"));
    if (!cv_entry_token_set(t->doc, "ready", way, leaky)) {
        return no_memory(err);
    }
    kept = cJSON_GetObjectItemCaseSensitive(t->doc, "notes");
    cJSON_ArrayForEach(item, notes)
    {
        cJSON *copy = cJSON_Duplicate(item, true);

        if (kept != NULL && !cJSON_AddItemToArray(kept, copy)) {
            cJSON_Delete(copy);
        }
    }
    return CV_OK;
}

/* Entered. Decided, in the journal, durable. */
static enum cv_status intend(struct cv_held *held, struct cv_take *t,
                             bool *begun, struct cv_err *err)
{
    const cJSON *ref = cv_entry_token_ref(t->doc);
    const char *provenance = cv_entry_text(t->doc, "provenance");
    cJSON *leaky, *details;
    enum cv_status s;

    cv_take_check_free(held->broker, t, 1);
    s = t->err.status;
    if (s != CV_OK) {
        *err = t->err;
        return s;
    }
    s = cv_held_check_free(held->broker, t->doc, err);
    leaky = cJSON_Duplicate(t->doc, true);
    if (s == CV_OK && !cv_entry_token_set(leaky, "ready", provenance, true)) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        held->may_leak = cv_ask_would(&t->ask, leaky);
    }
    cJSON_Delete(leaky);
    if (s == CV_OK && !t->decided) {
        details = cv_entry_details_taken(t->doc);
        s = cv_ask_decide(&t->ask, t->doc, details, err);
        cJSON_Delete(details);
    }
    if (s != CV_OK) {
        return s;
    }
    *begun = true;
    return cv_held_begin(held, &t->ask, CV_HELD_IMPORT, ref, t->doc, err);
}

/* Is what came of it still what policy permits? */
static enum cv_status still_permitted(struct cv_take *t, struct cv_err *err)
{
    enum cv_status s;

    if (cv_ask_would(&t->ask, t->doc)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_DENIED, "policy does not permit a key that is %s%s",
                cv_entry_text(t->doc, "provenance"),
                cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t->doc, "leaky"))
                    ? " and leaky"
                    : "");
    cv_err_state(err, "the key was destroyed again; nothing is left");
    return s;
}

static enum cv_status make(struct cv_held *held, struct cv_take *t, bool *told,
                           struct cv_err *err)
{
    struct cv_message reply = {0};
    enum cv_status s = cv_held_call(held, "Import", import_parameters(held, t),
                                    &reply, told, err);

    if (s == CV_OK) {
        s = read_result(reply.tree, t, err);
        if (s == CV_OK) {
            s = still_permitted(t, err);
        }
        if (s != CV_OK &&
            cv_held_destroy(held, cv_entry_token_ref(t->doc), NULL) != CV_OK) {
            *told = false;
        }
    }
    cv_message_free(&reply);
    return s;
}

static enum cv_status place(struct cv_held *held, struct cv_take *t,
                            struct cv_err *err)
{
    char label[CV_ENTRY_LABEL_LEN];
    const char *id = cv_entry_text(t->doc, "entry_id");
    const char *spki = cv_entry_text(
        cJSON_GetObjectItemCaseSensitive(t->identity, "key"), "spki");

    if (spki[0] == '\0' || cv_entry_text(t->identity, "sealed")[0] == '\0') {
        return cv_fail(err, CV_INVALID, "the identity came without its key");
    }
    cv_entry_token_label(held->broker->vault->id, id, label);
    return cv_entry_token_place(
               t->doc, cv_entry_token_make_ref(held->uri, id, spki, label))
               ? CV_OK
               : no_memory(err);
}

/* Up to the key's leaving for the token; *begun: the journal has it. */
static enum cv_status begin(struct cv_held *held, struct cv_take *t,
                            bool *begun, struct cv_err *err)
{
    enum cv_status s = place(held, t, err);

    if (s == CV_OK) {
        s = cv_held_lock(held, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(held->broker, err);
    }
    if (s == CV_OK) {
        s = intend(held, t, begun, err);
        cv_broker_leave(held->broker);
    }
    return s;
}

enum cv_status cv_held_take(struct cv_held *held, struct cv_take *take,
                            struct cv_err *err)
{
    bool told = true, begun = false;
    enum cv_status s = begin(held, take, &begun, err);

    if (s != CV_OK) {
        /* One that was decided before has its outcome all the same. */
        if (take->decided && !begun) {
            cv_ask_outcome_now(&take->ask, s, NULL);
        }
        return s;
    }
    s = make(held, take, &told, err);
    return cv_held_finish(held, &take->ask, take->doc, s, told, err);
}
