#include "vault/seal/keyform_internal.h"

#include "vault/seal/keyder_internal.h"

#include <string.h>

#define ED25519_LEN 32

/* AlgorithmIdentifiers as they must be, byte for byte: parameters are part of
 * them (NULL for RSA, a named curve for EC, none for Ed25519). */
static const struct {
    enum keyform_type type;
    uint8_t len;
    uint8_t der[23];
} algorithms[] = {
    {KEYFORM_RSA,
     13,
     {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
      0x00}},
    {KEYFORM_P256,
     19,
     {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
      0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}},
    {KEYFORM_P384,
     16,
     {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
      0x81, 0x04, 0x00, 0x22}},
    {KEYFORM_P521,
     16,
     {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
      0x81, 0x04, 0x00, 0x23}},
    {KEYFORM_ED25519, 5, {0x06, 0x03, 0x2b, 0x65, 0x70}},
};

#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))
/* id-ecPublicKey, before the curve's own identifier. */
#define EC_OID_LEN 9

static bool take_algorithm(struct cv_bytes *from, enum keyform_type *type)
{
    struct cv_bytes alg;
    size_t i;

    if (!cv_keyder_take(from, DER_SEQUENCE, &alg)) {
        return false;
    }
    for (i = 0; i < N_ALGORITHMS; i++) {
        if (alg.len == algorithms[i].len &&
            memcmp(alg.data, algorithms[i].der, alg.len) == 0) {
            *type = algorithms[i].type;
            return true;
        }
    }
    return false;
}

/* A SEQUENCE that is all there is. */
static bool only_sequence(struct cv_bytes from, struct cv_bytes *inner)
{
    return cv_keyder_take(&from, DER_SEQUENCE, inner) && from.len == 0;
}

bool cv_keyform_spki(struct cv_bytes certificate, struct cv_bytes *spki)
{
    struct cv_bytes cert, tbs, serial;

    if (!only_sequence(certificate, &cert) ||
        !cv_keyder_take(&cert, DER_SEQUENCE, &tbs)) {
        return false;
    }
    if (cv_keyder_tag(tbs) == DER_CONTEXT(0) && !cv_keyder_skip(&tbs)) {
        return false; /* version */
    }
    return cv_keyder_take(&tbs, DER_INTEGER, &serial) &&
           cv_keyder_take(&tbs, DER_SEQUENCE, &serial) && /* signature */
           cv_keyder_take(&tbs, DER_SEQUENCE, &serial) && /* issuer */
           cv_keyder_take(&tbs, DER_SEQUENCE, &serial) && /* validity */
           cv_keyder_take(&tbs, DER_SEQUENCE, &serial) && /* subject */
           cv_keyder_take_whole(&tbs, DER_SEQUENCE, spki);
}

bool cv_keyform_public(struct cv_bytes spki, struct keyform_public *out)
{
    struct cv_bytes in, bits;

    memset(out, 0, sizeof(*out));
    if (!only_sequence(spki, &in) || !take_algorithm(&in, &out->type) ||
        !cv_keyder_take_bits(&in, &bits) || in.len != 0) {
        return false;
    }
    if (out->type != KEYFORM_RSA) {
        out->point = bits;
        return out->type != KEYFORM_ED25519 || bits.len == ED25519_LEN;
    }
    return only_sequence(bits, &in) && cv_keyder_take_uint(&in, &out->n) &&
           cv_keyder_take_uint(&in, &out->e) && in.len == 0;
}

/* RSAPrivateKey of two primes. */
static bool read_rsa(struct cv_bytes der, struct keyform_private *out)
{
    struct cv_bytes in;
    size_t i;

    if (!only_sequence(der, &in) || !cv_keyder_take_small(&in, 0)) {
        return false;
    }
    for (i = 0; i < KEYFORM_RSA_NUMBERS; i++) {
        if (!cv_keyder_take_uint(&in, &out->rsa[i])) {
            return false;
        }
    }
    return in.len == 0;
}

/* Is `oid` the curve that the algorithm identifier of `type` names? */
static bool same_curve(enum keyform_type type, struct cv_bytes oid)
{
    size_t i;

    for (i = 0; i < N_ALGORITHMS; i++) {
        if (algorithms[i].type == type) {
            return oid.len + EC_OID_LEN == algorithms[i].len &&
                   memcmp(oid.data, algorithms[i].der + EC_OID_LEN, oid.len) ==
                       0;
        }
    }
    return false;
}

/* ECPrivateKey. */
static bool read_ec(struct cv_bytes der, struct keyform_private *out)
{
    struct cv_bytes in, inner;

    if (!only_sequence(der, &in) || !cv_keyder_take_small(&in, 1) ||
        !cv_keyder_take(&in, DER_OCTET_STRING, &out->secret)) {
        return false;
    }
    if (cv_keyder_take(&in, DER_CONTEXT(0), &inner) &&
        !same_curve(out->type, inner)) {
        return false;
    }
    if (cv_keyder_take(&in, DER_CONTEXT(1), &inner) &&
        !(cv_keyder_take_bits(&inner, &out->point) && inner.len == 0)) {
        return false;
    }
    return in.len == 0;
}

static bool read_ed25519(struct cv_bytes der, struct keyform_private *out)
{
    return cv_keyder_take(&der, DER_OCTET_STRING, &out->secret) &&
           der.len == 0 && out->secret.len == ED25519_LEN;
}

bool cv_keyform_private(struct cv_bytes pkcs8, struct keyform_private *out)
{
    struct cv_bytes in, key;

    memset(out, 0, sizeof(*out));
    if (!only_sequence(pkcs8, &in) || !cv_keyder_take_small(&in, 0) ||
        !take_algorithm(&in, &out->type) ||
        !cv_keyder_take(&in, DER_OCTET_STRING, &key) || in.len != 0) {
        return false;
    }
    switch (out->type) {
    case KEYFORM_RSA:
        return read_rsa(key, out);
    case KEYFORM_ED25519:
        return read_ed25519(key, out);
    default:
        return read_ec(key, out);
    }
}
