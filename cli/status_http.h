/* One HTTP request for the status, and its answer.
 *
 * The broker parses no HTTP: a socket unit starts `certvault status --http` for
 * each connection, which reads one request of a form that is known to the byte
 * and answers it. Anything else is refused. */
#ifndef CERTVAULT_CLI_STATUS_HTTP_H
#define CERTVAULT_CLI_STATUS_HTTP_H

#include "vault/base/buf.h"

/* Bytes of a request's head; what is longer is refused. */
#define CV_STATUS_HTTP_HEAD ((size_t)8192)

enum cv_status_http_what { CV_STATUS_HTTP_METRICS, CV_STATUS_HTTP_STATUS };

struct cv_status_http {
    int code; /* 200: it can be answered; 0: its end is not there yet; else what
                 it is refused with: 400, 404, 405, 414, 417, 431, 505 */
    enum cv_status_http_what what;
    bool head; /* HEAD: an answer without its body */
};

/* Reads the head of a request (RFC 9112; GET and HEAD of /metrics and /status,
 * without a body, a query or a folded line). `head` may hold more behind it,
 * which is left alone. */
void cv_status_http_parse(struct cv_bytes head, struct cv_status_http *out);

/* Reads such a request from `fd` for at most `limit_ms`; out->code is never 0:
 * 408 is for whoever is too slow. False: it hung up before it said anything. */
bool cv_status_http_read(int fd, int limit_ms, struct cv_status_http *out);

/* Makes the answer in `out`: the head, and `body` unless it is a HEAD; refusals
 * (any code but 200) say their own words, and `body` is not looked at. */
void cv_status_http_answer(const struct cv_status_http *request,
                           struct cv_bytes body, struct cv_buf *out);

#endif
