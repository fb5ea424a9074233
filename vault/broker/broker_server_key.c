/* pin --show: what is pinned for a context, which keys the relay met at its
 * server, and which one the server shows now. */
#include "vault/broker/broker_internal.h"
#include "vault/broker/entry.h"
#include "vault/broker/meanwhile.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <string.h>

#define SPKI_LEN 44 /* base64 of SHA-256 */

struct look {
    const char *name, *context;
    cJSON *doc;
    const cJSON *at; /* the context, of doc */
};

static enum cv_status find_context(struct look *l, struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(l->doc, "contexts"))
    {
        if (strcmp(cv_entry_text(item, "name"), l->context) == 0) {
            l->at = item;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_NOT_FOUND, "the entry has no such context");
}

/* Whoever may pin may make the broker look: it holds up who changes anything
 * meanwhile, and the server sees that somebody came. */
static enum cv_status decide(struct cv_broker *b, const cJSON *parameters,
                             struct look *l, struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &l->name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, true, &l->context, CV_LIMIT_URL},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_store_entry *row = NULL;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_EDIT, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "ServerKey", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_broker_load_entry(b, l->name, false, &row, &l->doc, err);
    }
    if (s == CV_OK) {
        s = find_context(l, err);
    }
    if (s != CV_OK && l->name != NULL) {
        ask.context = l->context;
        s = cv_ask_tell(&ask, l->doc, l->name, s, err);
        ask.context = NULL;
    }
    if (s == CV_OK) {
        ask.context = l->context;
        s = cv_ask_read(&ask, l->doc, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_store_entry_free(row);
    return s;
}

static enum cv_status ask_server(struct cv_broker *b, const struct look *l,
                                 char spki[SPKI_LEN + 1], struct cv_err *err)
{
    const char *server_name = cv_entry_text(l->at, "tls_server_name");
    const char *seen = NULL;
    const struct cv_json_field fields[] = {
        {"spki", CV_JSON_STRING, true, &seen, SPKI_LEN},
    };
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "server", cv_entry_text(l->at, "server")) ||
        !cv_json_add_str(p, "server_name",
                         server_name[0] != '\0' ? server_name : NULL)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_meanwhile_call(b, &b->intake, CV_INTERFACE_INTAKE ".ServerKey", p, 0,
                          &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "ServerKey", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        (void)snprintf(spki, SPKI_LEN + 1, "%s", seen);
    }
    cv_message_free(&reply);
    return s;
}

static bool add_copy(cJSON *out, const struct look *l, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(l->at, key);

    return item == NULL ||
           cv_json_add_item(out, key, cJSON_Duplicate(item, true));
}

static enum cv_status answer(const struct look *l, const char *spki, cJSON *out,
                             struct cv_err *err)
{
    cJSON *o = cJSON_AddObjectToObject(out, "server");

    return cv_json_add_str(o, "name", l->name) &&
                   cv_json_add_str(o, "context", l->context) &&
                   add_copy(o, l, "server") &&
                   add_copy(o, l, "tls_server_name") &&
                   add_copy(o, l, "verify") && add_copy(o, l, "pin") &&
                   add_copy(o, l, "server_keys") &&
                   cv_json_add_str(o, "shows", spki)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_BROKER_METHOD(server_key)
{
    struct cv_broker *b = context;
    struct look l = {.name = NULL};
    char spki[SPKI_LEN + 1];
    enum cv_status s = decide(b, parameters, &l, err);

    if (s == CV_OK) {
        s = ask_server(b, &l, spki, err);
    }
    if (s == CV_OK) {
        s = answer(&l, spki, cv_reply_parameters(reply), err);
    }
    cJSON_Delete(l.doc);
    return s;
}
