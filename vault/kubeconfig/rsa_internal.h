/* RSA private keys: do their numbers belong together? */
#ifndef CERTVAULT_KUBECONFIG_RSA_INTERNAL_H
#define CERTVAULT_KUBECONFIG_RSA_INTERNAL_H

#include "vault/base/arena.h"

/* RFC 8017 A.1.2, in its order; magnitudes, highest byte first. */
enum cv_rsa_number {
    CV_RSA_N,
    CV_RSA_E,
    CV_RSA_D,
    CV_RSA_P,
    CV_RSA_Q,
    CV_RSA_DP,
    CV_RSA_DQ,
    CV_RSA_QI,
    CV_RSA_NUMBERS
};

/* The rules of private_key.h. *bits is the modulus's length. CV_INVALID. */
CV_MUST_USE enum cv_status
cv_rsa_check(const struct cv_bytes numbers[CV_RSA_NUMBERS], int *bits,
             struct cv_err *err);

#endif
