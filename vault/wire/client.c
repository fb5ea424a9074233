#include "vault/wire/client.h"

#include <string.h>

static enum cv_status send_call(struct cv_channel *ch, const char *method,
                                cJSON *parameters, unsigned flags, bool more,
                                int timeout_ms, struct cv_err *err)
{
    cJSON *message = cJSON_CreateObject();
    bool ok = message != NULL && cv_json_add_str(message, "method", method);
    enum cv_status s;

    if (ok && more) {
        ok = cv_json_add_bool(message, "more", true);
    }
    if (parameters != NULL) {
        if (!ok || !cv_json_add_item(message, "parameters", parameters)) {
            cJSON_Delete(parameters);
            ok = false;
        }
    }
    if (ok) {
        s = cv_channel_send(ch, message, (flags & CV_CLIENT_SECRET_IN) != 0,
                            timeout_ms, err);
    } else {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_Delete(message);
    return s;
}

/* Makes `m` hold its parameters instead of the whole answer. */
static enum cv_status keep_parameters(struct cv_message *m, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(m->arena);
    cJSON *parameters =
        cJSON_DetachItemFromObjectCaseSensitive(m->tree, "parameters");

    if (parameters == NULL) {
        parameters = cJSON_CreateObject();
    }
    cJSON_Delete(m->tree);
    m->tree = parameters;
    (void)cv_json_use(before);
    if (!cJSON_IsObject(parameters)) {
        cv_message_free(m);
        return cv_fail(err, CV_INVALID, "an answer has no parameters");
    }
    return CV_OK;
}

/* An error's own parameters say what it means; an error of Varlink itself has
 * none of ours. `name` is gone with the rest of the answer. */
static enum cv_status error_reply(struct cv_message *m, const char *name,
                                  struct cv_err *err)
{
    char word[80];
    enum cv_status s;

    cv_err_quote(word, sizeof(word), name, strlen(name));
    s = keep_parameters(m, err);
    if (s != CV_OK) {
        return s;
    }
    if (strncmp(word, "org.varlink.service.", 20) == 0) {
        s = cv_fail(err, CV_INVALID, "the other program refused the call: %s",
                    word);
        cv_err_hint(err, "both programs must be of one version");
        return s;
    }
    return cv_json_to_err(m->tree, err);
}

enum cv_status cv_client_answer(struct cv_message *m, bool *continues,
                                struct cv_err *err)
{
    const char *error = NULL;
    const cJSON *parameters;
    const struct cv_json_field fields[] = {
        {"parameters", CV_JSON_OBJECT, false, &parameters, 0},
        {"continues", CV_JSON_BOOL, false, continues, 0},
        {"error", CV_JSON_STRING, false, &error, 0},
    };
    enum cv_status s;

    *continues = false;
    s = cv_json_read(m->tree, "an answer", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);
    if (s != CV_OK) {
        cv_message_free(m);
        return s;
    }
    if (error != NULL) {
        return error_reply(m, error, err);
    }
    return keep_parameters(m, err);
}

static enum cv_status receive(struct cv_channel *ch, unsigned flags,
                              int timeout_ms, struct cv_message *reply,
                              bool *continues, struct cv_err *err)
{
    enum cv_status s = cv_channel_recv(ch, (flags & CV_CLIENT_SECRET_OUT) != 0,
                                       timeout_ms, reply, err);

    *continues = false;
    if (s == CV_OK && reply->tree == NULL) {
        s = cv_fail(err, CV_UNAVAILABLE,
                    "the other program ended before it answered");
    }
    if (s != CV_OK) {
        cv_message_free(reply);
        return s;
    }
    return cv_client_answer(reply, continues, err);
}

/* A server that has no room for us says so and hangs up, before it is asked. */
static bool told_before(struct cv_channel *ch, struct cv_message *reply,
                        struct cv_err *err)
{
    struct cv_err why;
    bool continues;

    cv_err_init(&why);
    if (receive(ch, 0, 0, reply, &continues, &why) == CV_OK ||
        reply->tree == NULL) {
        cv_message_free(reply);
        return false;
    }
    if (err != NULL) {
        *err = why;
    }
    return true;
}

enum cv_status cv_client_send(struct cv_channel *ch, const char *method,
                              cJSON *parameters, unsigned flags, int timeout_ms,
                              struct cv_err *err)
{
    return send_call(ch, method, parameters, flags, false, timeout_ms, err);
}

enum cv_status cv_client_receive(struct cv_channel *ch, unsigned flags,
                                 int timeout_ms, struct cv_message *reply,
                                 struct cv_err *err)
{
    bool continues;
    enum cv_status s;

    memset(reply, 0, sizeof(*reply));
    s = receive(ch, flags, timeout_ms, reply, &continues, err);
    if (s == CV_OK && continues) {
        cv_message_free(reply);
        return cv_fail(err, CV_INVALID, "an answer that was not asked for");
    }
    return s;
}

enum cv_status cv_client_call(struct cv_channel *ch, const char *method,
                              cJSON *parameters, unsigned flags, int timeout_ms,
                              struct cv_message *reply, struct cv_err *err)
{
    enum cv_status s =
        cv_client_send(ch, method, parameters, flags, timeout_ms, err);

    memset(reply, 0, sizeof(*reply));
    if (s == CV_UNAVAILABLE && told_before(ch, reply, err)) {
        return err != NULL ? err->status : CV_BUSY;
    }
    return s == CV_OK ? cv_client_receive(ch, flags, timeout_ms, reply, err)
                      : s;
}

enum cv_status cv_client_stream(struct cv_channel *ch, const char *method,
                                cJSON *parameters, unsigned flags,
                                int timeout_ms, cv_client_each *each,
                                void *context, struct cv_err *err)
{
    bool continues = true;
    enum cv_status s =
        send_call(ch, method, parameters, flags, true, timeout_ms, err);

    while (s == CV_OK && continues) {
        struct cv_message reply = {0};

        s = receive(ch, flags, timeout_ms, &reply, &continues, err);
        if (s == CV_OK) {
            s = each(context, reply.tree, err);
        }
        cv_message_free(&reply);
    }
    return s;
}
