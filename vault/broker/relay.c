#include "vault/broker/relay.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/hop_internal.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The relay answers orders at once: one that takes longer hangs. */
#define ORDER_MS 5000
/* Its certificate is good for 30 days. */
#define RENEW_MS ((int64_t)15 * 86400 * 1000)
/* Starts that may fail, one after the other, before its grants end. */
#define FAILURES 5
#define IDLE_S 300
#define POOL 16
/* Keys and certificates of one order. */
#define ORDER_ARENA CV_MIB(1)

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* What it held is gone with it; its grants are not. */
static void let_go(struct cv_relay *r)
{
    cv_channel_free(r->orders);
    r->orders = NULL;
    if (r->asks != NULL) {
        r->asks->broken = true;
        r->asks = NULL;
    }
    r->port = 0;
    r->clients = 0;
}

void cv_relay_stop(struct cv_broker *b)
{
    let_go(&b->relay);
    b->relay.failures = 0;
    b->relay.retry_ms = 0;
}

void cv_relay_free(struct cv_broker *b)
{
    b->relay.asks = NULL; /* the loop's, and gone with it */
    let_go(&b->relay);
    free(b->relay.ca);
    free(b->relay.client_ca);
    b->relay.ca = b->relay.client_ca = NULL;
}

static void tell_end(struct cv_broker *b, const char *why)
{
    cJSON *details = cJSON_CreateObject();
    struct cv_caller *before = b->caller;

    (void)cv_json_add_str(details, "method", "relay");
    (void)cv_json_add_str(details, "because", why);
    (void)cv_json_add_int(details, "items", (int64_t)b->grants.n);
    b->caller = NULL;
    cv_broker_event(b, "broker", CV_UNAVAILABLE, details);
    b->caller = before;
    cJSON_Delete(details);
}

/* One order. A relay that does not answer is ended by force. */
static enum cv_status order(struct cv_broker *b, const char *method,
                            cJSON *parameters, unsigned flags,
                            struct cv_message *reply, struct cv_err *err)
{
    struct cv_relay *r = &b->relay;
    char full[64];
    enum cv_status s;

    *reply = (struct cv_message){0};
    if (r->orders == NULL) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_UNAVAILABLE, "the relay does not run");
    }
    (void)snprintf(full, sizeof(full), "%s.%s", CV_INTERFACE_RELAY, method);
    s = cv_client_call(r->orders, full, parameters, flags, ORDER_MS, reply,
                       err);
    if (s != CV_OK && reply->tree == NULL) {
        cv_spawner_kill(b->spawner, r->child);
        let_go(r);
        tell_end(b, "the relay did not answer");
        s = cv_fail(err, CV_UNAVAILABLE, "the relay did not answer");
        cv_err_hint(err, "try again: it is started anew");
    }
    return s;
}

static enum cv_status start(struct cv_broker *b, struct cv_err *err)
{
    struct cv_relay *r = &b->relay;
    int fds[2];
    enum cv_status s = cv_spawner_run_relay(b->spawner, fds, &r->child, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_channel_new(fds[0], CV_LIMIT_FRAME, &r->orders, err);
    if (s == CV_OK) {
        s = cv_loop_attach(b->loop, fds[1], &cv_broker_door_interface, &r->asks,
                           err);
    } else {
        cv_file_close(&fds[1]);
    }
    if (s != CV_OK) {
        let_go(r);
    }
    return s;
}

/* A client CA of another token process: certificates of before are good for
 * nothing any more, so the grants that they are of end. */
static enum cv_status take_cas(struct cv_broker *b, const char *ca,
                               const char *client_ca, struct cv_err *err)
{
    struct cv_relay *r = &b->relay;

    if (r->client_ca != NULL && strcmp(r->client_ca, client_ca) != 0) {
        cv_grant_end_given(b, "the vault was closed in the meantime",
                           "run the command again");
    }
    free(r->ca);
    free(r->client_ca);
    r->ca = strdup(ca);
    r->client_ca = strdup(client_ca);
    return r->ca != NULL && r->client_ca != NULL ? CV_OK : no_memory(err);
}

/* What Listen is told beside the certificates. */
static enum cv_status add_place(struct cv_broker *b, cJSON *p,
                                struct cv_err *err)
{
    const struct cv_broker_relay *o = &b->relay_options;
    int64_t port = b->relay.was;
    enum cv_status s = CV_OK;

