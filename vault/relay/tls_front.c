#include "vault/relay/tls_front.h"

#include "vault/base/limits.h"
#include "vault/relay/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#define URI_PREFIX "certvault:grant:"

/* In this order, whatever the client's is. */
static const unsigned char ALPN[] = "\x02h2\x08http/1.1";

static int no_passphrase(char *out, int size, int rwflag, void *u)
{
    (void)out;
    (void)size;
    (void)rwflag;
    (void)u;
    return 0;
}

/* A client that offers something, but none of ours, is told so. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ALPN, sizeof(ALPN) - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* libcrypto takes a certificate without an extended key usage for any use. */
static bool is_for_clients(X509 *leaf)
{
    uint32_t uses = X509_get_extended_key_usage(leaf);

    return uses != UINT32_MAX && (uses & XKU_SSL_CLIENT) != 0;
}

static int verify(X509_STORE_CTX *store, void *arg)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    (void)arg;
    if (X509_verify_cert(store) != 1) {
        return 0;
    }
    if (leaf == NULL || !is_for_clients(leaf)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    return 1;
}

static enum cv_status use_key(SSL_CTX *ctx, struct cv_bytes secret,
                              struct cv_err *err)
{
    BIO *from = NULL;
    EVP_PKEY *key = NULL;
    bool good;

    if (secret.len != 0 && secret.len <= CV_LIMIT_PEM) {
        from = BIO_new_mem_buf(secret.data, (int)secret.len);
    }
    if (from != NULL) {
        key = PEM_read_bio_PrivateKey(from, NULL, no_passphrase, NULL);
    }
    BIO_free(from);
    good = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
           SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return good ? CV_OK
                : cv_fail(err, CV_INVALID,
                          "the listener's key is none, or another's");
}

static enum cv_status fill(SSL_CTX *ctx, struct cv_bytes certificate,
                           struct cv_bytes secret, struct cv_bytes client_ca,
                           struct cv_err *err)
{
    STACK_OF(X509) *chain = NULL, *authorities = NULL;
    enum cv_status status = cv_tls_read(
        certificate, CV_LIMIT_CHAIN, "the listener's certificate", &chain, err);

    if (status == CV_OK) {
        status = cv_tls_read(client_ca, CV_LIMIT_CA_SET, "the client CA",
                             &authorities, err);
    }
    if (status == CV_OK && !cv_tls_use_chain(ctx, chain)) {
        status = cv_fail(err, CV_INVALID,
                         "TLS does not take the listener's certificate");
    }
    if (status == CV_OK) {
        status = use_key(ctx, secret, err);
    }
    if (status == CV_OK && !cv_tls_trust(ctx, authorities)) {
        status = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    /* Clients with several certificates choose by these names. */
    for (int i = 0; status == CV_OK && i < sk_X509_num(authorities); i++) {
        if (SSL_CTX_add_client_CA(ctx, sk_X509_value(authorities, i)) != 1) {
            status = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cv_tls_free(chain);
    cv_tls_free(authorities);
    return status;
}

enum cv_status cv_tls_front_new(struct cv_bytes certificate,
                                struct cv_bytes secret,
                                struct cv_bytes client_ca, SSL_CTX **out,
                                struct cv_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    enum cv_status status;

    *out = NULL;
    if (ctx == NULL || !cv_tls_prepare(ctx)) {
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return cv_fail(err, CV_INTERNAL, "libssl does not start");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    SSL_CTX_set_verify_depth(ctx, CV_LIMIT_CHAIN);
    SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
    status = fill(ctx, certificate, secret, client_ca, err);
    ERR_clear_error();
    if (status != CV_OK) {
        SSL_CTX_free(ctx);
        return status;
    }
    *out = ctx;
    return CV_OK;
}

/* The grant that `name` is a URI of; false where it is of none. */
static bool take_uri(const GENERAL_NAME *name, char id[CV_GRANT_ID_LEN + 1])
{
    const ASN1_IA5STRING *uri;
    const char *text;
    size_t len;

    if (name->type != GEN_URI) {
        return false;
    }
    uri = name->d.uniformResourceIdentifier;
    text = (const char *)ASN1_STRING_get0_data(uri);
    len = (size_t)ASN1_STRING_length(uri);
    if (len != strlen(URI_PREFIX) + CV_GRANT_ID_LEN ||
        memcmp(text, URI_PREFIX, strlen(URI_PREFIX)) != 0) {
        return false;
    }
    memcpy(id, text + strlen(URI_PREFIX), CV_GRANT_ID_LEN);
    id[CV_GRANT_ID_LEN] = '\0';
    return cv_grant_is_id(id);
}

enum cv_status cv_tls_front_grant(SSL *ssl, char id[CV_GRANT_ID_LEN + 1],
                                  struct cv_err *err)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    GENERAL_NAMES *names = NULL;
    bool good = false;

    if (leaf != NULL && SSL_is_init_finished(ssl) &&
        SSL_get_verify_result(ssl) == X509_V_OK) {
        names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    }
    /* One name, and that a grant's: who can say two things is not asked. */
    if (names != NULL && sk_GENERAL_NAME_num(names) == 1) {
        good = take_uri(sk_GENERAL_NAME_value(names, 0), id);
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    if (!good) {
        id[0] = '\0';
        return cv_fail(err, CV_DENIED,
                       "the client's certificate is not one for a grant");
    }
    return CV_OK;
}

bool cv_tls_front_is_h2(const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}
