#include "vault/kubeconfig/certificate.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/der_internal.h"
#include "vault/kubeconfig/kube_room_internal.h"
#include "vault/kubeconfig/pem.h"
#include "vault/kubeconfig/x509_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

#define VERSION 0xa0 /* [0] of a certificate */
#define SERIAL_MAX 20
#define DIGEST 32U

static const uint8_t ec_oid[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};

static enum cv_status not_strict(struct cv_err *err)
{
    return cv_fail(err, CV_INVALID, "the certificate is not strict X.509 DER");
}

/* Finds the SubjectPublicKeyInfo (a whole element) and checks the serial
 * number on the way. */
static enum cv_status outline(struct cv_bytes der, struct cv_bytes *spki,
                              struct cv_err *err)
{
    struct cv_bytes all;
    struct cv_bytes body;
    struct cv_bytes part;
    if (der.len > CV_LIMIT_CERT_DER) {
        return cv_fail(err, CV_INVALID,
                       "the certificate is larger than %zu bytes",
                       CV_LIMIT_CERT_DER);
    }
    if (!cv_der_check(der) || !cv_der_take(&der, CV_DER_SEQUENCE, &all) ||
        !cv_der_take(&all, CV_DER_SEQUENCE, &body) ||
        (cv_der_at(body, VERSION) && !cv_der_take(&body, VERSION, &part))) {
        return not_strict(err);
    }
    if (!cv_der_take_uint(&body, &part) || part.len > SERIAL_MAX) {
        return cv_fail(err, CV_INVALID,
                       "the certificate's serial number is negative or longer "
                       "than %d bytes",
                       SERIAL_MAX);
    }
    for (int i = 0; i < 4; i++) { /* algorithm, issuer, validity, subject */
        if (!cv_der_take(&body, CV_DER_SEQUENCE, &part)) {
            return not_strict(err);
        }
    }
    spki->data = body.data;
    if (!cv_der_take(&body, CV_DER_SEQUENCE, &part)) {
        return not_strict(err);
    }
    spki->len = (size_t)(body.data - spki->data);
    struct cv_bytes algorithm;
    struct cv_bytes oid;
    if (!cv_der_take(&part, CV_DER_SEQUENCE, &algorithm) ||
        !cv_der_take(&algorithm, CV_DER_OID, &oid)) {
        return not_strict(err);
    }
    /* Before libcrypto sees them. */
    if (oid.len == sizeof(ec_oid) && memcmp(oid.data, ec_oid, oid.len) == 0 &&
        !cv_der_at(algorithm, CV_DER_OID)) {
        return cv_fail(
            err, CV_INVALID,
            "the certificate's curve is given by explicit parameters");
    }
    return CV_OK;
}

/* A library context in which nothing can be decoded but ASN.1. libcrypto 3
 * makes a key object of each certificate's public key as it reads the
 * certificate, which costs more than all else together, and goes on without one
 * where it cannot. Nothing here wants it: public keys are compared by their
 * bytes. It stays with the process; CRYPTO_THREAD_run_once allows threads. */
static CRYPTO_ONCE keyless_once = CRYPTO_ONCE_STATIC_INIT;
static OSSL_LIB_CTX *keyless;

static void make_keyless(void)
{
    keyless = OSSL_LIB_CTX_new();
    /* Else the first who looks for something loads the default provider. */
    if (keyless != NULL && OSSL_PROVIDER_load(keyless, "null") == NULL) {
        OSSL_LIB_CTX_free(keyless);
        keyless = NULL;
    }
}

