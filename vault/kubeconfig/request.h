/* Certificate requests (PKCS#10, RFC 2986) for keys that are elsewhere: what is
 * to be signed, and the request once it is. */
#ifndef CERTVAULT_KUBECONFIG_REQUEST_H
#define CERTVAULT_KUBECONFIG_REQUEST_H

#include "vault/base/buf.h"

#define CV_REQUEST_SUBJECT_MAX 1024

/* Is `subject` one that cv_request_info takes? CV_INVALID. */
CV_MUST_USE enum cv_status cv_request_check(const char *subject,
                                            struct cv_err *err);

/* Appends the DER CertificationRequestInfo for the key `spki` (DER) and the
 * subject "CN=alice,O=team,O=other" (CN, O, OU, C, ST, L, DC, UID; `\` takes
 * the meaning of `,`, `=` and `\`; UTF-8). No attributes. CV_INVALID: no
 * subject, or no key. */
CV_MUST_USE enum cv_status cv_request_info(const char *subject,
                                           struct cv_bytes spki,
                                           struct cv_buf *out,
                                           struct cv_err *err);

/* Appends the request in PEM: `info` as it was made, signed by `algorithm`
 * (TLS's name: rsa_pkcs1_sha256, ecdsa_secp256r1_sha256,
 * ecdsa_secp384r1_sha384, ed25519). CV_INTEGRITY: the signature does not
 * verify. CV_INVALID. */
CV_MUST_USE enum cv_status cv_request_finish(struct cv_bytes info,
                                             const char *algorithm,
                                             struct cv_bytes signature,
                                             struct cv_buf *out,
                                             struct cv_err *err);

#endif
