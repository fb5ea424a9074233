#include "pkcs11/provider/provider_internal.h"

#include "vault/base/limits.h"

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct cv_provider {
    OSSL_LIB_CTX *context; /* where the keys live */
    OSSL_PROVIDER *ours;
    /* Its encoders write our keys' public half (X509_REQ_set_pubkey). */
    OSSL_PROVIDER *standard;
    struct cv_provider_side *side; /* the first's own */
};

static const OSSL_ALGORITHM *query(void *side, int operation, int *no_cache)
{
    (void)side;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return cv_provider_keymgmts;
    case OSSL_OP_SIGNATURE:
        return cv_provider_signatures;
    default:
        return NULL;
    }
}

static void teardown(void *v)
{
    struct cv_provider_side *side = v;

    OSSL_LIB_CTX_free(side->plain);
    free(side);
}

typedef void generic(void);

static const OSSL_DISPATCH functions[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (generic *)query},
    {OSSL_FUNC_PROVIDER_TEARDOWN, (generic *)teardown},
    {0, NULL},
};

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                 const OSSL_DISPATCH **out, void **context)
{
    struct cv_provider_side *side = calloc(1, sizeof(*side));

    (void)handle;
    (void)in;
    if (side == NULL) {
        return 0;
    }
    side->plain = OSSL_LIB_CTX_new();
    if (side->plain == NULL) {
        free(side);
        return 0;
    }
    *out = functions;
    *context = side;
    return 1;
}

void cv_provider_free(struct cv_provider *p)
{
    if (p == NULL) {
        return;
    }
    (void)OSSL_PROVIDER_unload(p->ours);
    (void)OSSL_PROVIDER_unload(p->standard);
    OSSL_LIB_CTX_free(p->context);
    free(p);
}

static bool load(struct cv_provider *p)
{
    /* The first such call of a process decides, whatever OPENSSL_CONF says. At
     * exit nothing is torn down: other threads may still be at work. */
    (void)OPENSSL_init_crypto(
        OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
    p->context = OSSL_LIB_CTX_new();
    if (p->context == NULL ||
        OSSL_PROVIDER_add_builtin(p->context, CV_PROVIDER_NAME, start) != 1) {
        return false;
    }
    p->ours = OSSL_PROVIDER_load(p->context, CV_PROVIDER_NAME);
    p->standard = OSSL_PROVIDER_load(p->context, "default");
    if (p->ours == NULL || p->standard == NULL) {
        return false;
    }
    p->side = OSSL_PROVIDER_get0_provider_ctx(p->ours);
    return p->side != NULL;
}

enum cv_status cv_provider_new(struct cv_provider **out, struct cv_err *err)
{
    struct cv_provider *p = calloc(1, sizeof(*p));

    *out = NULL;
    if (p == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (!load(p)) {
        cv_provider_free(p);
        ERR_clear_error();
        return cv_fail(err, CV_INTERNAL, "libcrypto takes no provider");
    }
    *out = p;
    return CV_OK;
}

static EVP_PKEY *read_public(const struct cv_provider *p, struct cv_bytes spki)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *key = NULL;

    if (spki.len != 0 && spki.len <= CV_LIMIT_KEY_DER) {
        key = d2i_PUBKEY_ex(NULL, &at, (long)spki.len, p->side->plain, NULL);
    }
    if (key != NULL && at != spki.data + spki.len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static EVP_PKEY *make(const struct cv_provider *p, enum cv_provider_kind kind,
                      struct cv_provider_made *made)
{
    static const char *const types[] = {"RSA", "EC", "ED25519"};
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(CV_PROVIDER_PARAM, made,
                                          sizeof(*made)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(
        p->context, types[kind], "provider=" CV_PROVIDER_NAME);
    EVP_PKEY *key = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

enum cv_status cv_provider_key(struct cv_provider *p, struct cv_bytes spki,
                               cv_provider_sign *sign, void *context,
                               EVP_PKEY **out, struct cv_err *err)
{
    struct cv_provider_made made = {read_public(p, spki), sign, context};
    enum cv_provider_kind kind;
    enum cv_status status = CV_OK;

    *out = NULL;
    if (made.public == NULL) {
        status = cv_fail(err, CV_INVALID, "the public key cannot be read");
    } else if (!cv_provider_is_used(made.public, &kind)) {
        status = cv_fail(err, CV_INVALID,
                         "this kind of public key is not used here");
        cv_err_hint(err, "RSA from 2,048 bits, EC on P-256, P-384 or P-521, "
                         "or Ed25519");
    } else {
        *out = make(p, kind, &made);
        if (*out == NULL) {
            status = cv_fail(err, CV_INTERNAL, "libcrypto does not take a key");
        }
    }
    EVP_PKEY_free(made.public);
    ERR_clear_error();
    return status;
}
