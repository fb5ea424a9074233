/* A service beside its callers: what its manager is told, its configuration
 * read again, what it opens by itself. For everything but a service each of
 * these does nothing. */
#ifndef CERTVAULT_BROKER_SERVICE_INTERNAL_H
#define CERTVAULT_BROKER_SERVICE_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* First of all: SIGHUP is kept for cv_service_watched from now on. CV_INTERNAL.
 */
CV_MUST_USE enum cv_status cv_service_begin(struct cv_broker *b,
                                            struct cv_err *err);
void cv_service_end(struct cv_broker *b);

/* What the loop is to watch; -1: nothing. When it can be read, the
 * configuration is read again: all of it is taken, or none and the old one
 * stays. Told to the manager, to standard error, and by a leaf. */
int cv_service_watch(const struct cv_broker *b);
void cv_service_watched(struct cv_broker *b);

/* Called at each turn of the loop: the watchdog. */
void cv_service_tick(void);
/* For how long (ms) the loop may wait; -1: for ever. */
int64_t cv_service_rest(void);

/* What the configuration says, at the start. */
CV_MUST_USE enum cv_status cv_service_read(struct cv_broker *b,
                                           struct cv_err *err);

/* Gives the socket's file that it made to the group that the configuration
 * names. CV_CONFIG. */
CV_MUST_USE enum cv_status cv_service_give_socket(struct cv_broker *b,
                                                  struct cv_err *err);

/* Opens the vault by the service's own key. CV_LOCKED: it has none, or an
 * admin locked the vault; the service's key opens it again after a reload or a
 * restart. */
CV_MUST_USE enum cv_status cv_service_open(struct cv_broker *b,
                                           struct cv_err *err);

/* The vault was locked by a caller (`true`), or opened by one. */
void cv_service_locked(struct cv_broker *b, bool locked);

/* Logs in to `token` with the service's own PIN. CV_LOCKED: it has none. What
 * cv_module_login says: a PIN that failed is not tried again. */
struct cv_module_token;
CV_MUST_USE enum cv_status cv_service_login(struct cv_broker *b,
                                            const struct cv_module_token *token,
                                            struct cv_err *err);

/* The service's own cloud, in the arena of the request that is being answered:
 * *out is the caller's. `asked`: what the caller said (region, project and the
 * interface alone; anything else is CV_USAGE). CV_CONFIG: it has none. */
CV_MUST_USE enum cv_status cv_service_cloud(struct cv_broker *b,
                                            const cJSON *asked, cJSON **out,
                                            struct cv_err *err);

#endif
