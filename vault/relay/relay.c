#include "vault/relay/relay.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/base/manager.h"
#include "vault/relay/dial.h"
#include "vault/relay/door.h"
#include "vault/relay/leg.h"
#include "vault/relay/relay_internal.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often the broker is told that there is work. */
#define ALIVE_MS 5000
/* Connections wait for the token, and for who types its PIN, as others do. */
#define SIGN_MS ((CV_LIMIT_CALL_S + 10) * 1000)
/* Until the first Listen says. */
#define IDLE_S 60
#define POOL 8

/* ---- towards the broker ---- */

enum cv_status cv_relay_sign(void *context, const struct cv_upstream_ask *ask,
                             struct cv_buf *signature, struct cv_err *err)
{
    struct cv_relay *r = context;
    const char *text = NULL;
    int64_t seq = 0;
    const struct cv_json_field fields[] = {
        {"signature", CV_JSON_STRING, true, &text, CV_LIMIT_SIGNATURE * 2},
        {"audit_seq", CV_JSON_INT, true, &seq, 0},
    };
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "grant", ask->grant->id) ||
        !cv_json_add_str(p, "purpose", ask->purpose) ||
        !cv_json_add_str(p, "algorithm", ask->algorithm) ||
        !cv_json_add_base64(p, "data", ask->data) ||
        !cv_json_add_str(p, "server_spki", ask->server_spki) ||
        !cv_json_add_str(p, "server", ask->server)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_door_call(r->door, "Sign", p, SIGN_MS, &answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "Sign", fields, 2, true, err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64(text, strlen(text), false, "signature", signature,
                             err);
    }
    if (s == CV_OK) {
        (void)atomic_fetch_add(&r->signatures, 1);
    }
    cv_message_free(&answer);
    return s;
}

/* A server that is not who it should be, or that TLS fails with. On the thread
 * that found it. */
static void tell_refused(struct cv_relay *r, const struct cv_grant *grant,
                         const struct cv_err *why)
{
    struct cv_message answer = {0};
    cJSON *p;

    if (!cv_grants_may_tell(r->grants, grant->id)) {
        return;
    }
    p = cJSON_CreateObject();
    if (!cv_json_add_str(p, "grant", grant->id) ||
        !cv_json_add_str(p, "server", grant->upstream.address) ||
        !cv_json_add_str(p, "why", why->text)) {
        cJSON_Delete(p);
        return;
    }
    /* the broker writes it down or not: the connection failed either way */
    (void)!cv_door_call(r->door, "Refused", p, SIGN_MS, &answer, NULL);
    cv_message_free(&answer);
}

static enum cv_status connect_to(void *ctx, struct cv_grant *grant,
                                 unsigned flags, int cancel_fd, int timeout_ms,
                                 struct cv_dial_conn *out, struct cv_err *err)
{
    struct cv_relay *r = ctx;
    struct cv_upstream *up = cv_grants_upstream(r->grants, grant->id);
    struct cv_upstream_conn conn;
    enum cv_status s;

    if (up == NULL) {
        return cv_fail(err, CV_DENIED, "the grant has ended");
    }
    s = cv_upstream_connect(
        up, (flags & CV_DIAL_H1_ONLY) != 0 ? CV_UPSTREAM_H1_ONLY : 0, cancel_fd,
        timeout_ms, &conn, err);
    cv_upstream_unref(up);
    if (s == CV_OK) {
        *out = (struct cv_dial_conn){conn.fd, conn.ssl, conn.h2};
    } else if (!conn.cancelled && !conn.timed_out && err != NULL &&
               (conn.stage == CV_UPSTREAM_TLS ||
                conn.stage == CV_UPSTREAM_VERIFY)) {
        tell_refused(r, grant, err);
    }
    return s;
}

