#include "tests/unit/tls_peer.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_peer *peer = arg;

    (void)ssl;
    (void)in;
    (void)in_len;
    *out = (const unsigned char *)peer->alpn;
    *out_len = (unsigned char)strlen(peer->alpn);
    return SSL_TLSEXT_ERR_OK;
}

static void one(struct tls_peer *peer, int fd)
{
    SSL *ssl = SSL_new(peer->ctx);
    const char *name;
    char byte;

    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    peer->accepted = SSL_accept(ssl) == 1;
    peer->served++;
    if (peer->accepted) {
        peer->verified = SSL_get_verify_result(ssl) == X509_V_OK &&
                         SSL_get0_peer_certificate(ssl) != NULL;
        peer->reused = SSL_session_reused(ssl) != 0;
        peer->version = SSL_version(ssl);
        name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        (void)snprintf(peer->sni, sizeof(peer->sni), "%s",
                       name != NULL ? name : "");
        (void)SSL_write(ssl, "x", 1);
        while (SSL_read(ssl, &byte, 1) > 0) {
        }
    }
    ERR_clear_error();
    SSL_free(ssl);
    /* What the client still sends must not turn an alert into a reset. */
    (void)shutdown(fd, SHUT_WR);
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

static void *serve(void *v)
{
    struct tls_peer *peer = v;

    for (;;) {
        int fd = accept(peer->listener, NULL, NULL);

        if (fd < 0) {
            return NULL; /* shut down */
        }
        one(peer, fd);
        close(fd);
    }
}

void tls_peer_begin(const struct tls_peer_wish *wish, struct tls_peer *out)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    memset(out, 0, sizeof(*out));
    out->ctx = ctx;
    out->alpn = wish->alpn;
    if (wish->weak) {
        SSL_CTX_set_security_level(ctx, 0);
    }
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, wish->min), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, wish->max), 1);
    assert_int_equal(SSL_CTX_use_certificate(ctx, wish->id->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, wish->id->key), 1);
    if (wish->more != NULL) {
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, wish->more->certificate),
                         1);
    }
    (void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"t", 1);
    if (wish->client_ca != NULL) {
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx),
                                             wish->client_ca->certificate),
                         1);
        SSL_CTX_set_verify(
            ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (wish->client_algorithms != NULL) {
        assert_int_equal(
            SSL_CTX_set1_client_sigalgs_list(ctx, wish->client_algorithms), 1);
    }
    if (wish->alpn != NULL) {
        SSL_CTX_set_alpn_select_cb(ctx, choose, out);
    }
    out->listener = tls_rig_listen(NULL, 0);
    assert_int_equal(getsockname(out->listener, (struct sockaddr *)&at, &len),
                     0);
    out->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&out->thread, NULL, serve, out), 0);
}

void tls_peer_end(struct tls_peer *peer)
{
    (void)shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    SSL_CTX_free(peer->ctx);
}
