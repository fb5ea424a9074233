/* OSSL_OP_SIGNATURE: collects what is to be signed and asks the signer. There
 * is no function here that takes a digest. */
#include "pkcs11/provider/provider_internal.h"

#include "vault/base/limits.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_NAME 64
#define ED25519_LEN 64

struct signing {
    struct cv_provider_data *key; /* held; NULL before digest_sign_init */
    char digest[DIGEST_NAME];     /* "": the key's own */
    bool pss;
    struct cv_buf data; /* collected so far */
};

static void *new_signing(void *side, const char *properties)
{
    struct signing *s = calloc(1, sizeof(*s));

    (void)side;
    (void)properties;
    if (s != NULL) {
        cv_buf_init(&s->data, NULL, CV_LIMIT_SIGN_DATA);
    }
    return s;
}

static void free_signing(void *v)
{
    struct signing *s = v;

    if (s != NULL) {
        cv_provider_data_free(s->key);
        cv_buf_wipe(&s->data);
        free(s);
    }
}

/* libcrypto copies a context before it asks for the signature, so that more
 * could be added afterwards. */
static void *dup_signing(void *v)
{
    const struct signing *s = v;
    struct signing *copy = new_signing(NULL, NULL);

    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy->digest, s->digest, sizeof(copy->digest));
    copy->pss = s->pss;
    if (s->key != NULL) {
        copy->key = cv_provider_data_hold(s->key);
    }
    cv_buf_add(&copy->data, s->data.data, s->data.len);
    if (s->data.status != CV_OK || copy->data.status != CV_OK) {
        free_signing(copy);
        return NULL;
    }
    return copy;
}

static const struct cv_provider_algorithm *algorithm_of(const struct signing *s)
{
    return s->key == NULL
               ? NULL
               : cv_provider_find_algorithm(s->key, s->digest, s->pss);
}

static bool keep_digest(struct signing *s, const char *name)
{
    size_t len = strlen(name);

    if (len >= sizeof(s->digest)) {
        return false;
    }
    memcpy(s->digest, name, len + 1);
    return true;
}

/* A word or a number: libcrypto sends either. */
static bool read_padding(const OSSL_PARAM *p, bool *pss)
{
    int mode = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL) {
        *pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
        return *pss || strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
    }
    if (OSSL_PARAM_get_int(p, &mode) != 1) {
        return false;
    }
    *pss = mode == RSA_PKCS1_PSS_PADDING;
    return *pss || mode == RSA_PKCS1_PADDING;
}

/* TLS's salt is as long as the digest, and so is ours. */
static bool is_salt(const struct signing *s, const OSSL_PARAM *p)
{
    const struct cv_provider_algorithm *a = algorithm_of(s);
    int len = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL) {
        if (strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0) {
            return true;
        }
        /* a number's digits otherwise; "max" and "auto" are none */
        return a != NULL && a->digest_len > 0 &&
               ((const char *)p->data)[0] == '0' + a->digest_len / 10 &&
               ((const char *)p->data)[1] == '0' + a->digest_len % 10 &&
               ((const char *)p->data)[2] == '\0';
    }
    return OSSL_PARAM_get_int(p, &len) == 1 &&
           (len == RSA_PSS_SALTLEN_DIGEST ||
            (a != NULL && len == a->digest_len));
}

/* The digest's name in `p` must be one that gives the algorithm we have. */
static bool is_same_digest(const struct signing *s, const OSSL_PARAM *p)
{
    const char *name = NULL;

    return OSSL_PARAM_get_utf8_string_ptr(p, &name) == 1 && name != NULL &&
           algorithm_of(s) == cv_provider_find_algorithm(s->key, name, s->pss);
}

