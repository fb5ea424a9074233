/* The destructive half of a probe: everything done once, on objects that carry
 * CV_PROBE_LABEL and go again. */
#include "pkcs11/generate.h"
#include "pkcs11/keywrap.h"
#include "pkcs11/probe_internal.h"

#include <openssl/x509.h>
#include <string.h>

#define CA_LABEL CV_PROBE_LABEL " ca"
#define DATA_LEN 64

static const uint8_t scratch_id[] = "certvault-scratch";
static const struct cv_bytes id = {scratch_id, sizeof(scratch_id) - 1};

static size_t clear_label(struct probe *p, const char *label)
{
    struct cv_object_filter filter = {
        .label = {(const uint8_t *)label, strlen(label)}};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    size_t n = 0, i;

    if (cv_object_find(p->f, p->s, &filter, found, CV_LIMIT_TOKEN_KEYS, &n,
                       NULL) != CV_OK) {
        return 1;
    }
    for (i = 0; i < n; i++) {
        (void)p->f->C_DestroyObject(p->s, found[i]);
    }
    n = 0;
    return cv_object_find(p->f, p->s, &filter, found, CV_LIMIT_TOKEN_KEYS, &n,
                          NULL) == CV_OK
               ? n
               : 1;
}

size_t cv_probe_scratch_clear(struct probe *p)
{
    return clear_label(p, CV_PROBE_LABEL) + clear_label(p, CA_LABEL);
}

static struct probe_try outcome(enum cv_status s, const struct cv_err *err)
{
    struct probe_try t = {true, s == CV_OK, CKR_OK};

    if (s != CV_OK) {
        t.rv = cv_rv_of(err);
    }
    return t;
}

/* A key made on the token; does it sign? Its findings are kept for the first
 * kind that works. */
static void try_key(struct probe *p, size_t kind, CK_OBJECT_HANDLE key,
                    struct cv_bytes spki)
{
    struct cv_examine_order order = {CV_EXAMINE_FRESH, spki, NULL};
    struct cv_findings found;
    struct cv_err why;
    enum cv_status s;
    size_t i;

    cv_err_init(&why);
    s = cv_examine_key(p->f, p->s, key, &order, &found, &why);
    if (!p->sign[kind].tried || !p->sign[kind].works) {
        p->sign[kind] = outcome(s, &why);
        p->sign[kind].works = found.signature;
    }
    if (s == CV_INTEGRITY) {
        cv_notes_add(&p->lies, "%s", why.text);
    }
    for (i = 0; i < found.lies.n; i++) {
        cv_notes_add(&p->lies, "%s", found.lies.text[i]);
    }
    if (!p->examined || (found.leaky && !p->findings.leaky)) {
        p->examined = true;
        p->findings = found;
    }
}

static void try_generate(struct probe *p, size_t kind)
{
    struct cv_generate_order order = {cv_probe_kinds[kind].algorithm,
                                      CV_GENERATE_SIGN, id, CV_PROBE_LABEL};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct cv_buf spki;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    s = cv_generate_key(p->f, p->s, &order, &spki, &key, NULL, &why);
    p->generate[kind] = outcome(s, &why);
    if (s == CV_INTEGRITY) {
        cv_notes_add(&p->lies, "%s", why.text);
    }
    if (s == CV_OK) {
        try_key(p, kind, key, cv_buf_bytes(&spki));
    }
    cv_buf_wipe(&spki);
    p->left_behind += cv_probe_scratch_clear(p);
}

static void try_import(struct probe *p, size_t kind)
{
    struct cv_create_key key = {{NULL, 0}, id, CV_PROBE_LABEL};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct cv_buf spki;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    s = cv_create_parts_make(cv_probe_kinds[kind].kind,
                             cv_probe_kinds[kind].bits, p->arena, &key.key_der,
                             &why);
    if (s == CV_OK) {
        s = cv_create_spki(key.key_der, &spki, &why);
    }
    if (s == CV_OK) {
        s = cv_create_key(p->f, p->s, &key, p->arena, &p->way[kind], &handle,
                          NULL, &why);
    }
    p->import[kind] = outcome(s, &why);
    if (s == CV_INTEGRITY) {
        cv_notes_add(&p->lies, "%s", why.text);
    }
    if (s == CV_OK) {
        try_key(p, kind, handle, cv_buf_bytes(&spki));
    }
    cv_buf_wipe(&spki);
    p->left_behind += cv_probe_scratch_clear(p);
}

