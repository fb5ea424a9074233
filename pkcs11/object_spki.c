/* Public keys out of what PKCS#11 says of them: numbers and points, put
 * together as a SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 8017 A.1.1, RFC
 * 5480, RFC 8410), which libcrypto then has to accept. */
#include "pkcs11/crypto_internal.h"
#include "pkcs11/object.h"
#include "vault/base/limits.h"

#include <string.h>

#define TAG_INTEGER 0x02
#define TAG_BIT_STRING 0x03
#define TAG_OCTET_STRING 0x04
#define TAG_SEQUENCE 0x30

static const uint8_t RSA_ALGORITHM[] = {0x30, 0x0d, 0x06, 0x09, 0x2a,
                                        0x86, 0x48, 0x86, 0xf7, 0x0d,
                                        0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t EC_OID[] = {0x06, 0x07, 0x2a, 0x86, 0x48,
                                 0xce, 0x3d, 0x02, 0x01};

/* CKA_EC_PARAMS of the curves that are used, and how long a point is. */
static const struct curve {
    uint8_t params[16];
    size_t params_len;
    size_t point_len;
    bool edwards;
} CURVES[] = {
    {{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
     10,
     65,
     false},
    {{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, 7, 97, false},
    {{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, 7, 133, false},
    {{0x06, 0x03, 0x2b, 0x65, 0x70}, 5, 32, true},
    /* PrintableString "edwards25519": PKCS#11 3.0's other way to say it. */
    {{0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'},
     14,
     32,
     true},
};

/* A DER head: tag and length. */
static void add_head(struct cv_buf *out, uint8_t tag, size_t len)
{
    cv_buf_add_char(out, (char)tag);
    if (len >= 0x100) {
        cv_buf_add_char(out, (char)0x82);
        cv_buf_add_char(out, (char)(uint8_t)(len >> 8));
    } else if (len >= 0x80) {
        cv_buf_add_char(out, (char)0x81);
    }
    cv_buf_add_char(out, (char)(uint8_t)len);
}

/* A DER INTEGER out of an unsigned number that may begin with zeros. */
static void add_number(struct cv_buf *out, struct cv_bytes n)
{
    bool pad;

    while (n.len > 1 && n.data[0] == 0) {
        n.data++;
        n.len--;
    }
    pad = n.data[0] >= 0x80;
    add_head(out, TAG_INTEGER, n.len + (pad ? 1 : 0));
    if (pad) {
        cv_buf_add_char(out, '\0');
    }
    cv_buf_add(out, n.data, n.len);
}

/* SEQUENCE { algorithm, BIT STRING { key } }. */
static void add_spki(struct cv_buf *out, struct cv_bytes algorithm,
                     struct cv_bytes key)
{
    struct cv_buf bits;

    cv_buf_init(&bits, NULL, CV_LIMIT_ATTRIBUTE);
    add_head(&bits, TAG_BIT_STRING, key.len + 1);
    cv_buf_add_char(&bits, '\0');
    cv_buf_add(&bits, key.data, key.len);
    add_head(out, TAG_SEQUENCE, algorithm.len + bits.len);
    cv_buf_add(out, algorithm.data, algorithm.len);
    cv_buf_add(out, bits.data, bits.len);
    cv_buf_wipe(&bits);
}

/* RSA: both numbers must be told. */
static enum cv_status rsa_spki(struct cv_attribute_place at, struct cv_buf *out,
                               struct cv_err *err)
{
    struct cv_buf n, e, body, key;
    enum cv_status status;

    cv_buf_init(&n, NULL, CV_LIMIT_SIGNATURE + 1);
    cv_buf_init(&e, NULL, CV_LIMIT_SIGNATURE + 1);
    cv_buf_init(&body, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&key, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_attribute_read(at, CKA_MODULUS, &n, err);
    if (status == CV_OK) {
        status = cv_attribute_read(at, CKA_PUBLIC_EXPONENT, &e, err);
    }
    if (status == CV_OK && (n.len == 0 || e.len == 0)) {
        status =
            cv_fail(err, CV_NOT_FOUND, "the key does not tell its public part");
    }
    if (status == CV_OK) {
        add_number(&body, cv_buf_bytes(&n));
        add_number(&body, cv_buf_bytes(&e));
        add_head(&key, TAG_SEQUENCE, body.len);
        cv_buf_add(&key, body.data, body.len);
        add_spki(out, (struct cv_bytes){RSA_ALGORITHM, sizeof(RSA_ALGORITHM)},
                 cv_buf_bytes(&key));
        status = cv_buf_status(out, "a public key", err);
    }
    cv_buf_wipe(&n);
    cv_buf_wipe(&e);
    cv_buf_wipe(&body);
    cv_buf_wipe(&key);
    return status;
}

static const struct curve *find_curve(const struct cv_buf *params)
{
    for (size_t i = 0; i < sizeof(CURVES) / sizeof(CURVES[0]); i++) {
        if (params->len == CURVES[i].params_len &&
            memcmp(params->data, CURVES[i].params, params->len) == 0) {
            return &CURVES[i];
        }
    }
    return NULL;
}

/* The standard wraps the point into an OCTET STRING, some modules do not. The
 * length tells them apart. False: neither. */
static bool unwrap_point(const struct curve *curve, struct cv_bytes *point)
{
    const uint8_t *d = point->data;
    size_t head = curve->point_len < 0x80 ? 2 : 3;

    if (point->len == curve->point_len) {
        return true;
    }
    if (point->len != head + curve->point_len || d[0] != TAG_OCTET_STRING ||
        d[head - 1] != (uint8_t)curve->point_len ||
        (head == 3 && d[1] != 0x81)) {
        return false;
    }
    *point = (struct cv_bytes){d + head, curve->point_len};
    return true;
}

static void add_ec_spki(const struct curve *curve, struct cv_bytes point,
                        struct cv_buf *out)
{
    static const uint8_t ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};
    struct cv_buf algorithm;

    cv_buf_init(&algorithm, NULL, 64);
    if (curve->edwards) {
        cv_buf_add(&algorithm, ed25519, sizeof(ed25519));
    } else {
        add_head(&algorithm, TAG_SEQUENCE, sizeof(EC_OID) + curve->params_len);
        cv_buf_add(&algorithm, EC_OID, sizeof(EC_OID));
        cv_buf_add(&algorithm, curve->params, curve->params_len);
    }
    add_spki(out, cv_buf_bytes(&algorithm), point);
    cv_buf_wipe(&algorithm);
}

static enum cv_status ec_spki(struct cv_attribute_place at, struct cv_buf *out,
                              struct cv_err *err)
{
    struct cv_buf params, value;
    const struct curve *curve;
    struct cv_bytes point;
    enum cv_status status;

    cv_buf_init(&params, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&value, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_attribute_read(at, CKA_EC_POINT, &value, err);
    if (status == CV_OK && value.len == 0) {
        status =
            cv_fail(err, CV_NOT_FOUND, "the key does not tell its public part");
    }
    if (status == CV_OK) {
        status = cv_attribute_read(at, CKA_EC_PARAMS, &params, err);
    }
    if (status == CV_OK) {
        curve = find_curve(&params);
        point = cv_buf_bytes(&value);
        if (curve == NULL) {
            status = cv_fail(err, CV_INVALID, "this curve is not used here");
        } else if (!unwrap_point(curve, &point)) {
            status = cv_fail(err, CV_INTEGRITY,
                             "the key's point is none of its curve");
        } else {
            add_ec_spki(curve, point, out);
            status = cv_buf_status(out, "a public key", err);
        }
    }
    cv_buf_wipe(&params);
    cv_buf_wipe(&value);
    return status;
}

/* As the object tells it, not yet parsed. */
static enum cv_status told_spki(struct cv_attribute_place at, CK_ULONG class,
                                struct cv_buf *out, struct cv_err *err)
{
    CK_ULONG type = 0;
    enum cv_status status = cv_attribute_ulong(at, CKA_KEY_TYPE, &type, err);

    if (status != CV_OK) {
        return status;
    }
    if (type == CKK_RSA) {
        status = rsa_spki(at, out, err);
    } else if (type == CKK_EC || type == CKK_EC_EDWARDS) {
        status = ec_spki(at, out, err);
    } else {
        return cv_fail(err, CV_INVALID,
                       "this kind of key (CKA_KEY_TYPE 0x%lx) is not used here",
                       type);
    }
    if (status == CV_OK || class != CKO_PRIVATE_KEY) {
        return status;
    }
    /* PKCS#11 2.40 lets a private key hold it whole. */
    out->len = 0;
    if (cv_attribute_read(at, CKA_PUBLIC_KEY_INFO, out, NULL) == CV_OK &&
        out->len != 0) {
        return CV_OK;
    }
    return cv_fail(err, CV_NOT_FOUND, "the key does not tell its public part");
}

enum cv_status cv_object_spki(struct cv_attribute_place at, struct cv_buf *out,
                              struct cv_err *err)
{
    const struct cv_crypto_key *key = NULL;
    struct cv_buf told;
    CK_ULONG class = 0;
    enum cv_status status;

    cv_buf_init(&told, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_attribute_ulong(at, CKA_CLASS, &class, err);
    if (status == CV_OK && class == CKO_CERTIFICATE) {
        status = cv_attribute_read(at, CKA_VALUE, &told, err);
        if (status == CV_OK) {
            status = cv_crypto_certificate(cv_buf_bytes(&told), &key, err);
        }
    } else if (status == CV_OK) {
        status = told_spki(at, class, &told, err);
        if (status == CV_OK) {
            status = cv_crypto_spki(cv_buf_bytes(&told), &key, err);
        }
    }
    if (status == CV_OK) {
        cv_buf_add(out, key->spki.data, key->spki.len);
        status = cv_buf_status(out, "a public key", err);
    }
    cv_buf_wipe(&told);
    return status;
}

/* Takes what one object says into `out`, or compares it with what is there. */
static enum cv_status merge(struct cv_attribute_place at, struct cv_buf *out,
                            struct cv_err *err)
{
    struct cv_buf one;
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    cv_buf_init(&one, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_object_spki(at, &one, &why);
    if (status == CV_NOT_FOUND) {
        status = CV_OK; /* silent */
    } else if (status != CV_OK) {
        if (err != NULL) {
            *err = why;
        }
    } else if (out->len == 0) {
        cv_buf_add(out, one.data, one.len);
        status = cv_buf_status(out, "a public key", err);
    } else if (out->len != one.len ||
               memcmp(out->data, one.data, one.len) != 0) {
        cv_fail(err, CV_INTEGRITY,
                "objects with the same id hold different public keys");
        cv_err_hint(err, "`certvault token objects` shows what there is");
        status = CV_INTEGRITY;
    }
    cv_buf_wipe(&one);
    return status;
}

enum cv_status cv_object_spki_beside(struct cv_attribute_place at,
                                     struct cv_buf *out, struct cv_err *err)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_CERTIFICATE};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    struct cv_buf id, spki;
    enum cv_status status;

    cv_buf_init(&id, NULL, CV_LIMIT_TOKEN_ID);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_attribute_read(at, CKA_ID, &id, err);
    if (status == CV_OK) {
        status = merge(at, &spki, err);
    }
    for (size_t c = 0; status == CV_OK && id.len != 0 && c < 2; c++) {
        struct cv_object_filter filter = {
            .by_class = true, .class = classes[c], .id = cv_buf_bytes(&id)};
        size_t n = 0;

        status = cv_object_find(at.functions, at.session, &filter, found,
                                CV_LIMIT_TOKEN_KEYS, &n, err);
        for (size_t i = 0; status == CV_OK && i < n; i++) {
            struct cv_attribute_place there = {at.functions, at.session,
                                               found[i]};

            status = merge(there, &spki, err);
        }
    }
    if (status == CV_OK && spki.len == 0) {
        cv_fail(err, CV_NOT_FOUND, "nothing on the token tells the public key");
        cv_err_hint(err, "put its certificate or public key on the token, with "
                         "the same id");
        status = CV_NOT_FOUND;
    }
    if (status == CV_OK) {
        cv_buf_add(out, spki.data, spki.len);
        status = cv_buf_status(out, "a public key", err);
    }
    cv_buf_wipe(&id);
    cv_buf_wipe(&spki);
    return status;
}

enum cv_status cv_object_kind(struct cv_bytes spki, const char **kind,
                              unsigned *bits, struct cv_err *err)
{
    const struct cv_crypto_key *key = NULL;
    enum cv_status status = cv_crypto_spki(spki, &key, err);

    *kind = NULL;
    *bits = 0;
    if (status == CV_OK) {
        *kind = key->kind;
        *bits = key->bits;
    }
    return status;
}
