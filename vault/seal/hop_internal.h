/* How the hop's certificates are made: hop_cert.c, for hop.c. */
#ifndef CERTVAULT_SEAL_HOP_INTERNAL_H
#define CERTVAULT_SEAL_HOP_INTERNAL_H

#include "vault/base/buf.h"

#include <openssl/x509.h>

#define HOP_BACKDATE_S 3600

/* An extension as libcrypto's configuration writes it (x509v3_config(5)). */
struct hop_extension {
    int nid; /* NID_undef ends a list */
    const char *value;
};

extern const struct hop_extension cv_hop_cert_server_ca[],
    cv_hop_cert_client_ca[], cv_hop_cert_server[], cv_hop_cert_client[];

struct hop_spec {
    const char *cn;
    const char *description; /* NULL: none */
    const char *uri;         /* a SAN beside the list's; NULL: none */
    int64_t from_s, until_s;
    const struct hop_extension *extensions;
};

/* A new EC key on P-256. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_hop_cert_key(EVP_PKEY **out, struct cv_err *err);

/* Appends the PEM of a certificate over `key`, signed by `issuer_key`; `issuer`
 * NULL: it is its own. CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_hop_cert_make(const struct hop_spec *spec, EVP_PKEY *key, X509 *issuer,
                 EVP_PKEY *issuer_key, struct cv_buf *out, struct cv_err *err);

/* Its notAfter, seconds since 1970. */
bool cv_hop_cert_end(const X509 *x, int64_t *out_s);

#endif
