/* A key goes in wrapped.
 *
 * Who wraps must know the wrapping key, and a token that makes one does not
 * tell it. So the AES key is made here, and goes in encrypted to an RSA key
 * that the token makes for this alone. Where a token cannot do that it goes in
 * as a value: then the private key still does not pass in the clear, but who
 * reads everything that passes could open it. */
#include "pkcs11/create_internal.h"
#include "pkcs11/keywrap.h"
#include "pkcs11/mechanism.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define TRANSPORT_BITS 2048

/* SoftHSM's and most HSMs' 0x210A is RFC 5649, as is 0x210B everywhere; NSS's
 * 0x210A is RFC 3394 over PKCS #7 padding, which nobody else can open. What
 * checks its length exactly comes first. */
const struct create_unwrap_way cv_create_unwrap_ways[] = {
    {CV_MECHANISM_AES_KWP, CV_KEYWRAP_PADDED, "aes-kwp"},
    {CKM_AES_KEY_WRAP_PAD, CV_KEYWRAP_PADDED, "aes-key-wrap-pad"},
    {CKM_AES_KEY_WRAP_PAD, CV_KEYWRAP_PKCS7, "aes-key-wrap-pkcs7"},
    {CKM_AES_KEY_WRAP, CV_KEYWRAP_PLAIN, "aes-key-wrap-zeros"},
};
const size_t cv_create_unwrap_ways_n =
    sizeof(cv_create_unwrap_ways) / sizeof(cv_create_unwrap_ways[0]);

struct pair {
    CK_OBJECT_HANDLE public, private;
};

static CK_RV make_pair(const struct create_place *at, struct pair *out)
{
    static uint8_t exponent[] = {0x01, 0x00, 0x01};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    struct cv_attribute_template pub, priv;

    cv_attribute_start(&pub);
    cv_attribute_add_bool(&pub, CKA_TOKEN, false);
    cv_attribute_add_bool(&pub, CKA_ENCRYPT, true);
    cv_attribute_add_bool(&pub, CKA_WRAP, true);
    cv_attribute_add_ulong(&pub, CKA_MODULUS_BITS, TRANSPORT_BITS);
    cv_attribute_add_bytes(&pub, CKA_PUBLIC_EXPONENT,
                           (struct cv_bytes){exponent, sizeof(exponent)});
    cv_attribute_start(&priv);
    cv_attribute_add_bool(&priv, CKA_TOKEN, false);
    cv_attribute_add_bool(&priv, CKA_PRIVATE, true);
    cv_attribute_add_bool(&priv, CKA_SENSITIVE, true);
    cv_attribute_add_bool(&priv, CKA_EXTRACTABLE, false);
    cv_attribute_add_bool(&priv, CKA_UNWRAP, true);
    return at->f->C_GenerateKeyPair(at->s, &mechanism, pub.items, pub.n,
                                    priv.items, priv.n, &out->public,
                                    &out->private);
}

/* The transport key's public half as libcrypto's; NULL on failure. */
static EVP_PKEY *public_of(const struct create_place *at,
                           CK_OBJECT_HANDLE object)
{
    struct cv_attribute_place place = {at->f, at->s, object};
    struct cv_buf der;
    EVP_PKEY *key = NULL;

    cv_buf_init(&der, NULL, CV_LIMIT_KEY_DER);
    if (cv_object_spki(place, &der, NULL) == CV_OK) {
        const unsigned char *from = der.data;

        key = d2i_PUBKEY(NULL, &from, (long)der.len);
    }
    cv_buf_wipe(&der);
    return key;
}

/* Encrypts the AES key to `key` by OAEP with `digest`; the length, 0 on
 * failure. */
static size_t oaep(EVP_PKEY *key, const char *digest, const uint8_t *value,
                   uint8_t *out, size_t room)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = room;
    bool ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0 &&
              EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, digest, NULL) > 0 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, digest, NULL) > 0 &&
              EVP_PKEY_encrypt(ctx, out, &len, value, CV_KEYWRAP_KEY_LEN) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok ? len : 0;
}

