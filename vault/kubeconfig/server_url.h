/* The address of an API server, as a kubeconfig or a user names it.
 *
 * https://HOST[:PORT][/PATH], nothing else: no user information, query,
 * fragment, percent escapes, dot segments. HOST is a DNS name (ASCII; labels
 * that stand for other scripts, xn--, are refused, since they can be made to
 * look like others), an IPv4 address in four decimal parts, or [IPv6] without a
 * zone; at most CV_LIMIT_HOST bytes; not link-local (169.254.0.0/16,
 * fe80::/10: a cloud's metadata service is there). PORT is 1 to 65535, 443
 * unless given. */
#ifndef CERTVAULT_KUBECONFIG_SERVER_URL_H
#define CERTVAULT_KUBECONFIG_SERVER_URL_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

struct cv_server_url {
    char host[CV_LIMIT_HOST + 1]; /* without brackets */
    int port;
};

/* CV_INVALID where `url` is not as above; the text names the fault, never the
 * address. `out` may be NULL. */
CV_MUST_USE enum cv_status cv_server_url_parse(const char *url,
                                               struct cv_server_url *out,
                                               struct cv_err *err);

/* A name for TLS (tls-server-name): a DNS name or an address, as HOST above
 * (link-local ones too). CV_INVALID. */
CV_MUST_USE enum cv_status cv_server_url_check_name(const char *name,
                                                    struct cv_err *err);

#endif
