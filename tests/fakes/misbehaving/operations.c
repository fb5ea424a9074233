#include "tests/fakes/misbehaving/module_internal.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIGNATURE 1024

static const struct {
    CK_MECHANISM_TYPE type;
    CK_ULONG min, max;
    CK_FLAGS flags;
    const char *hash;
} mechanisms[] = {
    {CKM_RSA_PKCS_KEY_PAIR_GEN, 2048, 4096, CKF_GENERATE_KEY_PAIR, NULL},
    {CKM_RSA_PKCS, 2048, 4096, CKF_SIGN | CKF_DECRYPT, NULL},
    {CKM_RSA_X_509, 2048, 4096, CKF_SIGN, NULL},
    {CKM_SHA256_RSA_PKCS, 2048, 4096, CKF_SIGN, "SHA256"},
    {CKM_SHA384_RSA_PKCS, 2048, 4096, CKF_SIGN, "SHA384"},
    {CKM_SHA512_RSA_PKCS, 2048, 4096, CKF_SIGN, "SHA512"},
    {CKM_RSA_PKCS_PSS, 2048, 4096, CKF_SIGN, NULL},
    {CKM_SHA256_RSA_PKCS_PSS, 2048, 4096, CKF_SIGN, "SHA256"},
    {CKM_SHA384_RSA_PKCS_PSS, 2048, 4096, CKF_SIGN, "SHA384"},
    {CKM_RSA_PKCS_OAEP, 2048, 4096, CKF_DECRYPT, NULL},
    {CKM_EC_KEY_PAIR_GEN, 256, 384,
     CKF_GENERATE_KEY_PAIR | CKF_EC_F_P | CKF_EC_NAMEDCURVE, NULL},
    {CKM_ECDSA, 256, 384, CKF_SIGN | CKF_EC_F_P | CKF_EC_NAMEDCURVE, NULL},
    {CKM_ECDSA_SHA256, 256, 384, CKF_SIGN | CKF_EC_F_P | CKF_EC_NAMEDCURVE,
     "SHA256"},
    {CKM_ECDSA_SHA384, 256, 384, CKF_SIGN | CKF_EC_F_P | CKF_EC_NAMEDCURVE,
     "SHA384"},
    {CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, 255, CKF_GENERATE_KEY_PAIR, NULL},
    {CKM_EDDSA, 255, 255, CKF_SIGN, NULL},
    {CKM_AES_KEY_GEN, 16, 32, CKF_GENERATE, NULL},
    {CKM_AES_KEY_WRAP_PAD, 16, 32, CKF_WRAP | CKF_UNWRAP, NULL},
    {CKM_ECDH1_DERIVE, 256, 384, CKF_DERIVE | CKF_EC_F_P | CKF_EC_NAMEDCURVE,
     NULL},
    {CKM_SHA256, 0, 0, CKF_DIGEST, NULL},
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

/* A token that lacks them. */
static bool is_lacking(CK_MECHANISM_TYPE type)
{
    if (fake_switched("pss", "honest"))
        return false;
    return type == CKM_RSA_PKCS_PSS || type == CKM_SHA256_RSA_PKCS_PSS ||
           type == CKM_SHA384_RSA_PKCS_PSS ||
           (type == CKM_RSA_X_509 && fake_switched("pss", "none"));
}

static size_t mechanism_index(CK_MECHANISM_TYPE type)
{
    size_t i = 0;

    while (i < MECHANISMS && mechanisms[i].type != type)
        i++;
    return is_lacking(type) ? MECHANISMS : i;
}

CK_RV fake_mechanism_list(CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    if (!fake_present())
        return CKR_TOKEN_NOT_PRESENT;
    if (list != NULL && *count < MECHANISMS) {
        *count = MECHANISMS;
        return CKR_BUFFER_TOO_SMALL;
    }
    *count = 0;
    for (size_t i = 0; i < MECHANISMS; i++) {
        if (is_lacking(mechanisms[i].type))
            continue;
        if (list != NULL)
            list[*count] = mechanisms[i].type;
        (*count)++;
    }
    return CKR_OK;
}

CK_RV fake_mechanism_info(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    size_t i = mechanism_index(type);

    if (!fake_present())
        return CKR_TOKEN_NOT_PRESENT;
    if (i == MECHANISMS)
        return CKR_MECHANISM_INVALID;
    info->ulMinKeySize = mechanisms[i].min;
    info->ulMaxKeySize = mechanisms[i].max;
    info->flags = mechanisms[i].flags;
    return CKR_OK;
}

/* --- signing --- */

/* Another private key than the one of that handle: what became of it. */
static CK_OBJECT_HANDLE gone_stale(CK_OBJECT_HANDLE handle)
{
    CK_OBJECT_HANDLE list[1024];
    size_t n = fake_object_list(list, 1024);

    for (size_t i = 0; i < n; i++) {
        struct fake_object *o = fake_object_load(list[i]);
        bool other = o != NULL && list[i] != handle &&
                     fake_get_ulong(o, CKA_CLASS) == CKO_PRIVATE_KEY;
        fake_object_free(o);
        if (other)
            return list[i];
    }
    return handle;
}

CK_RV fake_sign_init(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                     CK_OBJECT_HANDLE key)
{
    CK_RV rv;

    if (fake_switched("handles", "stale"))
        key = gone_stale(key);
    struct fake_object *o = fake_seen(session, key, &rv);
    if (o == NULL)
        return rv;
    struct fake_session *s = fake_session(session, &rv);
    size_t i = mechanism_index(mechanism->mechanism);
    if (fake_get_ulong(o, CKA_CLASS) != CKO_PRIVATE_KEY)
        rv = CKR_KEY_TYPE_INCONSISTENT;
    else if (!fake_get_bool(o, CKA_SIGN, false))
        rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
    else if (i == MECHANISMS || !(mechanisms[i].flags & CKF_SIGN))
        rv = CKR_MECHANISM_INVALID;
    else if (s->signing)
        rv = CKR_OPERATION_ACTIVE;
    else {
        fake_operation_end(s);
        s->signing = true;
        s->key = key;
        s->mechanism = mechanism->mechanism;
        memset(&s->pss, 0, sizeof(s->pss));
        if (mechanism->pParameter != NULL &&
            mechanism->ulParameterLen == sizeof(s->pss))
            memcpy(&s->pss, mechanism->pParameter, sizeof(s->pss));
        s->context_login_wanted =
            fake_get_bool(o, CKA_ALWAYS_AUTHENTICATE, false);
    }
    fake_object_free(o);
    return rv;
}

CK_RV fake_sign_update(CK_SESSION_HANDLE session, const CK_BYTE *data,
                       CK_ULONG len)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    if (!s->signing)
        return CKR_OPERATION_NOT_INITIALIZED;
    unsigned char *more = realloc(s->data, s->data_len + len + 1);
    if (more == NULL)
        return CKR_HOST_MEMORY;
    if (len > 0)
        memcpy(more + s->data_len, data, len);
    s->data = more;
    s->data_len += len;
    return CKR_OK;
}