static void aes_template(struct cv_attribute_template *t,
                         CK_ATTRIBUTE_TYPE usage)
{
    cv_attribute_start(t);
    cv_attribute_add_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    cv_attribute_add_ulong(t, CKA_KEY_TYPE, CKK_AES);
    cv_attribute_add_bool(t, CKA_TOKEN, false);
    cv_attribute_add_bool(t, CKA_SENSITIVE, true);
    cv_attribute_add_bool(t, CKA_EXTRACTABLE, false);
    cv_attribute_add_bool(t, CKA_ENCRYPT, false);
    cv_attribute_add_bool(t, CKA_DECRYPT, false);
    cv_attribute_add_bool(t, usage, true);
}

/* The token decrypts the AES key; one digest, one call. */
static CK_RV oaep_in(const struct create_place *at, const struct pair *pair,
                     EVP_PKEY *public_key, bool sha256, const uint8_t *value,
                     CK_ATTRIBUTE_TYPE usage, CK_OBJECT_HANDLE *out)
{
    CK_RSA_PKCS_OAEP_PARAMS params = {sha256 ? CKM_SHA256 : CKM_SHA_1,
                                      sha256 ? CKG_MGF1_SHA256 : CKG_MGF1_SHA1,
                                      CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &params, sizeof(params)};
    struct cv_attribute_template t;
    uint8_t sealed[TRANSPORT_BITS / 8];
    size_t len = oaep(public_key, sha256 ? "SHA256" : "SHA1", value, sealed,
                      sizeof(sealed));

    if (len == 0) {
        return CKR_FUNCTION_FAILED;
    }
    aes_template(&t, usage);
    return at->f->C_UnwrapKey(at->s, &mechanism, pair->private, sealed, len,
                              t.items, t.n, out);
}

static CK_RV transport_rsa(const struct create_place *at, const uint8_t *value,
                           CK_ATTRIBUTE_TYPE usage, CK_OBJECT_HANDLE *out,
                           const char **how)
{
    struct pair pair = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    EVP_PKEY *key;
    CK_RV rv;

    if (!cv_mechanism_has(at->f, at->s, CKM_RSA_PKCS_OAEP, CKF_UNWRAP, NULL) ||
        !cv_mechanism_has(at->f, at->s, CKM_RSA_PKCS_KEY_PAIR_GEN,
                          CKF_GENERATE_KEY_PAIR, NULL)) {
        return CKR_MECHANISM_INVALID;
    }
    rv = make_pair(at, &pair);
    if (rv != CKR_OK) {
        return rv;
    }
    key = public_of(at, pair.public);
    if (key == NULL) {
        rv = CKR_FUNCTION_FAILED;
    } else {
        *how = "rsa-oaep-sha256";
        rv = oaep_in(at, &pair, key, true, value, usage, out);
    }
    if (key != NULL && rv != CKR_OK) {
        *how = "rsa-oaep-sha1";
        rv = oaep_in(at, &pair, key, false, value, usage, out);
    }
    EVP_PKEY_free(key);
    cv_create_drop(at->f, at->s, pair.public);
    cv_create_drop(at->f, at->s, pair.private);
    return rv;
}

CK_RV cv_create_transport_value(const struct create_place *at,
                                const uint8_t *key, CK_ATTRIBUTE_TYPE usage,
                                CK_OBJECT_HANDLE *out)
{
    struct cv_attribute_template t;
    CK_RV rv;

    *out = CK_INVALID_HANDLE;
    aes_template(&t, usage);
    cv_attribute_add_bytes(&t, CKA_VALUE,
                           (struct cv_bytes){key, CV_KEYWRAP_KEY_LEN});
    rv = at->f->C_CreateObject(at->s, t.items, t.n, out);
    return rv == CKR_OK && *out == CK_INVALID_HANDLE ? CKR_FUNCTION_FAILED : rv;
}

CK_RV cv_create_transport(const struct create_place *at, const uint8_t *key,
                          CK_ATTRIBUTE_TYPE usage, CK_OBJECT_HANDLE *out,
                          const char **how)
{
    CK_RV rv;

    *out = CK_INVALID_HANDLE;
    rv = transport_rsa(at, key, usage, out, how);
    if (rv == CKR_OK && *out != CK_INVALID_HANDLE) {
        return CKR_OK;
    }
    *how = "value";
    return cv_create_transport_value(at, key, usage, out);
}

