/* Elliptic curves: the public half of a private key. */
#ifndef CERTVAULT_KUBECONFIG_EC_INTERNAL_H
#define CERTVAULT_KUBECONFIG_EC_INTERNAL_H

#include "vault/base/arena.h"

#define CV_EC_POINT_MAX 133 /* 4, x, y of P-521 */
#define CV_EC_SCALAR_MAX 66

/* A named curve that is taken. */
struct cv_ec_curve {
    struct cv_bytes oid; /* the content of the OBJECT IDENTIFIER */
    int nid;
    int bits;
    size_t scalar_len; /* bytes of d, x and y */
};

/* The curve of an OBJECT IDENTIFIER's content; NULL where it is not taken. */
const struct cv_ec_curve *cv_ec_find(struct cv_bytes oid);

/* Writes 4, x, y of d G (1 + 2 * scalar_len bytes) to `point`. `scalar` is d,
 * highest byte first. CV_INVALID where d is not in 1..n-1. */
CV_MUST_USE enum cv_status cv_ec_public(const struct cv_ec_curve *curve,
                                        struct cv_bytes scalar,
                                        uint8_t point[CV_EC_POINT_MAX],
                                        struct cv_err *err);

/* Ed25519 (RFC 8032): the public key of a 32-byte seed. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_ec_public_ed25519(const uint8_t seed[32],
                                                uint8_t out[32],
                                                struct cv_err *err);

#endif