/* Reads `der` with libcrypto after our own look at it; X509_free. */
static enum cv_status open_strict(struct cv_bytes der, struct cv_bytes *spki,
                                  X509 **out, struct cv_err *err)
{
    enum cv_status st = outline(der, spki, err);
    if (st != CV_OK) {
        return st;
    }
    if (CRYPTO_THREAD_run_once(&keyless_once, make_keyless) != 1 ||
        keyless == NULL || (*out = X509_new_ex(keyless, NULL)) == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    const uint8_t *p = der.data;
    /* frees what it could not fill */
    if (d2i_X509(out, &p, (long)der.len) == NULL || p != der.data + der.len) {
        X509_free(*out);
        *out = NULL;
        return not_strict(err);
    }
    return CV_OK;
}

/* DER has one form for each kind of time, in UTC with seconds (RFC 5280
 * 4.1.2.5). */
static bool time_of(const ASN1_TIME *t, int64_t *out)
{
    int len = ASN1_STRING_length(t);
    const uint8_t *text = ASN1_STRING_get0_data(t);
    int wanted = ASN1_STRING_type(t) == V_ASN1_UTCTIME ? 13 : 15;
    struct tm tm;
    if (len != wanted || text[len - 1] != 'Z' || ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    *out = (int64_t)timegm(&tm);
    return true;
}

/* Why the extensions speak against a client certificate; NULL if they do
 * not. */
static const char *extension_fault(X509 *x)
{
    if (X509_get_ext_count(x) > 0 && X509_get_version(x) != X509_VERSION_3) {
        return "has extensions, which its version does not have";
    }
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        X509_EXTENSION *e = X509_get_ext(x, i);
        const ASN1_OBJECT *name = X509_EXTENSION_get_object(e);
        if (X509_get_ext_by_OBJ(x, name, i) >= 0) {
            return "has an extension twice";
        }
        if (X509_EXTENSION_get_critical(e) && !X509_supported_extension(e)) {
            return "has a critical extension that is not known";
        }
    }
    uint32_t flags = X509_get_extension_flags(x);
    if ((flags & EXFLAG_INVALID) != 0) {
        return "has an extension that cannot be read";
    }
    if ((flags & EXFLAG_CA) != 0) {
        return "is a CA's, not a client's";
    }
    uint32_t use = X509_get_extended_key_usage(x); /* all ones: not limited */
    return (use & (XKU_SSL_CLIENT | XKU_ANYEKU)) == 0
               ? "is not for client authentication"
               : NULL;
}

static enum cv_status read_facts(struct cv_arena *arena, X509 *x,
                                 struct cv_certificate *out, struct cv_err *err)
{
    if (!time_of(X509_get0_notBefore(x), &out->not_before_s) ||
        !time_of(X509_get0_notAfter(x), &out->not_after_s)) {
        return cv_fail(err, CV_INVALID,
                       "the certificate's validity is not written as it must "
                       "be");
    }
    out->fault = extension_fault(x);
    enum cv_status st =
        cv_x509_serial(arena, X509_get0_serialNumber(x), &out->serial, err);
    if (st == CV_OK) {
        st = cv_x509_name(arena, X509_get_subject_name(x), &out->subject, err);
    }
    if (st == CV_OK) {
        st = cv_x509_name(arena, X509_get_issuer_name(x), &out->issuer, err);
    }
    return st == CV_OK
               ? cv_x509_groups(arena, X509_get_subject_name(x), out, err)
               : st;
}

enum cv_status cv_certificate_read(struct cv_arena *arena, struct cv_bytes der,
                                   struct cv_certificate *out,
                                   struct cv_err *err)
{
    X509 *x = NULL;
    memset(out, 0, sizeof(*out));
    enum cv_status st = open_strict(der, &out->spki, &x, err);
    if (st == CV_OK) {
        out->der = der;
        st = read_facts(arena, x, out, err);
        X509_free(x);
    }
    return st;
}

static enum cv_status check_blocks(struct cv_arena *arena,
                                   const struct cv_pem_block *blocks, size_t n,
                                   struct cv_certificate *leaf,
                                   struct cv_bytes *der, struct cv_buf *pem,
                                   struct cv_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct cv_bytes spki;
        X509 *x = NULL;
        if (strcmp(blocks[i].label, "CERTIFICATE") != 0) {
            return cv_fail(err, CV_INVALID, "PEM block %zu is no certificate",
                           i + 1);
        }
        enum cv_status st =
            i == 0 && leaf != NULL
                ? cv_certificate_read(arena, blocks[i].der, leaf, err)
                : open_strict(blocks[i].der, &spki, &x, err);
        X509_free(x);
        if (st != CV_OK) {
            return st;
        }
        der[i] = blocks[i].der;
        cv_pem_write("CERTIFICATE", der[i], pem);
    }
    return cv_buf_status(pem, "the certificates", err);
}

