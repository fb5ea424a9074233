/* HTTPS requests to one origin, over libcurl.
 *
 * What holds for every request: TLS 1.2 or later, verified against the system's
 * roots or the caller's PEM alone; no redirect followed; no proxy, netrc,
 * cookie or environment used unless given; the path sent as it is; no content
 * coding asked for, taken or undone; an answer no larger than
 * CV_LIMIT_HTTP_BODY with headers no larger than CV_LIMIT_HTTP_HEADERS; every
 * address checked against the origin's reach before a socket is opened.
 *
 * Credentials go to one origin: a client belongs to one and never speaks to
 * another. It keeps its connection (HTTP/2 where the server has it, with many
 * requests at a time) until it is freed.
 *
 * What comes in goes straight into an arena, is borrowed by whoever asked until
 * the next request, and is wiped then. libcurl's and OpenSSL's own buffers are
 * beyond that; libcurl's memory is wiped as it is freed (cv_http_start).
 *
 * Blocking; one thread. */
#ifndef CERTVAULT_FETCH_HTTP_H
#define CERTVAULT_FETCH_HTTP_H

#include "vault/fetch/http_answer.h"
#include "vault/fetch/signing.h"

struct cv_http;

#define CV_LIMIT_HTTP_LIST CV_MIB(8) /* a list of clusters */

struct cv_http_config {
    const struct cv_origin *origin;
    const char *ca_pem; /* NULL: the system's roots */
    const char *proxy;  /* "http://host:port"; NULL: none */
    int64_t connect_ms; /* 0: CV_LIMIT_HTTP_CONNECT_S */
    int64_t total_ms;   /* of one request; 0: CV_LIMIT_HTTP_TOTAL_S */
    int watch; /* a socket: requests end when its other end hangs up; 0: none */
};

struct cv_http_request {
    const char *method; /* "GET", "POST", "PUT" */
    const char *target; /* path and query, encoded */
    const struct cv_signing_pair *headers;
    size_t n_headers;
    struct cv_bytes body; /* must last until the answer; POST alone */
    bool large; /* the answer holds no secret: it may have CV_LIMIT_HTTP_LIST
                   bytes and is kept on the heap */
};

/* Starts libcrypto without its configuration file, which would have a say in
 * who is trusted, and cannot be read in a sandbox. Part of cv_http_start.
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_http_start_libcrypto(struct cv_err *err);

/* Starts libcurl and, without its configuration file, libcrypto; once per
 * process, before threads and before the sandbox. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_http_start(struct cv_err *err);

/* Nothing is opened yet. CV_USAGE (a proxy that is none), CV_INTERNAL. The
 * config's texts are borrowed for the client's life; the origin is copied. */
CV_MUST_USE enum cv_status cv_http_new(const struct cv_http_config *config,
                                       struct cv_http **out,
                                       struct cv_err *err);

/* Closes its connections and wipes; NULL is fine. */
void cv_http_free(struct cv_http *http);

/* Sends one request and waits for its end. `limit_ms`: at most so long, beside
 * the client's own limits. */
void cv_http_send(struct cv_http *http, const struct cv_http_request *request,
                  int64_t limit_ms, struct cv_http_answer *out);

/* Many requests at a time. */
struct cv_http_batch {
    /* What to send next: CV_OK with *out filled (its texts but `body` are
     * copied) and *tag for `done`; CV_BUSY: nothing within *wait_ms, ask again
     * then or after an answer; CV_NOT_FOUND: there is no more, ever. */
    enum cv_status (*next)(void *context, struct cv_http_request *out,
                           size_t *tag, int64_t *wait_ms);
    /* The answer, borrowed for the call. False ends the batch: what is under
     * way is dropped. */
    bool (*done)(void *context, size_t tag, const struct cv_http_answer *a);
    void *context;
    size_t parallel; /* 1 to 100 */
};

/* Runs until `next` has no more and all is answered. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_http_run(struct cv_http *http,
                                       const struct cv_http_batch *batch,
                                       struct cv_err *err);

/* Wipes what the last answer left. */
void cv_http_forget(struct cv_http *http);

#endif
