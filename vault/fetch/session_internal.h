/* What a session is made of, for the files that carry it out: session.c opens
 * and prepares it, call.c makes one call, session_many.c many, iam.c and
 * metadata.c get what calls carry. */
#ifndef CERTVAULT_FETCH_SESSION_INTERNAL_H
#define CERTVAULT_FETCH_SESSION_INTERNAL_H

#include "vault/fetch/retry.h"
#include "vault/fetch/session.h"

#define SESSION_SERVICES 2
#define SESSION_RENEW_S 2400 /* temporary keys with less left are renewed */
#define SESSION_HEADERS 8    /* that one request carries, at most */

/* What requests carry now. Texts are in the session's arena. */
struct session_auth {
    const char *token;
    const char *ak;
    const char *sk;
    const char *security_token;
    int64_t expires_s; /* of temporary keys; 0: not known */
};

struct session_service {
    struct cv_region_ends ends;
    struct cv_http *http[CV_REGION_ENDS];
    size_t at; /* the end in use */
    bool found;
};

struct cv_session {
    struct cv_arena *arena;
    cJSON *tree; /* the Cloud, a copy */
    uint8_t key[32];
    struct cv_cloud cloud;
    struct cv_credentials credentials;
    struct session_auth auth;
    const char *region;
    char guessed_region[65];
    const char *project_id;
    struct session_service service[SESSION_SERVICES];
    struct cv_http *metadata_http;
    const char *metadata_token;
    int64_t metadata_renew_s; /* when that token is to be renewed */
    struct cv_signing signing;
    struct cv_session_hooks hooks;
    int64_t begun_ms;
    int64_t skew_s;
};

/* ---- session_clock.c: the hooks, or what is real ---- */

int64_t cv_session_clock_now_s(const struct cv_session *s);
int64_t cv_session_clock_now_ms(const struct cv_session *s);
/* False where the caller hung up meanwhile. */
bool cv_session_clock_wait(const struct cv_session *s, int64_t ms);
uint32_t cv_session_clock_chance(const struct cv_session *s);
/* What is left of the command's time, ms; may be negative. */
int64_t cv_session_clock_left_ms(const struct cv_session *s);

/* ---- session.c ---- */

/* Finds the endpoints of a service, once. */
CV_MUST_USE enum cv_status cv_session_ends(struct cv_session *s,
                                           enum cv_region_service service,
                                           struct cv_err *err);

/* The client of the service's end in use. */
CV_MUST_USE enum cv_status cv_session_http(struct cv_session *s,
                                           enum cv_region_service service,
                                           struct cv_http **out,
                                           struct cv_err *err);

/* Makes ready what `call` needs: credentials, and the project where named. */
CV_MUST_USE enum cv_status
cv_session_prepare(struct cv_session *s, const struct cv_session_call *call,
                   struct cv_err *err);

/* ---- call.c ---- */

struct call {
    const struct cv_session_call *is;
    bool open;                    /* carries neither token nor signature */
    struct cv_signing_pair extra; /* one header more; name NULL: none */
};

/* A request and the room that its texts need. They last until the session's
 * next build. */
struct call_request {
    struct cv_http_request http;
    struct cv_signing_pair headers[SESSION_HEADERS];
    char date[CV_SIGNING_DATE_LEN];
};

/* Builds the request for the service's end in use. CV_INVALID and as
 * cv_arena_alloc. */
CV_MUST_USE enum cv_status cv_call_build(struct cv_session *s,
                                         const struct call *c, const char *path,
                                         struct call_request *out,
                                         struct cv_err *err);

/* What the retry rules are to know of an answer. */
enum cv_retry_end cv_call_end(const struct cv_http_answer *a);
double cv_call_retry_after(struct cv_session *s,
                           const struct cv_http_answer *a);

/* Judges an answer: CV_OK with *out, or the error. *stale (NULL is fine): a new
 * token may help. */
CV_MUST_USE enum cv_status cv_call_check(struct cv_session *s,
                                         const struct call *c,
                                         const struct cv_http_answer *a,
                                         struct cv_session_answer *out,
                                         bool *stale, struct cv_err *err);

/* Sends, repeats, judges. */
CV_MUST_USE enum cv_status cv_call_run(struct cv_session *s,
                                       const struct call *c,
                                       struct cv_session_answer *out,
                                       bool *stale, struct cv_err *err);

/* ---- iam.c ---- */

/* Gets a token for the IAM user, into s->auth; learns the project's id. */
CV_MUST_USE enum cv_status cv_iam_user_token(struct cv_session *s,
                                             struct cv_err *err);

/* Turns the id token into temporary keys, into s->auth. */
CV_MUST_USE enum cv_status cv_iam_id_token_keys(struct cv_session *s,
                                                struct cv_err *err);

/* Looks the region's project up, into s->project_id. */
CV_MUST_USE enum cv_status cv_iam_project(struct cv_session *s,
                                          struct cv_err *err);

/* Reads {"credential": {access, secret, securitytoken, expires_at}} into
 * s->auth; the texts are copied. CV_REMOTE. `who` names the source. */
CV_MUST_USE enum cv_status cv_iam_take_keys(struct cv_session *s,
                                            const cJSON *tree, const char *who,
                                            struct cv_err *err);

/* ---- metadata.c ---- */

/* Gets the instance's temporary keys, into s->auth. CV_REMOTE. */
CV_MUST_USE enum cv_status cv_metadata_keys(struct cv_session *s,
                                            struct cv_err *err);

#endif
