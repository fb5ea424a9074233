/* Request and Requests. */
#include "vault/broker/approval_about.h"
#include "vault/broker/approval_call.h"
#include "vault/broker/use_internal.h"

#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

struct call {
    const char *action, *name, *context;
    struct cv_use use; /* its ask, and the entry that it loads */
};

static enum cv_status read_request(const cJSON *parameters, struct call *c,
                                   struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    const struct cv_json_field fields[] = {
        {"action", CV_JSON_STRING, true, &c->action, 32},
        {"name", CV_JSON_STRING, false, &c->name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &c->context, CV_LIMIT_URL},
        {"duration", CV_JSON_INT, false, &ask->duration_s, 0},
        {"read_only", CV_JSON_BOOL, false, &ask->read_only, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s = cv_json_read(parameters, "Request",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        ask->action = cv_action_from_name(c->action);
        s = cv_approval_call_check(ask->action, c->name != NULL, err);
    }
    if (s == CV_OK && ask->action != CV_ACTION_USE &&
        (ask->duration_s != 0 || ask->read_only)) {
        s = cv_fail(err, CV_USAGE, "only use has a duration, or is read-only");
    }
    if (s == CV_OK && c->context != NULL && ask->action != CV_ACTION_USE &&
        ask->action != CV_ACTION_EXPORT) {
        s = cv_fail(err, CV_USAGE, "only use and export have a context");
    }
    if (s == CV_OK &&
        (ask->duration_s < 0 || ask->duration_s > CV_LIMIT_GRANT_S)) {
        s = cv_fail(err, CV_INVALID, "this is no duration of a grant");
    }
    return s;
}

/* Entered. What the call itself would be asked about. */
static enum cv_status load_asked(struct cv_broker *b, struct call *c,
                                 struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    enum cv_status s;

    if (c->name == NULL) {
        return CV_OK;
    }
    c->use.name = c->name;
    if (ask->action == CV_ACTION_USE) {
        ask->context = c->context;
        s = cv_use_load(b, &c->use, err);
    } else {
        s = cv_broker_load_entry(b, c->name, false, &c->use.row, &c->use.doc,
                                 err);
    }
    if (s == CV_OK && ask->action == CV_ACTION_EXPORT) {
        s = cv_entry_check_context(c->use.doc, c->context, err);
        s = s == CV_OK ? cv_broker_check_exportable(c->use.doc, err) : s;
    }
    if (s != CV_OK || ask->action != CV_ACTION_USE) {
        ask->context = c->context;
    }
    if (s != CV_OK) {
        s = cv_ask_tell(ask, c->use.doc, c->name, s, err);
        ask->context = NULL;
    }
    return s;
}

static enum cv_status nothing_to_approve(struct call *c, struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INVALID,
                               "policy permits it without anybody's approval");

    cv_err_state(err, "no request was filed");
    cv_err_hint(err, "run the command itself%s%s",
                c->name != NULL ? " for " : "", c->name != NULL ? c->name : "");
    return s;
}

/* Entered. */
static enum cv_status file(struct cv_broker *b, struct call *c, cJSON *out,
                           struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    struct cv_approval_about a = {0};
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "method", "Request");
    s = cv_ask_check(ask, c->use.doc, details, err);
    cJSON_Delete(details);
    if (s == CV_OK && !ask->result.approved) {
        return nothing_to_approve(c, err);
    }
    if (s != CV_OK && (s != CV_BUSY || err->request_id[0] == '\0')) {
        return s;
    }
    s = cv_approval_about_load(b, s == CV_OK ? ask->request : err->request_id,
                               &a, err);
    if (s == CV_OK) {
        const cJSON *seq = cJSON_GetObjectItemCaseSensitive(a.doc, "audit_seq");

        if (!cv_json_add_item(out, "request", cv_approval_whole_view(b, &a)) ||
            !cv_json_add_bool(out, "filed",
                              cJSON_IsNumber(seq) &&
                                  seq->valuedouble == (double)ask->seq)) {
            s = no_memory(err);
        }
    }
    cv_approval_about_free(&a);
    return s;
}

CV_BROKER_METHOD(request)
{
    struct cv_broker *b = context;
    struct call c = {0};
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_USE, parameters, &c.use.ask, err);

    if (s == CV_OK) {
        s = read_request(parameters, &c, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = load_asked(b, &c, err);
            if (s == CV_OK) {
                s = file(b, &c, cv_reply_parameters(reply), err);
            }
            cv_broker_leave(b);
        }
    }
    if (s != CV_OK) {
        cv_ask_refused(&c.use.ask, err);
    }
    cv_use_free(&c.use);
    return s;
}

/* Requests */

struct listing {
    struct cv_ask *ask; /* approve */
    const cJSON *ids;   /* NULL: any */
    cJSON *items;
};

static bool is_wanted(const cJSON *ids, const char *id)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, ids)
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, id) == 0) {
            return true;
        }
    }
    return ids == NULL;
}

static enum cv_status
list_one(void *context, const struct cv_store_request *row, struct cv_err *err)
{
    struct listing *l = context;
    struct cv_broker *b = l->ask->broker;
    struct cv_store_request copy = *row;
    struct cv_approval_about a = {.row = &copy};
    bool lost = false;
    cJSON *view = NULL;
    enum cv_status s;

    if (!is_wanted(l->ids, row->id)) {
        return CV_OK;
    }
    s = cv_approval_doc(row, &a.doc, err);
    if (s == CV_OK && cv_approval_about_entry(b, &a, NULL) != CV_OK) {
        cJSON_Delete(a.entry); /* it is gone: shown to its own alone */
        a.entry = NULL;
        lost = true;
    }
    if (s == CV_OK && (lost ? cv_approval_is_own(l->ask, &a)
                            : cv_approval_may_see(l->ask, &a))) {
        view = l->ids != NULL ? cv_approval_whole_view(b, &a)
                              : cv_approval_view(row, a.doc);
        if (view == NULL || !cJSON_AddItemToArray(l->items, view)) {
            cJSON_Delete(view);
            s = no_memory(err);
        }
    }
    a.row = NULL;
    cv_approval_about_free(&a);
    return s;
}

CV_BROKER_METHOD(requests)
{
    struct cv_broker *b = context;
    struct listing l = {0};
    bool all = false;
    const struct cv_json_field fields[] = {
        {"ids", CV_JSON_ARRAY, false, &l.ids, 0},
        {"all", CV_JSON_BOOL, false, &all, 0},
    };
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_APPROVE, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Requests", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        l.ask = &ask;
        l.items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");
        s = l.items != NULL
                ? cv_store_request_list(b->vault->store, all || l.ids != NULL,
                                        list_one, &l, err)
                : no_memory(err);
        cv_broker_leave(b);
    }
    return s;
}
