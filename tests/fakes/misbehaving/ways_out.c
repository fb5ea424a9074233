#include "tests/fakes/misbehaving/module_internal.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NSS's name for key wrapping with padding, RFC 5649 as well. */
#define AES_KEY_WRAP_KWP 0x210bUL
#define CONCATENATE_BASE_AND_DATA 0x362UL
#define MAX_MATERIAL 4096
#define MAX_WRAPPED 8192

/* Each wrapping mechanism: the cipher behind "AES-256-", and the hole. */
static const struct way {
    CK_MECHANISM_TYPE type;
    const char *cipher, *hole;
} ways[] = {
    {CKM_AES_CBC_PAD, "CBC", "wrap-cbc-pad"},
    {CKM_AES_KEY_WRAP, "WRAP", "wrap-key-wrap"},
    {CKM_AES_KEY_WRAP_PAD, "WRAP-PAD", "wrap-key-wrap-pad"},
    {AES_KEY_WRAP_KWP, "WRAP-PAD", "wrap-kwp"},
    {CKM_RSA_PKCS, NULL, "wrap-rsa"},
    {CKM_RSA_PKCS_OAEP, NULL, "wrap-rsa"},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static const struct way *way_of(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < WAYS; i++)
        if (ways[i].type == type)
            return &ways[i];
    return NULL;
}

/* What is wrapped of an object: PKCS#8, or the value; its length. */
static size_t material(const struct fake_object *o, unsigned char *out)
{
    EVP_PKEY *key = fake_key(o);
    PKCS8_PRIV_KEY_INFO *info = key != NULL ? EVP_PKEY2PKCS8(key) : NULL;
    const struct fake_attribute *value = fake_get(o, CKA_VALUE);
    unsigned char *der = NULL;
    int n = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    size_t len = 0;

    if (n > 0 && n <= MAX_MATERIAL) {
        memcpy(out, der, (size_t)n);
        len = (size_t)n;
    } else if (n <= 0 && value != NULL && value->len <= MAX_MATERIAL) {
        memcpy(out, value->value, value->len);
        len = value->len;
    }
    OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
    return len;
}

/* Through the cipher of that way, either direction; the length, 0 on
 * failure. The IV of CBC is zeros, as our callers have it. */
static size_t through(const struct way *way, const struct fake_object *with,
                      bool wrap, const unsigned char *in, size_t in_len,
                      unsigned char *out)
{
    static const unsigned char zeros[16];
    const struct fake_attribute *value = fake_get(with, CKA_VALUE);
    bool cbc = strcmp(way->cipher, "CBC") == 0;
    char name[32];
    int len = 0, rest = 0;

    if (value == NULL)
        return 0;
    snprintf(name, sizeof(name), "AES-%lu-%s", value->len * 8, way->cipher);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL || cipher == NULL ||
        EVP_CipherInit_ex2(ctx, cipher, value->value, cbc ? zeros : NULL, wrap,
                           NULL) != 1 ||
        EVP_CipherUpdate(ctx, out, &len, in, (int)in_len) != 1 ||
        (cbc && EVP_CipherFinal_ex(ctx, out + len, &rest) != 1))
        len = rest = 0;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return (size_t)(len + rest);
}

static CK_RV may_wrap(const struct fake_object *with,
                      const struct fake_object *what, const struct way *way)
{
    /* A wrapping key of the token's own that also decrypts gives back what it
     * wrapped. */
    bool twin = fake_get_bool(with, CKA_DECRYPT, false) &&
                !fake_get_bool(with, CKA_EXTRACTABLE, false) &&
                fake_get_bool(with, CKA_LOCAL, false) && way != NULL &&
                way->cipher != NULL;

    if (way == NULL)
        return CKR_MECHANISM_INVALID;
    if (fake_switched("wrap", "leaks") ||
        fake_leaks(twin ? "wrap-twin" : way->hole))
        return CKR_OK;
    if (!fake_get_bool(with, CKA_WRAP, false))
        return CKR_KEY_FUNCTION_NOT_PERMITTED;
    return fake_get_bool(what, CKA_EXTRACTABLE, false) ? CKR_OK
                                                       : CKR_KEY_UNEXTRACTABLE;
}

