#include "vault/wire/serve.h"

#include "vault/base/limits.h"
#include "vault/wire/reply_internal.h"

#include <stdio.h>
#include <string.h>

#define SERVICE "org.varlink.service"

/* What a request says, borrowed from it. */
struct request {
    const char *method;
    const cJSON *parameters;
    bool more, oneway, upgrade;
};

/* "io.certvault.Broker.Denied" for a status. */
static void error_name(const char *iface, enum cv_status status,
                       const char *own, char *out, size_t out_len)
{
    static const char *const names[CV_STATUS_COUNT] = {
        [CV_FAILED] = "Failed",       [CV_INTERNAL] = "Internal",
        [CV_USAGE] = "Usage",         [CV_INVALID] = "Invalid",
        [CV_EXISTS] = "Exists",       [CV_EXPIRED] = "Expired",
        [CV_NOT_FOUND] = "NotFound",  [CV_UNAVAILABLE] = "Unavailable",
        [CV_LOCKED] = "Locked",       [CV_AUTH] = "Auth",
        [CV_INTEGRITY] = "Integrity", [CV_IO] = "Io",
        [CV_BUSY] = "Busy",           [CV_REMOTE] = "Remote",
        [CV_DENIED] = "Denied",       [CV_CONFIG] = "Config",
    };
    const char *name = own != NULL             ? own
                       : names[status] != NULL ? names[status]
                                               : "Internal";

    (void)snprintf(out, out_len, "%s.%s", iface, name);
}

/* Moves the members of `from` into `to`. */
static void move_members(cJSON *to, cJSON *from)
{
    while (to != NULL && from != NULL && from->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(from, from->child);

        if (!cJSON_AddItemToObject(to, item->string, item)) {
            cJSON_Delete(item);
        }
    }
}

static enum cv_status send_failure(const char *iface, struct cv_reply *reply,
                                   const struct cv_err *what,
                                   struct cv_err *err)
{
    char name[128];
    cJSON *parameters = cv_json_from_err(what);
    enum cv_status s;

    if (parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    move_members(parameters, reply->failure);
    error_name(iface, what->status, reply->error, name, sizeof(name));
    s = cv_reply_answer(reply, name, parameters, false, err);
    cJSON_Delete(parameters);
    return s;
}

/* An error of Varlink itself, with its one parameter. */
static enum cv_status send_refusal(struct cv_reply *reply, const char *error,
                                   const char *key, const char *value,
                                   struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();
    enum cv_status s;

    if (parameters == NULL || !cv_json_add_str(parameters, key, value)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_reply_answer(reply, error, parameters, false, err);
    cJSON_Delete(parameters);
    return s;
}

static enum cv_status get_info(const struct cv_interface *iface,
                               struct cv_reply *reply, struct cv_err *err)
{
    cJSON *p = reply->parameters;
    cJSON *list = cJSON_AddArrayToObject(p, "interfaces");

    if (!cv_json_add_str(p, "vendor", "certvault") ||
        !cv_json_add_str(p, "product", "certvault") ||
        !cv_json_add_str(p, "version", CV_VERSION) ||
        !cv_json_add_str(p, "url", "https://varlink.org") ||
        !cJSON_AddItemToArray(list, cJSON_CreateString(SERVICE)) ||
        !cJSON_AddItemToArray(list, cJSON_CreateString(iface->name))) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_reply_answer(reply, NULL, p, false, err);
}

static enum cv_status service_method(const struct cv_interface *iface,
                                     const struct request *rq,
                                     struct cv_reply *reply, struct cv_err *err)
{
    const char *name = rq->method + strlen(SERVICE ".");
    const cJSON *which =
        cJSON_GetObjectItemCaseSensitive(rq->parameters, "interface");

    if (strcmp(name, "GetInfo") == 0) {
        return get_info(iface, reply, err);
    }
    if (strcmp(name, "GetInterfaceDescription") != 0) {
        return send_refusal(reply, SERVICE ".MethodNotFound", "method",
                            rq->method, err);
    }
    if (!cJSON_IsString(which)) {
        return send_refusal(reply, SERVICE ".InvalidParameter", "parameter",
                            "interface", err);
    }
    if (strcmp(which->valuestring, iface->name) != 0) {
        return send_refusal(reply, SERVICE ".InterfaceNotFound", "interface",
                            which->valuestring, err);
    }
    if (!cv_json_add_str(reply->parameters, "description",
                         iface->description)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_reply_answer(reply, NULL, reply->parameters, false, err);
}

static const struct cv_method *find(const struct cv_interface *iface,
                                    const char *full)
{
    size_t len = strlen(iface->name);

    if (strncmp(full, iface->name, len) != 0 || full[len] != '.') {
        return NULL;
    }
    for (size_t i = 0; i < iface->n_methods; i++) {
        if (strcmp(iface->methods[i].name, full + len + 1) == 0) {
            return &iface->methods[i];
        }
    }
    return NULL;
}

static enum cv_status run_method(const struct cv_interface *iface,
                                 const struct cv_method *m, void *context,
                                 const struct request *rq,
                                 struct cv_reply *reply, struct cv_err *err)
{
    struct cv_err what;
    enum cv_status s;

    cv_err_init(&what);
    reply->secret = m->secret;
    s = cv_reply_begin(reply, err);
    if (s == CV_OK) {
        s = m->run(context, rq->parameters, reply, &what);
        what.status = s;
        if (reply->sent) {
            s = CV_OK;
        } else if (s == CV_OK) {
            s = cv_reply_send(reply, err);
        } else {
            s = send_failure(iface->name, reply, &what, err);
        }
    }
    cv_reply_end(reply);
    return s;
}

static enum cv_status read_request(const struct cv_message *message,
                                   const cJSON *empty, struct request *rq,
                                   struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"method", CV_JSON_STRING, true, &rq->method, 256},
        {"parameters", CV_JSON_OBJECT, false, &rq->parameters, 0},
        {"more", CV_JSON_BOOL, false, &rq->more, 0},
        {"oneway", CV_JSON_BOOL, false, &rq->oneway, 0},
        {"upgrade", CV_JSON_BOOL, false, &rq->upgrade, 0},
    };
    enum cv_status s =
        cv_json_read(message->tree, "a request", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);

    if (s == CV_OK && (rq->oneway || rq->upgrade)) {
        s = cv_fail(err, CV_INVALID, "oneway and upgrade are not served");
    }
    if (s == CV_OK && rq->parameters == NULL) {
        rq->parameters = empty;
    }
    return s;
}

bool cv_serve_reads(const struct cv_message *request)
{
    struct request rq = {0};

    return read_request(request, NULL, &rq, NULL) == CV_OK;
}

enum cv_status cv_serve_message(const struct cv_interface *iface, void *context,
                                struct cv_channel *ch,
                                const struct cv_message *message,
                                struct cv_err *err)
{
    static const cJSON empty = {.type = cJSON_Object};
    struct request rq = {0};
    struct cv_reply reply = {.ch = ch};
    const struct cv_method *m;
    enum cv_status s = read_request(message, &empty, &rq, err);

