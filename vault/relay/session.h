/* The relay's HTTP: what clients ask, over HTTP/1.1 or HTTP/2, is decided,
 * recorded, and passed on to the server of their grant over connections that
 * are kept and shared.
 *
 * A world holds everything. Sessions are client connections; each belongs to
 * one grant. For each grant there is a pool of connections to its server: an
 * HTTP/2 one carries many requests, an HTTP/1.1 one a request at a time, and
 * they stay for `idle_s` after the last. A client's protocol and the server's
 * have nothing to do with each other.
 *
 * For each request, in this order: the Host must be ours, the path is
 * classified (info.h), the headers and the grant are asked (allow.h), an
 * Audit-ID is set, the broker writes it down where the grant says so (and
 * nothing is sent before it has), a connection is found or made, the request
 * is passed on. Bodies are never held whole: whoever is slow slows the other
 * end down, with at most CV_LIMIT_RELAY_PIPE bytes (h2: the stream's window)
 * held for each direction of a request. A refusal, and a server that cannot be
 * reached, are told as a Kubernetes Status. After a 101 the bytes are passed
 * both ways as they are.
 *
 * Threads: the loop's alone. Nothing blocks. */
#ifndef CERTVAULT_RELAY_SESSION_H
#define CERTVAULT_RELAY_SESSION_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct cv_dialer;
struct cv_door;
struct cv_grant;
struct cv_leg;
struct cv_session_world;

struct cv_session_config {
    struct event_base *base;  /* borrowed */
    struct cv_door *door;     /* borrowed */
    struct cv_dialer *dialer; /* borrowed; ended after the world */
    unsigned port;            /* of the listener: what Host must say; 0: any */
    int idle_s;               /* a connection to a server stays so long */
    unsigned pool;            /* idle HTTP/1.1 ones kept for each grant */
    /* Requests are numbered from here on, for their Audit-IDs: a relay that
     * takes over another's grants must not give its numbers again. */
    uint64_t before;
};

/* CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_session_world_new(const struct cv_session_config *config,
                     struct cv_session_world **out, struct cv_err *err);

/* From now on other figures (base, door and dialer stay what they were). */
void cv_session_world_tune(struct cv_session_world *w,
                           const struct cv_session_config *config);

/* Closes everything. NULL is fine. */
void cv_session_world_free(struct cv_session_world *w);

/* Serves the client behind `leg` (taken, on failure too) for `grant` (a
 * reference of its own is taken). CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_session_new(struct cv_session_world *w,
                                          struct cv_leg *leg, bool h2,
                                          struct cv_grant *grant,
                                          struct cv_err *err);

/* As cv_session_new for a client whose grant is not there any more: every
 * request is refused with `status` (401 or 403), `why` and `hint` (NULL: none;
 * both are copied). */
CV_MUST_USE enum cv_status
cv_session_new_ended(struct cv_session_world *w, struct cv_leg *leg, bool h2,
                     unsigned status, const char *why, const char *hint,
                     struct cv_err *err);

/* A grant with the id of one that is known replaces it: sessions that are there
 * go on under the new one, connections to the server are not used for new
 * requests any more. */
void cv_session_replace_grant(struct cv_session_world *w,
                              struct cv_grant *grant);

/* The grant has ended: connections to its server are closed at once, requests
 * that were not answered yet get a 403 with `why` and `hint` (NULL: none),
 * others are cut off, and its clients' connections are closed. */
void cv_session_end_grant(struct cv_session_world *w, const char *id,
                          const char *why, const char *hint);

/* How much there is of everything. */
struct cv_session_counts {
    size_t clients;    /* connections */
    size_t streams;    /* requests under way, upgraded connections too */
    size_t upstreams;  /* connections to servers */
    uint64_t requests; /* since the beginning */
};

struct cv_session_counts
cv_session_world_counts(const struct cv_session_world *w);

#endif
