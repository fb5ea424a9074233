/* Is the server the one it should be? Asked by libssl while it shakes hands,
 * before anything is signed. */
#include "vault/relay/upstream_internal.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>

#define DIGEST_LEN 32

/* Subject alternative names alone, and whole labels for '*', as in Go. */
#define NAME_FLAGS \
    (X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)

static bool hash_key(X509 *leaf, char out[CV_UPSTREAM_SPKI_LEN])
{
    uint8_t digest[DIGEST_LEN];
    unsigned char *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);
    bool good = len > 0 && EVP_Digest(spki, (size_t)len, digest, NULL,
                                      EVP_sha256(), NULL) == 1;

    OPENSSL_free(spki);
    if (!good) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
    return true;
}

static bool has_name(X509 *leaf, const char *name)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, name, &address) == 1 ||
        inet_pton(AF_INET6, name, &address) == 1) {
        return X509_check_ip_asc(leaf, name, 0) == 1;
    }
    return X509_check_host(leaf, name, 0, NAME_FLAGS, NULL) == 1;
}

static bool has_any_name(const struct cv_grant_upstream *to, X509 *leaf)
{
    if (has_name(leaf, to->server_name != NULL ? to->server_name : to->host)) {
        return true;
    }
    for (size_t i = 0; to->names[i] != NULL; i++) {
        if (has_name(leaf, to->names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_pinned(const struct cv_grant_upstream *to, const char *spki)
{
    for (size_t i = 0; to->pins[i] != NULL; i++) {
        if (strcmp(to->pins[i], spki) == 0) {
            return true;
        }
    }
    return false;
}

/* Each says why in t->cause, and returns libcrypto's number for it. */
static int check_pin(struct cv_upstream_try *t)
{
    const struct cv_grant_upstream *to = &t->up->grant->upstream;

    if (to->verify != CV_GRANT_PIN || is_pinned(to, t->out->server_spki)) {
        return X509_V_OK;
    }
    cv_fail(&t->cause, CV_REMOTE, "%s has another key than the one pinned: %s",
            to->address, t->out->server_spki);
    cv_err_state(&t->cause, "nothing was signed or sent");
    cv_err_hint(&t->cause, "if the server's key was changed on purpose: "
                           "`certvault pin NAME --context C --spki B64`");
    return X509_V_ERR_APPLICATION_VERIFICATION;
}

static int check_chain(struct cv_upstream_try *t, X509_STORE_CTX *store)
{
    const struct cv_grant_upstream *to = &t->up->grant->upstream;
    int error;

    if (to->ca == NULL) {
        return X509_V_OK; /* the pin has decided */
    }
    if (X509_verify_cert(store) == 1) {
        return X509_V_OK;
    }
    error = X509_STORE_CTX_get_error(store);
    cv_fail_native(&t->cause, CV_REMOTE, CV_DOMAIN_OPENSSL, error,
                   "the certificate of %s cannot be verified: %s", to->address,
                   X509_verify_cert_error_string(error));
    cv_err_state(&t->cause, "nothing was signed or sent");
    return error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
}

static int check_name(struct cv_upstream_try *t, X509 *leaf)
{
    const struct cv_grant_upstream *to = &t->up->grant->upstream;

    if (to->ca == NULL || has_any_name(to, leaf)) {
        return X509_V_OK;
    }
    cv_fail(&t->cause, CV_REMOTE, "the certificate of %s is not for %s",
            to->address, to->server_name != NULL ? to->server_name : to->host);
    cv_err_state(&t->cause, "nothing was signed or sent");
    return X509_V_ERR_HOSTNAME_MISMATCH;
}

int cv_upstream_verify(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl =
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct cv_upstream_try *t = ssl != NULL ? SSL_get_app_data(ssl) : NULL;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    char spki[CV_UPSTREAM_SPKI_LEN] = "";
    int error;

    (void)arg;
    if (t == NULL || leaf == NULL || !hash_key(leaf, spki)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    t->out->stage = CV_UPSTREAM_VERIFY;
    memcpy(t->out->server_spki, spki, sizeof(spki));
    error = check_pin(t);
    if (error == X509_V_OK) {
        error = check_chain(t, store);
    }
    if (error == X509_V_OK) {
        error = check_name(t, leaf);
    }
    X509_STORE_CTX_set_error(store, error);
    if (error != X509_V_OK) {
        return 0;
    }
    t->out->stage = CV_UPSTREAM_TLS;
    return 1;
}
