/* The SSL_CTX of one grant's server. */
#include "vault/relay/upstream_internal.h"

#include "vault/base/limits.h"
#include "vault/relay/tls_internal.h"

#include <openssl/err.h>
#include <string.h>

static const unsigned char ALPN[] = "\x02h2\x08http/1.1";

/* Those of the grant's algorithms that go with the key, in libssl's spelling.
 * TLS 1.3 where one of them is for it: PKCS#1 v1.5 is not (RFC 8446 4.2.3), and
 * a client that offered 1.3 with it alone would show no certificate. */
static enum cv_status use_algorithms(struct cv_upstream *up, EVP_PKEY *key,
                                     struct cv_err *err)
{
    const char *const *names = up->grant->upstream.algorithms;
    struct cv_buf list;
    bool tls13 = false;
    enum cv_status status;

    cv_buf_init(&list, NULL, CV_LIMIT_URL);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!cv_provider_fits(key, names[i])) {
            continue;
        }
        if (list.len != 0) {
            cv_buf_add_char(&list, ':');
        }
        cv_buf_add_str(&list, names[i]);
        tls13 = tls13 || strncmp(names[i], "rsa_pkcs1_", 10) != 0;
    }
    status = cv_buf_status(&list, "signature algorithms", err);
    if (status == CV_OK && list.len == 0) {
        status = cv_fail(err, CV_INVALID,
                         "the key has no signature algorithm for TLS");
    } else if (status == CV_OK &&
               (SSL_CTX_set1_client_sigalgs_list(up->ctx, (char *)list.data) !=
                    1 ||
                (!tls13 && SSL_CTX_set_max_proto_version(
                               up->ctx, TLS1_2_VERSION) != 1))) {
        status = cv_fail(err, CV_INTERNAL,
                         "libssl does not know a signature algorithm");
    }
    cv_buf_wipe(&list);
    return status;
}

/* The grant's chain and key, which must belong together. */
static enum cv_status use_identity(struct cv_upstream *up, struct cv_err *err)
{
    const struct cv_grant_upstream *to = &up->grant->upstream;
    struct cv_bytes pem = {(const uint8_t *)to->certificates,
                           strlen(to->certificates)};
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    enum cv_status status =
        cv_tls_read(pem, CV_LIMIT_CHAIN, "the client certificate", &chain, err);

    if (status == CV_OK) {
        status = cv_provider_key(up->provider, to->spki, cv_upstream_ask_signer,
                                 up, &key, err);
    }
    if (status == CV_OK &&
        X509_check_private_key(sk_X509_value(chain, 0), key) != 1) {
        status =
            cv_fail(err, CV_INVALID, "the client certificate is not the key's");
    }
    if (status == CV_OK && !cv_tls_use_chain(up->ctx, chain)) {
        status = cv_fail(err, CV_INVALID,
                         "TLS does not take the client certificate: %s",
                         ERR_reason_error_string(ERR_peek_last_error()));
    }
    if (status == CV_OK && (SSL_CTX_use_PrivateKey(up->ctx, key) != 1 ||
                            SSL_CTX_check_private_key(up->ctx) != 1)) {
        status = cv_fail(err, CV_INTERNAL, "libssl does not take the key");
    }
    if (status == CV_OK) {
        status = use_algorithms(up, key, err);
    }
    EVP_PKEY_free(key);
    cv_tls_free(chain);
    return status;
}

static enum cv_status use_authorities(struct cv_upstream *up,
                                      struct cv_err *err)
{
    const char *ca = up->grant->upstream.ca;
    STACK_OF(X509) *all = NULL;
    enum cv_status status;

    if (ca == NULL) {
        if (up->grant->upstream.verify == CV_GRANT_PIN &&
            up->grant->upstream.pins[0] != NULL) {
            return CV_OK;
        }
        return cv_fail(err, CV_INVALID,
                       "the server can be verified by nothing");
    }
    status = cv_tls_read((struct cv_bytes){(const uint8_t *)ca, strlen(ca)},
                         CV_LIMIT_CA_SET, "the server's CA", &all, err);
    if (status == CV_OK && !cv_tls_trust(up->ctx, all)) {
        status = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_tls_free(all);
    return status;
}

static bool is_issued_by(const X509 *cert, const STACK_OF(X509_NAME) * names)
{
    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        if (X509_NAME_cmp(X509_get_issuer_name(cert),
                          sk_X509_NAME_value(names, i)) == 0) {
            return true;
        }
    }
    return false;
}

/* Does the server name CAs (RFC 5246 section 7.4.4, RFC 8446 section 4.2.4),
 * and ours is none of them? It asks for another's certificate: as kubectl (Go's
 * TLS) would send none, nothing is signed for it. */
static bool wants_another(SSL *ssl)
{
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(ssl);
    STACK_OF(X509) *chain = NULL;
    bool ours;

    if (names == NULL || sk_X509_NAME_num(names) == 0 ||
        SSL_get_certificate(ssl) == NULL) {
        return false;
    }
    ours = is_issued_by(SSL_get_certificate(ssl), names);
    (void)SSL_get0_chain_certs(ssl, &chain);
    for (int i = 0; !ours && i < sk_X509_num(chain); i++) {
        ours = is_issued_by(sk_X509_value(chain, i), names);
    }
    return !ours;
}

/* The server wants a certificate. libssl goes on without one where it has none
 * that fits; this is how that is noticed. */
static int note_asked(SSL *ssl, void *arg)
{
    struct cv_upstream_try *t = SSL_get_app_data(ssl);

    (void)arg;
    if (t == NULL) {
        return 0;
    }
    t->asked = true;
    if (wants_another(ssl)) {
        (void)cv_fail(&t->cause, CV_REMOTE,
                      "%s asks for a certificate of another CA",
                      t->up->grant->upstream.address);
        cv_err_hint(&t->cause,
                    "the entry's certificate is not for this server");
        return 0;
    }
    return 1;
}

enum cv_status cv_upstream_make_ctx(struct cv_upstream *up, struct cv_err *err)
{
    enum cv_status status;

    up->ctx = SSL_CTX_new(TLS_client_method());
    if (up->ctx == NULL || !cv_tls_prepare(up->ctx) ||
        SSL_CTX_set_alpn_protos(up->ctx, ALPN, sizeof(ALPN) - 1) != 0) {
        return cv_fail(err, CV_INTERNAL, "libssl does not start");
    }
    SSL_CTX_set_verify(up->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(up->ctx, CV_LIMIT_CHAIN);
    SSL_CTX_set_cert_verify_callback(up->ctx, cv_upstream_verify, NULL);
    SSL_CTX_set_cert_cb(up->ctx, note_asked, NULL);
    /* As kubectl: whatever is given as a CA is one. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(up->ctx),
                                X509_V_FLAG_PARTIAL_CHAIN);
    status = use_authorities(up, err);
    return status == CV_OK ? use_identity(up, err) : status;
}
