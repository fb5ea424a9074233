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

static enum cv_status check_one(struct cv_broker *b, const cJSON *item,
                                struct cv_err *err)
{
    const char *name = NULL, *digest = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_LIMIT_NAME},
        {"digest", CV_JSON_STRING, false, &digest, 64},
    };
    struct cv_store_entry *row = NULL;
    struct cv_message answer = {0};
    cJSON *doc = NULL, *p = NULL;
    enum cv_status s =
        cv_json_read(item, "Check", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_broker_load_entry(b, name, true, &row, &doc, err);
    }
    if (s == CV_OK) {
        p = cJSON_CreateObject();
        if (!cv_json_add_item(p, "key", cv_broker_sealed(b, row, doc)) ||
            !cv_json_add_str(p, "digest", digest)) {
            cJSON_Delete(p);
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        } else {
            s = cv_broker_token(b, "Check", p, 0, &answer, err);
        }
    }
    cv_message_free(&answer);
    cv_store_entry_free(row);
    cJSON_Delete(doc);
    return s;
}

CV_BROKER_METHOD(check)
{
    struct cv_broker *b = context;
    const cJSON *entries = NULL, *item;
    const struct cv_json_field fields[] = {
        {"entries", CV_JSON_ARRAY, true, &entries, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Check", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && b->vault == NULL) {
        s = cv_fail(err, CV_NOT_FOUND, "there is no vault in %s",
                    b->options->folder);
    }
    if (s == CV_OK) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK) {
        cJSON_ArrayForEach(item, entries)
        {
            s = check_one(b, item, err);
            if (s != CV_OK) {
                return s;
            }
        }
        (void)cv_json_add_bool(cv_reply_parameters(reply), "ok", true);
    }
    return s;
}
