#include "vault/kubeconfig/private_key.h"

#include "vault/base/buf.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/der_internal.h"
#include "vault/kubeconfig/ec_internal.h"
#include "vault/kubeconfig/pem.h"
#include "vault/kubeconfig/rsa_internal.h"

#include <openssl/evp.h>

#include <string.h>

#define ATTRIBUTES 0xa0  /* [0] of a PKCS#8 key */
#define PUBLIC_KEY 0x81  /* [1] of a PKCS#8 key, implicit */
#define SEC1_CURVE 0xa0  /* [0] of an EC key */
#define SEC1_PUBLIC 0xa1 /* [1] of an EC key, explicit */

static const uint8_t rsa_oid[] = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                  0x0d, 0x01, 0x01, 0x01};
static const uint8_t ec_oid[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t ed25519_oid[] = {0x2b, 0x65, 0x70};

#define VIEW(array) ((struct cv_bytes){(array), sizeof(array)})

static const char not_strict[] = "the key is not strict DER of its kind";

static enum cv_status too_large(struct cv_err *err)
{
    return cv_fail(err, CV_INVALID, "the key is larger than %zu bytes",
                   CV_LIMIT_KEY_DER);
}

static bool same(struct cv_bytes a, struct cv_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* What a key is made of in PKCS#8 and in a SubjectPublicKeyInfo. `parameters`
 * is a whole element, or nothing. */
struct parts {
    struct cv_bytes oid;
    struct cv_bytes parameters;
    struct cv_bytes secret; /* the content of privateKey */
    struct cv_bytes open;   /* the content of subjectPublicKey */
};

static enum cv_status wrap(struct cv_arena *arena, const struct parts *parts,
                           struct cv_private_key *out, struct cv_err *err)
{
    struct cv_buf b[5];
    for (size_t i = 0; i < 5; i++) {
        cv_buf_init(&b[i], arena, CV_LIMIT_KEY_DER);
    }
    cv_der_put(&b[0], CV_DER_OID, parts->oid);
    cv_buf_add(&b[0], parts->parameters.data, parts->parameters.len);

    cv_der_put_uint(&b[1], (struct cv_bytes){(const uint8_t *)"\0", 1});
    cv_der_put(&b[1], CV_DER_SEQUENCE, cv_buf_bytes(&b[0]));
    cv_der_put(&b[1], CV_DER_OCTET_STRING, parts->secret);
    cv_der_put(&b[2], CV_DER_SEQUENCE, cv_buf_bytes(&b[1]));

    cv_der_put(&b[3], CV_DER_SEQUENCE, cv_buf_bytes(&b[0]));
    cv_der_put_bits(&b[3], CV_DER_BIT_STRING, parts->open);
    cv_der_put(&b[4], CV_DER_SEQUENCE, cv_buf_bytes(&b[3]));
    for (size_t i = 0; i < 5; i++) {
        enum cv_status st = cv_buf_status(&b[i], "the key", err);
        if (st != CV_OK) {
            return st;
        }
    }
    out->pkcs8 = cv_buf_bytes(&b[2]);
    out->spki = cv_buf_bytes(&b[4]);
    unsigned n = 0;
    if (EVP_Digest(out->pkcs8.data, out->pkcs8.len, out->digest, &n,
                   EVP_sha256(), NULL) != 1 ||
        EVP_Digest(out->spki.data, out->spki.len, out->spki_sha256, &n,
                   EVP_sha256(), NULL) != 1) {
        return cv_fail(err, CV_INTERNAL, "libcrypto has no SHA-256");
    }
    return CV_OK;
}

static enum cv_status read_pkcs1(struct cv_arena *arena, struct cv_bytes der,
                                 struct cv_private_key *out, struct cv_err *err)
{
    struct cv_bytes numbers[CV_RSA_NUMBERS];
    struct cv_bytes in = der;
    struct cv_bytes body;
    bool ok = cv_der_take(&in, CV_DER_SEQUENCE, &body) && in.len == 0;
    if (ok && cv_der_at(body, CV_DER_INTEGER) &&
        !cv_der_take_version(&body, 0)) {
        return cv_fail(err, CV_INVALID, "an RSA key of more than two primes");
    }
    for (size_t i = 0; ok && i < CV_RSA_NUMBERS; i++) {
        ok = cv_der_take_uint(&body, &numbers[i]);
    }
    if (!ok || body.len > 0) {
        return cv_fail(err, CV_INVALID, not_strict);
    }
    enum cv_status st = cv_rsa_check(numbers, &out->bits, err);
    if (st != CV_OK) {
        return st;
    }
    struct cv_buf pair;
    struct cv_buf open;
    cv_buf_init(&pair, arena, CV_LIMIT_KEY_DER);
    cv_buf_init(&open, arena, CV_LIMIT_KEY_DER);
    cv_der_put_uint(&pair, numbers[CV_RSA_N]);
    cv_der_put_uint(&pair, numbers[CV_RSA_E]);
    cv_der_put(&open, CV_DER_SEQUENCE, cv_buf_bytes(&pair));
    if (pair.status != CV_OK || open.status != CV_OK) {
        return cv_buf_status(pair.status != CV_OK ? &pair : &open, "the key",
                             err);
    }
    static const uint8_t null[] = {CV_DER_NULL, 0};
    struct parts parts = {VIEW(rsa_oid), VIEW(null), der, cv_buf_bytes(&open)};
    out->type = "RSA";
    return wrap(arena, &parts, out, err);
}

/* The curve of an element that must be an OBJECT IDENTIFIER. */
static enum cv_status read_curve(struct cv_bytes in,
                                 const struct cv_ec_curve **out,
                                 struct cv_err *err)
{
    struct cv_bytes oid;
    if (cv_der_at(in, CV_DER_SEQUENCE)) {
        return cv_fail(err, CV_INVALID,
                       "the key's curve is given by explicit parameters");
    }
    if (!cv_der_take(&in, CV_DER_OID, &oid) || in.len > 0) {
        return cv_fail(err, CV_INVALID, not_strict);
    }
    const struct cv_ec_curve *curve = cv_ec_find(oid);
    if (curve == NULL) {
        return cv_fail(err, CV_INVALID,
                       "the key's curve is none of P-256, P-384, P-521");
    }
    if (*out != NULL && *out != curve) {
        return cv_fail(err, CV_INVALID, "the key names two curves");
    }
    *out = curve;
    return CV_OK;
}

struct sec1 {
    const struct cv_ec_curve *curve; /* may be known from outside */
    struct cv_bytes scalar;
    struct cv_bytes point; /* empty where it is not given */
};

static enum cv_status parse_sec1(struct cv_bytes der, struct sec1 *key,
                                 struct cv_err *err)
{
    struct cv_bytes body;
    struct cv_bytes part;
    if (!cv_der_take(&der, CV_DER_SEQUENCE, &body) || der.len > 0 ||
        !cv_der_take_version(&body, 1) ||
        !cv_der_take(&body, CV_DER_OCTET_STRING, &key->scalar)) {
        return cv_fail(err, CV_INVALID, not_strict);
    }
    if (cv_der_at(body, SEC1_CURVE)) {
        if (!cv_der_take(&body, SEC1_CURVE, &part)) {
            return cv_fail(err, CV_INVALID, not_strict);
        }
        enum cv_status st = read_curve(part, &key->curve, err);
        if (st != CV_OK) {
            return st;
        }
    }
    if (cv_der_at(body, SEC1_PUBLIC) &&
        (!cv_der_take(&body, SEC1_PUBLIC, &part) ||
         !cv_der_take_bits(&part, CV_DER_BIT_STRING, &key->point) ||
         part.len > 0)) {
        return cv_fail(err, CV_INVALID, not_strict);
    }
    return body.len == 0 ? CV_OK : cv_fail(err, CV_INVALID, not_strict);
}

static enum cv_status write_sec1(struct cv_arena *arena, const struct sec1 *key,
                                 struct cv_bytes point,
                                 struct cv_private_key *out, struct cv_err *err)
{
    struct cv_buf b[5]; /* curve, scalar, point, body, all */
    for (size_t i = 0; i < 5; i++) {
        cv_buf_init(&b[i], arena, CV_LIMIT_KEY_DER);
    }
    for (size_t i = key->scalar.len; i < key->curve->scalar_len; i++) {
        cv_buf_add_char(&b[1], '\0');
    }
    cv_buf_add(&b[1], key->scalar.data, key->scalar.len);
    cv_der_put(&b[0], CV_DER_OID, key->curve->oid);
    cv_der_put_bits(&b[2], CV_DER_BIT_STRING, point);
    cv_der_put_uint(&b[3], (struct cv_bytes){(const uint8_t *)"\1", 1});
    cv_der_put(&b[3], CV_DER_OCTET_STRING, cv_buf_bytes(&b[1]));
    cv_der_put(&b[3], SEC1_PUBLIC, cv_buf_bytes(&b[2]));
    cv_der_put(&b[4], CV_DER_SEQUENCE, cv_buf_bytes(&b[3]));
    for (size_t i = 0; i < 5; i++) {
        enum cv_status st = cv_buf_status(&b[i], "the key", err);
        if (st != CV_OK) {
            return st;
        }
    }
    struct parts parts = {VIEW(ec_oid), cv_buf_bytes(&b[0]),
                          cv_buf_bytes(&b[4]), point};
    out->type = "EC";
    out->bits = key->curve->bits;
    return wrap(arena, &parts, out, err);
}

static enum cv_status read_sec1(struct cv_arena *arena, struct cv_bytes der,
                                const struct cv_ec_curve *curve,
                                struct cv_private_key *out, struct cv_err *err)
{
    struct sec1 key = {.curve = curve};
    enum cv_status st = parse_sec1(der, &key, err);
    if (st != CV_OK) {
        return st;
    }
    if (key.curve == NULL) {
        return cv_fail(err, CV_INVALID, "the key does not name its curve");
    }
    /* Some writers drop leading zeros. */
    if (key.scalar.len == 0 || key.scalar.len > key.curve->scalar_len) {
        return cv_fail(err, CV_INVALID,
                       "the private number is not in its curve's range");
    }
    uint8_t point[CV_EC_POINT_MAX];
    struct cv_bytes view = {point, 1 + 2 * key.curve->scalar_len};
    st = cv_ec_public(key.curve, key.scalar, point, err);
    if (st != CV_OK) {
        return st;
    }
    if (key.point.len > 0 && !same(key.point, view)) {
        return cv_fail(err, CV_INVALID,
                       "the key's public point is not that of its number");
    }
    return write_sec1(arena, &key, view, out, err);
}

static enum cv_status read_ed25519(struct cv_arena *arena, struct cv_bytes der,
                                   struct cv_bytes given,
                                   struct cv_private_key *out,
                                   struct cv_err *err)
{
    struct cv_bytes in = der;
    struct cv_bytes seed;
    uint8_t public[32];
    if (!cv_der_take(&in, CV_DER_OCTET_STRING, &seed) || in.len > 0 ||
        seed.len != sizeof(public)) {
        return cv_fail(err, CV_INVALID, not_strict);
    }
    enum cv_status st = cv_ec_public_ed25519(seed.data, public, err);
    if (st != CV_OK) {
        return st;
    }
    if (given.len > 0 && !same(given, VIEW(public))) {
        return cv_fail(err, CV_INVALID,
                       "the key's public half is not that of its secret");
    }
    struct parts parts = {VIEW(ed25519_oid), {NULL, 0}, der, VIEW(public)};
    out->type = "ED25519";
    out->bits = 256;
    return wrap(arena, &parts, out, err);
}

struct pkcs8 {
    struct cv_bytes oid;
    struct cv_bytes parameters; /* what follows the OID */
    struct cv_bytes secret;
    struct cv_bytes given; /* the public key of a version 2 key */
};

static bool parse_pkcs8(struct cv_bytes der, struct pkcs8 *key)
{
    struct cv_bytes body;
    struct cv_bytes version;
    struct cv_bytes attributes;
    if (!cv_der_check(der) || !cv_der_take(&der, CV_DER_SEQUENCE, &body) ||
        !cv_der_take_uint(&body, &version) || version.len != 1 ||
        version.data[0] > 1 ||
        !cv_der_take(&body, CV_DER_SEQUENCE, &key->parameters) ||
        !cv_der_take(&key->parameters, CV_DER_OID, &key->oid) ||
        !cv_der_take(&body, CV_DER_OCTET_STRING, &key->secret)) {
        return false;
    }
    if (cv_der_at(body, ATTRIBUTES) &&
        !cv_der_take(&body, ATTRIBUTES, &attributes)) {
        return false;
    }
    if (version.data[0] == 1 && cv_der_at(body, PUBLIC_KEY) &&
        !cv_der_take_bits(&body, PUBLIC_KEY, &key->given)) {
        return false;
    }
    return body.len == 0;
}

enum cv_status cv_private_key_from_pkcs8(struct cv_arena *arena,
                                         struct cv_bytes der,
                                         struct cv_private_key *out,
                                         struct cv_err *err)
{
    static const uint8_t null[] = {CV_DER_NULL, 0};
    struct pkcs8 key = {.oid = {NULL, 0}};
    memset(out, 0, sizeof(*out));
    if (der.len > CV_LIMIT_KEY_DER) {
        return too_large(err);
    }
    if (!parse_pkcs8(der, &key)) {
        return cv_fail(err, CV_INVALID, not_strict);
    }
    if (same(key.oid, VIEW(rsa_oid)) && same(key.parameters, VIEW(null))) {
        return read_pkcs1(arena, key.secret, out, err);
    }
    if (same(key.oid, VIEW(ec_oid))) {
        const struct cv_ec_curve *curve = NULL;
        enum cv_status st = read_curve(key.parameters, &curve, err);
        return st == CV_OK ? read_sec1(arena, key.secret, curve, out, err) : st;
    }
    if (same(key.oid, VIEW(ed25519_oid)) && key.parameters.len == 0) {
        return read_ed25519(arena, key.secret, key.given, out, err);
    }
    return cv_fail(err, CV_INVALID,
                   "the key is of another kind than RSA, EC or Ed25519");
}

static bool labelled(const struct cv_pem_block *block, const char *label)
{
    return strcmp(block->label, label) == 0;
}

static enum cv_status read_block(struct cv_arena *arena,
                                 const struct cv_pem_block *block,
                                 struct cv_private_key *out, struct cv_err *err)
{
    if (labelled(block, "ENCRYPTED PRIVATE KEY")) {
        enum cv_status st = cv_fail(err, CV_INVALID, "the key is encrypted");
        cv_err_hint(err, "decrypt it first, as with: openssl pkey");
        return st;
    }
    if (block->der.len > CV_LIMIT_KEY_DER) {
        return too_large(err);
    }
    if (labelled(block, "RSA PRIVATE KEY")) {
        return read_pkcs1(arena, block->der, out, err);
    }
    if (labelled(block, "EC PRIVATE KEY")) {
        return read_sec1(arena, block->der, NULL, out, err);
    }
    if (labelled(block, "PRIVATE KEY")) {
        return cv_private_key_from_pkcs8(arena, block->der, out, err);
    }
    return cv_fail(err, CV_INVALID,
                   "the PEM block is no private key of a kind that is taken");
}

enum cv_status cv_private_key_read(struct cv_arena *arena, struct cv_bytes pem,
                                   struct cv_private_key *out,
                                   struct cv_err *err)
{
    struct cv_pem_block blocks[2];
    size_t n = 0;
    memset(out, 0, sizeof(*out));
    enum cv_status st = cv_pem_read(arena, pem, blocks, 2, &n, err);
    if (st != CV_OK) {
        return st;
    }
    if (n == 1) {
        return read_block(arena, &blocks[0], out, err);
    }
    if (!labelled(&blocks[0], "EC PARAMETERS") ||
        !labelled(&blocks[1], "EC PRIVATE KEY")) {
        return cv_fail(err, CV_INVALID, "more than one private key");
    }
    const struct cv_ec_curve *curve = NULL;
    st = read_curve(blocks[0].der, &curve, err);
    return st == CV_OK ? read_sec1(arena, blocks[1].der, curve, out, err) : st;
}