    if (s != CV_OK) {
        return s;
    }
    reply.more = rq.more;
    m = find(iface, rq.method);
    if (m != NULL) {
        return run_method(iface, m, context, &rq, &reply, err);
    }
    s = cv_reply_begin(&reply, err);
    if (s == CV_OK && strncmp(rq.method, SERVICE ".", 20) == 0) {
        s = service_method(iface, &rq, &reply, err);
    } else if (s == CV_OK) {
        s = send_refusal(&reply, SERVICE ".MethodNotFound", "method", rq.method,
                         err);
    }
    cv_reply_end(&reply);
    return s;
}

enum cv_status cv_serve_loop(const struct cv_interface *iface, void *context,
                             int fd, int idle_ms, struct cv_err *err)
{
    struct cv_channel *ch = NULL;
    enum cv_status s = cv_channel_new(fd, CV_LIMIT_FRAME, &ch, err);

    while (s == CV_OK) {
        struct cv_message request;

        s = cv_channel_recv(ch, true, idle_ms, &request, err);
        if (s == CV_BUSY || (s == CV_OK && request.tree == NULL)) {
            cv_channel_free(ch);
            return CV_OK;
        }
        if (s == CV_OK) {
            s = cv_serve_message(iface, context, ch, &request, err);
        }
        cv_message_free(&request);
    }
    cv_channel_free(ch);
    return s;
}

enum cv_status cv_serve_refuse(const char *iface, int fd, int timeout_ms,
                               const struct cv_err *what, struct cv_err *err)
{
    struct cv_channel *ch = NULL;
    struct cv_message request = {0};
    enum cv_status s = cv_channel_new(fd, CV_LIMIT_FRAME, &ch, err);

    if (s == CV_OK) {
        s = cv_channel_recv(ch, true, timeout_ms, &request, err);
    }
    if (s == CV_OK && request.tree == NULL) {
        s = cv_fail(err, CV_UNAVAILABLE, "nobody asked");
    }
    if (s == CV_OK) {
        struct cv_reply reply = {.ch = ch};

        s = send_failure(iface, &reply, what, err);
    }
    cv_message_free(&request);
    cv_channel_free(ch);
    return s;
}
