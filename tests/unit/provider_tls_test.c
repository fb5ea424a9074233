/* The key in libssl's hands: whole handshakes in memory, TLS 1.2 and 1.3,
 * against a server that asks for the certificate and verifies it; and in
 * libcurl's, over a socket. */
#include "tests/unit/tls_rig.h"

#include "vault/base/limits.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct cv_provider *provider;
static struct tls_rig_id ca, server;

static int begin(void **state)
{
    struct tls_rig_wish wish = {.kind = "p256", .ca = true, .cn = "test CA"};

    (void)state;
    if (cv_arena_start(NULL) != CV_OK ||
        cv_provider_new(&provider, NULL) != CV_OK) {
        return -1;
    }
    tls_rig_make(&wish, &ca);
    wish = (struct tls_rig_wish){.kind = "p256",
                                 .other = true,
                                 .issuer = &ca,
                                 .san = "DNS:localhost,IP:127.0.0.1"};
    tls_rig_make(&wish, &server);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tls_rig_free(&ca);
    tls_rig_free(&server);
    cv_provider_free(provider);
    return 0;
}

static SSL_CTX *server_context(char *sigalgs)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_int_equal(SSL_CTX_use_certificate(ctx, server.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, server.key), 1);
    assert_int_equal(
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.certificate), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    if (sigalgs != NULL) {
        assert_int_equal(SSL_CTX_set1_client_sigalgs_list(ctx, sigalgs), 1);
    }
    return ctx;
}

static SSL_CTX *client_context(const struct tls_rig_id *id, EVP_PKEY *key,
                               int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_use_certificate(ctx, id->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
    assert_int_equal(
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.certificate), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

/* Both sides in turn until neither goes on. True: both are done, and a byte
 * came through to the client (in TLS 1.3 the server says its word on the
 * certificate after the client is done). */
static bool shake_hands(SSL_CTX *client_ctx, SSL_CTX *server_ctx, SSL **at)
{
    SSL *client = SSL_new(client_ctx), *peer = SSL_new(server_ctx);
    BIO *one = NULL, *two = NULL;
    bool c = false, s = false;
    char byte = 0;

    assert_int_equal(BIO_new_bio_pair(&one, 65536, &two, 65536), 1);
    SSL_set_bio(client, one, one);
    SSL_set_bio(peer, two, two);
    SSL_set_connect_state(client);
    SSL_set_accept_state(peer);
    ERR_clear_error();
    for (size_t i = 0; i < 20 && !(c && s); i++) {
        int got = c ? 1 : SSL_do_handshake(client);

        c = got == 1;
        if (SSL_get_error(client, got) == SSL_ERROR_SSL) {
            break; /* the queue has the reason */
        }
        s = s || SSL_do_handshake(peer) == 1;
    }
    c = c && s && SSL_write(peer, "x", 1) == 1 &&
        SSL_read(client, &byte, 1) == 1 && byte == 'x';
    SSL_free(client);
    *at = peer;
    return c;
}

static void shake(const char *kind, int version, char *sigalgs,
                  const char *algorithm)
{
    struct tls_rig_wish wish = {.kind = kind, .issuer = &ca};
    struct tls_rig_id id;
    struct tls_rig_signer signer;
    SSL_CTX *client, *peer = server_context(sigalgs);
    SSL *at = NULL;
    EVP_PKEY *key = NULL;
    X509 *shown;

    tls_rig_make(&wish, &id);
    tls_rig_signer(&id, &signer);
    assert_int_equal(cv_provider_key(provider,
                                     (struct cv_bytes){id.spki, id.spki_len},
                                     tls_rig_sign, &signer, &key, NULL),
                     CV_OK);
    client = client_context(&id, key, version);
    if (!shake_hands(client, peer, &at)) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s, TLS 1.%d: no handshake", kind,
                 version == TLS1_3_VERSION ? 3 : 2);
    }
    assert_int_equal(SSL_version(at), version);
    assert_int_equal(SSL_get_verify_result(at), X509_V_OK);
    shown = SSL_get0_peer_certificate(at);
    assert_non_null(shown);
    assert_int_equal(X509_cmp(shown, id.certificate), 0);
    assert_int_equal(signer.asked, 1);
    assert_string_equal(signer.purpose, version == TLS1_3_VERSION
                                            ? "tls13-client"
                                            : "tls12-client");
    if (algorithm != NULL) {
        assert_string_equal(signer.algorithm, algorithm);
    }
    SSL_free(at);
    SSL_CTX_free(client);
    SSL_CTX_free(peer);
    EVP_PKEY_free(key);
    tls_rig_free(&id);
}

