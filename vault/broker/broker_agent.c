/* AgentStatus, AgentStop, Prompt: what an agent has beyond a broker. */
#include "vault/base/clock.h"
#include "vault/broker/agent.h"
#include "vault/broker/broker_internal.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/prompt.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MINUTE_MS 60000

static enum cv_status no_agent(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INVALID, "this broker is no agent");

    cv_err_hint(err, "a service is ended by whoever started it");
    return s;
}

CV_BROKER_METHOD(agent_status)
{
    struct cv_broker *b = context;
    cJSON *status =
        cJSON_AddObjectToObject(cv_reply_parameters(reply), "status");
    enum cv_status s =
        cv_json_read(parameters, "AgentStatus", NULL, 0, true, err);

    if (s != CV_OK || b->agent == NULL) {
        return s != CV_OK ? s : no_agent(err);
    }
    cv_agent_overlook(b->agent);
    if (!cv_json_add_bool(status, "running", true) ||
        !cv_json_add_int(status, "pid", getpid()) ||
        !cv_json_add_str(status, "socket", b->options->socket_path) ||
        !cv_json_add_str(status, "folder", b->options->folder) ||
        !cv_json_add_str(status, "vault_id", b->vault->id) ||
        !cv_json_add_bool(status, "locked", !cv_broker_is_open(b)) ||
        !cv_json_add_int(status, "waiting",
                         (int64_t)cv_prompt_waiting(&b->prompt)) ||
        !cv_json_add_item(status, "relay", cv_relay_status(b)) ||
        !cv_json_add_item(status, "grants", cv_grant_status(b)) ||
        !cv_json_add_int(status, "idle_s", cv_agent_idle_s(b->agent)) ||
        !cv_json_add_int(status, "idle_limit_s", cv_agent_limit_s(b->agent)) ||
        !cv_json_add_str(status, "version", CV_VERSION)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

CV_BROKER_METHOD(agent_stop)
{
    struct cv_broker *b = context;
    bool idle = false;
    const struct cv_json_field fields[] = {
        {"idle", CV_JSON_BOOL, false, &idle, 0},
    };
    cJSON *details;
    enum cv_status s = cv_json_read(parameters, "AgentStop",
                                    CV_BROKER_FIELDS(fields), true, err);

    (void)reply;
    if (s != CV_OK || b->agent == NULL) {
        return s != CV_OK ? s : no_agent(err);
    }
    if (idle && cv_agent_is_busy(b->agent)) {
        cv_agent_overlook(b->agent);
        return cv_fail(err, CV_BUSY, "other commands are connected to it");
    }
    details = cJSON_CreateObject();
    (void)cv_json_add_str(details, "method", "AgentStop");
    cv_broker_event(b, "admin", CV_OK, details);
    cJSON_Delete(details);
    cv_agent_stop(b->agent);
    return CV_OK;
}

/* Whose leaf it is: the stranger's, whose name is not looked up, for that takes
 * time that anybody could make us spend. */
static void tell_strangers(struct cv_broker *b)
{
    struct cv_caller *before = b->caller;
    struct cv_caller who = {.peer = {.uid = b->stranger, .loginuid = -1}};
    cJSON *details = cJSON_CreateObject();

    (void)snprintf(who.user, sizeof(who.user), "uid:%u", (unsigned)b->stranger);
    (void)cv_json_add_str(details, "method", "connect");
    (void)cv_json_add_int(details, "denials", (int64_t)b->strangers);
    b->caller = &who;
    cv_broker_event(b, "broker", CV_DENIED, details);
    b->caller = before;
    cJSON_Delete(details);
    b->strangers = 0;
    b->strangers_ms = cv_clock_boot_ms();
}

bool cv_broker_strangers(struct cv_broker *b, bool now)
{
    if (b->strangers > 0 &&
        (now || b->strangers_ms == 0 ||
         cv_clock_boot_ms() - b->strangers_ms >= MINUTE_MS)) {
        tell_strangers(b);
    }
    return b->strangers > 0;
}

void cv_broker_stranger(struct cv_broker *b, const struct cv_peer *peer)
{
    b->stranger = peer->uid;
    b->strangers++;
    (void)cv_broker_strangers(b, false);
}

CV_BROKER_METHOD(prompt)
{
    struct cv_broker *b = context;
    const char *subject = NULL;
    bool wait = true;
    const struct cv_json_field fields[] = {
        {"subject", CV_JSON_STRING, true, &subject, CV_LIMIT_URL},
        {"wait", CV_JSON_BOOL, false, &wait, 0},
    };
    bool granted = true, busy = false;
    enum cv_status s =
        cv_json_read(parameters, "Prompt", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && b->agent != NULL) {
        if (cv_broker_is_open(b) && strcmp(subject, CV_PROMPT_UNLOCK) == 0) {
            granted = false;
        } else if (!wait && cv_prompt_is_held(&b->prompt, b->caller, subject)) {
            granted = false;
            busy = true;
        } else {
            s = cv_prompt_ask(&b->prompt, b->caller, subject, &granted, err);
            if (s == CV_OK && !granted) {
                cv_reply_later(reply);
            }
        }
    }
    if (s == CV_OK &&
        (!cv_json_add_bool(cv_reply_parameters(reply), "granted", granted) ||
         (busy &&
          !cv_json_add_bool(cv_reply_parameters(reply), "busy", true)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}
