/* Attacks that wrap the key out: C_WrapKey asks CKA_EXTRACTABLE of the key and
 * CKA_WRAP of the wrapping key, and nothing else. Every mechanism is tried,
 * listed or not: a list is a claim too. */
#include "pkcs11/create_internal.h"
#include "pkcs11/examine_internal.h"
#include "pkcs11/mechanism.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <string.h>

#define WRAPPED_MAX CV_KIB(8)
#define RSA_BYTES 256
#define AES_BLOCK 16
#define SECRET_MIN 16 /* less than this is not a key */

/* The AES mechanisms, and how what they give is opened. */
static const struct wrap_way {
    enum cv_examine_attack attack;
    CK_MECHANISM_TYPE mechanism;
    enum cv_keywrap_form forms[2];
} ways[] = {
    {CV_EXAMINE_WRAP_CBC_PAD,
     CKM_AES_CBC_PAD,
     {CV_KEYWRAP_CBC, CV_KEYWRAP_CBC}},
    {CV_EXAMINE_WRAP_KEY_WRAP,
     CKM_AES_KEY_WRAP,
     {CV_KEYWRAP_PLAIN, CV_KEYWRAP_PKCS7}},
    {CV_EXAMINE_WRAP_KEY_WRAP_PAD,
     CKM_AES_KEY_WRAP_PAD,
     {CV_KEYWRAP_PADDED, CV_KEYWRAP_PKCS7}},
    {CV_EXAMINE_WRAP_KWP,
     CV_MECHANISM_AES_KWP,
     {CV_KEYWRAP_PADDED, CV_KEYWRAP_PADDED}},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* An AES key that the token makes; `known`: whose value it tells. */
static CK_RV generate_aes(struct examine *e, bool known, CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    struct cv_attribute_template t;

    cv_attribute_start(&t);
    cv_attribute_add_bool(&t, CKA_TOKEN, false);
    cv_attribute_add_ulong(&t, CKA_VALUE_LEN, CV_KEYWRAP_KEY_LEN);
    cv_attribute_add_bool(&t, CKA_WRAP, true);
    cv_attribute_add_bool(&t, CKA_SENSITIVE, !known);
    cv_attribute_add_bool(&t, CKA_EXTRACTABLE, known);
    cv_attribute_add_bool(&t, CKA_ENCRYPT, !known);
    cv_attribute_add_bool(&t, CKA_DECRYPT, !known);
    return e->f->C_GenerateKey(e->s, &mechanism, t.items, t.n, out);
}

/* The value of a key that may be read, into the arena. */
static const uint8_t *read_aes(struct examine *e, CK_OBJECT_HANDLE object)
{
    uint8_t *value = cv_arena_alloc(e->arena, CV_KEYWRAP_KEY_LEN, NULL);
    CK_ATTRIBUTE a = {CKA_VALUE, value, CV_KEYWRAP_KEY_LEN};

    return value != NULL &&
                   e->f->C_GetAttributeValue(e->s, object, &a, 1) == CKR_OK &&
                   a.ulValueLen == CV_KEYWRAP_KEY_LEN
               ? value
               : NULL;
}

CK_RV cv_examine_aes(struct examine *e)
{
    struct create_place at = {e->f, e->s, e->arena};
    const char *how;

    if (e->aes_tried) {
        return e->aes_rv;
    }
    e->aes_tried = true;
    e->aes = CK_INVALID_HANDLE;
    e->aes_value = cv_keywrap_key(e->arena, NULL);
    e->aes_rv = CKR_HOST_MEMORY;
    if (e->aes_value != NULL) {
        /* by its value first: that costs no RSA key, and guards nothing */
        e->aes_rv =
            cv_create_transport_value(&at, e->aes_value, CKA_WRAP, &e->aes);
    }
    if (e->aes_value != NULL && e->aes_rv != CKR_OK) {
        e->aes_rv =
            cv_create_transport(&at, e->aes_value, CKA_WRAP, &e->aes, &how);
    }
    if (e->aes_rv != CKR_OK && generate_aes(e, true, &e->aes) == CKR_OK) {
        e->aes_value = read_aes(e, e->aes);
        e->aes_rv = e->aes_value != NULL ? CKR_OK : CKR_FUNCTION_FAILED;
    }
    return e->aes_rv;
}

CK_RV cv_examine_wrap_out(struct examine *e, CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE object,
                          struct cv_bytes *out)
{
    uint8_t *room = cv_arena_alloc(e->arena, WRAPPED_MAX, NULL);
    CK_ULONG len = WRAPPED_MAX;
    CK_RV rv;

    *out = (struct cv_bytes){NULL, 0};
    if (room == NULL) {
        return CKR_HOST_MEMORY;
    }
    rv = e->f->C_WrapKey(e->s, mechanism, wrapping, object, room, &len);
    if (rv == CKR_OK) {
        out->data = room;
        out->len = len <= WRAPPED_MAX ? len : 0;
    }
    return rv;
}

static CK_MECHANISM mechanism_of(CK_MECHANISM_TYPE type)
{
    static uint8_t iv[AES_BLOCK];
    CK_MECHANISM m = {type, NULL, 0};

    if (type == CKM_AES_CBC_PAD) {
        memset(iv, 0, sizeof(iv));
        m.pParameter = iv;
        m.ulParameterLen = sizeof(iv);
    }
    return m;
}

/* Wraps by one mechanism under the known key, and opens what came out. */
static enum cv_examine_result wrap_known(struct examine *e,
                                         const struct wrap_way *way,
                                         CK_OBJECT_HANDLE object, CK_RV *rv)
{
    CK_MECHANISM mechanism = mechanism_of(way->mechanism);
    char room[CV_MECHANISM_NAME_LEN];
    struct cv_bytes wrapped, plain;
    size_t i;

    *rv = cv_examine_wrap_out(e, &mechanism, e->aes, object, &wrapped);
    if (*rv != CKR_OK) {
        return cv_examine_of(*rv);
    }
    for (i = 0; i < 2; i++) {
        if (cv_keywrap_unwrap(way->forms[i], e->aes_value, wrapped, e->arena,
                              &plain) &&
            (cv_examine_opens(e, plain) || plain.len >= SECRET_MIN)) {
            /* Not PKCS#8, but whole under our key: some form of it. */
            return CV_EXAMINE_LEAKED;
        }
    }
    cv_examine_lie(e,
                   "C_WrapKey by %s answered CKR_OK, and what it gave does not "
                   "open",
                   cv_mechanism_name(way->mechanism, room));
    return CV_EXAMINE_ERROR;
}

bool cv_examine_comes_out(struct examine *e, CK_OBJECT_HANDLE object)
{
    static const CK_ATTRIBUTE_TYPE secrets[] = {CKA_VALUE, CKA_PRIVATE_EXPONENT,
                                                CKA_PRIME_1};
    CK_RV rv;
    size_t i;

    for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (cv_examine_reads(e, object, secrets[i], &rv)) {
            return true;
        }
    }
    for (i = 0; cv_examine_aes(e) == CKR_OK && i < WAYS; i++) {
        if (wrap_known(e, &ways[i], object, &rv) == CV_EXAMINE_LEAKED) {
            return true;
        }
    }
    return false;
}

