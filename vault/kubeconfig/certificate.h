/* X.509 certificates (RFC 5280): strict reading, what is shown of them, and the
 * rules for a client certificate.
 *
 * Every certificate, also of a CA, must be strict DER from end to end: definite
 * minimal lengths, minimal integers, nothing behind it, and its serial number
 * neither negative nor longer than 20 bytes; a key on explicit curve parameters
 * is refused. Names are shown as RFC 2253 writes them, everything that is not
 * printable ASCII escaped (\XX), cut after CV_CERTIFICATE_NAME_MAX bytes. */
#ifndef CERTVAULT_KUBECONFIG_CERTIFICATE_H
#define CERTVAULT_KUBECONFIG_CERTIFICATE_H

#include "vault/base/arena.h"

#include <stdbool.h>

#define CV_CERTIFICATE_NAME_MAX 1024
#define CV_CERTIFICATE_GROUPS_MAX 64

/* What is told of a leaf. Texts live in the arena it was read with. */
struct cv_certificate {
    struct cv_bytes der;
    struct cv_bytes spki; /* DER SubjectPublicKeyInfo, inside `der` */
    const char *subject;  /* "CN=...,O=system:masters" */
    const char *issuer;
    const char *serial;   /* upper-case hex, as openssl prints it */
    int64_t not_before_s; /* seconds since 1970 */
    int64_t not_after_s;
    const char *const *groups; /* the O values, in order; escaped as `subject`
                                  where one is not printable UTF-8 */
    size_t n_groups;
    bool masters;      /* one O is exactly system:masters */
    const char *fault; /* why it cannot be a client's, a literal that goes on
                          from "the certificate "; NULL where it can */
};

/* A list of certificates as PEM gives them. */
struct cv_certificate_list {
    const struct cv_bytes *der; /* in the arena */
    size_t n;
    const char *pem; /* written anew: blocks alone, 64 columns */
};

/* How far ahead of `now` a certificate may begin: clocks differ, and the
 * cloud's gateway itself takes requests that are 15 minutes off. */
#define CV_CERTIFICATE_SKEW_S 900

/* Reads 1 to `max` blocks CERTIFICATE from `pem`; text around the blocks is
 * passed over, other blocks are refused, each certificate must be strict. With
 * `leaf` (it may be NULL) the first one is told as cv_certificate_read does.
 * CV_INVALID. */
CV_MUST_USE enum cv_status
cv_certificate_list_read(struct cv_arena *arena, struct cv_bytes pem,
                         size_t max, struct cv_certificate *leaf,
                         struct cv_certificate_list *out, struct cv_err *err);

/* Reads the facts of one strict certificate (of any kind). CV_INVALID. */
CV_MUST_USE enum cv_status cv_certificate_read(struct cv_arena *arena,
                                               struct cv_bytes der,
                                               struct cv_certificate *out,
                                               struct cv_err *err);

/* May this certificate serve a client at `now_s`? CV_EXPIRED after notAfter.
 * CV_INVALID before notBefore (less CV_CERTIFICATE_SKEW_S), with notBefore
 * behind notAfter, for a CA's certificate, an extended key usage without client
 * authentication, an extension twice, one that cannot be read, or a critical
 * one that is not known. */
CV_MUST_USE enum cv_status
cv_certificate_check_client(const struct cv_certificate *certificate,
                            int64_t now_s, struct cv_err *err);

/* The CA set of an entry: SHA-256 over the sorted SHA-256 digests of the
 * certificates, each once; of nothing for none. CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_certificate_set(const struct cv_certificate_list *list, uint8_t out[32],
                   struct cv_err *err);

#endif
