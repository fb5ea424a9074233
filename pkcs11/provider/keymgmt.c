/* OSSL_OP_KEYMGMT: what a key is, as far as libcrypto and libssl ask. Every
 * answer is that of the public key in the plain context, so that it is what the
 * default provider would say ("prime256v1", not "P-256": libssl looks for that
 * name, and in TLS 1.3 silently sends no certificate when it finds another). */
#include "pkcs11/provider/provider_internal.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

struct cv_provider_data *cv_provider_data_hold(struct cv_provider_data *d)
{
    atomic_fetch_add(&d->held, 1);
    return d;
}

void cv_provider_data_free(struct cv_provider_data *d)
{
    if (d != NULL && atomic_fetch_sub(&d->held, 1) == 1) {
        EVP_PKEY_free(d->public);
        free(d);
    }
}

static struct cv_provider_data *new_data(struct cv_provider_side *side,
                                         enum cv_provider_kind kind)
{
    struct cv_provider_data *d = calloc(1, sizeof(*d));

    if (d != NULL) {
        atomic_init(&d->held, 1);
        d->side = side;
        d->kind = kind;
    }
    return d;
}

static void *new_rsa(void *side)
{
    return new_data(side, CV_PROVIDER_RSA);
}

static void *new_ec(void *side)
{
    return new_data(side, CV_PROVIDER_EC);
}

static void *new_ed25519(void *side)
{
    return new_data(side, CV_PROVIDER_ED25519);
}

static void free_key(void *key)
{
    cv_provider_data_free(key);
}

static int has(const void *key, int selection)
{
    const struct cv_provider_data *d = key;

    if (d == NULL || d->public == NULL) {
        return 0;
    }
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 ||
           d->sign != NULL;
}

static int match(const void *one, const void *other, int selection)
{
    const struct cv_provider_data *a = one;
    const struct cv_provider_data *b = other;

    (void)selection; /* public halves are all that there is to compare */
    return a->public != NULL && b->public != NULL &&
           EVP_PKEY_eq(a->public, b->public) == 1;
}

/* cv_provider_key's. */
static int import_made(struct cv_provider_data *d, const OSSL_PARAM *p)
{
    struct cv_provider_made made;

    if (p->data_type != OSSL_PARAM_OCTET_STRING ||
        p->data_size != sizeof(made) || d->public != NULL) {
        return 0;
    }
    memcpy(&made, p->data, sizeof(made));
    if (EVP_PKEY_up_ref(made.public) != 1) {
        return 0;
    }
    d->public = made.public;
    d->sign = made.sign;
    d->context = made.context;
    return 1;
}

