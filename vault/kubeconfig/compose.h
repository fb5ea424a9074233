/* A client identity whose key is elsewhere: put together from its certificate
 * and from what is said of the cluster. No key is read. */
#ifndef CERTVAULT_KUBECONFIG_COMPOSE_H
#define CERTVAULT_KUBECONFIG_COMPOSE_H

#include "vault/kubeconfig/identity.h"

/* What there is; texts are borrowed. */
struct cv_compose_parts {
    struct cv_bytes certificate; /* PEM, leaf first */
    struct cv_bytes clusters;    /* a kubeconfig; len 0: `server` and `ca` */
    const char *server;          /* https://... */
    struct cv_bytes ca;          /* PEM; len 0: the server is not verified */
    int64_t now_s;
};

/* Reads the certificate by certificate.h's rules for a client, the contexts of
 * the kubeconfig (all of them, whoever their user is: users are passed over and
 * nothing of theirs is kept; a file without contexts gives its clusters) by
 * kubeconfig.h's. All of them must verify their servers by the same CA, or by
 * none. CV_INVALID, CV_EXPIRED; what lives in *out is in `arena`; its key has
 * no private part. */
CV_MUST_USE enum cv_status
cv_compose_identity(struct cv_arena *arena,
                    const struct cv_compose_parts *parts,
                    struct cv_identity *out, struct cv_err *err);

#endif
