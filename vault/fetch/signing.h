/* Request signatures of Huawei Cloud and the clouds built on it.
 *
 * SDK-HMAC-SHA256, and V11-HMAC-SHA256 with a key derived for one region and
 * service (the vendor's "API request signing guide", as its SDKs carry it out).
 * What is signed is what is sent: cv_signing_make also gives the target (path
 * and query) in its one spelling, which goes on the wire as it is.
 *
 * Life: cv_signing_init once, cv_signing_make any number of times (each forgets
 * the one before), the memory ends with the arena. Nothing here blocks.
 *
 * Threads: one object, one thread. */
#ifndef CERTVAULT_FETCH_SIGNING_H
#define CERTVAULT_FETCH_SIGNING_H

#include "vault/base/buf.h"

#define CV_SIGNING_HEX_LEN 65  /* SHA-256 in hex and its NUL */
#define CV_SIGNING_DATE_LEN 17 /* 20261122T040506Z and its NUL */

/* A header, or a decoded query pair. */
struct cv_signing_pair {
    const char *name;
    const char *value;
};

struct cv_signing_request {
    const char *method; /* "GET", in upper case */
    const char *host;   /* as on the wire: with the port where it is not 443 */
    const char *path;   /* decoded; begins with '/', "" counts as "/" */
    const struct cv_signing_pair *query; /* decoded, in any order */
    size_t n_query;
    /* to be signed besides host and x-sdk-date */
    const struct cv_signing_pair *headers;
    size_t n_headers;
    struct cv_bytes body; /* exactly as sent; empty: none */
    const char *ak;
    const char *sk;
    const char *date;    /* X-Sdk-Date, UTC: "20261122T040506Z" */
    const char *region;  /* with service: the derived form; else both NULL */
    const char *service; /* "cce", "iam" */
};

/* What was made. The texts are borrowed until the next make. */
struct cv_signing {
    struct cv_buf uri;            /* CanonicalURI */
    struct cv_buf query;          /* CanonicalQuery */
    struct cv_buf target;         /* what follows the host in the URL */
    struct cv_buf signed_headers; /* "host;x-sdk-date" */
    struct cv_buf canonical;      /* CanonicalRequest */
    struct cv_buf to_sign;        /* StringToSign */
    struct cv_buf authorization;  /* the value of Authorization */
    char payload_hash[CV_SIGNING_HEX_LEN];
    char canonical_hash[CV_SIGNING_HEX_LEN];
    char signature[CV_SIGNING_HEX_LEN];
    char derived_key[CV_SIGNING_HEX_LEN]; /* secret; "" if not derived */
    char info[96];                        /* "20261122/region/service" or "" */
};

/* An empty object whose texts live in `arena` (they may name a security
 * token). */
void cv_signing_init(struct cv_signing *s, struct cv_arena *arena);

/* Encodes the target alone, for a request that is not signed. CV_INVALID: a
 * path or query beyond the limits. */
CV_MUST_USE enum cv_status cv_signing_target(struct cv_signing *s,
                                             const struct cv_signing_request *r,
                                             struct cv_err *err);

/* Signs. CV_INVALID: more than 32 query pairs or headers, a value that holds a
 * control character, a text beyond the limits, an empty key. */
CV_MUST_USE enum cv_status cv_signing_make(struct cv_signing *s,
                                           const struct cv_signing_request *r,
                                           struct cv_err *err);

/* Forgets everything that was made, the derived key first. */
void cv_signing_wipe(struct cv_signing *s);

/* `t_s` as X-Sdk-Date. Returns `out`. */
const char *cv_signing_date(int64_t t_s, char out[CV_SIGNING_DATE_LEN]);

/* Is this one of the vendor's own hosts, for which the derived form is never
 * used? */
bool cv_signing_default_host(const char *host);

#endif
