/* Between relay.c and orders.c. */
#ifndef CERTVAULT_RELAY_RELAY_INTERNAL_H
#define CERTVAULT_RELAY_RELAY_INTERNAL_H

#include "vault/relay/grants.h"
#include "vault/relay/listener.h"
#include "vault/relay/session.h"
#include "vault/relay/strangers.h"
#include "vault/wire/serve.h"

#include <stdatomic.h>

struct event;
struct event_base;
struct cv_dialer;
struct cv_door;

struct cv_relay {
    struct event_base *base;
    struct cv_channel *orders;
    struct event *orders_in, *tick, *terminate;
    struct cv_door *door;
    struct cv_dialer *dialer;
    struct cv_provider *provider;
    struct cv_grants *grants;
    struct cv_strangers *strangers;
    struct cv_listener *listener;
    struct cv_session_world *world;
    struct cv_session_config config;
    atomic_ullong signatures;
    size_t told_clients; /* by Alive */
    uint64_t told_requests;
    int64_t told_ms;
    enum cv_status status; /* what it ends with */
    struct cv_err *err;
};

/* io.certvault.Relay; the context of its methods is a struct cv_relay. */
extern const struct cv_interface cv_orders_interface;

/* The grant ends: everything of it is torn down. */
void cv_relay_end_grant(struct cv_relay *r, const char *id, const char *why,
                        const char *hint);

/* cv_upstream_sign, by the broker. Worker threads'. */
enum cv_status cv_relay_sign(void *context, const struct cv_upstream_ask *ask,
                             struct cv_buf *signature, struct cv_err *err);

#endif
