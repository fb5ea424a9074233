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
    BIGNUM *a, *b;
    struct candidate {
        const BIGNUM *p;
        BIGNUM *less, *m, *base, *y; /* p - 1 = 2^s m */
        int s;
        BN_MONT_CTX *mont;
    } candidates[2];
};

static bool prepare(struct check *x, struct candidate *c, const BIGNUM *p)
{
    c->p = p;
    if (!BN_is_odd(p) || BN_copy(c->less, p) == NULL ||
        BN_sub_word(c->less, 1) != 1) {
        return false;
    }
    c->s = 1;
    while (!BN_is_bit_set(c->less, c->s)) {
        c->s++;
    }
    if (BN_rshift(c->m, c->less, c->s) != 1) {
        return false;
    }
    BN_set_flags(c->m, BN_FLG_CONSTTIME);
    c->mont = BN_MONT_CTX_new();
    return c->mont != NULL && BN_MONT_CTX_set(c->mont, p, x->ctx) == 1;
}

/* A base in 1..p-1. */
static bool pick_base(struct candidate *c)
{
    return BN_priv_rand_range(c->base, c->less) == 1 &&
           BN_add_word(c->base, 1) == 1;
}

/* With y = base^m mod p. */
static bool round_passes(struct check *x, const struct candidate *c)
{
    if (BN_is_one(c->y) || BN_cmp(c->y, c->less) == 0) {
        return true;
    }
    for (int i = 1; i < c->s; i++) {
        if (BN_mod_sqr(c->y, c->y, c->p, x->ctx) != 1) {
            return false;
        }
        if (BN_cmp(c->y, c->less) == 0) {
            return true;
        }
    }
    return false;
}

/* Miller-Rabin with random bases, for both at once: where the processor can,
 * libcrypto raises two numbers in little more than half the time of one. */
static bool run_rounds(struct check *x)
{
    struct candidate *p = &x->candidates[0], *q = &x->candidates[1];
    if (!prepare(x, p, x->k[CV_RSA_P]) || !prepare(x, q, x->k[CV_RSA_Q])) {
        return false;
    }
    for (int i = 0; i < ROUNDS; i++) {
        if (!pick_base(p) || !pick_base(q) ||
            BN_mod_exp_mont_consttime_x2(p->y, p->base, p->m, p->p, p->mont,
                                         q->y, q->base, q->m, q->p, q->mont,
                                         x->ctx) != 1 ||
            !round_passes(x, p) || !round_passes(x, q)) {
            return false;
        }
    }
    return true;
}

static bool are_primes(struct check *x)
{
    bool ok = run_rounds(x);
    for (int i = 0; i < 2; i++) {
        BN_MONT_CTX_free(x->candidates[i].mont);
        x->candidates[i].mont = NULL;
    }
    return ok;
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
        !are_primes(x)) {
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
    for (int i = 0; i < 2; i++) {
        x.candidates[i].less = BN_CTX_get(x.ctx);
        x.candidates[i].m = BN_CTX_get(x.ctx);
        x.candidates[i].base = BN_CTX_get(x.ctx);
        x.candidates[i].y = BN_CTX_get(x.ctx);
    }
    /* One that failed makes all that follow fail. */
    enum cv_status st = ok && x.candidates[1].y != NULL
                            ? check(&x, bits, err)
                            : cv_fail(err, CV_INTERNAL, "out of memory");
    BN_CTX_end(x.ctx);
    BN_CTX_free(x.ctx);
    return st;
}
