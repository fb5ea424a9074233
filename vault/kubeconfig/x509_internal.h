/* What is shown of a certificate: names, groups, serial number as text. */
#ifndef CERTVAULT_KUBECONFIG_X509_INTERNAL_H
#define CERTVAULT_KUBECONFIG_X509_INTERNAL_H

#include "vault/kubeconfig/certificate.h"

#include <openssl/x509.h>

/* As RFC 2253 writes it, ASCII alone, cut after CV_CERTIFICATE_NAME_MAX. */
CV_MUST_USE enum cv_status cv_x509_name(struct cv_arena *arena,
                                        const X509_NAME *name, const char **out,
                                        struct cv_err *err);

/* Upper-case hex. */
CV_MUST_USE enum cv_status cv_x509_serial(struct cv_arena *arena,
                                          const ASN1_INTEGER *serial,
                                          const char **out, struct cv_err *err);

/* Fills `groups`, `n_groups` and `masters` from the subject's O values.
 * CV_INVALID where there are more than CV_CERTIFICATE_GROUPS_MAX. */
CV_MUST_USE enum cv_status cv_x509_groups(struct cv_arena *arena,
                                          const X509_NAME *subject,
                                          struct cv_certificate *out,
                                          struct cv_err *err);

#endif