static const EVP_MD *pss_hash(CK_MECHANISM_TYPE hash)
{
    switch (hash) {
    case CKM_SHA256:
        return EVP_sha256();
    case CKM_SHA384:
        return EVP_sha384();
    case CKM_SHA512:
        return EVP_sha512();
    default:
        return EVP_sha1();
    }
}

/* Whether the padding of that mechanism could be set. */
static bool padding(EVP_PKEY_CTX *ctx, const struct fake_session *s)
{
    switch (s->mechanism) {
    case CKM_RSA_PKCS:
    case CKM_SHA256_RSA_PKCS:
    case CKM_SHA384_RSA_PKCS:
    case CKM_SHA512_RSA_PKCS:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    case CKM_RSA_X_509:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1;
    case CKM_RSA_PKCS_PSS:
    case CKM_SHA256_RSA_PKCS_PSS:
    case CKM_SHA384_RSA_PKCS_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(ctx, pss_hash(s->pss.hashAlg)) ==
                   1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)s->pss.sLen) == 1;
    default:
        return true;
    }
}

/* Not by EVP_get_digestbyname: whose process this is may know no names. */
static const EVP_MD *hash_named(const char *name)
{
    return strcmp(name, "SHA256") == 0   ? EVP_sha256()
           : strcmp(name, "SHA384") == 0 ? EVP_sha384()
                                         : EVP_sha512();
}

