/* What the cloud says when it says no.
 *
 * Reads the bodies of CCE (as documented, as seen live, older), of the gateway,
 * of IAM, and of proxies: one code, a second one where there are two families,
 * a message. Codes that are numbers are written in decimal; without one the
 * HTTP status stands in; without a message the first 512 bytes of the body do,
 * but those are for tests and never reach an error text.
 *
 * Messages are made fit to be shown: control characters go, secrets that were
 * sent are masked where the server repeats them, so is everything that looks
 * like a key or a token, and the canonical request that the gateway echoes is
 * cut off. */
#ifndef CERTVAULT_FETCH_API_ERROR_H
#define CERTVAULT_FETCH_API_ERROR_H

#include "vault/fetch/http_answer.h"

#define CV_API_ERROR_CODE_LEN 64
#define CV_API_ERROR_MESSAGE_LEN 513

struct cv_api_error {
    long status;                          /* HTTP */
    char code[CV_API_ERROR_CODE_LEN];     /* "CCE.01400001", "401" */
    char alt_code[CV_API_ERROR_CODE_LEN]; /* "CCE_CM.0004" or "" */
    char message[CV_API_ERROR_MESSAGE_LEN];
    bool from_body; /* the message is the raw body */
    char request_id[CV_ERR_ID_LEN];
    double retry_after_s;  /* < 0: not said */
    int64_t server_time_s; /* its Date; -1: not said */
};

/* Secrets that the request held; NULL texts are passed over. */
struct cv_api_error_masks {
    const char *text[8];
    size_t n;
};

/* Reads an answer of status >= 400. Never fails: what cannot be read leaves
 * the HTTP status as code. `now_s` is for Retry-After. */
void cv_api_error_read(const struct cv_http_answer *a,
                       const struct cv_api_error_masks *masks, int64_t now_s,
                       struct cv_api_error *out);

/* Does it say that a token has expired or is of another region, so that a new
 * one may help? */
bool cv_api_error_wants_token(const struct cv_api_error *e);

/* Who asked for what, for the words of the error. */
struct cv_api_error_about {
    const char *what;       /* "the list of clusters" */
    const char *host;       /* asked */
    const char *permission; /* IAM action that 403 would mean; NULL: none */
    bool keys;              /* AK/SK, not a token */
    int64_t now_s;          /* our clock when the answer came */
};

/* Makes it an error: CV_BUSY where throttled (429), else CV_REMOTE, with the
 * request id, Retry-After and a hint. Returns the status. */
enum cv_status cv_api_error_fail(const struct cv_api_error *e,
                                 const struct cv_api_error_about *about,
                                 struct cv_err *err);

/* The request id that an answer names (header X-Request-Id): "" where none, or
 * where it repeats a secret. */
void cv_api_error_request_id(const struct cv_http_answer *a,
                             const struct cv_api_error_masks *masks,
                             char out[CV_ERR_ID_LEN]);

#endif
