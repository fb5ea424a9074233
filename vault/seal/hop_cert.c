#include "vault/seal/hop_internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#define SERIAL_LEN 16

/* The server CA is in kubeconfigs, so it can vouch for nothing but this hop
 * (RFC 5280 4.2.1.10). */
const struct hop_extension cv_hop_cert_server_ca[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
    {NID_name_constraints, "critical,permitted;IP:127.0.0.1/255.255.255.255,"
                           "permitted;DNS:localhost"},
    {NID_undef, NULL},
};
const struct hop_extension cv_hop_cert_client_ca[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
    {NID_undef, NULL},
};
const struct hop_extension cv_hop_cert_server[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
    {NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost"},
    {NID_undef, NULL},
};
const struct hop_extension cv_hop_cert_client[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "clientAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
    {NID_undef, NULL},
};

enum cv_status cv_hop_cert_key(EVP_PKEY **out, struct cv_err *err)
{
    *out = EVP_EC_gen("P-256");
    if (*out == NULL) {
        ERR_clear_error();
        return cv_fail(err, CV_INTERNAL, "libcrypto makes no key");
    }
    return CV_OK;
}

static bool add_name(X509_NAME *name, int nid, const char *value)
{
    return value == NULL || X509_NAME_add_entry_by_NID(
                                name, nid, MBSTRING_UTF8,
                                (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool set_names(X509 *x, const struct hop_spec *spec, const X509 *issuer)
{
    X509_NAME *name = X509_NAME_new();
    bool ok =
        name != NULL && add_name(name, NID_organizationName, "certvault hop") &&
        add_name(name, NID_commonName, spec->cn) &&
        add_name(name, NID_description, spec->description) &&
        X509_set_subject_name(x, name) == 1 &&
        X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer)
                                               : name) == 1;

    X509_NAME_free(name);
    return ok;
}

/* A positive number drawn at random (RFC 5280 4.1.2.2). */
static bool set_serial(X509 *x)
{
    uint8_t bytes[SERIAL_LEN];
    BIGNUM *n;
    bool ok;

    randombytes_buf(bytes, sizeof(bytes));
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
    n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return ok;
}

static bool add_extension(X509 *x, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = e != NULL && X509_add_ext(x, e, -1) == 1;

    X509_EXTENSION_free(e);
    return ok;
}

static bool add_uri(X509 *x, const char *uri)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    bool ok = names != NULL && name != NULL && text != NULL &&
              ASN1_STRING_set(text, uri, -1) == 1;

    if (ok) {
        GENERAL_NAME_set0_value(name, GEN_URI, text);
        text = NULL;
        ok = sk_GENERAL_NAME_push(names, name) > 0;
        name = ok ? NULL : name;
    }
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_extensions(X509 *x, const struct hop_spec *spec, X509 *issuer)
{
    X509V3_CTX ctx;
    bool ok = true;

    X509V3_set_ctx(&ctx, issuer != NULL ? issuer : x, x, NULL, NULL, 0);
    for (const struct hop_extension *e = spec->extensions;
         ok && e->nid != NID_undef; e++) {
        ok = add_extension(x, &ctx, e->nid, e->value);
    }
    return ok && (spec->uri == NULL || add_uri(x, spec->uri));
}

static bool set_times(X509 *x, const struct hop_spec *spec)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)spec->from_s) !=
               NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)spec->until_s) != NULL;
}

static bool write_pem(X509 *x, struct cv_buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long n = 0;
    bool ok = bio != NULL && PEM_write_bio_X509(bio, x) == 1;

    if (ok) {
        n = BIO_get_mem_data(bio, &text);
        cv_buf_add(out, text, (size_t)n);
    }
    BIO_free(bio);
    return ok && n > 0;
}

enum cv_status cv_hop_cert_make(const struct hop_spec *spec, EVP_PKEY *key,
                                X509 *issuer, EVP_PKEY *issuer_key,
                                struct cv_buf *out, struct cv_err *err)
{
    X509 *x = X509_new();
    bool ok = x != NULL && X509_set_version(x, X509_VERSION_3) == 1 &&
              set_serial(x) && set_names(x, spec, issuer) &&
              set_times(x, spec) && X509_set_pubkey(x, key) == 1 &&
              add_extensions(x, spec, issuer) &&
              X509_sign(x, issuer_key, EVP_sha256()) > 0 && write_pem(x, out);

    X509_free(x);
    ERR_clear_error();
    return ok ? cv_buf_status(out, "a certificate", err)
              : cv_fail(err, CV_INTERNAL, "libcrypto makes no certificate");
}

bool cv_hop_cert_end(const X509 *x, int64_t *out_s)
{
    struct tm tm;

    memset(&tm, 0, sizeof(tm));
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1) {
        return false;
    }
    *out_s = (int64_t)timegm(&tm);
    return true;
}
