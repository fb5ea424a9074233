/* AgentStatus, AgentStop, Prompt: what an agent has beyond a broker. */
#include "vault/broker/agent.h"
#include "vault/broker/broker_internal.h"
#include "vault/broker/prompt.h"

#include <string.h>
#include <unistd.h>

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
        !cv_json_add_bool(status, "locked", !b->unlocked) ||
        !cv_json_add_int(status, "waiting",
                         (int64_t)cv_prompt_waiting(&b->prompt)) ||
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

CV_BROKER_METHOD(prompt)
{
    struct cv_broker *b = context;
    const char *subject = NULL;
    const struct cv_json_field fields[] = {
        {"subject", CV_JSON_STRING, true, &subject, CV_LIMIT_URL},
    };
    bool granted = true;
    enum cv_status s =
        cv_json_read(parameters, "Prompt", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && b->agent != NULL) {
        if (b->unlocked && strcmp(subject, CV_PROMPT_UNLOCK) == 0) {
            granted = false;
        } else {
            s = cv_prompt_ask(&b->prompt, b->caller, subject, &granted, err);
            if (s == CV_OK && !granted) {
                cv_reply_later(reply);
            }
        }
    }
    if (s == CV_OK &&
        !cv_json_add_bool(cv_reply_parameters(reply), "granted", granted)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}