/* The modulus of an RSA key whose private half was thrown away as it was made:
 * what is wrapped under it is gone. Made once, because it takes a while. */
static bool lost_modulus(uint8_t out[RSA_BYTES])
{
    static uint8_t modulus[RSA_BYTES];
    static bool made;
    EVP_PKEY *key;
    BIGNUM *n = NULL;

    if (!made) {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BYTES * 8);
        made = key != NULL &&
               EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
               BN_bn2binpad(n, modulus, RSA_BYTES) == RSA_BYTES;
        BN_free(n);
        EVP_PKEY_free(key);
    }
    memcpy(out, modulus, RSA_BYTES);
    return made;
}

/* An RSA key to wrap with. */
static CK_RV make_rsa(struct examine *e, CK_OBJECT_HANDLE *out)
{
    static const uint8_t exponent[] = {0x01, 0x00, 0x01};
    struct cv_attribute_template t;
    uint8_t modulus[RSA_BYTES];

    if (!lost_modulus(modulus)) {
        return CKR_FUNCTION_FAILED;
    }
    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_PUBLIC_KEY);
    cv_attribute_add_ulong(&t, CKA_KEY_TYPE, CKK_RSA);
    cv_attribute_add_bool(&t, CKA_TOKEN, false);
    cv_attribute_add_bool(&t, CKA_WRAP, true);
    cv_attribute_add_bytes(&t, CKA_MODULUS,
                           (struct cv_bytes){modulus, sizeof(modulus)});
    cv_attribute_add_bytes(&t, CKA_PUBLIC_EXPONENT,
                           (struct cv_bytes){exponent, sizeof(exponent)});
    return e->f->C_CreateObject(e->s, t.items, t.n, out);
}

