/* What lies beside a private key: its public half, its certificates; and taking
 * all of it away again. None of it is needed to sign, so a token that does not
 * take it loses nothing but company. */
#include "pkcs11/create_internal.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define ID_MAX 64
#define LABEL_MAX 128
#define CA_LABEL "%s ca"

static void say(struct cv_notes *notes, const char *what,
                const struct cv_err *err)
{
    cv_notes_add(notes, "the token does not take %s: %.100s", what, err->text);
}

static CK_RV public_object(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                           const struct create_parts *parts, struct cv_bytes id,
                           const char *label, CK_OBJECT_HANDLE *out)
{
    struct cv_attribute_template t;

    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_PUBLIC_KEY);
    cv_attribute_add_ulong(&t, CKA_KEY_TYPE, parts->key_type);
    cv_attribute_add_bool(&t, CKA_TOKEN, true);
    cv_attribute_add_bool(&t, CKA_VERIFY, true);
    cv_attribute_add_bytes(&t, CKA_ID, id);
    cv_attribute_add_text(&t, CKA_LABEL, label);
    if (parts->key_type == CKK_RSA) {
        cv_attribute_add_bytes(&t, CKA_MODULUS, parts->number[CREATE_N]);
        cv_attribute_add_bytes(&t, CKA_PUBLIC_EXPONENT,
                               parts->number[CREATE_E]);
    } else {
        cv_attribute_add_bytes(&t, CKA_EC_PARAMS, parts->params);
        cv_attribute_add_bytes(&t, CKA_EC_POINT, parts->point);
    }
    return f->C_CreateObject(s, t.items, t.n, out);
}

void cv_create_public(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                      struct cv_bytes spki, struct cv_bytes id,
                      const char *label, struct cv_notes *notes)
{
    struct cv_object_filter filter = {.by_class = true,
                                      .class = CKO_PUBLIC_KEY,
                                      .id = id,
                                      .token_only = true};
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE, found;
    struct cv_arena *arena = NULL;
    struct create_parts parts;
    struct cv_err why;
    size_t n = 0;
    enum cv_status s;
    CK_RV rv;

    cv_err_init(&why);
    s = cv_arena_new(CV_KIB(64), &arena, &why);
    if (s == CV_OK) {
        s = cv_create_parts_public(spki, arena, &parts, &why);
    }
    if (s == CV_OK) {
        rv = public_object(functions, session, &parts, id, label, &object);
        s = rv == CKR_OK ? cv_object_find(functions, session, &filter, &found,
                                          1, &n, &why)
                         : cv_rv_fail(&why, rv, "C_CreateObject");
    }
    if (s == CV_OK && n == 0) {
        s = cv_fail(&why, CV_INTEGRITY, "it said yes and has none");
    }
    if (s != CV_OK) {
        say(notes, "the public key", &why);
        (void)cv_create_unmake(functions, session, id, object);
    }
    cv_arena_free(arena);
}

struct putting {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    struct cv_bytes id;
    const char *label;
    struct cv_notes *notes;
    unsigned others; /* certificates that are not the leaf */
};

static void put_leaf(struct putting *p, struct cv_bytes der)
{
    CK_OBJECT_HANDLE object;
    struct cv_err why;
    bool made;

    cv_err_init(&why);
    if (cv_object_put_certificate(p->f, p->s, p->id, p->label, der, &object,
                                  &made, &why) != CV_OK) {
        say(p->notes, "the certificate", &why);
    } else if (!made) {
        cv_notes_add(p->notes, "the token has this certificate already");
    }
}

static void put_other(struct putting *p, struct cv_bytes der)
{
    struct cv_bytes id = {NULL, p->id.len + 1};
    char label[LABEL_MAX];
    uint8_t bytes[ID_MAX + 1];
    CK_OBJECT_HANDLE object;
    struct cv_err why;
    bool made;

    cv_err_init(&why);
    p->others++;
    memcpy(bytes, p->id.data, p->id.len);
    bytes[p->id.len] = (uint8_t)p->others;
    id.data = bytes;
    (void)snprintf(label, sizeof(label), CA_LABEL, p->label);
    if (cv_object_put_certificate(p->f, p->s, id, label, der, &object, &made,
                                  &why) != CV_OK) {
        say(p->notes, "a CA certificate", &why);
    }
}