    if (port == 0 && b->options->mode != CV_BROKER_EXEC) {
        s = cv_hop_port(b, &port, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_int(p, "port", port) ||
         !cv_json_add_int(p, "idle_s", o->idle_s > 0 ? o->idle_s : IDLE_S) ||
         !cv_json_add_int(p, "pool", o->pool > 0 ? o->pool : POOL))) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status order_listen(struct cv_broker *b, const char *certificate,
                                   const char *secret, const char *client_ca,
                                   struct cv_err *err)
{
    int64_t port = 0;
    const struct cv_json_field fields[] = {
        {"port", CV_JSON_INT, true, &port, 0},
    };
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s = add_place(b, p, err);

    if (s == CV_OK && (!cv_json_add_str(p, "certificate", certificate) ||
                       !cv_json_add_str(p, "secret", secret) ||
                       !cv_json_add_str(p, "client_ca", client_ca))) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cJSON_Delete(p);
        return s;
    }
    s = order(b, "Listen", p, CV_CLIENT_SECRET_IN, &answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "Listen", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK && (port < 1 || port > 65535)) {
        s = cv_fail(err, CV_INVALID, "the relay listens nowhere");
    }
    if (s == CV_OK) {
        b->relay.port = b->relay.was = port;
        b->relay.listened_ms = cv_clock_boot_ms();
    }
    cv_message_free(&answer);
    return s;
}

/* The server's key passes through here once, in arenas. */
static enum cv_status listen_with(struct cv_broker *b, const cJSON *ca,
                                  struct cv_err *err)
{
    const char *certificate = NULL, *secret = NULL, *client_ca = NULL;
    const struct cv_json_field fields[] = {
        {"certificate", CV_JSON_TEXT, true, &certificate, CV_LIMIT_PEM},
        {"secret", CV_JSON_STRING, true, &secret, CV_LIMIT_PEM},
        {"client_ca", CV_JSON_TEXT, true, &client_ca, CV_LIMIT_PEM},
    };
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_item(p, "ca", cJSON_Duplicate(ca, true))) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_broker_token(b, "HopServe", p, CV_CLIENT_SECRET_OUT, &answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "HopServe", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = take_cas(b, cv_entry_text(ca, "certificate"), client_ca, err);
    }
    if (s == CV_OK) {
        s = order_listen(b, certificate, secret, client_ca, err);
    }
    cv_message_free(&answer);
    return s;
}

static enum cv_status listen_anew(struct cv_broker *b, struct cv_err *err)
{
    struct cv_arena *arena = NULL, *before;
    cJSON *ca = NULL;
    enum cv_status s = cv_hop_ca(b, &ca, err);

    if (s == CV_OK) {
        s = cv_arena_new(ORDER_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        before = cv_json_use(arena);
        s = listen_with(b, ca, err);
        (void)cv_json_use(before);
    }
    cv_arena_free(arena);
    cJSON_Delete(ca);
    return s;
}

enum cv_status cv_relay_ready(struct cv_broker *b, struct cv_reply *reply,
                              struct cv_err *err)
{
    struct cv_relay *r = &b->relay;
    bool fresh = r->orders == NULL;
    enum cv_status s = CV_OK;