/* Of RSA, who wraps has no private half: bytes that look the part. */
static size_t wrap_bytes(const struct way *way, const struct fake_object *with,
                         unsigned char *plain, size_t len, unsigned char *out)
{
    if (way->cipher == NULL) {
        const struct fake_attribute *n = fake_get(with, CKA_MODULUS);
        return n != NULL && n->len <= MAX_WRAPPED &&
                       RAND_bytes(out, (int)n->len) == 1
                   ? n->len
                   : 0;
    }
    while (way->type == CKM_AES_KEY_WRAP && len % 8 != 0)
        plain[len++] = 0;
    return through(way, with, true, plain, len, out);
}

CK_RV fake_wrap(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE what, CK_BYTE *out,
                CK_ULONG *out_len)
{
    CK_RV rv;
    const struct way *way = way_of(mechanism->mechanism);
    struct fake_object *key = fake_seen(session, with, &rv);
    struct fake_object *o = key != NULL ? fake_seen(session, what, &rv) : NULL;
    unsigned char plain[MAX_MATERIAL + 8], wrapped[MAX_WRAPPED];
    size_t len, wrapped_len = 0;

    if (o != NULL)
        rv = may_wrap(key, o, way);
    if (rv == CKR_OK && o != NULL) {
        len = material(o, plain);
        if (len > 0)
            wrapped_len = wrap_bytes(way, key, plain, len, wrapped);
        OPENSSL_cleanse(plain, sizeof(plain));
        if (wrapped_len == 0)
            rv = CKR_FUNCTION_FAILED;
    }
    if (rv == CKR_OK && out != NULL && *out_len < wrapped_len)
        rv = CKR_BUFFER_TOO_SMALL;
    else if (rv == CKR_OK && out != NULL)
        memcpy(out, wrapped, wrapped_len);
    *out_len = wrapped_len;
    fake_object_free(key);
    fake_object_free(o);
    return rv;
}

static CK_RV unwrapped_attributes(struct fake_object *o,
                                  const unsigned char *bytes, size_t len)
{
    if (fake_get_ulong(o, CKA_CLASS) == CKO_SECRET_KEY)
        return fake_set(o, CKA_VALUE, bytes, len) ? CKR_OK : CKR_HOST_MEMORY;
    const unsigned char *at = bytes;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);
    EVP_PKEY *pkey = info != NULL ? EVP_PKCS82PKEY(info) : NULL;
    bool ok = pkey != NULL && fake_key_attributes(pkey, o, NULL);

    EVP_PKEY_free(pkey);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok ? CKR_OK : CKR_WRAPPED_KEY_INVALID;
}

CK_RV fake_unwrap(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE with, const CK_BYTE *in, CK_ULONG in_len,
                  const CK_ATTRIBUTE *wanted, CK_ULONG count,
                  CK_OBJECT_HANDLE *key)
{
    CK_RV rv;
    unsigned char bytes[MAX_WRAPPED];
    struct fake_object *o = NULL;
    const struct way *way = way_of(mechanism->mechanism);

    if (!fake_switched("unwrap", "1"))
        return CKR_FUNCTION_NOT_SUPPORTED;
    struct fake_object *wrapping = fake_seen(session, with, &rv);
    if (wrapping == NULL)
        return rv;
    /* What it says it can, no more: RFC 5649 by its one name. */
    if (way == NULL || way->type != CKM_AES_KEY_WRAP_PAD)
        rv = CKR_MECHANISM_INVALID;
    else if (!fake_get_bool(wrapping, CKA_UNWRAP, false))
        rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
    else
        rv = fake_from_template(session, wanted, count, &o);
    if (rv == CKR_OK) {
        size_t len = in_len < sizeof(bytes)
                         ? through(way, wrapping, false, in, in_len, bytes)
                         : 0;
        rv = len > 0 ? unwrapped_attributes(o, bytes, len)
                     : CKR_WRAPPED_KEY_INVALID;
        OPENSSL_cleanse(bytes, sizeof(bytes));
    }
    if (rv == CKR_OK) {
        fake_provenance(o, false);
        rv = fake_object_keep(o, key);
    }
    fake_object_free(o);
    fake_object_free(wrapping);
    return rv;
}