/* Each certificate of `pem`; with `leaf` the first one is the key's. */
static enum cv_status put_all(struct putting *p, struct cv_bytes pem, bool leaf,
                              size_t max, struct cv_err *err)
{
    BIO *in = pem.len > 0 && pem.len <= CV_LIMIT_PEM
                  ? BIO_new_mem_buf(pem.data, (int)pem.len)
                  : NULL;
    size_t n = 0;
    X509 *x;

    if (in == NULL) {
        return cv_fail(err, CV_INVALID, "the certificates are no PEM");
    }
    while (n < max && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        unsigned char *der = NULL;
        int len = i2d_X509(x, &der);
        struct cv_bytes bytes = {der, len > 0 ? (size_t)len : 0};

        X509_free(x);
        if (len > 0 && leaf && n == 0) {
            put_leaf(p, bytes);
        } else if (len > 0) {
            put_other(p, bytes);
        }
        OPENSSL_free(der);
        n++;
    }
    BIO_free(in);
    return n > 0 ? CV_OK
                 : cv_fail(err, CV_INVALID, "the PEM holds no certificate");
}

enum cv_status cv_create_certificates(CK_FUNCTION_LIST *functions,
                                      CK_SESSION_HANDLE session,
                                      struct cv_bytes id, const char *label,
                                      struct cv_bytes chain, struct cv_bytes ca,
                                      struct cv_notes *notes,
                                      struct cv_err *err)
{
    struct putting p = {functions, session, id, label, notes, 0};
    enum cv_status s;

    if (id.len > ID_MAX) {
        return cv_fail(err, CV_INVALID, "an id of %zu bytes is too long",
                       id.len);
    }
    s = put_all(&p, chain, true, CV_LIMIT_CHAIN, err);
    if (s == CV_OK && ca.len > 0) {
        s = put_all(&p, ca, false, CV_LIMIT_CA_SET, err);
    }
    return s;
}

/* Is this label one that we gave? */
static bool our_label(struct cv_attribute_place at, const char *label)
{
    char with_ca[LABEL_MAX];
    struct cv_buf found;
    bool ours;

    (void)snprintf(with_ca, sizeof(with_ca), CA_LABEL, label);
    cv_buf_init(&found, NULL, CV_KIB(4));
    ours = cv_attribute_read(at, CKA_LABEL, &found, NULL) == CV_OK &&
           ((found.len == strlen(label) &&
             memcmp(found.data, label, found.len) == 0) ||
            (found.len == strlen(with_ca) &&
             memcmp(found.data, with_ca, found.len) == 0));
    cv_buf_wipe(&found);
    return ours;
}

struct clearing {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    const char *label;
    size_t destroyed;
    size_t strange; /* with the id, of another label */
};

#define CLEAR_MAX (CV_LIMIT_CHAIN + CV_LIMIT_CA_SET)

/* Destroys what the filter finds and has a label of ours. */
static enum cv_status clear(struct clearing *c,
                            const struct cv_object_filter *filter,
                            struct cv_err *err)
{
    CK_OBJECT_HANDLE found[CLEAR_MAX];
    size_t n = 0, left = 0, i;
    enum cv_status st =
        cv_object_find(c->f, c->s, filter, found, CLEAR_MAX, &n, err);

    for (i = 0; st == CV_OK && i < n; i++) {
        struct cv_attribute_place at = {c->f, c->s, found[i]};
        CK_RV rv;

        if (!our_label(at, c->label)) {
            left++;
            continue;
        }
        rv = c->f->C_DestroyObject(c->s, found[i]);
        if (rv != CKR_OK) {
            return cv_rv_fail(err, rv, "C_DestroyObject");
        }
        c->destroyed++;
    }
    if (st == CV_OK && n > left) {
        st = cv_object_find(c->f, c->s, filter, found, CLEAR_MAX, &n, err);
        if (st == CV_OK && n > left) {
            st = cv_fail(err, CV_INTEGRITY,
                         "the token said that it destroyed an object, and "
                         "still has it");
        }
    }
    c->strange += left;
    return st;
}

enum cv_status cv_create_destroy(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session, struct cv_bytes id,
                                 const char *label, size_t *destroyed,
                                 struct cv_err *err)
{
    struct clearing c = {functions, session, label, 0, 0};
    struct cv_object_filter by_id = {.id = id, .token_only = true};
    struct cv_object_filter by_label = {.token_only = true};
    char ca[LABEL_MAX];
    int len = snprintf(ca, sizeof(ca), CA_LABEL, label);
    enum cv_status s;

    *destroyed = 0;
    if (id.len == 0 || id.len > ID_MAX || len >= LABEL_MAX) {
        return cv_fail(err, CV_INVALID, "not an id and label of ours");
    }
    by_label.label = (struct cv_bytes){(const uint8_t *)ca, (size_t)len};
    s = clear(&c, &by_id, err);
    if (s == CV_OK) {
        s = clear(&c, &by_label, err);
    }
    *destroyed = c.destroyed;
    if (s == CV_OK && c.strange > 0) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the token has %zu objects with this key's id that have "
                    "another label: they were left",
                    c.strange);
    }
    return s;
}
