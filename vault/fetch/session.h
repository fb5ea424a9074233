/* One cloud, asked as one caller.
 *
 * A session holds what a Cloud (cloud.h) said, the endpoints that follow from
 * it, and what was learnt on the way: a token, temporary keys, the project's
 * id, open connections. It lives in the intake process alone, for as long as
 * one command needs it; every secret of it is in its arena and wiped with it.
 *
 * A call: credentials are made ready (an IAM user's token, an instance's keys,
 * the project's id), the request is signed or carries the token, it is sent,
 * repeated by the rules of retry.h, and its answer is checked: the status that
 * the call expects, JSON where a body is due. All calls of a session together
 * take at most CV_LIMIT_RETRY_TOTAL_S from the last cv_session_begin.
 *
 * Blocking; one thread. */
#ifndef CERTVAULT_FETCH_SESSION_H
#define CERTVAULT_FETCH_SESSION_H

#include "vault/fetch/api_error.h"
#include "vault/fetch/credentials.h"
#include "vault/fetch/http.h"
#include "vault/fetch/region.h"

struct cv_session;

/* Where time, chance, waiting and the network come from; a member that is NULL
 * is the real one. For tests, but for `watch`. */
struct cv_session_hooks {
    int64_t (*now_s)(void *context);  /* since 1970 */
    int64_t (*now_ms)(void *context); /* runs forward only */
    void (*wait)(void *context, int64_t ms);
    uint32_t (*chance)(void *context);
    void (*send)(void *context, const struct cv_origin *origin,
                 const struct cv_http_request *request,
                 struct cv_http_answer *out);
    void *context;
    const char *metadata_url; /* instead of http://169.254.169.254 */
    int watch; /* the caller's socket: when it hangs up all ends; 0: none */
};

/* Reads `cloud` (type Cloud) and finds credentials and the CCE endpoint in it;
 * nothing is sent yet. The message may go away afterwards. `hooks` may be NULL,
 * is copied. CV_USAGE, CV_INVALID as cloud.h, credentials.h and region.h; else
 * as cv_arena_alloc. */
CV_MUST_USE enum cv_status cv_session_open(const cJSON *cloud,
                                           const struct cv_session_hooks *hooks,
                                           struct cv_session **out,
                                           struct cv_err *err);

/* Wipes; NULL is fine. */
void cv_session_free(struct cv_session *s);

/* Was it opened for exactly this Cloud? */
bool cv_session_is_for(const struct cv_session *s, const cJSON *cloud);

/* A new command begins: its time starts now. */
void cv_session_begin(struct cv_session *s);

/* What was asked for, borrowed. */
const struct cv_cloud *cv_session_cloud(const struct cv_session *s);

/* The region; NULL where none was named and the endpoint does not tell it. */
const char *cv_session_region(const struct cv_session *s);

/* The project's id; asks IAM where it is not known yet. *out is borrowed. As
 * cv_session_send; CV_USAGE where no region is known to look it up by, or it
 * has several projects; CV_REMOTE where it has none. */
CV_MUST_USE enum cv_status
cv_session_project(struct cv_session *s, const char **out, struct cv_err *err);

/* The project that the Cloud names (typed, profile, environment); NULL: none,
 * IAM would be asked. */
const char *cv_session_named_project(const struct cv_session *s);

/* The first endpoint of a service; NULL where none is known. */
const struct cv_origin *cv_session_origin(struct cv_session *s,
                                          enum cv_region_service service);

/* All its endpoints, in the order in which they are tried, parted by commas;
 * "" where none is known. False: `out` is full. */
bool cv_session_endpoints(struct cv_session *s, enum cv_region_service service,
                          struct cv_buf *out);

/* How far the server's clock is ahead of ours, seconds, by its last Date; 0
 * where not known. */
int64_t cv_session_skew_s(const struct cv_session *s);

/* The session's own wall clock (that of its hooks). */
int64_t cv_session_now_s(const struct cv_session *s);

/* One call. Texts are borrowed for the call. */
struct cv_session_call {
    enum cv_region_service service;
    const char *method;
    const char *path; /* decoded */
    const struct cv_signing_pair *query;
    size_t n_query;
    struct cv_bytes body;   /* JSON; empty: none */
    long status;            /* the one that is success */
    bool empty;             /* success has no body that is read */
    bool large;             /* no secret, up to CV_LIMIT_HTTP_LIST */
    bool project;           /* name the project (X-Project-Id) */
    const char *what;       /* "the list of clusters", for errors */
    const char *permission; /* IAM action it needs; NULL: not known */
};

/* Its answer; borrowed until the session's next call. */
struct cv_session_answer {
    struct cv_bytes body; /* not empty, Content-Type JSON (unless `empty`) */
    bool delimited;       /* its length was told: it is whole */
    struct cv_http_answer http;
    char request_id[CV_ERR_ID_LEN];
};

/* Makes the call. CV_REMOTE: not reached, not trusted, refused, an answer that
 * is none; CV_BUSY: throttled to the end; CV_USAGE: what is needed was not
 * given (a region, an IAM endpoint); CV_UNAVAILABLE, CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_session_send(struct cv_session *s,
                                           const struct cv_session_call *call,
                                           struct cv_session_answer *out,
                                           struct cv_err *err);

/* The same call for many paths, at most `parallel` at a time. `path` gives the
 * `i`th path (it lasts until the next); `done` takes each result once: on CV_OK
 * `answer` (borrowed for the call), else `err`. What is repeated is repeated by
 * the same rules, path by path; after 429 all wait. */
struct cv_session_many {
    const struct cv_session_call *call; /* its path is not used */
    size_t n;
    size_t parallel; /* 1 to 100 */
    const char *(*path)(void *context, size_t i);
    void (*done)(void *context, size_t i, enum cv_status status,
                 const struct cv_session_answer *answer,
                 const struct cv_err *err);
    void *context;
};

/* CV_OK when each was answered, one way or another. Else as cv_session_send,
 * before the first was sent. */
CV_MUST_USE enum cv_status
cv_session_many_send(struct cv_session *s, const struct cv_session_many *many,
                     struct cv_err *err);

/* Wipes what the last call's answer left behind. */
void cv_session_forget(struct cv_session *s);

/* Parses an answer's body into `arena`. CV_INVALID where it is no strict JSON;
 * CV_REMOTE where it may have been cut. */
CV_MUST_USE enum cv_status
cv_session_parse(const struct cv_session_answer *answer, const char *what,
                 struct cv_arena *arena, cJSON **out, struct cv_err *err);

#endif