/* Of a certificate's key, to be compared with one of ours. */
static int import_key(void *key, int selection, const OSSL_PARAM params[])
{
    static const char *const types[] = {"RSA", "EC", "ED25519"};
    struct cv_provider_data *d = key;
    const OSSL_PARAM *made = OSSL_PARAM_locate_const(params, CV_PROVIDER_PARAM);
    EVP_PKEY_CTX *ctx;
    OSSL_PARAM *copy;
    int ok;

    if (made != NULL) {
        return import_made(d, made);
    }
    if (d->public != NULL ||
        (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ||
        (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0) {
        return 0;
    }
    ctx = EVP_PKEY_CTX_new_from_name(d->side->plain, types[d->kind], NULL);
    copy = OSSL_PARAM_dup(params);
    ok = ctx != NULL && copy != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, &d->public, EVP_PKEY_PUBLIC_KEY, copy) == 1;
    OSSL_PARAM_free(copy);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* Refused where the private key is asked for too: libcrypto exports a key to
 * the default provider with all selected, and would then sign there, with a
 * key that cannot. */
static int export_key(void *key, int selection, OSSL_CALLBACK *take, void *to)
{
    struct cv_provider_data *d = key;
    OSSL_PARAM *params = NULL;
    int ok;

    if (d->public == NULL ||
        (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0) {
        return 0;
    }
    ok = EVP_PKEY_todata(d->public, selection, &params) == 1 &&
         take(params, to) == 1;
    OSSL_PARAM_free(params);
    return ok;
}

static int get_params(void *key, OSSL_PARAM params[])
{
    struct cv_provider_data *d = key;
    OSSL_PARAM *p;

    if (d->public == NULL || EVP_PKEY_get_params(d->public, params) != 1) {
        return 0;
    }
    /* A curve goes with one digest here. */
    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST);
    if (p != NULL && d->kind == CV_PROVIDER_EC &&
        OSSL_PARAM_set_utf8_string(p, cv_provider_own_digest(d)) != 1) {
        return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_MANDATORY_DIGEST);
    return p == NULL || d->kind != CV_PROVIDER_ED25519 ||
           OSSL_PARAM_set_utf8_string(p, "") == 1;
}

/* What may be asked for and comes in and out: the public half. */
#define GENERAL                                              \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),              \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL), \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),      \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0)

static const OSSL_PARAM rsa_params[] = {
    GENERAL, OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END};

static const OSSL_PARAM ec_params[] = {
    GENERAL,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
    OSSL_PARAM_END};

static const OSSL_PARAM ed25519_params[] = {
    GENERAL, OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OSSL_PARAM_END};

/* The same without what is only told. */
#define TOLD 4

static const OSSL_PARAM *rsa_gettable(void *side)
{
    (void)side;
    return rsa_params;
}

static const OSSL_PARAM *ec_gettable(void *side)
{
    (void)side;
    return ec_params;
}

static const OSSL_PARAM *ed25519_gettable(void *side)
{
    (void)side;
    return ed25519_params;
}

static const OSSL_PARAM *rsa_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0
               ? NULL
               : rsa_params + TOLD;
}

static const OSSL_PARAM *ec_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0
               ? NULL
               : ec_params + TOLD;
}

static const OSSL_PARAM *ed25519_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0
               ? NULL
               : ed25519_params + TOLD + 1;
}

/* An EC key signs by ECDSA; the others' algorithm has the key's name. */
static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

typedef void generic(void);

#define FUNCTIONS(type)                                               \
    {OSSL_FUNC_KEYMGMT_NEW, (generic *)new_##type},                   \
        {OSSL_FUNC_KEYMGMT_FREE, (generic *)free_key},                \
        {OSSL_FUNC_KEYMGMT_HAS, (generic *)has},                      \
        {OSSL_FUNC_KEYMGMT_MATCH, (generic *)match},                  \
        {OSSL_FUNC_KEYMGMT_IMPORT, (generic *)import_key},            \
        {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (generic *)type##_types},    \
        {OSSL_FUNC_KEYMGMT_EXPORT, (generic *)export_key},            \
        {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (generic *)type##_types},    \
        {OSSL_FUNC_KEYMGMT_GET_PARAMS, (generic *)get_params},        \
    {                                                                 \
        OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (generic *)type##_gettable \
    }

static const OSSL_DISPATCH rsa_functions[] = {FUNCTIONS(rsa), {0, NULL}};
static const OSSL_DISPATCH ec_functions[] = {
    FUNCTIONS(ec),
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (generic *)ec_operation},
    {0, NULL}};
static const OSSL_DISPATCH ed25519_functions[] = {FUNCTIONS(ed25519),
                                                  {0, NULL}};

#define OURS "provider=" CV_PROVIDER_NAME

/* All the names that the default provider has for them: a key's type is told
 * by any. */
const OSSL_ALGORITHM cv_provider_keymgmts[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OURS, rsa_functions,
     "RSA keys that sign elsewhere"},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", OURS, ec_functions,
     "EC keys that sign elsewhere"},
    {"ED25519:1.3.101.112", OURS, ed25519_functions,
     "Ed25519 keys that sign elsewhere"},
    {NULL, NULL, NULL, NULL},
};
