/* import and the check behind --shred. */
#include "vault/base/clock.h"
#include "vault/broker/held_internal.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

struct import {
    const cJSON *identities, *names, *sources, *labels;
    const char *to;
    bool atomic, exportable, dry_run;
};

static enum cv_status read_import(const cJSON *parameters, struct import *in,
                                  struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"identities", CV_JSON_ARRAY, true, &in->identities, 0},
        {"names", CV_JSON_ARRAY, true, &in->names, 0},
        {"sources", CV_JSON_ARRAY, true, &in->sources, 0},
        {"labels", CV_JSON_OBJECT, false, &in->labels, 0},
        {"to", CV_JSON_STRING, false, &in->to, CV_HELD_URI},
        {"atomic", CV_JSON_BOOL, false, &in->atomic, 0},
        {"exportable", CV_JSON_BOOL, false, &in->exportable, 0},
        {"dry_run", CV_JSON_BOOL, false, &in->dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s =
        cv_json_read(parameters, "Import", CV_BROKER_FIELDS(fields), true, err);
    int n;

    if (s != CV_OK) {
        return s;
    }
    n = cJSON_GetArraySize(in->identities);
    if (n < 1 || n > CV_LIMIT_BATCH || n != cJSON_GetArraySize(in->names) ||
        n != cJSON_GetArraySize(in->sources)) {
        return cv_fail(err, CV_INVALID,
                       "from 1 to %d identities at a time, each with a name "
                       "and a source",
                       CV_LIMIT_BATCH);
    }
    if (in->to != NULL && n > CV_LIMIT_TOKEN_BATCH) {
        return cv_fail(err, CV_INVALID,
                       "a token takes at most %d keys at a time",
                       CV_LIMIT_TOKEN_BATCH);
    }
    if (in->to != NULL && in->exportable) {
        return cv_fail(err, CV_INVALID, "what is on a token is never exported");
    }
    return CV_OK;
}

static enum cv_status fill_takes(const struct import *in, struct cv_take *takes,
                                 struct cv_err *err)
{
    const cJSON *identity = in->identities->child;
    const cJSON *name = in->names->child;
    const cJSON *source = in->sources->child;

    for (size_t i = 0; identity != NULL; i++) {
        if (!cJSON_IsObject(identity) || !cJSON_IsString(name) ||
            !cJSON_IsObject(source)) {
            return cv_fail(err, CV_INVALID, "an import is malformed");
        }
        takes[i].identity = identity;
        takes[i].name = name->valuestring;
        takes[i].origin = (struct cv_entry_origin){
            .source = source,
            .labels = in->labels,
            .exportable = in->exportable,
            .provenance = "sealed",
            .now_s = cv_clock_now_s(),
        };
        identity = identity->next;
        name = name->next;
        source = source->next;
    }
    return CV_OK;
}

/* To a token, all or none: by itself, because the token takes its time. */
static enum cv_status
import_to_token(struct cv_broker *b, const struct import *in,
                const cJSON *parameters, struct cv_take *takes, size_t n,
                struct cv_reply *reply, struct cv_err *err)
{
    struct cv_held held = {.lock = -1};
    enum cv_status s;

    cv_take_prepare(b, CV_ACTION_IMPORT, parameters, takes, n);
    s = cv_take_first_refused(takes, n, err);
    for (size_t i = 0; i < n && s == CV_OK; i++) {
        s = cv_held_may_go(&takes[i].ask, takes[i].doc, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = cv_held_open(b, in->to, reply, &held, err);
    if (s == CV_OK) {
        s = cv_held_may_all(&held, takes, n, err);
    }
    if (s == CV_OK) {
        s = in->dry_run ? cv_held_rehearse(&held, takes, n, err)
                        : cv_held_take(&held, takes, n, err);
    }
    if (s != CV_OK && n > 1 && err->state[0] == '\0') {
        cv_err_state(err, "none of the %zu keys was taken in", n);
    }
    cv_held_close(&held);
    return s;
}

CV_BROKER_METHOD(import)
{
    struct cv_broker *b = context;
    struct import in = {0};
    struct cv_take *takes = NULL;
    struct cv_ask ask;
    size_t n = 0;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &ask, err);

    if (s == CV_OK) {
        s = read_import(parameters, &in, err);
    }
    if (s == CV_OK) {
        n = (size_t)cJSON_GetArraySize(in.identities);
        takes = calloc(n, sizeof(*takes));
        s = takes != NULL ? fill_takes(&in, takes, err)
                          : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK && in.to != NULL) {
        s = import_to_token(b, &in, parameters, takes, n, reply, err);
        ask.seq = takes[0].ask.seq;
    } else if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK && in.to == NULL) {
        cv_take_prepare(b, CV_ACTION_IMPORT, parameters, takes, n);
        cv_take_check_free(b, takes, n);
        s = cv_take_store(b, takes, n, in.atomic, in.dry_run, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = cv_take_answer(takes, n, cv_reply_parameters(reply), err);
    }
    if (s != CV_OK) {
        ask.seq = ask.seq != -1 ? ask.seq : err->audit_seq;
        cv_ask_refused(&ask, err);
    }
    cv_take_free(takes, n);
    return s;
}

/* What `Check` needs to know of one entry. */
struct check {
    const char *name, *digest;
    struct cv_store_entry *row;
    cJSON *doc;
    struct cv_ask ask;
};

/* A key is opened here, so this goes through the door like any other use. */
static enum cv_status check_decide(struct check *c, struct cv_err *err)
{
    struct cv_broker *b = c->ask.broker;
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = cv_broker_enter(b, err);