/* The secret that two EC keys share; its length, 0 on failure. */
static size_t agree(const struct fake_object *base,
                    const CK_ECDH1_DERIVE_PARAMS *params, unsigned char *out,
                    size_t room)
{
    EVP_PKEY *key = fake_key(base), *peer = EVP_PKEY_new();
    const unsigned char *point = params->pPublicData;
    size_t point_len = params->ulPublicDataLen, len = room;

    if (point_len > 2 && point[0] == 0x04 && point[1] == point_len - 2) {
        point += 2; /* some wrap it as an OCTET STRING */
        point_len -= 2;
    }
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    if (ctx == NULL || EVP_PKEY_copy_parameters(peer, key) != 1 ||
        EVP_PKEY_set1_encoded_public_key(peer, point, point_len) != 1 ||
        EVP_PKEY_derive_init(ctx) != 1 ||
        EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
        EVP_PKEY_derive(ctx, out, &len) != 1)
        len = 0;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(key);
    return len;
}

static CK_RV derived_value(const struct fake_object *base,
                           const CK_MECHANISM *mechanism,
                           struct fake_object *made)
{
    unsigned char bytes[MAX_MATERIAL];
    size_t len = 0;

    if (mechanism->mechanism == CKM_ECDH1_DERIVE &&
        mechanism->pParameter != NULL)
        len = agree(base, mechanism->pParameter, bytes, sizeof(bytes));
    else if (mechanism->mechanism == CONCATENATE_BASE_AND_DATA &&
             fake_leaks("derive"))
        len = material(base, bytes);
    else
        return CKR_MECHANISM_INVALID;
    CK_RV rv = len > 0 && fake_set(made, CKA_VALUE, bytes, len)
                   ? CKR_OK
                   : CKR_FUNCTION_FAILED;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rv;
}

CK_RV fake_derive(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *wanted,
                  CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, base, &rv), *made = NULL;

    if (o == NULL)
        return rv;
    if (!fake_get_bool(o, CKA_DERIVE, false) && !fake_leaks("derive"))
        rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
    else
        rv = fake_from_template(session, wanted, count, &made);
    if (rv == CKR_OK)
        rv = derived_value(o, mechanism, made);
    if (rv == CKR_OK) {
        fake_provenance(made, false);
        rv = fake_object_keep(made, key);
    }
    fake_object_free(made);
    fake_object_free(o);
    return rv;
}

CK_RV fake_digest_init(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    if (mechanism->mechanism != CKM_SHA256)
        return CKR_MECHANISM_INVALID;
    fake_operation_end(s);
    s->digesting = true;
    return CKR_OK;
}

CK_RV fake_digest_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, key, &rv);
    struct fake_session *s = fake_session(session, &(CK_RV){0});

    if (o == NULL)
        return rv;
    if (!s->digesting)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    else if (!fake_leaks("digest"))
        rv = CKR_KEY_INDIGESTIBLE;
    else {
        s->data = realloc(s->data, MAX_MATERIAL);
        s->data_len = material(o, s->data);
    }
    fake_object_free(o);
    return rv;
}

CK_RV fake_digest_final(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *len)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    if (!s->digesting)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (*len < SHA256_DIGEST_LENGTH)
        return CKR_BUFFER_TOO_SMALL;
    *len = SHA256_DIGEST_LENGTH;
    EVP_Digest(s->data, s->data_len, out, NULL, EVP_sha256(), NULL);
    fake_operation_end(s);
    return CKR_OK;
}
