#include "vault/relay/tls_internal.h"

#include "vault/base/limits.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

/* Forward secrecy and AEAD; what HTTP/2 asks for in TLS 1.2 (RFC 9113 9.2.2).
 * TLS 1.3's own suites are all like that. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* RSA and DH from 2,048 bits, EC from 224, no SHA-1. */
#define SECURITY_LEVEL 2

/* What the other end may sign its handshake with. libssl takes no constants. */
static char signatures[] =
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:"
    "ed25519:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
    "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512";

bool cv_tls_prepare(SSL_CTX *ctx)
{
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_clear_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* Newer releases can be built to take it from SSLKEYLOGFILE. */
    SSL_CTX_set_keylog_callback(ctx, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

/* Behind it may come that an alert could not be sent (OpenSSL 3.2 and later);
 * before it, what another library had to say of a certificate or signature. */
unsigned long cv_tls_cause(void)
{
    unsigned long cause = 0, code;

    while ((code = ERR_get_error()) != 0) {
        if (ERR_GET_LIB(code) == ERR_LIB_SSL ||
            ERR_GET_LIB(cause) != ERR_LIB_SSL) {
            cause = code;
        }
    }
    return cause;
}

void cv_tls_free(STACK_OF(X509) * certificates)
{
    sk_X509_pop_free(certificates, X509_free);
}

/* Nothing of ours is encrypted; nobody is asked. */
static int no_passphrase(char *out, int size, int rwflag, void *u)
{
    (void)out;
    (void)size;
    (void)rwflag;
    (void)u;
    return 0;
}

enum cv_status cv_tls_read(struct cv_bytes pem, int max, const char *what,
                           STACK_OF(X509) * *out, struct cv_err *err)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *from = NULL;
    X509 *one = NULL;
    bool memory = all == NULL;
    unsigned long last;

    *out = NULL;
    if (pem.len == 0 || pem.len > CV_LIMIT_PEM) {
        cv_tls_free(all);
        return cv_fail(err, CV_INVALID, "%s: no certificates, or too many",
                       what);
    }
    from = BIO_new_mem_buf(pem.data, (int)pem.len);
    memory = memory || from == NULL;
    while (!memory && sk_X509_num(all) <= max &&
           (one = PEM_read_bio_X509(from, NULL, no_passphrase, NULL)) != NULL) {
        memory = sk_X509_push(all, one) == 0;
    }
    last = ERR_peek_last_error();
    ERR_clear_error();
    BIO_free(from);
    if (memory) {
        cv_tls_free(all);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (sk_X509_num(all) == 0 || sk_X509_num(all) > max ||
        ERR_GET_LIB(last) != ERR_LIB_PEM ||
        ERR_GET_REASON(last) != PEM_R_NO_START_LINE) {
        cv_tls_free(all);
        return cv_fail(err, CV_INVALID, "%s: not 1 to %d certificates as PEM",
                       what, max);
    }
    *out = all;
    return CV_OK;
}

bool cv_tls_use_chain(SSL_CTX *ctx, STACK_OF(X509) * chain)
{
    bool good = SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) == 1;

    for (int i = 1; good && i < sk_X509_num(chain); i++) {
        good = SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) == 1;
    }
    return good;
}

bool cv_tls_trust(SSL_CTX *ctx, STACK_OF(X509) * authorities)
{
    X509_STORE *store = X509_STORE_new();

    if (store == NULL) {
        return false;
    }
    for (int i = 0; i < sk_X509_num(authorities); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(authorities, i)) != 1) {
            X509_STORE_free(store);
            return false;
        }
    }
    SSL_CTX_set_cert_store(ctx, store); /* taken */
    return true;
}