    if (!fresh && r->port != 0) {
        return CV_OK;
    }
    s = cv_broker_need_open(b, reply, err);
    if (s == CV_OK && fresh) {
        s = start(b, err);
    }
    if (s == CV_OK) {
        s = listen_anew(b, err);
    }
    for (size_t i = 0; i < b->grants.n && s == CV_OK && fresh; i++) {
        s = cv_relay_open(b, b->grants.all[i], err);
    }
    if (s == CV_OK) {
        r->failures = 0;
        r->retry_ms = 0;
    } else if (fresh) {
        let_go(r);
    }
    return s;
}

void cv_relay_unlisten(struct cv_broker *b)
{
    b->relay.port = 0;
}

enum cv_status cv_relay_open(struct cv_broker *b, struct cv_grant *g,
                             struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (cv_json_add_item(p, "grant", cJSON_Duplicate(g->order, true))) {
        s = order(b, "Open", p, 0, &answer, err);
    } else {
        cJSON_Delete(p);
        s = no_memory(err);
    }
    g->opened = s == CV_OK;
    cv_message_free(&answer);
    (void)cv_json_use(before);
    return s;
}

/* Tears down what `ids` (taken) have. A relay that does not is ended, and all
 * with it. */
static void order_close(struct cv_broker *b, cJSON *ids, const char *why,
                        const char *hint)
{
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();

    (void)cv_json_add_item(p, "ids", ids);
    (void)cv_json_add_str(p, "why", why);
    (void)(hint == NULL || cv_json_add_str(p, "hint", hint));
    if (order(b, "Close", p, 0, &answer, NULL) != CV_OK &&
        b->relay.orders != NULL) {
        cv_spawner_kill(b->spawner, b->relay.child);
        let_go(&b->relay);
    }
    cv_message_free(&answer);
}

void cv_relay_close(struct cv_broker *b, const struct cv_grant *g,
                    const char *why, const char *hint)
{
    struct cv_arena *before;
    cJSON *ids;

    if (b->relay.orders == NULL || !g->opened) {
        return;
    }
    before = cv_json_use(NULL);
    ids = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(ids, cJSON_CreateString(g->id));
    order_close(b, ids, why, hint);
    (void)cv_json_use(before);
}

void cv_relay_close_all(struct cv_broker *b, const char *why, const char *hint)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *ids = cJSON_CreateArray();

    for (size_t i = 0; i < b->grants.n; i++) {
        struct cv_grant *g = b->grants.all[i];

        if (g->opened) {
            (void)cJSON_AddItemToArray(ids, cJSON_CreateString(g->id));
        }
        g->opened = false;
    }
    if (b->relay.orders != NULL && cJSON_GetArraySize(ids) > 0) {
        order_close(b, ids, why, hint);
    } else {
        cJSON_Delete(ids);
    }
    (void)cv_json_use(before);
}

void cv_relay_left(struct cv_broker *b, const struct cv_caller *caller)
{
    if (caller == b->relay.asks && caller != NULL) {
        b->relay.asks = NULL;
        let_go(&b->relay);
        if (!cv_loop_is_over(b->loop)) {
            tell_end(b, "the relay ended");
        }
    }
}

static void start_again(struct cv_broker *b)
{
    struct cv_relay *r = &b->relay;
    int64_t now = cv_clock_boot_ms();
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    if (now < r->retry_ms) {
        return;
    }
    s = cv_relay_ready(b, NULL, &err);
    if (s == CV_OK) {
        return;
    }
    r->failures++;
    r->retry_ms = now + ((int64_t)500 << r->failures);
    if (s == CV_LOCKED || r->failures >= FAILURES) {
        cv_grant_end_all(b,
                         s == CV_LOCKED ? "the vault is locked"
                                        : "the relay cannot be started",
                         "run the command again");
        cv_relay_stop(b);
    }
}

void cv_relay_tick(struct cv_broker *b)
{
    struct cv_relay *r = &b->relay;

    if (r->orders == NULL && b->grants.n > 0) {
        start_again(b);
    }
    if (r->orders != NULL && r->port != 0 && b->unlocked &&
        cv_clock_boot_ms() - r->listened_ms > RENEW_MS) {
        r->listened_ms = cv_clock_boot_ms(); /* one try, then the next term */
        (void)!listen_anew(b, NULL);
    }
}

cJSON *cv_relay_status(struct cv_broker *b)
{
    static const char *const counts[] = {"clients",  "streams",    "upstreams",
                                         "requests", "signatures", "grants"};
    struct cv_relay *r = &b->relay;
    struct cv_message answer = {0};
    cJSON *out = cJSON_CreateObject();

    (void)cv_json_add_bool(out, "running", r->orders != NULL);
    (void)cv_json_add_int(out, "port", r->port);
    if (r->orders != NULL &&
        order(b, "Status", NULL, 0, &answer, NULL) == CV_OK) {
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            const cJSON *n =
                cJSON_GetObjectItemCaseSensitive(answer.tree, counts[i]);

            if (cJSON_IsNumber(n)) {
                (void)cv_json_add_int(out, counts[i], (int64_t)n->valuedouble);
            }
        }
    }
    cv_message_free(&answer);
    return out;
}
