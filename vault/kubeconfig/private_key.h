/* Private keys out of a PEM text, checked.
 *
 * Taken: one block `RSA PRIVATE KEY` (PKCS#1, RFC 8017 A.1.2), `EC PRIVATE KEY`
 * (SEC1, RFC 5915), with or without an `EC PARAMETERS` block before it, or
 * `PRIVATE KEY` (PKCS#8, RFC 5958). The DER is read by strict code of our own;
 * libcrypto sees numbers only. Rules:
 *   RSA      2048 to 8192 bits, two primes, e odd and 3 <= e < 2^31; n = p q,
 *            d, the CRT exponents and the coefficient fit, p and q are prime
 *            (Miller-Rabin, random bases)
 *   EC       P-256, P-384, P-521 by name, never by explicit parameters; d in
 *            1..n-1; a public point, where the block has one, is d G
 *   Ed25519  32 bytes (RFC 8410); a public key, where given, is the right one
 * Encrypted keys and all other kinds are refused.
 *
 * An RSA key of 2048 bits takes about 5 ms, one of 8192 bits about 0.3 s. */
#ifndef CERTVAULT_KUBECONFIG_PRIVATE_KEY_H
#define CERTVAULT_KUBECONFIG_PRIVATE_KEY_H

#include "vault/base/arena.h"

struct cv_private_key {
    const char *type;        /* a literal: "RSA", "EC", "ED25519" */
    int bits;                /* 2048, 256, 384, 521 ... */
    struct cv_bytes pkcs8;   /* DER, canonical, in the arena: secret */
    struct cv_bytes spki;    /* DER SubjectPublicKeyInfo, in the arena */
    uint8_t spki_sha256[32]; /* its SHA-256 */
    uint8_t digest[32];      /* SHA-256 of `pkcs8` */
};

/* Reads and checks the key in `pem`. CV_INVALID when it is not taken; the text
 * says why and never holds a byte of it. What *out points to lives as long as
 * `arena`. */
CV_MUST_USE enum cv_status cv_private_key_read(struct cv_arena *arena,
                                               struct cv_bytes pem,
                                               struct cv_private_key *out,
                                               struct cv_err *err);

/* As cv_private_key_read, from PKCS#8 DER (a key read back from a vault). */
CV_MUST_USE enum cv_status cv_private_key_from_pkcs8(struct cv_arena *arena,
                                                     struct cv_bytes der,
                                                     struct cv_private_key *out,
                                                     struct cv_err *err);

#endif