struct unwrapping {
    const struct create_place *at;
    const struct create_unwrap_way *way;
    CK_OBJECT_HANDLE aes;
    const struct create_parts *parts;
    struct cv_bytes wrapped;
};

static CK_RV unwrap_attempt(void *context, struct cv_attribute_template *t,
                            CK_OBJECT_HANDLE *out)
{
    const struct unwrapping *u = context;
    CK_MECHANISM mechanism = {u->way->mechanism, NULL, 0};
    uint8_t *wrapped = (uint8_t *)(uintptr_t)u->wrapped.data;
    CK_RV rv;

    cv_attribute_add_ulong(t, CKA_CLASS, CKO_PRIVATE_KEY);
    cv_attribute_add_ulong(t, CKA_KEY_TYPE, u->parts->key_type);
    cv_create_template_order(t);
    rv = u->at->f->C_UnwrapKey(u->at->s, &mechanism, u->aes, wrapped,
                               u->wrapped.len, t->items, t->n, out);
    if (rv == CKR_TEMPLATE_INCOMPLETE && u->parts->raw.len > 0) {
        cv_attribute_add_bytes(t, CREATE_CKA_NSS_DB, u->parts->raw);
        cv_create_template_order(t);
        rv = u->at->f->C_UnwrapKey(u->at->s, &mechanism, u->aes, wrapped,
                                   u->wrapped.len, t->items, t->n, out);
    }
    return rv;
}

CK_RV cv_create_unwrap_by(const struct create_place *at,
                          const struct create_unwrap_way *way,
                          CK_OBJECT_HANDLE aes, const uint8_t *value,
                          const struct create_want *want,
                          const struct create_parts *parts,
                          struct cv_bytes key_der, CK_OBJECT_HANDLE *out,
                          struct cv_notes *notes)
{
    struct unwrapping u = {at, way, aes, parts, {NULL, 0}};

    if (!cv_mechanism_has(at->f, at->s, way->mechanism, CKF_UNWRAP, NULL)) {
        return CKR_MECHANISM_INVALID;
    }
    if (cv_keywrap_wrap((enum cv_keywrap_form)way->form, value, key_der,
                        at->arena, &u.wrapped, NULL) != CV_OK) {
        return CKR_HOST_MEMORY;
    }
    return cv_create_template_try(at, want, unwrap_attempt, &u, out, notes);
}

/* Is any way of unwrapping listed? Else no wrapping key need be made. */
static bool any_way(const struct create_place *at)
{
    size_t i;

    for (i = 0; i < cv_create_unwrap_ways_n; i++) {
        if (cv_mechanism_has(at->f, at->s, cv_create_unwrap_ways[i].mechanism,
                             CKF_UNWRAP, NULL)) {
            return true;
        }
    }
    return false;
}

CK_RV cv_create_unwrap(const struct create_place *at,
                       const struct create_want *want,
                       const struct create_parts *parts,
                       struct cv_bytes key_der, CK_OBJECT_HANDLE *out,
                       struct cv_notes *notes)
{
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    const char *how = NULL;
    const uint8_t *value;
    CK_RV rv;
    size_t i;

    if (!any_way(at)) {
        return CKR_MECHANISM_INVALID;
    }
    value = cv_keywrap_key(at->arena, NULL);
    rv = value == NULL ? CKR_HOST_MEMORY
                       : cv_create_transport(at, value, CKA_UNWRAP, &aes, &how);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = CKR_MECHANISM_INVALID;
    for (i = 0; i < cv_create_unwrap_ways_n && rv != CKR_OK; i++) {
        CK_RV now =
            cv_create_unwrap_by(at, &cv_create_unwrap_ways[i], aes, value, want,
                                parts, key_der, out, notes);

        rv = now != CKR_MECHANISM_INVALID ? now : rv;
    }
    cv_create_drop(at->f, at->s, aes);
    if (rv == CKR_OK && strcmp(how, "value") == 0) {
        cv_notes_add(notes, "the wrapping key went in as a value: the token "
                            "takes none encrypted to an RSA key of its own");
    }
    return rv;
}
