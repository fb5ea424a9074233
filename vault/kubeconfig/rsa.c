#include "vault/kubeconfig/rsa_internal.h"

#include <openssl/bn.h>

#include <stdbool.h>

#define MIN_BITS 2048
#define MAX_BITS 8192
#define MAX_E_BITS                                            \
    31 /* Go's crypto/rsa, so every API server, takes no more \
        */

/* A composite passes one round by chance 1 in 4 at the very most, a random one
 * practically never; whoever makes the key can do himself no other harm with
 * one that does. BN_check_prime's 64 rounds cost ten times as much. */
#define ROUNDS 4

struct check {
    BN_CTX *ctx;
    BIGNUM *k[CV_RSA_NUMBERS];
    BIGNUM *a, *b, *c;
};

/* Miller-Rabin with random bases: p - 1 = 2^s m. */
static bool round_passes(struct check *x, const BIGNUM *p, const BIGNUM *m,
                         int s, const BIGNUM *p_less_1)
{
    BIGNUM *y = x->c;
    /* A base in 1..p-1. */
    if (BN_priv_rand_range(y, p_less_1) != 1 || BN_add_word(y, 1) != 1 ||
        BN_mod_exp(y, y, m, p, x->ctx) != 1) {
        return false;
    }
    if (BN_is_one(y) || BN_cmp(y, p_less_1) == 0) {
        return true;
    }
    for (int i = 1; i < s; i++) {
        if (BN_mod_sqr(y, y, p, x->ctx) != 1) {
            return false;
        }
        if (BN_cmp(y, p_less_1) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_prime(struct check *x, const BIGNUM *p)
{
    BIGNUM *less = x->a;
    BIGNUM *m = x->b;
    if (!BN_is_odd(p) || BN_copy(less, p) == NULL ||
        BN_sub_word(less, 1) != 1) {
        return false;
    }
    int s = 1;
    while (!BN_is_bit_set(less, s)) {
        s++;
    }
    if (BN_rshift(m, less, s) != 1) {
        return false;
    }
    BN_set_flags(m, BN_FLG_CONSTTIME);
    for (int i = 0; i < ROUNDS; i++) {
        if (!round_passes(x, p, m, s, less)) {
            return false;
        }
    }
    return true;
}

/* d e = 1 and dp = d, both mod p - 1. */
static bool exponent_fits(struct check *x, enum cv_rsa_number prime,
                          enum cv_rsa_number exponent)
{
    BIGNUM *less = x->a;
    return BN_copy(less, x->k[prime]) != NULL && BN_sub_word(less, 1) == 1 &&
           BN_mod_mul(x->b, x->k[CV_RSA_D], x->k[CV_RSA_E], less, x->ctx) ==
               1 &&
           BN_is_one(x->b) && BN_mod(x->b, x->k[CV_RSA_D], less, x->ctx) == 1 &&
           BN_cmp(x->b, x->k[exponent]) == 0;
}

/* Where p = q there is no coefficient. */
static bool numbers_fit(struct check *x)
{
    return BN_mul(x->a, x->k[CV_RSA_P], x->k[CV_RSA_Q], x->ctx) == 1 &&
           BN_cmp(x->a, x->k[CV_RSA_N]) == 0 &&
           BN_cmp(x->k[CV_RSA_D], x->k[CV_RSA_N]) < 0 &&
           exponent_fits(x, CV_RSA_P, CV_RSA_DP) &&
           exponent_fits(x, CV_RSA_Q, CV_RSA_DQ) &&
           BN_cmp(x->k[CV_RSA_QI], x->k[CV_RSA_P]) < 0 &&
           BN_mod_mul(x->a, x->k[CV_RSA_QI], x->k[CV_RSA_Q], x->k[CV_RSA_P],
                      x->ctx) == 1 &&
           BN_is_one(x->a);
}

static enum cv_status check(struct check *x, int *bits, struct cv_err *err)
{
    *bits = BN_num_bits(x->k[CV_RSA_N]);
    if (*bits < MIN_BITS) {
        return cv_fail(err, CV_INVALID,
                       "an RSA key of %d bits; %d to %d are taken", *bits,
                       MIN_BITS, MAX_BITS);
    }
    const BIGNUM *e = x->k[CV_RSA_E];
    if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > MAX_E_BITS) {
        return cv_fail(err, CV_INVALID, "the RSA key's public exponent is bad");
    }
    /* Also keeps the tests below off primes that are trifles. */
    if (BN_num_bits(x->k[CV_RSA_P]) < *bits / 4 ||
        BN_num_bits(x->k[CV_RSA_Q]) < *bits / 4 || !numbers_fit(x) ||
        !is_prime(x, x->k[CV_RSA_P]) || !is_prime(x, x->k[CV_RSA_Q])) {
        return cv_fail(err, CV_INVALID,
                       "the RSA key's numbers do not belong together");
    }
    return CV_OK;
}

enum cv_status cv_rsa_check(const struct cv_bytes numbers[CV_RSA_NUMBERS],
                            int *bits, struct cv_err *err)
{
    for (size_t i = 0; i < CV_RSA_NUMBERS; i++) {
        if (numbers[i].len > MAX_BITS / 8) {
            return cv_fail(err, CV_INVALID, "an RSA key of more than %d bits",
                           MAX_BITS);
        }
    }
    /* Freeing it wipes all numbers taken from it. */
    struct check x = {.ctx = BN_CTX_secure_new()};
    if (x.ctx == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    BN_CTX_start(x.ctx);
    bool ok = true;
    for (size_t i = 0; i < CV_RSA_NUMBERS; i++) {
        x.k[i] = BN_CTX_get(x.ctx);
        ok = ok && x.k[i] != NULL &&
             BN_bin2bn(numbers[i].data, (int)numbers[i].len, x.k[i]) != NULL;
    }
    x.a = BN_CTX_get(x.ctx);
    x.b = BN_CTX_get(x.ctx);
    x.c = BN_CTX_get(x.ctx);
    enum cv_status st = ok && x.c != NULL
                            ? check(&x, bits, err)
                            : cv_fail(err, CV_INTERNAL, "out of memory");
    BN_CTX_end(x.ctx);
    BN_CTX_free(x.ctx);
    return st;
}