static void every_kind_in_tls12(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        shake(tls_rig_kinds[i], TLS1_2_VERSION, NULL, NULL);
    }
}

static void every_kind_in_tls13(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        shake(tls_rig_kinds[i], TLS1_3_VERSION, NULL, NULL);
    }
}

/* The algorithm is what the server asks for. */
static void every_algorithm_of_rsa(void **state)
{
    static char names[6][24] = {"rsa_pkcs1_sha256",    "rsa_pkcs1_sha384",
                                "rsa_pkcs1_sha512",    "rsa_pss_rsae_sha256",
                                "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        shake("rsa2048", TLS1_2_VERSION, names[i], names[i]);
        if (i >= 3) {
            shake("rsa2048", TLS1_3_VERSION, names[i], names[i]);
        }
    }
}

/* Another key's signature is worth nothing, however it is signed. */
static void another_key_is_refused(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS * 2; i++) {
        struct tls_rig_wish wish = {.kind = tls_rig_kinds[i / 2],
                                    .issuer = &ca};
        struct tls_rig_id id;
        struct tls_rig_signer signer;
        SSL_CTX *client, *peer = server_context(NULL);
        SSL *at = NULL;
        EVP_PKEY *key = NULL;

        tls_rig_make(&wish, &id);
        tls_rig_signer(&id, &signer);
        signer.key = tls_rig_key(tls_rig_kinds[i / 2], true);
        assert_int_equal(
            cv_provider_key(provider, (struct cv_bytes){id.spki, id.spki_len},
                            tls_rig_sign, &signer, &key, NULL),
            CV_OK);
        client = client_context(&id, key, versions[i % 2]);
        assert_false(shake_hands(client, peer, &at));
        assert_int_equal(signer.asked, 1);
        ERR_clear_error();
        SSL_free(at);
        SSL_CTX_free(client);
        SSL_CTX_free(peer);
        EVP_PKEY_free(key);
        tls_rig_free(&id);
    }
}

/* A certificate that is not this key's is noticed, in either order. */
static void the_wrong_pair_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        struct tls_rig_wish wish = {.kind = tls_rig_kinds[i]};
        struct tls_rig_id id, foreign;
        struct tls_rig_signer signer;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        EVP_PKEY *key = NULL;

        tls_rig_make(&wish, &id);
        wish.other = true;
        tls_rig_make(&wish, &foreign);
        tls_rig_signer(&id, &signer);
        assert_int_equal(
            cv_provider_key(provider, (struct cv_bytes){id.spki, id.spki_len},
                            tls_rig_sign, &signer, &key, NULL),
            CV_OK);
        assert_int_equal(SSL_CTX_use_certificate(ctx, foreign.certificate), 1);
        assert_int_not_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
        SSL_CTX_free(ctx);
        ctx = SSL_CTX_new(TLS_client_method());
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
        (void)SSL_CTX_use_certificate(ctx, foreign.certificate);
        assert_int_not_equal(SSL_CTX_check_private_key(ctx), 1);
        assert_int_equal(signer.asked, 0);
        ERR_clear_error();
        SSL_CTX_free(ctx);
        EVP_PKEY_free(key);
        tls_rig_free(&id);
        tls_rig_free(&foreign);
    }
}

