#include "vault/broker/ending.h"

#include "vault/base/clock.h"
#include "vault/wire/interface.h"

#include <string.h>

/* What is not sure to be refused may be permitted by the time it is asked. */
static bool may(struct cv_broker *b, enum cv_action action,
                const cJSON *parameters, const cJSON *doc)
{
    struct cv_err err;
    struct cv_ask ask;

    cv_err_init(&err);
    if (b->policy == NULL) {
        return true;
    }
    return cv_ask_begin(b, action, parameters, &ask, &err) == CV_OK &&
           cv_ask_would_now(&ask, doc, &err) != CV_DENIED;
}

static enum cv_loop_ends of_admin(struct cv_broker *b, const cJSON *parameters)
{
    return may(b, CV_ACTION_ADMIN, parameters, NULL) ? CV_LOOP_ENDS_ALL
                                                     : CV_LOOP_ENDS_NOTHING;
}

static enum cv_loop_ends of_policy(struct cv_broker *b, const cJSON *parameters)
{
    return may(b, CV_ACTION_POLICY_APPLY, parameters, NULL)
               ? CV_LOOP_ENDS_ALL
               : CV_LOOP_ENDS_NOTHING;
}

/* Where one of the entries may not go none goes. */
static enum cv_loop_ends of_remove(struct cv_broker *b, const cJSON *parameters)
{
    const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(
        cJSON_GetObjectItemCaseSensitive(parameters, "names"), 0));
    struct cv_store_entry *row = NULL;
    cJSON *doc = NULL;
    bool is = name != NULL &&
              cv_broker_load_entry(b, name, false, &row, &doc, NULL) == CV_OK &&
              may(b, CV_ACTION_REMOVE, parameters, doc);

    cv_store_entry_free(row);
    cJSON_Delete(doc);
    return is ? CV_LOOP_ENDS_ALL : CV_LOOP_ENDS_NOTHING;
}

static enum cv_loop_ends of_use(struct cv_broker *b, const cJSON *parameters)
{
    const struct cv_grant *g = cv_grant_find(
        &b->grants, cv_entry_text(parameters, "grant"), cv_clock_boot_ms());

    return g != NULL && g->who.peer.uid == b->caller->peer.uid
               ? CV_LOOP_ENDS_OWN
               : CV_LOOP_ENDS_NOTHING;
}

static bool has_grants(const struct cv_broker *b)
{
    for (size_t i = 0; i < b->grants.n; i++) {
        if (b->grants.all[i]->who.peer.uid == b->caller->peer.uid) {
            return true;
        }
    }
    return false;
}

/* A name that is not looked up yet may be one's own. */
static enum cv_loop_ends of_grants(struct cv_broker *b, const cJSON *parameters)
{
    enum cv_loop_ends reach = cv_broker_grants_reach(b, parameters);

    if (reach == CV_LOOP_ENDS_ALL) {
        reach = of_admin(b, parameters);
        reach = reach == CV_LOOP_ENDS_NOTHING && has_grants(b)
                    ? CV_LOOP_ENDS_OWN
                    : reach;
    }
    return reach;
}

static const struct {
    const char *method;
    enum cv_loop_ends (*reach)(struct cv_broker *b, const cJSON *parameters);
} ends[] = {
    {"Lock", of_admin},          {"UseEnd", of_use},
    {"GrantsRevoke", of_grants}, {"Deny", cv_broker_deny_reach},
    {"PolicyApply", of_policy},  {"SlotRemove", of_admin},
    {"Destroy", of_admin},       {"TokenLost", of_admin},
    {"Remove", of_remove},
};

enum cv_loop_ends cv_ending_reach(void *context, const struct cv_caller *caller,
                                  const struct cv_message *request)
{
    struct cv_broker *b = context;
    const char *full = cv_entry_text(request->tree, "method");
    const size_t len = strlen(CV_INTERFACE_BROKER ".");
    enum cv_loop_ends reach = CV_LOOP_ENDS_NOTHING;
    struct cv_caller *caller_before = b->caller;
    const char *method_before = b->method;
    struct cv_caller who = *caller;

    if (caller->iface != NULL ||
        strncmp(full, CV_INTERFACE_BROKER ".", len) != 0) {
        return reach;
    }
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (strcmp(full + len, ends[i].method) == 0) {
            b->caller = &who;
            b->method = ends[i].method;
            reach = ends[i].reach(b, cJSON_GetObjectItemCaseSensitive(
                                         request->tree, "parameters"));
        }
    }
    b->caller = caller_before;
    b->method = method_before;
    return reach;
}
