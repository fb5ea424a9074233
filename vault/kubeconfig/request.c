#include "vault/kubeconfig/request.h"

#include "vault/base/limits.h"
#include "vault/kubeconfig/pem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#define SEQUENCE 0x30
#define BIT_STRING 0x03

/* AlgorithmIdentifier: RFC 8017 A.2.4, RFC 5758 3.2, RFC 8410 3. */
static const struct algorithm {
    const char *name;
    uint8_t der[16];
    size_t len;
} algorithms[] = {
    {"rsa_pkcs1_sha256",
     {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
      0x0b, 0x05, 0x00},
     15},
    {"ecdsa_secp256r1_sha256",
     {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02},
     12},
    {"ecdsa_secp384r1_sha384",
     {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03},
     12},
    {"ed25519", {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}, 7},
};

static void add_head(struct cv_buf *out, uint8_t tag, size_t len)
{
    cv_buf_add_char(out, (char)tag);
    if (len >= 256) {
        cv_buf_add_char(out, (char)0x82);
        cv_buf_add_char(out, (char)(len >> 8));
    } else if (len >= 128) {
        cv_buf_add_char(out, (char)0x81);
    }
    cv_buf_add_char(out, (char)len);
}

/* Takes "CN=alice" up to a comma that means one. False where it is none. */
static bool take_part(const char **at, char type[8],
                      char value[CV_REQUEST_SUBJECT_MAX + 1])
{
    const char *p = *at;
    size_t n = strcspn(p, "=,\\");

    if (n == 0 || n > 7 || p[n] != '=') {
        return false;
    }
    memcpy(type, p, n);
    type[n] = '\0';
    p += n + 1;
    n = 0;
    while (*p != '\0' && *p != ',') {
        if (*p == '\\' && p[1] != '\0') {
            p++;
        }
        if (n == CV_REQUEST_SUBJECT_MAX) {
            return false;
        }
        value[n++] = *p++;
    }
    value[n] = '\0';
    *at = *p == ',' ? p + 1 : p;
    return n > 0 && (*p == '\0' || p[1] != '\0');
}

static X509_NAME *read_subject(const char *subject)
{
    static const char *const types[] = {"CN", "O", "OU", "C",
                                        "ST", "L", "DC", "UID"};
    X509_NAME *name = X509_NAME_new();
    bool ok = name != NULL && *subject != '\0' &&
              strlen(subject) <= CV_REQUEST_SUBJECT_MAX;

    while (ok && *subject != '\0') {
        char type[8], value[CV_REQUEST_SUBJECT_MAX + 1];
        bool known = false;

        ok = take_part(&subject, type, value);
        for (size_t i = 0; ok && i < sizeof(types) / sizeof(types[0]); i++) {
            known = known || strcmp(types[i], type) == 0;
        }
        ok = ok && known &&
             X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8,
                                        (const unsigned char *)value, -1, -1,
                                        0) == 1;
    }
    if (!ok) {
        X509_NAME_free(name);
        name = NULL;
    }
    ERR_clear_error();
    return name;
}

static enum cv_status no_subject(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INVALID, "that is no subject");

    cv_err_hint(err, "as in CN=alice,O=team (CN, O, OU, C, ST, L, DC, UID)");
    return s;
}

enum cv_status cv_request_check(const char *subject, struct cv_err *err)
{
    X509_NAME *name = read_subject(subject);
    enum cv_status s = name != NULL ? CV_OK : no_subject(err);

    X509_NAME_free(name);
    return s;
}

enum cv_status cv_request_info(const char *subject, struct cv_bytes spki,
                               struct cv_buf *out, struct cv_err *err)
{
    static const uint8_t version[] = {0x02, 0x01, 0x00};
    static const uint8_t attributes[] = {0xa0, 0x00};
    const unsigned char *p = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    X509_NAME *name = read_subject(subject);
    unsigned char *der = NULL;
    int len = name != NULL ? i2d_X509_NAME(name, &der) : -1;
    enum cv_status s = CV_OK;

    if (name == NULL || len <= 0) {
        s = no_subject(err);
    } else if (key == NULL || p != spki.data + spki.len ||
               spki.len > CV_KIB(8)) {
        s = cv_fail(err, CV_INVALID, "the public key cannot be read");
    } else {
        add_head(out, SEQUENCE,
                 sizeof(version) + (size_t)len + spki.len + sizeof(attributes));
        cv_buf_add(out, version, sizeof(version));
        cv_buf_add(out, der, (size_t)len);
        cv_buf_add(out, spki.data, spki.len);
        cv_buf_add(out, attributes, sizeof(attributes));
        s = cv_buf_status(out, "the request", err);
    }
    OPENSSL_free(der);
    X509_NAME_free(name);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return s;
}

/* What others would say of it: is it one, and is it signed? */
static enum cv_status check(struct cv_bytes der, struct cv_err *err)
{
    const unsigned char *p = der.data;
    X509_REQ *request = d2i_X509_REQ(NULL, &p, (long)der.len);
    EVP_PKEY *key = request != NULL ? X509_REQ_get0_pubkey(request) : NULL;
    bool ok = key != NULL && X509_REQ_verify(request, key) == 1;

    X509_REQ_free(request);
    ERR_clear_error();
    return ok ? CV_OK
              : cv_fail(err, CV_INTEGRITY,
                        "the certificate request is not signed by its key");
}

enum cv_status cv_request_finish(struct cv_bytes info, const char *algorithm,
                                 struct cv_bytes signature, struct cv_buf *out,
                                 struct cv_err *err)
{
    const struct algorithm *a = NULL;
    struct cv_buf der, body;
    enum cv_status s;

    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        a = strcmp(algorithms[i].name, algorithm) == 0 ? &algorithms[i] : a;
    }
    if (a == NULL || info.len > CV_KIB(32) || signature.len > CV_KIB(2)) {
        return cv_fail(err, CV_INVALID, "requests are not signed by that");
    }
    cv_buf_init(&body, NULL, CV_KIB(40));
    cv_buf_init(&der, NULL, CV_KIB(40));
    cv_buf_add(&body, info.data, info.len);
    cv_buf_add(&body, a->der, a->len);
    add_head(&body, BIT_STRING, signature.len + 1);
    cv_buf_add_char(&body, '\0');
    cv_buf_add(&body, signature.data, signature.len);
    add_head(&der, SEQUENCE, body.len);
    cv_buf_add(&der, body.data, body.len);
    s = cv_buf_status(&der, "the request", err);
    if (s == CV_OK) {
        s = check(cv_buf_bytes(&der), err);
    }
    if (s == CV_OK) {
        cv_pem_write("CERTIFICATE REQUEST", cv_buf_bytes(&der), out);
        s = cv_buf_status(out, "the request", err);
    }
    cv_buf_wipe(&der);
    cv_buf_wipe(&body);
    return s;
}
