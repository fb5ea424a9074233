/* Where a request may go: one scheme, host and port.
 *
 * Credentials belong to one origin. An origin is read strictly from what was
 * typed or configured ("https://host[:port]", or "host[:port]"): no user, no
 * path, no query, no odd characters; and each socket that is opened for it is
 * checked against what its reach allows. */
#ifndef CERTVAULT_FETCH_ORIGIN_H
#define CERTVAULT_FETCH_ORIGIN_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

#include <stdbool.h>
#include <sys/socket.h>

#define CV_ORIGIN_TEXT_LEN (CV_LIMIT_HOST + 24)

/* Which addresses the host may turn out to have. */
enum cv_origin_reach {
    /* a name out of a table: no loopback, link-local, unspecified, multicast
       or metadata address, whatever the name server says */
    CV_ORIGIN_TABLE,
    /* typed by the caller: any, but no metadata address */
    CV_ORIGIN_TYPED,
    /* the instance metadata service */
    CV_ORIGIN_METADATA,
    /* named by the configuration with http: no secret goes there; any address
       but a metadata one */
    CV_ORIGIN_PLAIN
};

struct cv_origin {
    char url[CV_ORIGIN_TEXT_LEN];  /* "https://host:port", lower case */
    char host[CV_ORIGIN_TEXT_LEN]; /* the Host header: port unless default */
    char name[CV_LIMIT_HOST + 1];  /* the host alone, without brackets */
    unsigned port;
    enum cv_origin_reach reach;
};

/* Reads an endpoint. `what` names it ("--endpoint"). Only https, but http for
 * CV_ORIGIN_METADATA and CV_ORIGIN_PLAIN. CV_USAGE when it is not one. */
CV_MUST_USE enum cv_status
cv_origin_parse(const char *text, enum cv_origin_reach reach, const char *what,
                struct cv_origin *out, struct cv_err *err);

/* Is its host an address, not a name? */
bool cv_origin_is_address(const struct cv_origin *origin);

/* May a socket for this reach be connected to `address`? */
bool cv_origin_allows(enum cv_origin_reach reach,
                      const struct sockaddr *address);

#endif