/* The signature as libcrypto makes it: of an EC key in DER. */
static bool sign_with(EVP_PKEY *key, const struct fake_session *s,
                      const unsigned char *data, size_t len, unsigned char *out,
                      size_t *out_len)
{
    const char *hash = mechanisms[mechanism_index(s->mechanism)].hash;
    unsigned char digest[EVP_MAX_MD_SIZE];
    bool ok = false;

    if (s->mechanism == CKM_EDDSA) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        ok = md != NULL && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestSign(md, out, out_len, data, len) == 1;
        EVP_MD_CTX_free(md);
        return ok;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 && padding(ctx, s);
    if (ok && hash != NULL) {
        unsigned digest_len;
        const EVP_MD *md = hash_named(hash);
        ok = EVP_Digest(data, len, digest, &digest_len, md, NULL) == 1;
        if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
            ok = ok && EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;
        data = digest;
        len = digest_len;
    }
    ok = ok && EVP_PKEY_sign(ctx, out, out_len, data, len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* r and s, each as long as the curve's numbers; as PKCS#11 has it. */
static bool raw_ecdsa(EVP_PKEY *key, unsigned char *signature, size_t *len)
{
    const unsigned char *der = signature;
    int number = (EVP_PKEY_get_bits(key) + 7) / 8;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)*len);

    if (sig == NULL)
        return false;
    bool ok =
        BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, number) == number &&
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + number, number) ==
            number;
    *len = 2 * (size_t)number;
    ECDSA_SIG_free(sig);
    return ok;
}

static void spoil(unsigned char *signature, size_t *len)
{
    if (fake_switched("sign", "wrong"))
        signature[*len / 2] ^= 1;
    else if (fake_switched("sign", "zero"))
        memset(signature, 0, *len);
    else if (fake_switched("sign", "short"))
        --*len;
    else if (fake_switched("sign", "long"))
        signature[(*len)++] = 0;
    else if (fake_switched("sign", "empty"))
        *len = 0;
}

static CK_RV make_signature(const struct fake_session *s,
                            const unsigned char *data, size_t data_len,
                            unsigned char *out, size_t *len)
{
    struct fake_object *o = fake_object_load(s->key);
    EVP_PKEY *key = o != NULL ? fake_key(o) : NULL;
    CK_RV rv = CKR_OK;

    *len = MAX_SIGNATURE;
    if (o == NULL)
        rv = CKR_OBJECT_HANDLE_INVALID;
    else if (key == NULL || !sign_with(key, s, data, data_len, out, len))
        rv = CKR_FUNCTION_FAILED;
    else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
             !fake_switched("sign", "der") && !raw_ecdsa(key, out, len))
        rv = CKR_FUNCTION_FAILED;
    if (rv == CKR_OK)
        spoil(out, len);
    EVP_PKEY_free(key);
    fake_object_free(o);
    return rv;
}

static size_t signature_room(const struct fake_session *s)
{
    struct fake_object *o = fake_object_load(s->key);
    EVP_PKEY *key = o != NULL ? fake_key(o) : NULL;
    size_t room = key != NULL ? (size_t)EVP_PKEY_get_size(key) : 0;

    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
        room = 2 * (((size_t)EVP_PKEY_get_bits(key) + 7) / 8);
    EVP_PKEY_free(key);
    fake_object_free(o);
    return room;
}

