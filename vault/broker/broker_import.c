/* import and the check behind --shred. */
#include "vault/base/clock.h"
#include "vault/broker/take_internal.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

struct import {
    const cJSON *identities, *names, *sources, *labels;
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
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        cv_take_prepare(b, CV_ACTION_IMPORT, parameters, takes, n);
        cv_take_check_free(b, takes, n);
        s = cv_take_store(b, takes, n, in.atomic, in.dry_run, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = cv_take_answer(takes, n, cv_reply_parameters(reply), err);
    }
    if (s != CV_OK) {
        ask.seq = err->audit_seq;
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
        if (s == CV_OK) {
            s = cv_ask_decide(&c->ask, c->doc, details, err);
        }
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    return s;
}

static enum cv_status check_open(struct check *c, struct cv_err *err)
{
    struct cv_broker *b = c->ask.broker;
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

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
                                const cJSON *item, struct cv_err *err)
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
        s = check_open(&c, err);
        cv_ask_outcome_now(&c.ask, s, NULL);
    } else {
        cv_ask_refused(&c.ask, err);
    }
    cv_store_entry_free(c.row);
    cJSON_Delete(c.doc);
    return s;
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
    if (s == CV_OK) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK) {
        cJSON_ArrayForEach(item, entries)
        {
            s = check_one(b, parameters, item, err);
            if (s != CV_OK) {
                return s;
            }
        }
        (void)cv_json_add_bool(cv_reply_parameters(reply), "ok", true);
    }
    return s;
}
