/* The relay: the program behind which kubectl uses a key it cannot see.
 *
 *   kubectl ──TLS, client certificate of a grant──▶ relay ──mutual TLS──▶
 * server │ ▲ Sign, Request (fd 4) ───┘ └─── orders (fd 3) broker
 *
 * One thread has the event loop: orders, clients, requests, answers. A few
 * others connect to servers, because that blocks: names are resolved, and the
 * broker signs (dial.h). The loop never waits for anybody, least of all for the
 * broker, which waits for it.
 *
 * Grants end here by their time too, whatever the broker does. The relay ends,
 * and everything it holds with it, when the broker closes the orders or the
 * asks, or with SIGTERM. */
#ifndef CERTVAULT_RELAY_RELAY_H
#define CERTVAULT_RELAY_RELAY_H

#include "vault/base/err.h"

/* Serves io.certvault.Relay over `orders_fd` and asks io.certvault.Door over
 * `asks_fd` (both taken) until one of them closes (CV_OK). cv_upstream_start
 * was called. CV_INTERNAL, CV_INVALID (the broker said what is no order). */
CV_MUST_USE enum cv_status cv_relay_run(int orders_fd, int asks_fd,
                                        struct cv_err *err);

#endif
