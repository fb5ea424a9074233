#include "tests/unit/relay_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

void relay_pair_identity(X509 **certificate, EVP_PKEY **key)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                              "DNS:localhost,IP:127.0.0.1");

    assert_non_null(k);
    assert_non_null(san);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const uint8_t *)"relay test",
                                                -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x, name), 1);
    assert_int_equal(X509_set_pubkey(x, k), 1);
    assert_int_equal(X509_add_ext(x, san, -1), 1);
    assert_true(X509_sign(x, k, EVP_sha256()) > 0);
    X509_EXTENSION_free(san);
    *certificate = x;
    *key = k;
}

static SSL_CTX *context(const SSL_METHOD *method, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    return ctx;
}

static SSL *server(int version, int fd, int verify)
{
    SSL_CTX *ctx = context(TLS_server_method(), version);
    X509 *certificate;
    EVP_PKEY *key;
    SSL *ssl;

    relay_pair_identity(&certificate, &key);
    assert_int_equal(SSL_CTX_use_certificate(ctx, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    SSL_CTX_set_verify(ctx, verify, NULL);
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_set_accept_state(ssl);
    X509_free(certificate);
    EVP_PKEY_free(key);
    SSL_CTX_free(ctx);
    return ssl;
}

static SSL *client(int version, int fd)
{
    SSL_CTX *ctx = context(TLS_client_method(), version);
    SSL *ssl = SSL_new(ctx);

    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_set_connect_state(ssl);
    SSL_CTX_free(ctx);
    return ssl;
}

static struct relay_pair sockets(void)
{
    struct relay_pair p = {{-1, -1}, {NULL, NULL}};
    int size = 8192;

    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                                p.fd),
                     0);
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(p.fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
    return p;
}

/* Both ends in turn, until both are done. */
static void shake(struct relay_pair *p)
{
    bool done = false;

    for (int i = 0; i < 20 && !done; i++) {
        int a = SSL_do_handshake(p->ssl[1]);
        int b = SSL_do_handshake(p->ssl[0]);

        done = a == 1 && b == 1;
    }
    ERR_print_errors_fp(stderr);
    assert_true(done);
}

struct relay_pair relay_pair_new(int version)
{
    struct relay_pair p = sockets();

    if (version != 0) {
        p.ssl[0] = server(version, p.fd[0], SSL_VERIFY_NONE);
        p.ssl[1] = client(version, p.fd[1]);
        shake(&p);
    }
    return p;
}

struct relay_pair relay_pair_refused(void)
{
    struct relay_pair p = sockets();
    int rc = 0;

    p.ssl[0] = server(TLS1_3_VERSION, p.fd[0],
                      SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    p.ssl[1] = client(TLS1_3_VERSION, p.fd[1]);
    for (int i = 0; i < 20 && rc != 1; i++) {
        rc = SSL_do_handshake(p.ssl[1]);
        if (rc != 1) {
            (void)SSL_do_handshake(p.ssl[0]);
        }
    }
    assert_int_equal(rc, 1);
    assert_int_not_equal(SSL_do_handshake(p.ssl[0]), 1);
    ERR_clear_error();
    return p;
}

struct relay_pair relay_pair_eager(const char *text)
{
    struct relay_pair p = sockets();
    int rc = 0;

    p.ssl[0] = server(TLS1_3_VERSION, p.fd[0], SSL_VERIFY_NONE);
    p.ssl[1] = client(TLS1_3_VERSION, p.fd[1]);
    SSL_set_read_ahead(p.ssl[0], 1);
    for (int i = 0; i < 20 && rc != 1; i++) {
        rc = SSL_do_handshake(p.ssl[1]);
        if (rc != 1) {
            (void)SSL_do_handshake(p.ssl[0]);
        }
    }
    assert_int_equal(rc, 1);
    assert_int_equal(SSL_write(p.ssl[1], text, (int)strlen(text)),
                     (int)strlen(text));
    assert_int_equal(SSL_do_handshake(p.ssl[0]), 1);
    return p;
}

uint64_t relay_pair_seed(void)
{
    const char *given = getenv("CV_SEED");
    uint64_t seed = 0;

    if (given != NULL) {
        seed = strtoull(given, NULL, 0);
    } else {
        assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
    }
    print_message("CV_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* xorshift64* (Vigna, 2014). */
uint32_t relay_pair_below(uint64_t *state, uint32_t n)
{
    uint64_t x = *state != 0 ? *state : 88172645463325252U;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (uint32_t)((x * 2685821657736338717U) >> 33) % n;
}