static void tell_stranger(void *ctx, const uid_t *uid, unsigned count,
                          const char *why)
{
    struct cv_relay *r = ctx;
    cJSON *p = cJSON_CreateObject();

    if ((uid == NULL || cv_json_add_int(p, "uid", (int64_t)*uid)) &&
        cv_json_add_int(p, "count", count) && cv_json_add_str(p, "why", why)) {
        (void)cv_door_ask(r->door, "Strangers", p, NULL, NULL);
    } else {
        cJSON_Delete(p);
    }
}

static void tell_alive(struct cv_relay *r, int64_t now)
{
    const struct cv_session_counts n = cv_session_world_counts(r->world);
    cJSON *p;

    if ((n.clients == r->told_clients && n.requests == r->told_requests) ||
        (r->told_ms != 0 && now - r->told_ms < ALIVE_MS)) {
        return;
    }
    p = cJSON_CreateObject();
    if (!cv_json_add_int(p, "clients", (int64_t)n.clients) ||
        !cv_json_add_int(p, "requests", (int64_t)n.requests)) {
        cJSON_Delete(p);
        return;
    }
    (void)cv_door_ask(r->door, "Alive", p, NULL, NULL);
    r->told_clients = n.clients;
    r->told_requests = n.requests;
    r->told_ms = now;
}

/* ---- clients ---- */

static bool knows(void *ctx, uid_t uid)
{
    const struct cv_relay *r = ctx;

    return cv_grants_knows(r->grants, uid);
}

static bool room(void *ctx)
{
    const struct cv_relay *r = ctx;

    return cv_session_world_counts(r->world).clients +
               cv_listener_shaking(r->listener) <
           CV_LIMIT_RELAY_CLIENTS;
}

static void stranger(void *ctx, const uid_t *uid, const char *why)
{
    const struct cv_relay *r = ctx;

    cv_strangers_add(r->strangers, uid, why, cv_clock_boot_ms());
}

static void client(void *ctx, struct cv_leg *leg, bool h2, const char *id,
                   uid_t uid)
{
    struct cv_relay *r = ctx;
    struct cv_grants_item it;

    if (!cv_grants_find(r->grants, id, &it)) {
        /* of our client CA: it was a grant once */
        (void)!cv_session_new_ended(
            r->world, leg, h2, 401, "the grant of this connection has ended",
            "ask for a new one: run the command again", NULL);
        return;
    }
    if (it.uid != uid) {
        cv_leg_free(leg);
        stranger(r, &uid, "a client certificate of another user");
        return;
    }
    if (it.grant != NULL) {
        (void)!cv_session_new(r->world, leg, h2, it.grant, NULL);
        return;
    }
    (void)!cv_session_new_ended(
        r->world, leg, h2, 403,
        it.why != NULL ? it.why : "the grant of this connection has ended",
        it.hint, NULL);
}

static const struct cv_listener_hooks listener_hooks = {knows, room, client,
                                                        stranger};

void cv_relay_end_grant(struct cv_relay *r, const char *id, const char *why,
                        const char *hint)
{
    if (cv_grants_end(r->grants, id, why, hint)) {
        cv_session_end_grant(r->world, id, why, hint);
    }
}

/* ---- the loop ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct cv_relay *r = arg;
    int64_t now = cv_clock_boot_ms();
    char id[CV_GRANT_ID_LEN + 1];

    (void)fd;
    (void)what;
    while (cv_grants_over(r->grants, now, id)) {
        cv_relay_end_grant(r, id, "the time of this grant is over",
                           "ask for a new one: run the command again");
    }
    cv_strangers_tick(r->strangers, now);
    tell_alive(r, now);
    cv_manager_feed(false);
}

static void stop(struct cv_relay *r)
{
    (void)event_base_loopbreak(r->base);
}

static void on_gone(void *ctx)
{
    stop(ctx);
}

static void on_terminate(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    stop(arg);
}

static void on_order(evutil_socket_t fd, short what, void *arg)
{
    struct cv_relay *r = arg;
    struct cv_message order = {0};
    bool closed = false;
    enum cv_status s = cv_channel_fill(r->orders, &closed, r->err);

    (void)fd;
    (void)what;
    while (s == CV_OK) {
        s = cv_channel_next(r->orders, &order, r->err);
        if (s != CV_OK || order.tree == NULL) {
            break;
        }
        s = cv_serve_message(&cv_orders_interface, r, r->orders, &order,
                             r->err);
        cv_message_free(&order);
    }
    if (s != CV_OK || closed) {
        /* nobody is left to be told */
        r->status = s == CV_UNAVAILABLE ? CV_OK : s;
        stop(r);
    }
}

