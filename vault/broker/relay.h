/* The relay as the broker has it: started when it is first needed, told what
 * to listen with and what grants there are, started again when it died.
 *
 * It has two sockets. Over one the broker gives orders and waits for each
 * answer, which comes at once; over the other the relay asks
 * (io.certvault.Door, served in the broker's loop). */
#ifndef CERTVAULT_BROKER_RELAY_H
#define CERTVAULT_BROKER_RELAY_H

#include "vault/base/json.h"
#include "vault/wire/channel.h"

#include <stdbool.h>

struct cv_broker;
struct cv_caller;
struct cv_grant;
struct cv_reply;

struct cv_relay {
    struct cv_channel *orders; /* NULL: it does not run */
    struct cv_caller *asks;    /* its other connection, the loop's */
    uint32_t child;            /* the spawner's number for it */
    int64_t port;              /* where it listens; 0: nowhere */
    int64_t was;               /* where it listened last; 0: never */
    char *ca;                  /* PEM: what verifies its certificate */
    char *client_ca;           /* PEM: whose certificates it takes */
    int64_t listened_ms;       /* when it got its certificate */
    int64_t retry_ms;          /* not started again before; 0: at once */
    unsigned failures;         /* starts that failed, one after the other */
    int64_t clients, requests; /* as it told by Alive */
    int64_t alive_ms;          /* when it did last; 0: never */
};

/* Not entered. It runs and listens when this is CV_OK. CV_LOCKED: the vault
 * must be opened for its certificate; `reply` (NULL: none) gets the slots.
 * CV_BUSY: the port is taken; CV_UNAVAILABLE: it does not start. */
CV_MUST_USE enum cv_status
cv_relay_ready(struct cv_broker *b, struct cv_reply *reply, struct cv_err *err);

/* The token process that made the client CA is gone: it gets a new one before
 * the next grant. */
void cv_relay_unlisten(struct cv_broker *b);

/* Gives it a grant. CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status
cv_relay_open(struct cv_broker *b, struct cv_grant *g, struct cv_err *err);

/* Takes a grant from it: all its connections are torn down. Later requests are
 * told `why` and `hint` (NULL: none). What runs no more has none to take. */
void cv_relay_close(struct cv_broker *b, const struct cv_grant *g,
                    const char *why, const char *hint);

/* Takes all of them from it, with one order. */
void cv_relay_close_all(struct cv_broker *b, const char *why, const char *hint);

/* Lets it go; it ends. */
void cv_relay_stop(struct cv_broker *b);
void cv_relay_free(struct cv_broker *b);

/* This connection goes: is it the relay's? Then it died. */
void cv_relay_left(struct cv_broker *b, const struct cv_caller *caller);

/* Starts it again if there are grants, gives it its certificate anew in time.
 * Called about once a second. */
void cv_relay_tick(struct cv_broker *b);

/* {running, port, clients, requests, ...}; NULL when memory is gone. */
cJSON *cv_relay_status(struct cv_broker *b);

#endif
