/* What the broker orders. Each is done when it is answered, and answered at
 * once. */
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/relay/relay_internal.h"
#include "vault/relay/tls_front.h"
#include "vault/wire/interface.h"

#include <string.h>

#define FIELDS(f) (f), sizeof(f) / sizeof((f)[0])

struct listen {
    int64_t port, idle_s, pool;
    const char *certificate, *secret, *client_ca;
};

static enum cv_status read_listen(const cJSON *parameters, struct listen *l,
                                  struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"port", CV_JSON_INT, true, &l->port, 0},
        {"certificate", CV_JSON_TEXT, true, &l->certificate, CV_LIMIT_PEM},
        {"secret", CV_JSON_STRING, true, &l->secret, CV_LIMIT_PEM},
        {"client_ca", CV_JSON_TEXT, true, &l->client_ca, CV_LIMIT_PEM},
        {"idle_s", CV_JSON_INT, true, &l->idle_s, 0},
        {"pool", CV_JSON_INT, true, &l->pool, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Listen", FIELDS(fields), true, err);

    if (s == CV_OK && (l->port < 0 || l->port > 65535 || l->idle_s < 0 ||
                       l->idle_s > CV_LIMIT_AGENT_IDLE_MAX_S || l->pool < 0 ||
                       l->pool > CV_LIMIT_RELAY_UPSTREAMS)) {
        s = cv_fail(err, CV_INVALID, "Listen: a number is out of bounds");
    }
    return s;
}

static struct cv_bytes text_bytes(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

static enum cv_status make_context(const struct listen *l,
                                   struct cv_arena *arena, SSL_CTX **out,
                                   struct cv_err *err)
{
    struct cv_buf key;
    enum cv_status s;

    cv_buf_init(&key, arena, CV_LIMIT_PEM);
    s = cv_decode_base64(l->secret, strlen(l->secret), false, "secret", &key,
                         err);
    if (s == CV_OK) {
        s = cv_tls_front_new(text_bytes(l->certificate), cv_buf_bytes(&key),
                             text_bytes(l->client_ca), out, err);
    }
    cv_buf_wipe(&key);
    return s;
}

static enum cv_status order_listen(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    struct cv_relay *r = context;
    struct listen l = {0};
    SSL_CTX *ctx = NULL;
    int port = 0;
    enum cv_status s = read_listen(parameters, &l, err);

    if (s == CV_OK) {
        s = make_context(&l, cv_reply_arena(reply), &ctx, err);
    }
    if (s == CV_OK) {
        port = (int)l.port;
        s = cv_listener_open(r->listener, &port, ctx, err);
    }
    if (s != CV_OK) {
        return s;
    }
    r->config.port = (unsigned)port;
    r->config.idle_s = (int)l.idle_s;
    r->config.pool = (unsigned)l.pool;
    cv_session_world_tune(r->world, &r->config);
    return cv_json_add_int(cv_reply_parameters(reply), "port", port)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status order_open(void *context, const cJSON *parameters,
                                 struct cv_reply *reply, struct cv_err *err)
{
    struct cv_relay *r = context;
    const cJSON *object = NULL;
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_OBJECT, true, &object, 0},
    };
    struct cv_grant *grant = NULL;
    struct cv_upstream *up = NULL;
    enum cv_status s =
        cv_json_read(parameters, "Open", FIELDS(fields), true, err);
    bool known = false;

    (void)reply;
    if (s == CV_OK) {
        s = cv_grant_parse(object, &grant, err);
    }
    if (s == CV_OK) {
        s = cv_upstream_new(r->provider, grant, cv_relay_sign, r, &up, err);
    }
    if (s == CV_OK) {
        known = cv_grants_has(r->grants, grant->id);
        s = cv_grants_add(r->grants, grant, up, err);
    }
    if (s == CV_OK && known) {
        cv_session_replace_grant(r->world, grant);
    }
    cv_upstream_unref(up);
    cv_grant_unref(grant);
    return s;
}

static enum cv_status order_close(void *context, const cJSON *parameters,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_relay *r = context;
    const char *why = NULL, *hint = NULL;
    const cJSON *ids = NULL, *id;
    const struct cv_json_field fields[] = {
        {"ids", CV_JSON_ARRAY, true, &ids, 0},
        {"why", CV_JSON_STRING, true, &why, CV_ERR_TEXT_LEN},
        {"hint", CV_JSON_STRING, false, &hint, CV_ERR_HINT_LEN},
    };
    enum cv_status s =
        cv_json_read(parameters, "Close", FIELDS(fields), true, err);

    (void)reply;
    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(id, ids)
    {
        if (!cJSON_IsString(id) || !cv_grant_is_id(id->valuestring)) {
            return cv_fail(err, CV_INVALID, "Close: this is no grant's id");
        }
    }
    cJSON_ArrayForEach(id, ids)
    {
        cv_relay_end_grant(r, id->valuestring, why, hint);
    }
    return CV_OK;
}

static enum cv_status order_status(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    const struct cv_relay *r = context;
    const struct cv_session_counts n = cv_session_world_counts(r->world);
    cJSON *p = cv_reply_parameters(reply);
    enum cv_status s = cv_json_read(parameters, "Status", NULL, 0, true, err);

    if (s == CV_OK &&
        (!cv_json_add_int(p, "clients", (int64_t)n.clients) ||
         !cv_json_add_int(p, "streams", (int64_t)n.streams) ||
         !cv_json_add_int(p, "upstreams", (int64_t)n.upstreams) ||
         !cv_json_add_int(p, "requests", (int64_t)n.requests) ||
         !cv_json_add_int(p, "signatures",
                          (int64_t)atomic_load(&r->signatures)) ||
         !cv_json_add_int(p, "grants", (int64_t)cv_grants_count(r->grants)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static const struct cv_method methods[] = {
    {"Listen", order_listen, true},
    {"Open", order_open, false},
    {"Close", order_close, false},
    {"Status", order_status, false},
};

const struct cv_interface cv_orders_interface = {
    CV_INTERFACE_RELAY, cv_interface_relay, methods,
    sizeof(methods) / sizeof(methods[0])};