CK_RV fake_sign(CK_SESSION_HANDLE session, const CK_BYTE *data, CK_ULONG len,
                CK_BYTE *signature, CK_ULONG *signature_len)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);
    unsigned char made[MAX_SIGNATURE + 1];
    size_t made_len = 0;

    if (s == NULL)
        return rv;
    if (!s->signing)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (signature == NULL) {
        *signature_len = signature_room(s);
        return CKR_OK;
    }
    if (s->context_login_wanted || !fake_logged_in())
        rv = CKR_USER_NOT_LOGGED_IN;
    else if (data != NULL)
        rv = make_signature(s, data, len, made, &made_len);
    else
        rv = make_signature(s, s->data != NULL ? s->data : made, s->data_len,
                            made, &made_len);
    if (rv == CKR_OK && *signature_len < made_len) {
        *signature_len = made_len;
        return CKR_BUFFER_TOO_SMALL;
    }
    fake_operation_end(s);
    if (rv == CKR_OK) {
        memcpy(signature, made, made_len);
        *signature_len = made_len;
    }
    return rv;
}

/* --- making keys --- */

static EVP_PKEY *generate(const CK_MECHANISM *mechanism,
                          const struct fake_object *pub)
{
    const struct fake_attribute *params = fake_get(pub, CKA_EC_PARAMS);

    switch (mechanism->mechanism) {
    case CKM_RSA_PKCS_KEY_PAIR_GEN:
        return EVP_RSA_gen((unsigned)fake_get_ulong(pub, CKA_MODULUS_BITS));
    case CKM_EC_KEY_PAIR_GEN:
        return params == NULL
                   ? NULL
                   : EVP_EC_gen(params->len == 10 ? "P-256" : "P-384");
    case CKM_EC_EDWARDS_KEY_PAIR_GEN:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    default:
        return NULL;
    }
}

CK_RV fake_generate_pair(CK_SESSION_HANDLE session,
                         const CK_MECHANISM *mechanism, const CK_ATTRIBUTE *pub,
                         CK_ULONG pub_count, const CK_ATTRIBUTE *priv,
                         CK_ULONG priv_count, CK_OBJECT_HANDLE *pub_key,
                         CK_OBJECT_HANDLE *priv_key)
{
    struct fake_object *halves[2] = {NULL, NULL};
    CK_ULONG classes[2] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY};
    CK_ATTRIBUTE first[2][FAKE_ATTRIBUTES];
    EVP_PKEY *key = NULL;

    if (!fake_switched("generate", "1"))
        return CKR_FUNCTION_NOT_SUPPORTED;
    if (pub_count >= FAKE_ATTRIBUTES || priv_count >= FAKE_ATTRIBUTES)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < 2; i++) {
        first[i][0] = (CK_ATTRIBUTE){CKA_CLASS, &classes[i], sizeof(CK_ULONG)};
        memcpy(&first[i][1], i == 0 ? pub : priv,
               (i == 0 ? pub_count : priv_count) * sizeof(CK_ATTRIBUTE));
    }
    CK_RV rv = fake_from_template(session, first[0], pub_count + 1, &halves[0]);
    if (rv == CKR_OK)
        rv = fake_from_template(session, first[1], priv_count + 1, &halves[1]);
    if (rv == CKR_OK && (key = generate(mechanism, halves[0])) == NULL)
        rv = CKR_MECHANISM_INVALID;
    if (rv == CKR_OK && !fake_key_attributes(key, halves[1], halves[0]))
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK) {
        fake_provenance(halves[0], true);
        fake_provenance(halves[1], true);
        rv = fake_object_keep(halves[0], pub_key);
    }
    if (rv == CKR_OK)
        rv = fake_object_keep(halves[1], priv_key);
    EVP_PKEY_free(key);
    fake_object_free(halves[0]);
    fake_object_free(halves[1]);
    return rv;
}