static int set_params(void *v, const OSSL_PARAM params[])
{
    struct signing *s = v;
    const OSSL_PARAM *p;

    if (params == NULL) {
        return 1;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    if (p != NULL && (s->key == NULL || s->key->kind != CV_PROVIDER_RSA ||
                      !read_padding(p, &s->pss))) {
        return 0;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (p != NULL && (!s->pss || !is_salt(s, p))) {
        return 0;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    if (p != NULL && (!s->pss || !is_same_digest(s, p))) {
        return 0;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
    return p == NULL || (s->key != NULL && is_same_digest(s, p));
}

static const OSSL_PARAM *settable(void *v, void *side)
{
    static const OSSL_PARAM rsa[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_END};

    (void)v;
    (void)side;
    return rsa;
}

static int get_params(void *v, OSSL_PARAM params[])
{
    struct signing *s = v;
    const struct cv_provider_algorithm *a = algorithm_of(s);
    OSSL_PARAM *p;

    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    if (p != NULL &&
        (a == NULL || OSSL_PARAM_set_octet_string(p, a->identifier.data,
                                                  a->identifier.len) != 1)) {
        return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
    return p == NULL ||
           (a != NULL &&
            OSSL_PARAM_set_utf8_string(p, a->digest == NULL ? "" : a->digest));
}

static const OSSL_PARAM *gettable(void *v, void *side)
{
    static const OSSL_PARAM all[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_END};

    (void)v;
    (void)side;
    return all;
}

/* libssl does this once for each key and digest to see what it could use. */
static int init(void *v, const char *digest, void *key,
                const OSSL_PARAM params[])
{
    struct signing *s = v;
    struct cv_provider_data *d = key;

    if (d != NULL) {
        if (d->public == NULL || d->sign == NULL) {
            return 0;
        }
        cv_provider_data_free(s->key);
        s->key = cv_provider_data_hold(d);
    }
    s->pss = false;
    cv_buf_wipe(&s->data);
    return s->key != NULL && keep_digest(s, digest != NULL ? digest : "") &&
           algorithm_of(s) != NULL && set_params(s, params);
}

static int update(void *v, const unsigned char *data, size_t len)
{
    struct signing *s = v;

    cv_buf_add(&s->data, data, len);
    return s->data.status == CV_OK;
}

/* SEQUENCE of two numbers, and nothing behind it (RFC 3279 2.2.3). */
static bool is_two_numbers(struct cv_bytes signature)
{
    const unsigned char *at = signature.data;
    ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &at, (long)signature.len);
    bool good = parts != NULL && at == signature.data + signature.len;

    ECDSA_SIG_free(parts);
    return good;
}

/* Has it the form and the length of this key's signatures? */
static bool has_form(const struct signing *s, struct cv_bytes signature,
                     size_t longest)
{
    switch (s->key->kind) {
    case CV_PROVIDER_RSA:
        return signature.len == longest;
    case CV_PROVIDER_EC:
        return signature.len <= longest && is_two_numbers(signature);
    case CV_PROVIDER_ED25519:
        break;
    }
    return signature.len == ED25519_LEN;
}

static enum cv_status ask(const struct signing *s, struct cv_bytes data,
                          struct cv_buf *out, struct cv_err *err)
{
    const struct cv_provider_algorithm *a = algorithm_of(s);
    const char *purpose = cv_provider_purpose(data);
    enum cv_status status;

    if (a == NULL) {
        return cv_fail(err, CV_INVALID, "the key has no such algorithm");
    }
    if (purpose == NULL) {
        status = cv_fail(err, CV_INVALID,
                         "what is to be signed is neither a TLS handshake nor "
                         "a certificate request");
        cv_err_state(err, "nothing was signed");
        return status;
    }
    return s->key->sign(s->key->context, purpose, a->name, data, out, err);
}

/* The signer's words, where SSL_get_error's caller looks for them. */
static int fail_with(const struct cv_err *err)
{
    ERR_raise_data(ERR_LIB_USER, (int)err->status, "%s", err->text);
    return 0;
}

static int sign(const struct signing *s, struct cv_bytes data,
                unsigned char *out, size_t *out_len, size_t room)
{
    size_t longest = (size_t)EVP_PKEY_get_size(s->key->public);
    struct cv_buf signature;
    struct cv_err err;
    int ok = 0;

    cv_err_init(&err);
    cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
    if (ask(s, data, &signature, &err) != CV_OK ||
        cv_buf_status(&signature, "a signature", &err) != CV_OK) {
        fail_with(&err);
    } else if (!has_form(s, cv_buf_bytes(&signature), longest) ||
               signature.len > room) {
        cv_fail(&err, CV_INTEGRITY,
                "the signature, of %zu bytes, is none by this key",
                signature.len);
        fail_with(&err);
    } else {
        memcpy(out, signature.data, signature.len);
        *out_len = signature.len;
        ok = 1;
    }
    cv_buf_wipe(&signature);
    return ok;
}

static int final(void *v, unsigned char *out, size_t *out_len, size_t room)
{
    struct signing *s = v;

    if (s->key == NULL || s->data.status != CV_OK) {
        return 0;
    }
    if (out == NULL) {
        *out_len = (size_t)EVP_PKEY_get_size(s->key->public);
        return 1;
    }
    return sign(s, cv_buf_bytes(&s->data), out, out_len, room);
}

static int sign_at_once(void *v, unsigned char *out, size_t *out_len,
                        size_t room, const unsigned char *data, size_t len)
{
    struct signing *s = v;

    if (s->key == NULL || len > CV_LIMIT_SIGN_DATA) {
        return 0;
    }
    if (out == NULL) {
        return final(v, NULL, out_len, room);
    }
    return sign(s, (struct cv_bytes){data, len}, out, out_len, room);
}

typedef void generic(void);

#define FUNCTIONS                                                       \
    {OSSL_FUNC_SIGNATURE_NEWCTX, (generic *)new_signing},               \
        {OSSL_FUNC_SIGNATURE_FREECTX, (generic *)free_signing},         \
        {OSSL_FUNC_SIGNATURE_DUPCTX, (generic *)dup_signing},           \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (generic *)init},        \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (generic *)sign_at_once},     \
        {OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (generic *)get_params},    \
        {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (generic *)gettable}, \
        {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (generic *)set_params},    \
    {                                                                   \
        OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (generic *)settable    \
    }

static const OSSL_DISPATCH streaming[] = {
    FUNCTIONS,
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (generic *)update},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (generic *) final},
    {0, NULL}};

/* Ed25519 signs in one go (RFC 8032): libcrypto's does not stream either. */
static const OSSL_DISPATCH whole[] = {FUNCTIONS, {0, NULL}};

#define OURS "provider=" CV_PROVIDER_NAME

const OSSL_ALGORITHM cv_provider_signatures[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OURS, streaming,
     "RSA signatures made elsewhere"},
    {"ECDSA", OURS, streaming, "ECDSA signatures made elsewhere"},
    {"ED25519:1.3.101.112", OURS, whole, "Ed25519 signatures made elsewhere"},
    {NULL, NULL, NULL, NULL},
};
