/* What a key looks like in a certificate and in PKCS#8, taken apart: the
 * numbers are borrowed from the DER. RFC 5280 4.1 (certificate), RFC 5208
 * (PKCS#8: version 0, without attributes, as keys are sealed), RFC 8017 A.1
 * (RSA), RFC 5480 and 5915 (EC), RFC 8410 (Ed25519). */
#ifndef CERTVAULT_SEAL_KEYFORM_INTERNAL_H
#define CERTVAULT_SEAL_KEYFORM_INTERNAL_H

#include "vault/base/arena.h"

enum keyform_type {
    KEYFORM_RSA,
    KEYFORM_P256,
    KEYFORM_P384,
    KEYFORM_P521,
    KEYFORM_ED25519
};

struct keyform_public {
    enum keyform_type type;
    struct cv_bytes n, e;  /* RSA */
    struct cv_bytes point; /* EC: an encoded point; Ed25519: 32 bytes */
};

enum keyform_rsa {
    KEYFORM_N,
    KEYFORM_E,
    KEYFORM_D,
    KEYFORM_P,
    KEYFORM_Q,
    KEYFORM_DP,
    KEYFORM_DQ,
    KEYFORM_QINV,
    KEYFORM_RSA_NUMBERS
};

struct keyform_private {
    enum keyform_type type;
    struct cv_bytes rsa[KEYFORM_RSA_NUMBERS];
    struct cv_bytes secret; /* EC: the scalar; Ed25519: the 32-byte seed */
    struct cv_bytes point;  /* EC: may be left out (empty) */
};

/* The DER SubjectPublicKeyInfo of a DER certificate, tag and length
 * included. */
bool cv_keyform_spki(struct cv_bytes certificate, struct cv_bytes *spki);

/* False: malformed, or an algorithm or curve that is not in the list. */
bool cv_keyform_public(struct cv_bytes spki, struct keyform_public *out);
bool cv_keyform_private(struct cv_bytes pkcs8, struct keyform_private *out);

#endif
