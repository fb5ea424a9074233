#include "vault/broker/meanwhile.h"

#include "vault/wire/interface.h"

#include <string.h>

/* What is only looked at, and uses of keys; and what makes uses end, which may
 * be urgent. */
static const char *const allowed[] = {
    "Hello",         "Status",       "Metrics",      "List",      "Show",
    "Export",        "Sign",         "Use",          "UseEnd",    "Keyless",
    "Grants",        "GrantsRevoke", "Lock",         "LockAll",   "PolicyShow",
    "PolicyExplain", "AuditQuery",   "AuditWho",     "AuditTail", "AuditRecord",
    "AuditStatus",   "AuditKey",     "AuditAnchors", "Requests",  "AuditSinks",
};

bool cv_meanwhile_may(void *context, const struct cv_caller *caller,
                      const struct cv_message *request)
{
    const char *method = cv_entry_text(request->tree, "method");
    const size_t len = strlen(CV_INTERFACE_BROKER ".");

    (void)context;
    /* The relay's questions: each is about a grant, and a signature. */
    if (caller->iface != NULL) {
        return true;
    }
    if (strncmp(method, CV_INTERFACE_BROKER ".", len) != 0) {
        return true; /* Varlink's own, or refused */
    }
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (strcmp(method + len, allowed[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The others' turn. What belongs to the request that waits is given back. */
static void turn(void *context, int timeout_ms)
{
    struct cv_broker *b = context;
    struct cv_caller *caller = b->caller;
    const char *method = b->method;
    int fd = b->intake.caller;
    struct cv_arena *before = cv_json_use(NULL);

    cv_loop_wait_turn(b->loop, timeout_ms);
    (void)cv_json_use(before);
    b->caller = caller;
    b->method = method;
    b->intake.caller = fd;
}

enum cv_status cv_meanwhile_call(struct cv_broker *b, struct cv_helper *helper,
                                 const char *method, cJSON *parameters,
                                 unsigned flags, struct cv_message *reply,
                                 struct cv_err *err)
{
    enum cv_status s = cv_helper_open(helper, err);
    bool waits;

    if (s != CV_OK) {
        cJSON_Delete(parameters);
        *reply = (struct cv_message){0};
        return s;
    }
    waits = b->loop != NULL && b->caller != NULL &&
            cv_loop_wait(b->loop, b->caller, cv_channel_fd(helper->channel));
    if (waits) {
        cv_channel_meanwhile(helper->channel, turn, b);
    }
    s = cv_helper_call(helper, method, parameters, flags, reply, err);
    if (waits && helper->channel != NULL) {
        cv_channel_meanwhile(helper->channel, NULL, NULL);
    }
    if (waits) {
        cv_loop_wait_end(b->loop);
        if (s != CV_OK && cv_loop_wait_was_cut(b->loop)) {
            s = cv_fail(err, CV_UNAVAILABLE,
                        "the service ended before the cloud answered");
            cv_err_hint(err, "look what came of it when the service runs "
                             "again, then repeat the command");
        }
    }
    return s;
}

bool cv_meanwhile_begin(struct cv_broker *b)
{
    return b->loop != NULL && b->caller != NULL &&
           cv_loop_wait(b->loop, b->caller, -1);
}

void cv_meanwhile_turn(struct cv_broker *b)
{
    turn(b, 0);
}

void cv_meanwhile_end(struct cv_broker *b)
{
    cv_loop_wait_end(b->loop);
}