/* A signer that says no ends the handshake; its words can be found. */
static void a_refusal_ends_the_handshake(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_rig_wish wish = {.kind = "p256", .issuer = &ca};
    struct tls_rig_id id;

    (void)state;
    tls_rig_make(&wish, &id);
    for (size_t i = 0; i < 2; i++) {
        struct tls_rig_signer signer;
        SSL_CTX *client, *peer = server_context(NULL);
        SSL *at = NULL;
        EVP_PKEY *key = NULL;
        const char *text = "";
        int flags = 0;
        bool told = false;

        tls_rig_signer(&id, &signer);
        signer.fail = CV_DENIED;
        assert_int_equal(
            cv_provider_key(provider, (struct cv_bytes){id.spki, id.spki_len},
                            tls_rig_sign, &signer, &key, NULL),
            CV_OK);
        client = client_context(&id, key, versions[i]);
        assert_false(shake_hands(client, peer, &at));
        while (ERR_get_error_all(NULL, NULL, NULL, &text, &flags) != 0) {
            told = told || strcmp(text, "the signer says no") == 0;
        }
        assert_true(told);
        SSL_free(at);
        SSL_CTX_free(client);
        SSL_CTX_free(peer);
        EVP_PKEY_free(key);
    }
    tls_rig_free(&id);
}

/* One client of a loopback server: the handshake, a request, an answer. */
struct served {
    int listener;
    SSL_CTX *ctx;
    bool verified;
};

static void *serve(void *v)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    struct served *s = v;
    int fd = accept(s->listener, NULL, NULL);
    SSL *ssl = SSL_new(s->ctx);
    char request[4096];

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0) {
        s->verified = SSL_get_verify_result(ssl) == X509_V_OK &&
                      SSL_get0_peer_certificate(ssl) != NULL;
        (void)SSL_write(ssl, answer, sizeof(answer) - 1);
        (void)SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
    return NULL;
}

struct hooked {
    const struct tls_rig_id *id;
    EVP_PKEY *key;
};

static CURLcode hook(CURL *curl, void *ctx, void *v)
{
    struct hooked *h = v;

    (void)curl;
    return SSL_CTX_use_certificate(ctx, h->id->certificate) == 1 &&
                   SSL_CTX_use_PrivateKey(ctx, h->key) == 1 &&
                   SSL_CTX_check_private_key(ctx) == 1
               ? CURLE_OK
               : CURLE_SSL_CERTPROBLEM;
}

static size_t drop(char *data, size_t size, size_t n, void *v)
{
    (void)data;
    (void)v;
    return size * n;
}

static void by_curl(const char *kind, long version)
{
    struct tls_rig_wish wish = {.kind = kind, .issuer = &ca};
    struct tls_rig_id id;
    struct tls_rig_signer signer;
    struct served s = {.listener = -1};
    struct hooked hooked = {&id, NULL};
    char *pem = tls_rig_pem(&ca), url[64];
    struct curl_blob blob = {pem, strlen(pem), CURL_BLOB_COPY};
    CURL *curl = curl_easy_init();
    CURLcode code;
    pthread_t thread;

    s.listener = tls_rig_listen(url, sizeof(url));
    s.ctx = server_context(NULL);
    tls_rig_make(&wish, &id);
    tls_rig_signer(&id, &signer);
    assert_int_equal(cv_provider_key(provider,
                                     (struct cv_bytes){id.spki, id.spki_len},
                                     tls_rig_sign, &signer, &hooked.key, NULL),
                     CV_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, &s), 0);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, version);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, hook);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, &hooked);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        fail_msg("%s: %s", kind, curl_easy_strerror(code));
    }
    pthread_join(thread, NULL);
    assert_true(s.verified);
    assert_int_equal(signer.asked, 1);
    curl_easy_cleanup(curl);
    close(s.listener);
    SSL_CTX_free(s.ctx);
    EVP_PKEY_free(hooked.key);
    tls_rig_free(&id);
    free(pem);
}

static void every_kind_by_curl(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        by_curl(tls_rig_kinds[i],
                CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2);
        by_curl(tls_rig_kinds[i], CURL_SSLVERSION_TLSv1_3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_in_tls12),
        cmocka_unit_test(every_kind_in_tls13),
        cmocka_unit_test(every_algorithm_of_rsa),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(the_wrong_pair_is_noticed),
        cmocka_unit_test(a_refusal_ends_the_handshake),
        cmocka_unit_test(every_kind_by_curl),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