    (void)cv_json_add_str(details, "method", "Check");
    if (s == CV_OK) {
        s = cv_broker_load_entry(b, c->name, true, &c->row, &c->doc, err);
        s = s == CV_OK ? cv_ask_decide(&c->ask, c->doc, details, err)
                       : cv_ask_tell(&c->ask, NULL, c->name, s, err);
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    return s;
}

/* On a token: it is there, it is the certificate's, and it signs. */
static enum cv_status check_on_token(struct check *c, struct cv_reply *reply,
                                     struct cv_err *err)
{
    struct cv_held held = {.lock = -1};
    enum cv_status s = cv_held_open(c->ask.broker, cv_entry_token_uri(c->doc),
                                    reply, &held, err);

    if (s == CV_OK) {
        s = cv_held_examine(&held, cv_entry_token_ref(c->doc), NULL, err);
    }
    cv_held_close(&held);
    return s;
}

static enum cv_status check_open(struct check *c, struct cv_reply *reply,
                                 struct cv_err *err)
{
    struct cv_broker *b = c->ask.broker;
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (cv_entry_token_has(c->doc)) {
        cJSON_Delete(p);
        return check_on_token(c, reply, err);
    }
    /* Told before: a private broker's vault is open by now. */
    s = cv_broker_need_open(b, reply, err);
    if (s != CV_OK) {
        cJSON_Delete(p);
        return s;
    }
    if (!cv_json_add_item(p, "key", cv_broker_sealed(b, c->row, c->doc)) ||
        !cv_json_add_str(p, "digest", c->digest)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_broker_token(b, "Check", p, 0, &answer, err);
    cv_message_free(&answer);
    return s;
}

static enum cv_status check_one(struct cv_broker *b, const cJSON *parameters,
                                const cJSON *item, struct cv_reply *reply,
                                struct cv_err *err)
{
    struct check c = {0};
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &c.name, CV_LIMIT_NAME},
        {"digest", CV_JSON_STRING, false, &c.digest, 64},
    };
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &c.ask, err);

    if (s == CV_OK) {
        s = cv_json_read(item, "Check", CV_BROKER_FIELDS(fields), true, err);
    }
    if (s == CV_OK) {
        s = check_decide(&c, err);
    }
    if (s == CV_OK) {
        s = check_open(&c, reply, err);
        cv_ask_outcome_now(&c.ask, s, NULL);
    } else {
        cv_ask_refused(&c.ask, err);
    }
    cv_store_entry_free(c.row);
    cJSON_Delete(c.doc);
    return s;
}

static bool any_digest(const cJSON *entries)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, entries)
    {
        if (cJSON_HasObjectItem(item, "digest")) {
            return true;
        }
    }
    return false;
}

CV_BROKER_METHOD(check)
{
    struct cv_broker *b = context;
    const cJSON *entries = NULL, *item;
    const struct cv_json_field fields[] = {
        {"entries", CV_JSON_ARRAY, true, &entries, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s =
        cv_json_read(parameters, "Check", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && b->vault == NULL) {
        s = cv_broker_enter(b, err);
    }
    /* Those without a digest are on a token, which is enough for them. */
    if (s == CV_OK && any_digest(entries)) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK) {
        cJSON_ArrayForEach(item, entries)
        {
            s = check_one(b, parameters, item, reply, err);
            if (s != CV_OK) {
                return s;
            }
        }
        (void)cv_json_add_bool(cv_reply_parameters(reply), "ok", true);
    }
    return s;
}

CV_BROKER_METHOD(target)
{
    struct cv_broker *b = context;
    const char *to = NULL, *name = NULL, *key = NULL;
    const cJSON *labels = NULL;
    const struct cv_json_field fields[] = {
        {"to", CV_JSON_STRING, true, &to, CV_HELD_URI},
        {"name", CV_JSON_STRING, false, &name, CV_LIMIT_NAME},
        {"labels", CV_JSON_OBJECT, false, &labels, 0},
        CV_BROKER_ASK_FIELDS,
    };
    const struct cv_json_field answer_fields[] = {
        {"public_key", CV_JSON_STRING, true, &key, 64},
    };
    struct cv_held held = {.lock = -1};
    struct cv_message answer = {0};
    cJSON *out = cv_reply_parameters(reply);
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Target", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_held_may_go_as(&ask, name, labels, err);
    }
    if (s == CV_OK) {
        s = cv_held_open(b, to, reply, &held, err);
    }
    if (s == CV_OK) {
        s = cv_held_call(&held, "Target", cJSON_CreateObject(), &answer, NULL,
                         err);
    }
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "Target", answer_fields, 1, true, err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "vault_id", b->vault->id) ||
                       !cv_json_add_str(out, "public_key", key) ||
                       !cv_json_add_str(out, "token_uri", held.uri))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_message_free(&answer);
    cv_held_close(&held);
    return s;
}
