/* How a request ended, and what its answer says.
 *
 * An answer's bytes are borrowed from the client that received them, until its
 * next request. */
#ifndef CERTVAULT_FETCH_HTTP_ANSWER_H
#define CERTVAULT_FETCH_HTTP_ANSWER_H

#include "vault/base/arena.h"
#include "vault/fetch/origin.h"

enum cv_http_answer_end {
    CV_HTTP_ANSWERED,   /* a whole answer, whatever its status */
    CV_HTTP_UNRESOLVED, /* the name has no address */
    CV_HTTP_UNREACHED,  /* refused, or reset before an answer */
    CV_HTTP_TIMED_OUT,  /* no answer began in time */
    CV_HTTP_CUT,        /* an answer began and did not end well, or in time */
    CV_HTTP_UNTRUSTED,  /* TLS: the server is not who it should be */
    CV_HTTP_BLOCKED,    /* the name leads to an address out of reach */
    CV_HTTP_REFUSED,    /* the answer broke a rule: see `why` */
    CV_HTTP_ALONE,      /* whoever asked has hung up */
    CV_HTTP_LOCAL       /* memory */
};

struct cv_http_answer {
    enum cv_http_answer_end end;
    long status;           /* 200; of CV_HTTP_ANSWERED alone */
    struct cv_bytes head;  /* header lines, each with its line end */
    struct cv_bytes body;  /* with a NUL behind it */
    bool delimited;        /* its length was told: it is whole */
    int curl;              /* CURLcode */
    long verify;           /* X509_V_ERR_...; 0: none */
    const char *why;       /* a literal; NULL: none */
    enum cv_status memory; /* of CV_HTTP_LOCAL */
};

/* Finds the first header `name` (any case), without blanks around its value:
 * borrowed, no NUL behind it. False where there is none. */
bool cv_http_answer_header(const struct cv_http_answer *a, const char *name,
                           struct cv_bytes *out);

/* Copies that value. False (and "") where there is none, or it does not fit. */
bool cv_http_answer_header_text(const struct cv_http_answer *a,
                                const char *name, char *out, size_t out_len);

/* Is the answer's Content-Type application/json, whatever its parameters? */
bool cv_http_answer_is_json(const struct cv_http_answer *a);

/* The error of a request that ended without an answer: CV_REMOTE,
 * CV_UNAVAILABLE where nobody waits for it any more, or what memory failed
 * with. Returns its status. */
enum cv_status cv_http_answer_fail(const struct cv_http_answer *a,
                                   const struct cv_origin *origin,
                                   struct cv_err *err);

#endif