enum cv_status cv_certificate_list_read(struct cv_arena *arena,
                                        struct cv_bytes pem, size_t max,
                                        struct cv_certificate *leaf,
                                        struct cv_certificate_list *out,
                                        struct cv_err *err)
{
    size_t n = 0;
    memset(out, 0, sizeof(*out));
    struct cv_pem_block *blocks =
        cv_arena_alloc(arena, max * sizeof(*blocks), err);
    struct cv_bytes *der =
        blocks != NULL ? cv_arena_alloc(arena, max * sizeof(*der), err) : NULL;
    if (der == NULL) {
        return cv_kube_room_failed(err);
    }
    struct cv_buf text;
    cv_buf_init(&text, arena, 2 * CV_LIMIT_PEM);
    enum cv_status st = cv_pem_read(arena, pem, blocks, max, &n, err);
    if (st == CV_OK) {
        st = check_blocks(arena, blocks, n, leaf, der, &text, err);
    }
    if (st == CV_OK) {
        *out = (struct cv_certificate_list){der, n, cv_buf_text(&text)};
    }
    return st;
}

static enum cv_status check_times(const struct cv_certificate *c, int64_t now_s,
                                  struct cv_err *err)
{
    char text[CV_CLOCK_TEXT_LEN];
    if (c->not_before_s > c->not_after_s) {
        return cv_fail(err, CV_INVALID,
                       "the certificate ends before it begins");
    }
    if (c->not_before_s > now_s + CV_CERTIFICATE_SKEW_S) {
        enum cv_status st =
            cv_fail(err, CV_INVALID, "the certificate is not valid before %s",
                    cv_clock_format(c->not_before_s, text));
        cv_err_hint(err, "check this machine's clock: it says %s",
                    cv_clock_format(now_s, text));
        return st;
    }
    if (c->not_after_s < now_s) {
        enum cv_status st =
            cv_fail(err, CV_EXPIRED, "the certificate expired at %s",
                    cv_clock_format(c->not_after_s, text));
        cv_err_hint(err, "fetch or ask for a new one");
        return st;
    }
    return CV_OK;
}

enum cv_status
cv_certificate_check_client(const struct cv_certificate *certificate,
                            int64_t now_s, struct cv_err *err)
{
    if (certificate->fault != NULL) {
        return cv_fail(err, CV_INVALID, "the certificate %s",
                       certificate->fault);
    }
    return check_times(certificate, now_s, err);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST);
}

enum cv_status cv_certificate_set(const struct cv_certificate_list *list,
                                  uint8_t out[32], struct cv_err *err)
{
    uint8_t digests[CV_LIMIT_CA_SET][DIGEST];
    unsigned len = 0;
    bool ok = list->n <= CV_LIMIT_CA_SET;
    for (size_t i = 0; ok && i < list->n; i++) {
        ok = EVP_Digest(list->der[i].data, list->der[i].len, digests[i], &len,
                        EVP_sha256(), NULL) == 1;
    }
    size_t n = 0;
    if (ok && list->n > 0) {
        qsort(digests, list->n, DIGEST, by_bytes);
        n = 1;
        for (size_t i = 1; i < list->n; i++) {
            if (memcmp(digests[n - 1], digests[i], DIGEST) != 0) {
                memmove(digests[n++], digests[i], DIGEST);
            }
        }
    }
    ok = ok &&
         EVP_Digest(digests, n * DIGEST, out, &len, EVP_sha256(), NULL) == 1;
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "libcrypto has no SHA-256");
}
