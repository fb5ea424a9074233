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

/* Of these, what needs no token and takes no grant away. (Export: what is on a
 * token is not exported. LockAll: what it shuts is shut when the token is done,
 * freeze.c.) */
static const char *const beside[] = {
    "Hello",      "Status",       "Metrics",   "List",        "Show",
    "Export",     "LockAll",      "Grants",    "PolicyShow",  "PolicyExplain",
    "AuditQuery", "AuditWho",     "AuditTail", "AuditRecord", "AuditStatus",
    "AuditKey",   "AuditAnchors", "Requests",  "AuditSinks",
};

/* What gives a key, or the use of one. */
static const char *const gives[] = {"Export", "Sign", "Use"};

/* Else it is Varlink's own, or refused. */
static bool is_ours(const struct cv_message *request)
{
    return strncmp(cv_entry_text(request->tree, "method"),
                   CV_INTERFACE_BROKER ".",
                   sizeof(CV_INTERFACE_BROKER ".") - 1) == 0;
}

static bool is_among(const struct cv_message *request, const char *const *list,
                     size_t n)
{
    const char *method = cv_entry_text(request->tree, "method");

    for (size_t i = 0; i < n; i++) {
        if (strcmp(method + sizeof(CV_INTERFACE_BROKER ".") - 1, list[i]) ==
            0) {
            return true;
        }
    }
    return false;
}

bool cv_meanwhile_may(void *context, const struct cv_caller *caller,
                      const struct cv_message *request)
{
    (void)context;
    /* The relay's questions: each is about a grant, and a signature. */
    return caller->iface != NULL || !is_ours(request) ||
           is_among(request, allowed, sizeof(allowed) / sizeof(allowed[0]));
}

/* The log's key signs the receipt, and may be on a token too. */
static bool wants_signer(const struct cv_broker *b,
                         const struct cv_message *request)
{
    const cJSON *parameters =
        cJSON_GetObjectItemCaseSensitive(request->tree, "parameters");

    return cJSON_IsTrue(
               cJSON_GetObjectItemCaseSensitive(parameters, "receipt")) &&
           b->vault != NULL && cv_signer_is_slow(b);
}

bool cv_meanwhile_may_beside(void *context, const struct cv_caller *caller,
                             const struct cv_message *request)
{
    return caller->iface == NULL &&
           (!is_ours(request) ||
            (is_among(request, beside, sizeof(beside) / sizeof(beside[0])) &&
             !wants_signer(context, request)));
}

bool cv_meanwhile_gives(void *context, const struct cv_caller *caller,
                        const struct cv_message *request)
{
    (void)context;
    return caller->iface != NULL ||
           (is_ours(request) &&
            is_among(request, gives, sizeof(gives) / sizeof(gives[0])));
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
