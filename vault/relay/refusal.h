/* What the relay answers itself: a Status of Kubernetes' API (meta/v1), which
 * kubectl shows as "Error from server (Forbidden): ...". */
#ifndef CERTVAULT_RELAY_REFUSAL_H
#define CERTVAULT_RELAY_REFUSAL_H

#include "vault/base/buf.h"

/* The HTTP status for an error: 403 CV_DENIED; 400 CV_INVALID, CV_USAGE; 401
 * CV_AUTH, CV_EXPIRED; 404 CV_NOT_FOUND; 429 CV_BUSY; 502 CV_REMOTE,
 * CV_INTEGRITY; 503 everything else. */
int cv_refusal_code(enum cv_status status);

/* The Status' reason, a literal: "Forbidden" for 403; "" for a code that the
 * relay does not answer with. */
const char *cv_refusal_reason(int code);

/* Appends the JSON body: `message` and, where not NULL or "", "; " and the
 * hint, cut to what a terminal takes, cleaned of what must not reach one. */
void cv_refusal_body(int code, const char *message, const char *hint,
                     struct cv_buf *out);

/* Appends a whole HTTP/1.1 answer with that body: head, Content-Type
 * application/json, Content-Length, Cache-Control no-store, Audit-ID where
 * `audit_id` is not NULL; with `close` also "Connection: close". `head`: no
 * body is sent (the request was HEAD). */
void cv_refusal_http1(int code, const char *message, const char *hint,
                      const char *audit_id, bool head, bool close,
                      struct cv_buf *out);

#endif