CK_RV fake_generate_key(CK_SESSION_HANDLE session,
                        const CK_MECHANISM *mechanism,
                        const CK_ATTRIBUTE *wanted, CK_ULONG count,
                        CK_OBJECT_HANDLE *key)
{
    CK_ATTRIBUTE all[FAKE_ATTRIBUTES];
    CK_ULONG class = CKO_SECRET_KEY, type = CKK_AES;
    unsigned char value[32];
    struct fake_object *o;

    if (mechanism->mechanism != CKM_AES_KEY_GEN)
        return CKR_MECHANISM_INVALID;
    if (count + 2 > FAKE_ATTRIBUTES)
        return CKR_ARGUMENTS_BAD;
    all[0] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof(class)};
    all[1] = (CK_ATTRIBUTE){CKA_KEY_TYPE, &type, sizeof(type)};
    memcpy(&all[2], wanted, count * sizeof(*wanted));
    CK_RV rv = fake_from_template(session, all, count + 2, &o);
    if (rv != CKR_OK)
        return rv;
    CK_ULONG len = fake_get_ulong(o, CKA_VALUE_LEN);
    if (len != 16 && len != 24 && len != 32) {
        rv = CKR_ATTRIBUTE_VALUE_INVALID;
    } else {
        RAND_bytes(value, (int)len);
        fake_set(o, CKA_VALUE, value, len);
        fake_provenance(o, true);
        rv = fake_object_keep(o, key);
    }
    fake_object_free(o);
    return rv;
}

/* --- decrypting --- */

CK_RV fake_decrypt_init(CK_SESSION_HANDLE session,
                        const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, key, &rv);

    if (o == NULL)
        return rv;
    struct fake_session *s = fake_session(session, &rv);
    const CK_RSA_PKCS_OAEP_PARAMS *oaep = mechanism->pParameter;
    bool padded = mechanism->mechanism == CKM_RSA_PKCS_OAEP && oaep != NULL;
    if (!padded && mechanism->mechanism != CKM_RSA_PKCS)
        rv = CKR_MECHANISM_INVALID;
    else if (!fake_get_bool(o, CKA_DECRYPT, false) && !fake_leaks("decrypt"))
        rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
    else {
        fake_operation_end(s);
        s->decrypting = true;
        s->key = key;
        s->mechanism = padded ? oaep->hashAlg : CKM_RSA_PKCS;
    }
    fake_object_free(o);
    return rv;
}

/* The hash of OAEP, or CKM_RSA_PKCS. */
static bool decrypt_padding(EVP_PKEY_CTX *ctx, CK_MECHANISM_TYPE hash)
{
    if (hash == CKM_RSA_PKCS)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, pss_hash(hash)) == 1;
}

CK_RV fake_decrypt(CK_SESSION_HANDLE session, const CK_BYTE *in,
                   CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);
    unsigned char bytes[MAX_SIGNATURE];
    size_t len = sizeof(bytes);

    if (s == NULL)
        return rv;
    if (!s->decrypting)
        return CKR_OPERATION_NOT_INITIALIZED;
    struct fake_object *o = fake_object_load(s->key);
    EVP_PKEY *key = o != NULL ? fake_key(o) : NULL;
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) != 1 ||
        !decrypt_padding(ctx, s->mechanism) ||
        EVP_PKEY_decrypt(ctx, bytes, &len, in, in_len) != 1)
        rv = CKR_ENCRYPTED_DATA_INVALID;
    else if (out != NULL && *out_len < len)
        rv = CKR_BUFFER_TOO_SMALL;
    else if (out != NULL)
        memcpy(out, bytes, len);
    if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)
        *out_len = len;
    if (out != NULL && rv != CKR_BUFFER_TOO_SMALL)
        fake_operation_end(s);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    fake_object_free(o);
    return rv;
}

CK_RV fake_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len)
{
    CK_RV rv;

    if (fake_session(session, &rv) == NULL)
        return rv;
    if (fake_switched("random", "error"))
        return CKR_DEVICE_ERROR;
    memset(out, 0, len);
    if (fake_switched("random", "honest"))
        RAND_bytes(out, (int)len);
    return CKR_OK;
}