/* Each way of unwrapping, with one key. */
static void try_unwrap(struct probe *p)
{
    struct create_place at = {p->f, p->s, p->arena};
    struct create_want want = {.id = id,
                               .label = CV_PROBE_LABEL,
                               .purpose = CV_GENERATE_SIGN,
                               .key_type = CKK_EC};
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    const uint8_t *value = cv_keywrap_key(p->arena, NULL);
    struct create_parts parts;
    struct cv_bytes der;
    size_t i;

    p->transport = "none";
    if (value == NULL ||
        cv_create_parts_make("ec-p256", 0, p->arena, &der, NULL) != CV_OK ||
        cv_create_parts_private(der, p->arena, &parts, NULL) != CV_OK) {
        return;
    }
    if (cv_create_transport(&at, value, CKA_UNWRAP, &aes, &p->transport) !=
        CKR_OK) {
        p->transport = "none";
        return;
    }
    for (i = 0; i < cv_create_unwrap_ways_n; i++) {
        CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
        CK_RV rv = cv_create_unwrap_by(&at, &cv_create_unwrap_ways[i], aes,
                                       value, &want, &parts, der, &key, NULL);

        p->unwrap[i] = (struct probe_try){true, rv == CKR_OK, rv};
        if (rv == CKR_OK) {
            cv_create_drop(p->f, p->s, key);
        }
    }
    cv_create_drop(p->f, p->s, aes);
}

/* A certificate that names nobody and signs itself. */
static int make_certificate(EVP_PKEY *key, unsigned char **der)
{
    X509 *x = X509_new();
    int len = 0;

    if (x != NULL && X509_set_version(x, 2) &&
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(x), 60) != NULL &&
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                   (const unsigned char *)CV_PROBE_LABEL, -1,
                                   -1, 0) &&
        X509_set_issuer_name(x, X509_get_subject_name(x)) &&
        X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()) > 0) {
        len = i2d_X509(x, der);
    }
    X509_free(x);
    return len > 0 ? len : 0;
}

static void try_certificate(struct probe *p, EVP_PKEY *key)
{
    CK_OBJECT_HANDLE object;
    unsigned char *der = NULL;
    struct cv_bytes bytes;
    struct cv_err why;
    bool made;

    bytes.len = (size_t)make_certificate(key, &der);
    bytes.data = der;
    cv_err_init(&why);
    p->certificates =
        outcome(cv_object_put_certificate(p->f, p->s, id, CV_PROBE_LABEL, bytes,
                                          &object, &made, &why),
                &why);
    OPENSSL_free(der);
}

static void try_public(struct probe *p, EVP_PKEY *key)
{
    struct cv_notes notes = {0};
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    if (len > 0) {
        cv_create_public(p->f, p->s, (struct cv_bytes){der, (size_t)len}, id,
                         CV_PROBE_LABEL, &notes);
        p->public_keys = (struct probe_try){true, notes.n == 0, CKR_OK};
    }
    OPENSSL_free(der);
}

static void try_data(struct probe *p)
{
    static const uint8_t bytes[DATA_LEN] = {1};
    struct cv_attribute_template t;
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_RV rv;

    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_DATA);
    cv_attribute_add_text(&t, CKA_LABEL, CV_PROBE_LABEL);
    cv_attribute_add_bool(&t, CKA_TOKEN, true);
    cv_attribute_add_bool(&t, CKA_PRIVATE, true);
    cv_attribute_add_bytes(&t, CKA_VALUE,
                           (struct cv_bytes){bytes, sizeof(bytes)});
    rv = p->f->C_CreateObject(p->s, t.items, t.n, &object);
    p->data = (struct probe_try){true, rv == CKR_OK, rv};
    if (rv == CKR_OK && !cv_create_unmake(p->f, p->s, id, object)) {
        p->left_behind++;
    }
}

static void try_beside(struct probe *p)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1");

    if (key != NULL) {
        try_certificate(p, key);
        try_public(p, key);
    }
    EVP_PKEY_free(key);
    try_data(p);
    p->left_behind += cv_probe_scratch_clear(p);
}

void cv_probe_scratch(struct probe *p)
{
    size_t i;

    (void)cv_probe_scratch_clear(p);
    for (i = 0; i < PROBE_KINDS; i++) {
        try_generate(p, i);
        try_import(p, i);
    }
    try_unwrap(p);
    try_beside(p);
}