static bool add_events(struct cv_relay *r)
{
    static const struct timeval second = {1, 0};

    r->orders_in = event_new(r->base, cv_channel_fd(r->orders),
                             EV_READ | EV_PERSIST, on_order, r);
    r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
    r->terminate = evsignal_new(r->base, SIGTERM, on_terminate, r);
    return r->orders_in != NULL && r->tick != NULL && r->terminate != NULL &&
           event_add(r->orders_in, NULL) == 0 &&
           event_add(r->tick, &second) == 0 &&
           event_add(r->terminate, NULL) == 0;
}

static enum cv_status make(struct cv_relay *r, int orders_fd, int asks_fd,
                           struct cv_err *err)
{
    const struct cv_dial_how how = {connect_to, r};
    enum cv_status s =
        cv_channel_new(orders_fd, CV_LIMIT_FRAME, &r->orders, err);

    r->base = event_base_new();
    r->grants = cv_grants_new();
    r->strangers = cv_strangers_new(tell_stranger, r);
    if (s != CV_OK || r->base == NULL || r->grants == NULL ||
        r->strangers == NULL) {
        (void)close(asks_fd);
        return s != CV_OK ? s : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_door_new(r->base, asks_fd, on_gone, r, &r->door, err);
    if (s == CV_OK) {
        s = cv_provider_new(&r->provider, err);
    }
    if (s == CV_OK) {
        s = cv_dial_begin(r->base, CV_LIMIT_DIAL_THREADS, &how, &r->dialer,
                          err);
    }
    if (s == CV_OK) {
        r->config = (struct cv_session_config){
            .base = r->base,
            .door = r->door,
            .dialer = r->dialer,
            .idle_s = IDLE_S,
            .pool = POOL,
            /* More than any relay of before can have reached. */
            .before = (uint64_t)cv_clock_boot_ms() * 1000,
        };
        s = cv_session_world_new(&r->config, &r->world, err);
    }
    if (s == CV_OK) {
        r->listener = cv_listener_new(r->base, &listener_hooks, r);
        if (r->listener == NULL || !add_events(r)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return s;
}

static void free_event(struct event *e)
{
    if (e != NULL) {
        event_free(e);
    }
}

/* The threads end between the door's closing, which wakes them, and its end. */
static void end(struct cv_relay *r)
{
    cv_listener_free(r->listener);
    cv_session_world_free(r->world);
    if (r->door != NULL) {
        cv_door_close(r->door);
    }
    cv_dial_end(r->dialer);
    cv_door_free(r->door);
    if (r->base != NULL) {
        cv_leg_end(r->base);
    }
    free_event(r->orders_in);
    free_event(r->tick);
    free_event(r->terminate);
    cv_strangers_free(r->strangers);
    cv_grants_free(r->grants);
    cv_provider_free(r->provider);
    cv_channel_free(r->orders);
    if (r->base != NULL) {
        event_base_free(r->base);
    }
}

enum cv_status cv_relay_run(int orders_fd, int asks_fd, struct cv_err *err)
{
    struct cv_relay r = {.err = err};
    enum cv_status s = make(&r, orders_fd, asks_fd, err);

    if (s == CV_OK) {
        if (event_base_dispatch(r.base) < 0) {
            s = cv_fail(err, CV_INTERNAL, "the event loop does not run");
        } else {
            s = r.status;
        }
    }
    end(&r);
    return s;
}
