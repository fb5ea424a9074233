#include "vault/wire/reply_internal.h"

#include "vault/base/limits.h"

/* How long a client may take to read an answer. */
#define SEND_MS 30000

cJSON *cv_reply_parameters(struct cv_reply *reply)
{
    return reply->parameters;
}

struct cv_arena *cv_reply_arena(struct cv_reply *reply)
{
    return reply->arena;
}

cJSON *cv_reply_failure(struct cv_reply *reply)
{
    if (reply->failure == NULL) {
        reply->failure = cJSON_CreateObject();
    }
    return reply->failure;
}

void cv_reply_name_error(struct cv_reply *reply, const char *name)
{
    reply->error = name;
}

bool cv_reply_wants_more(const struct cv_reply *reply)
{
    return reply->more;
}

/* An answer's memory: its arena when secret, and an empty object. */
enum cv_status cv_reply_begin(struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s;

    if (reply->secret) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &reply->arena, err);
        if (s != CV_OK) {
            return s;
        }
    }
    (void)cv_json_use(reply->arena);
    reply->parameters = cJSON_CreateObject();
    if (reply->parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

void cv_reply_end(struct cv_reply *reply)
{
    cJSON_Delete(reply->parameters);
    cJSON_Delete(reply->failure);
    (void)cv_json_use(NULL);
    cv_arena_free(reply->arena);
    reply->parameters = reply->failure = NULL;
    reply->arena = NULL;
}

/* Sends {"error": ..., "parameters": ..., "continues": ...}; `parameters` stays
 * the caller's. */
enum cv_status cv_reply_answer(struct cv_reply *reply, const char *error,
                               cJSON *parameters, bool continues,
                               struct cv_err *err)
{
    cJSON *message = cJSON_CreateObject();
    enum cv_status s;

    if (message == NULL || !cv_json_add_str(message, "error", error) ||
        !cJSON_AddItemReferenceToObject(message, "parameters", parameters) ||
        (continues && !cv_json_add_bool(message, "continues", true))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        s = cv_channel_send(reply->ch, message, reply->secret, SEND_MS, err);
    }
    cJSON_Delete(message);
    return s;
}

enum cv_status cv_reply_continue(struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s;

    if (!reply->more) {
        return cv_fail(err, CV_INVALID, "the caller asked for one answer");
    }
    s = cv_reply_answer(reply, NULL, reply->parameters, true, err);
    if (s == CV_OK) {
        cv_reply_end(reply);
        s = cv_reply_begin(reply, err);
    }
    return s;
}

enum cv_status cv_reply_send(struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s;

    if (reply->sent) {
        return CV_OK;
    }
    reply->sent = true;
    s = cv_reply_answer(reply, NULL, reply->parameters, false, err);
    cv_reply_end(reply);
    return s;
}

void cv_reply_later(struct cv_reply *reply)
{
    reply->sent = true;
}

enum cv_status cv_reply_late(struct cv_channel *ch, cJSON *parameters,
                             struct cv_err *err)
{
    struct cv_reply reply = {.ch = ch};
    enum cv_status s;

    if (parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_reply_answer(&reply, NULL, parameters, false, err);
    cJSON_Delete(parameters);
    return s;
}