/* CKR_OK with bytes that are not all the same is taken for the key. */
static enum cv_examine_result wrap_blind(struct examine *e, CK_MECHANISM *m,
                                         CK_OBJECT_HANDLE wrapping, CK_RV *rv)
{
    char room[CV_MECHANISM_NAME_LEN];
    struct cv_bytes wrapped;

    *rv = cv_examine_wrap_out(e, m, wrapping, e->key, &wrapped);
    if (*rv != CKR_OK) {
        return cv_examine_of(*rv);
    }
    if (wrapped.len >= SECRET_MIN &&
        memcmp(wrapped.data, wrapped.data + 1, wrapped.len - 1) != 0) {
        return CV_EXAMINE_LEAKED;
    }
    cv_examine_lie(e, "C_WrapKey by %s answered CKR_OK, and gave nothing",
                   cv_mechanism_name(m->mechanism, room));
    return CV_EXAMINE_ERROR;
}

/* CK_RSA_AES_KEY_WRAP_PARAMS of PKCS#11 2.40, which p11-kit's header lacks. */
struct rsa_aes_params {
    CK_ULONG bits;
    CK_RSA_PKCS_OAEP_PARAMS *oaep;
};

static void attack_rsa(struct examine *e)
{
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1,
                                    CKZ_DATA_SPECIFIED, NULL, 0};
    struct rsa_aes_params both = {256, &oaep};
    CK_MECHANISM tries[] = {
        {CKM_RSA_PKCS, NULL, 0},
        {CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep)},
        {CKM_RSA_AES_KEY_WRAP, &both, sizeof(both)},
        {CKM_RSA_X_509, NULL, 0},
    };
    CK_OBJECT_HANDLE rsa = CK_INVALID_HANDLE;
    CK_RV rv = make_rsa(e, &rsa);
    size_t i;

    if (rv != CKR_OK) {
        cv_examine_note(e, CV_EXAMINE_WRAP_RSA, CV_EXAMINE_NOT_POSSIBLE, rv);
        return;
    }
    for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        enum cv_examine_result result = wrap_blind(e, &tries[i], rsa, &rv);

        cv_examine_note(e, CV_EXAMINE_WRAP_RSA, result, rv);
    }
    cv_create_drop(e->f, e->s, rsa);
}

/* Wraps under a key that only the token knows, but that may also decrypt
 * (Clulow's attack): what such a key wrapped, it gives back as data. */
static void attack_twin(struct examine *e)
{
    CK_OBJECT_HANDLE twin = CK_INVALID_HANDLE;
    CK_RV rv = generate_aes(e, false, &twin);
    size_t i;

    if (rv != CKR_OK) {
        cv_examine_note(e, CV_EXAMINE_WRAP_TWIN, CV_EXAMINE_NOT_POSSIBLE, rv);
        return;
    }
    for (i = 0; i < WAYS; i++) {
        CK_MECHANISM m = mechanism_of(ways[i].mechanism);
        enum cv_examine_result result = wrap_blind(e, &m, twin, &rv);

        cv_examine_note(e, CV_EXAMINE_WRAP_TWIN, result, rv);
    }
    cv_create_drop(e->f, e->s, twin);
}

void cv_examine_attack_wrap(struct examine *e)
{
    CK_RV rv = cv_examine_aes(e);
    size_t i;

    for (i = 0; i < WAYS; i++) {
        enum cv_examine_result result = CV_EXAMINE_NOT_POSSIBLE;
        CK_RV now = rv;

        if (rv == CKR_OK) {
            result = wrap_known(e, &ways[i], e->key, &now);
        }
        cv_examine_note(e, ways[i].attack, result, now);
    }
    attack_rsa(e);
    attack_twin(e);
}
