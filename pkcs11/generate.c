#include "pkcs11/generate.h"

#include "pkcs11/create_internal.h"
#include "pkcs11/mechanism.h"

#include <string.h>

static const struct algorithm {
    const char *name;
    const char *kind;
    unsigned bits;
    CK_KEY_TYPE key_type;
    CK_MECHANISM_TYPE mechanism;
} algorithms[] = {
    {"p256", "ec-p256", 256, CKK_EC, CKM_EC_KEY_PAIR_GEN},
    {"p384", "ec-p384", 384, CKK_EC, CKM_EC_KEY_PAIR_GEN},
    {"rsa2048", "rsa", 2048, CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN},
    {"rsa3072", "rsa", 3072, CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN},
    {"rsa4096", "rsa", 4096, CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN},
    {"ed25519", "ed25519", 256, CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN},
};

static const struct algorithm *algorithm_named(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

struct generating {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    const struct algorithm *algorithm;
    const struct cv_generate_order *order;
    CK_OBJECT_HANDLE public;
};

/* Nothing is said of CKA_VERIFY and CKA_ENCRYPT, which nobody here asks of a
 * token: to tpm2-pkcs11 CKA_VERIFY means that the private key decrypts,
 * whatever that one's template says, and the two then do not go together. */
static void public_template(const struct generating *g,
                            struct cv_attribute_template *t)
{
    static const uint8_t exponent[] = {0x01, 0x00, 0x01};

    cv_attribute_start(t);
    cv_attribute_add_bool(t, CKA_TOKEN, true);
    cv_attribute_add_bytes(t, CKA_ID, g->order->id);
    cv_attribute_add_text(t, CKA_LABEL, g->order->label);
    if (g->algorithm->key_type == CKK_RSA) {
        cv_attribute_add_ulong(t, CKA_MODULUS_BITS, g->algorithm->bits);
        cv_attribute_add_bytes(t, CKA_PUBLIC_EXPONENT,
                               (struct cv_bytes){exponent, sizeof(exponent)});
    } else {
        cv_attribute_add_bytes(t, CKA_EC_PARAMS,
                               cv_create_parts_curve(g->algorithm->kind));
    }
}

static CK_RV generate_attempt(void *context, struct cv_attribute_template *t,
                              CK_OBJECT_HANDLE *out)
{
    struct generating *g = context;
    CK_MECHANISM mechanism = {g->algorithm->mechanism, NULL, 0};
    struct cv_attribute_template pub;

    public_template(g, &pub);
    cv_create_template_order(t);
    return g->f->C_GenerateKeyPair(g->s, &mechanism, pub.items, pub.n, t->items,
                                   t->n, &g->public, out);
}

/* Is it listed, and for this size? */
static enum cv_status listed(const struct generating *g, struct cv_err *err)
{
    char room[CV_MECHANISM_NAME_LEN];
    const char *name = cv_mechanism_name(g->algorithm->mechanism, room);
    CK_MECHANISM_INFO info = {0};

    if (!cv_mechanism_has(g->f, g->s, g->algorithm->mechanism,
                          CKF_GENERATE_KEY_PAIR, &info)) {
        (void)cv_fail(err, CV_INVALID,
                      "the token makes no %s keys: it has no %s",
                      g->algorithm->name, name);
        cv_err_hint(err, "certvault token probe shows what it makes");
        return CV_INVALID;
    }
    if (g->algorithm->key_type == CKK_RSA && info.ulMaxKeySize >= 1024 &&
        g->algorithm->bits > info.ulMaxKeySize) {
        return cv_fail(err, CV_INVALID, "the token's %s ends at %lu bits", name,
                       info.ulMaxKeySize);
    }
    return CV_OK;
}

/* The public key as the token tells it, which must be of the kind asked for. */
static enum cv_status read_spki(const struct generating *g,
                                CK_OBJECT_HANDLE key, struct cv_buf *spki,
                                struct cv_err *err)
{
    struct cv_attribute_place at = {g->f, g->s, key};
    size_t before = spki->len;
    struct cv_bytes der;
    const char *kind = "";
    unsigned bits = 0;
    enum cv_status s = cv_object_spki_beside(at, spki, err);

    if (s != CV_OK) {
        return s;
    }
    der = (struct cv_bytes){spki->data + before, spki->len - before};
    s = cv_object_kind(der, &kind, &bits, err);
    if (s == CV_OK &&
        (strcmp(kind, g->algorithm->kind) != 0 || bits != g->algorithm->bits)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the token was asked for %s and made %s of %u bits",
                    g->algorithm->name, kind, bits);
    }
    return s;
}

enum cv_status cv_generate_key(CK_FUNCTION_LIST *functions,
                               CK_SESSION_HANDLE session,
                               const struct cv_generate_order *order,
                               struct cv_buf *spki, CK_OBJECT_HANDLE *handle,
                               struct cv_notes *notes, struct cv_err *err)
{
    struct generating g = {functions, session,
                           algorithm_named(order->algorithm), order,
                           CK_INVALID_HANDLE};
    struct create_place at = {functions, session, NULL};
    struct create_want want = {.id = order->id,
                               .label = order->label,
                               .token = true,
                               .purpose = order->purpose};
    CK_OBJECT_HANDLE made[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    enum cv_status s;
    CK_RV rv;

    *handle = CK_INVALID_HANDLE;
    if (g.algorithm == NULL || (order->purpose == CV_GENERATE_SLOT &&
                                g.algorithm->key_type == CKK_EC_EDWARDS)) {
        return cv_fail(err, CV_INVALID, "no such algorithm: %s",
                       order->algorithm);
    }
    want.key_type = g.algorithm->key_type;
    s = listed(&g, err);
    if (s == CV_OK) {
        s = cv_create_free_id(functions, session, order->id, err);
    }
    if (s != CV_OK) {
        return s;
    }
    rv = cv_create_template_try(&at, &want, generate_attempt, &g, &made[0],
                                notes);
    made[1] = rv == CKR_OK ? g.public : CK_INVALID_HANDLE;
    s = rv == CKR_OK
            ? cv_create_made(functions, session, order->id, handle, err)
            : cv_rv_fail(err, rv, "C_GenerateKeyPair");
    if (s == CV_OK) {
        s = read_spki(&g, *handle, spki, err);
    }
    if (s != CV_OK) {
        *handle = CK_INVALID_HANDLE;
        cv_create_undo(functions, session, order->id, made, 2, notes, err);
    }
    return s;
}
