#include "pkcs11/crypto_internal.h"
#include "pkcs11/object.h"
#include "vault/base/limits.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

/* The parts of a certificate that PKCS#11 wants beside its value, in DER. */
struct parts {
    unsigned char *subject, *issuer, *serial;
    int subject_len, issuer_len, serial_len;
};

static void wipe_parts(struct parts *p)
{
    OPENSSL_free(p->subject);
    OPENSSL_free(p->issuer);
    OPENSSL_free(p->serial);
    memset(p, 0, sizeof(*p));
}

static enum cv_status take_apart(struct cv_bytes der, struct parts *p,
                                 struct cv_err *err)
{
    const unsigned char *at = der.data;
    X509 *x = X509_new_ex(cv_crypto_context(), NULL);
    enum cv_status status = CV_OK;

    memset(p, 0, sizeof(*p));
    if (x == NULL || der.len > CV_LIMIT_CERT_DER ||
        d2i_X509(&x, &at, (long)der.len) == NULL || at != der.data + der.len) {
        status = cv_fail(err, CV_INVALID, "this is no X.509 certificate");
    } else {
        p->subject_len = i2d_X509_NAME(X509_get_subject_name(x), &p->subject);
        p->issuer_len = i2d_X509_NAME(X509_get_issuer_name(x), &p->issuer);
        p->serial_len = i2d_ASN1_INTEGER(X509_get_serialNumber(x), &p->serial);
        if (p->subject_len <= 0 || p->issuer_len <= 0 || p->serial_len <= 0) {
            wipe_parts(p);
            status = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    X509_free(x);
    ERR_clear_error();
    return status;
}

static struct cv_bytes view(const unsigned char *data, int len)
{
    return (struct cv_bytes){data, (size_t)len};
}

static void make_template(const struct parts *p, struct cv_bytes id,
                          const char *label, struct cv_bytes der,
                          struct cv_attribute_template *t)
{
    cv_attribute_start(t);
    cv_attribute_add_ulong(t, CKA_CLASS, CKO_CERTIFICATE);
    cv_attribute_add_ulong(t, CKA_CERTIFICATE_TYPE, CKC_X_509);
    cv_attribute_add_bool(t, CKA_TOKEN, true);
    cv_attribute_add_bool(t, CKA_PRIVATE, false);
    cv_attribute_add_text(t, CKA_LABEL, label);
    cv_attribute_add_bytes(t, CKA_SUBJECT, view(p->subject, p->subject_len));
    cv_attribute_add_bytes(t, CKA_ISSUER, view(p->issuer, p->issuer_len));
    cv_attribute_add_bytes(t, CKA_SERIAL_NUMBER,
                           view(p->serial, p->serial_len));
    cv_attribute_add_bytes(t, CKA_VALUE, der);
    if (id.data != NULL) {
        cv_attribute_add_bytes(t, CKA_ID, id);
    }
}

/* Is it really there as it was given? */
static enum cv_status check_made(struct cv_attribute_place at,
                                 struct cv_bytes id, struct cv_bytes der,
                                 struct cv_err *err)
{
    struct cv_buf value, id_now;
    enum cv_status status;

    cv_buf_init(&value, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&id_now, NULL, CV_LIMIT_TOKEN_ID);
    status = cv_attribute_read(at, CKA_VALUE, &value, err);
    if (status == CV_OK && id.data != NULL) {
        status = cv_attribute_read(at, CKA_ID, &id_now, err);
    }
    if (status == CV_OK &&
        (value.len != der.len || memcmp(value.data, der.data, der.len) != 0 ||
         (id.data != NULL && (id_now.len != id.len ||
                              memcmp(id_now.data, id.data, id.len) != 0)))) {
        status = cv_fail(err, CV_INTEGRITY,
                         "the token does not hold the certificate as it was "
                         "given");
    }
    cv_buf_wipe(&value);
    cv_buf_wipe(&id_now);
    return status;
}

enum cv_status cv_object_put_certificate(CK_FUNCTION_LIST *functions,
                                         CK_SESSION_HANDLE session,
                                         struct cv_bytes id, const char *label,
                                         struct cv_bytes der,
                                         CK_OBJECT_HANDLE *out, bool *made,
                                         struct cv_err *err)
{
    struct cv_object_filter filter = {.by_class = true,
                                      .class = CKO_CERTIFICATE,
                                      .id = id,
                                      .value = der,
                                      .token_only = true};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    struct cv_attribute_template t;
    struct parts parts;
    enum cv_status status;
    size_t n = 0;
    CK_RV rv;

    *out = CK_INVALID_HANDLE;
    *made = false;
    status = take_apart(der, &parts, err);
    if (status != CV_OK) {
        return status;
    }
    status = cv_object_find(functions, session, &filter, found,
                            CV_LIMIT_TOKEN_KEYS, &n, err);
    if (status != CV_OK || n != 0) {
        *out = n == 0 ? CK_INVALID_HANDLE : found[0];
        wipe_parts(&parts);
        return status;
    }
    make_template(&parts, id, label, der, &t);
    rv = functions->C_CreateObject(session, t.items, t.n, out);
    wipe_parts(&parts);
    if (rv != CKR_OK) {
        *out = CK_INVALID_HANDLE;
        return cv_rv_fail(err, rv, "C_CreateObject (certificate)");
    }
    status = check_made((struct cv_attribute_place){functions, session, *out},
                        id, der, err);
    if (status != CV_OK) {
        (void)functions->C_DestroyObject(session, *out);
        *out = CK_INVALID_HANDLE;
        return status;
    }
    *made = true;
    return CV_OK;
}

enum cv_status cv_object_get_certificate(CK_FUNCTION_LIST *functions,
                                         CK_SESSION_HANDLE session,
                                         struct cv_bytes id,
                                         struct cv_bytes spki,
                                         struct cv_buf *out, struct cv_err *err)
{
    struct cv_object_filter filter = {
        .by_class = true, .class = CKO_CERTIFICATE, .id = id};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    const struct cv_crypto_key *key = NULL;
    struct cv_buf value, wanted;
    enum cv_status status;
    size_t n = 0;

    cv_buf_init(&value, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&wanted, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_crypto_spki(spki, &key, err);
    if (status == CV_OK) {
        cv_buf_add(&wanted, key->spki.data, key->spki.len);
        status = cv_buf_status(&wanted, "a public key", err);
    }
    if (status == CV_OK) {
        status = cv_object_find(functions, session, &filter, found,
                                CV_LIMIT_TOKEN_KEYS, &n, err);
    }
    for (size_t i = 0; status == CV_OK && i < n; i++) {
        struct cv_attribute_place at = {functions, session, found[i]};

        cv_buf_wipe(&value);
        if (cv_attribute_read(at, CKA_VALUE, &value, NULL) == CV_OK &&
            cv_crypto_certificate(cv_buf_bytes(&value), &key, NULL) == CV_OK &&
            key->spki.len == wanted.len &&
            memcmp(key->spki.data, wanted.data, wanted.len) == 0) {
            cv_buf_add(out, value.data, value.len);
            status = cv_buf_status(out, "a certificate", err);
            goto out;
        }
    }
    if (status == CV_OK) {
        status = n == 0 ? cv_fail(err, CV_NOT_FOUND,
                                  "the token has no certificate with this id")
                        : cv_fail(err, CV_INTEGRITY,
                                  "the token's certificate with this id is for "
                                  "another key");
    }
out:
    cv_buf_wipe(&value);
    cv_buf_wipe(&wanted);
    return status;
}
