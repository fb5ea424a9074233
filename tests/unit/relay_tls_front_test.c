/* The listener's context: who is let in, and under which grant; and whose
 * socket it is. */
#include "tests/unit/tls_rig.h"

#include "vault/relay/tls_front.h"
#include "vault/relay/tls_internal.h"
#include "vault/relay/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef"
#define URI "URI:certvault:grant:" ID

static struct tls_rig_id server_ca, server, client_ca;
static SSL_CTX *front;

static struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

static enum cv_status make(const struct tls_rig_id *id, const char *key,
                           const char *ca, SSL_CTX **out)
{
    char *certificate = tls_rig_pem(id);
    enum cv_status status = cv_tls_front_new(
        bytes_of(certificate), bytes_of(key), bytes_of(ca), out, NULL);

    free(certificate);
    return status;
}

static int begin(void **state)
{
    struct tls_rig_wish wish = {.kind = "p256", .ca = true, .cn = "server CA"};
    char *key, *ca;
    enum cv_status status;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    if (cv_arena_start(NULL) != CV_OK || cv_upstream_start(NULL) != CV_OK) {
        return -1;
    }
    tls_rig_make(&wish, &server_ca);
    wish.cn = "client CA";
    wish.other = true;
    tls_rig_make(&wish, &client_ca);
    wish = (struct tls_rig_wish){.kind = "p256",
                                 .issuer = &server_ca,
                                 .san = "DNS:localhost,IP:127.0.0.1",
                                 .eku = "serverAuth"};
    tls_rig_make(&wish, &server);
    key = tls_rig_key_pem(&server);
    ca = tls_rig_pem(&client_ca);
    status = make(&server, key, ca, &front);
    free(key);
    free(ca);
    return status == CV_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    SSL_CTX_free(front);
    tls_rig_free(&server_ca);
    tls_rig_free(&server);
    tls_rig_free(&client_ca);
    return 0;
}

/* How a client comes. */
struct visit {
    const struct tls_rig_id *id; /* NULL: without certificate */
    int max;                     /* TLS version; 0: any */
    const char *alpn;            /* as it is offered; NULL: none */
    bool weak;                   /* offers TLS before 1.2 alone */
};

/* Both ends of a handshake in memory. The server's, done or not. */
static bool shake_hands(const struct visit *v, SSL **out)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *client, *peer = SSL_new(front);
    BIO *one = NULL, *two = NULL;
    bool c = false, s = false;
    char byte = 0;

    if (v->weak) {
        SSL_CTX_set_security_level(ctx, 0);
    }
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, v->max), 1);
    if (v->id != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, v->id->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, v->id->key), 1);
    }
    if (v->alpn != NULL) {
        assert_int_equal(SSL_CTX_set_alpn_protos(ctx,
                                                 (const unsigned char *)v->alpn,
                                                 (unsigned)strlen(v->alpn)),
                         0);
    }
    client = SSL_new(ctx);
    assert_int_equal(BIO_new_bio_pair(&one, 65536, &two, 65536), 1);
    SSL_set_bio(client, one, one);
    SSL_set_bio(peer, two, two);
    SSL_set_connect_state(client);
    SSL_set_accept_state(peer);
    for (size_t i = 0; i < 20 && !(c && s); i++) {
        c = c || SSL_do_handshake(client) == 1;
        s = s || SSL_do_handshake(peer) == 1;
    }
    if (c && s) {
        assert_int_equal(SSL_write(peer, "x", 1), 1);
        assert_int_equal(SSL_read(client, &byte, 1), 1);
        /* nothing to come back with */
        assert_int_equal(SSL_SESSION_has_ticket(SSL_get0_session(client)), 0);
    }
    SSL_free(client);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    *out = peer;
    return c && s;
}

static void client_with(const struct tls_rig_wish *like, const char *san,
                        struct tls_rig_id *out)
{
    struct tls_rig_wish wish = *like;

    wish.san = san;
    if (wish.kind == NULL) {
        wish.kind = "p256";
    }
    if (wish.issuer == NULL) {
        wish.issuer = &client_ca;
    }
    tls_rig_make(&wish, out);
}

static void a_grant_is_let_in(void **state)
{
    static const struct {
        int max;
        const char *alpn;
        bool h2;
    } table[] = {{TLS1_2_VERSION, NULL, false},
                 {TLS1_3_VERSION, NULL, false},
                 {TLS1_3_VERSION, "\x02h2\x08http/1.1", true},
                 {TLS1_3_VERSION, "\x08http/1.1\x02h2", true},
                 {TLS1_2_VERSION, "\x02h2", true},
                 {TLS1_3_VERSION, "\x08http/1.1", false}};
    const struct tls_rig_wish like = {.eku = "clientAuth", .cn = "uid:1000"};
    struct tls_rig_id id;

    (void)state;
    client_with(&like, URI, &id);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct visit v = {&id, table[i].max, table[i].alpn, false};
        char grant[CV_GRANT_ID_LEN + 1] = "?";
        SSL *ssl = NULL;

        assert_true(shake_hands(&v, &ssl));
        assert_int_equal(SSL_version(ssl), table[i].max);
        assert_int_equal(cv_tls_front_grant(ssl, grant, NULL), CV_OK);
        assert_string_equal(grant, ID);
        assert_int_equal(cv_tls_front_is_h2(ssl), table[i].h2);
        assert_false(SSL_session_reused(ssl));
        SSL_free(ssl);
    }
    tls_rig_free(&id);
}

static void others_are_not(void **state)
{
    struct tls_rig_wish foreign_wish = {
        .kind = "p384", .ca = true, .cn = "client CA"};
    struct tls_rig_id foreign;
    const struct {
        const char *what;
        struct tls_rig_wish like;
    } table[] = {
        {"of another CA with the same name",
         {.issuer = &foreign, .eku = "clientAuth"}},
        {"of the server's CA", {.issuer = &server_ca, .eku = "clientAuth"}},
        {"without a use", {.eku = NULL}},
        {"for servers", {.eku = "serverAuth"}},
        {"for code", {.eku = "codeSigning"}},
        {"expired", {.eku = "clientAuth", .from_s = -200, .to_s = -100}},
        {"not yet valid", {.eku = "clientAuth", .from_s = 100, .to_s = 200}},
    };

    (void)state;
    tls_rig_make(&foreign_wish, &foreign);
    for (size_t i = 0; i < 2 * sizeof(table) / sizeof(table[0]); i++) {
        struct tls_rig_id id;
        struct visit v = {&id, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL,
                          false};
        char grant[CV_GRANT_ID_LEN + 1] = "?";
        SSL *ssl = NULL;

        client_with(&table[i / 2].like, URI, &id);
        if (shake_hands(&v, &ssl)) {
            fail_msg("%s", table[i / 2].what);
        }
        assert_int_equal(cv_tls_front_grant(ssl, grant, NULL), CV_DENIED);
        assert_string_equal(grant, "");
        SSL_free(ssl);
        tls_rig_free(&id);
    }
    tls_rig_free(&foreign);
}

static void nobody_comes_without_certificate(void **state)
{
    static const struct visit table[] = {
        {NULL, TLS1_2_VERSION, NULL, false},
        {NULL, TLS1_3_VERSION, "\x02h2", false}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char grant[CV_GRANT_ID_LEN + 1] = "?";
        SSL *ssl = NULL;

        assert_false(shake_hands(&table[i], &ssl));
        assert_int_equal(cv_tls_front_grant(ssl, grant, NULL), CV_DENIED);
        SSL_free(ssl);
    }
}

static void other_protocols_are_refused(void **state)
{
    const struct tls_rig_wish like = {.eku = "clientAuth"};
    struct tls_rig_id id;
    const struct visit table[] = {{&id, 0, "\x06spdy/3", false},
                                  {&id, 0, "\x08http/1.0", false},
                                  {&id, TLS1_1_VERSION, NULL, true},
                                  {&id, TLS1_VERSION, NULL, true}};

    (void)state;
    client_with(&like, URI, &id);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        SSL *ssl = NULL;

        assert_false(shake_hands(&table[i], &ssl));
        SSL_free(ssl);
    }
    tls_rig_free(&id);
}

/* A certificate of our CA that names no grant, or not just one. */
static void one_grant_is_named(void **state)
{
    static const char *const sans[] = {
        NULL,
        "DNS:localhost",
        "URI:certvault:grant:",
        "URI:certvault:grant:0123456789abcdef0123456789abcde",
        "URI:certvault:grant:0123456789abcdef0123456789abcdef0",
        "URI:certvault:grant:0123456789ABCDEF0123456789abcdef",
        "URI:certvault:grant:0123456789abcdef0123456789abcdeg",
        "URI:CERTVAULT:grant:" ID,
        "URI:certvault:entry:" ID,
        "URI:xcertvault:grant:" ID,
        "DNS:certvault:grant:" ID,
        URI "," URI,
        URI ",URI:certvault:grant:ffffffffffffffffffffffffffffffff",
        URI ",DNS:localhost",
        "DNS:localhost," URI};
    const struct tls_rig_wish like = {.eku = "clientAuth"};

    (void)state;
    for (size_t i = 0; i < sizeof(sans) / sizeof(sans[0]); i++) {
        struct tls_rig_id id;
        const struct visit v = {&id, 0, NULL, false};
        char grant[CV_GRANT_ID_LEN + 1] = "?";
        SSL *ssl = NULL;

        client_with(&like, sans[i], &id);
        assert_true(shake_hands(&v, &ssl));
        if (cv_tls_front_grant(ssl, grant, NULL) != CV_DENIED) {
            fail_msg("%s: %s", sans[i], grant);
        }
        assert_string_equal(grant, "");
        SSL_free(ssl);
        tls_rig_free(&id);
    }
}

static void needs_a_pair_and_a_ca(void **state)
{
    char *key = tls_rig_key_pem(&server),
         *foreign = tls_rig_key_pem(&client_ca);
    char *ca = tls_rig_pem(&client_ca);
    const struct {
        const char *key, *ca;
        enum cv_status status;
    } table[] = {
        {key, ca, CV_OK},       {foreign, ca, CV_INVALID},
        {"", ca, CV_INVALID},   {ca, ca, CV_INVALID},
        {key, "", CV_INVALID},  {key, "junk", CV_INVALID},
        {key, key, CV_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        SSL_CTX *ctx = NULL;

        assert_int_equal(make(&server, table[i].key, table[i].ca, &ctx),
                         table[i].status);
        assert_int_equal(ctx != NULL, table[i].status == CV_OK);
        SSL_CTX_free(ctx);
    }
    free(key);
    free(foreign);
    free(ca);
}

static int port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

/* Connects to `port` as `uid` in a process of its own, which stays until its
 * end of `hold` is closed. */
static pid_t connect_as(uid_t uid, int port, int family, int hold[2])
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port)};
    pid_t pid = fork();
    char byte;
    int fd;

    assert_true(pid >= 0);
    if (pid != 0) {
        close(hold[1]);
        return pid;
    }
    close(hold[0]);
    /* ::ffff:127.0.0.1, as a client with dual-stack sockets has it */
    (void)inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr);
    if (uid != getuid() && setuid(uid) != 0) {
        _exit(1);
    }
    fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0 ||
        (family == AF_INET
             ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
             : connect(fd, (struct sockaddr *)&v6, sizeof(v6))) != 0) {
        _exit(2);
    }
    _exit(read(hold[1], &byte, 1) == 0 ? 0 : 3);
}

static void knows_whose_socket_it_is(void **state)
{
    uid_t others[] = {getuid(), 65534, 1234};
    static const int families[] = {AF_INET, AF_INET6};
    int listener = tls_rig_listen(NULL, 0);

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        uid_t uid = others[i / 2], found = 77;
        struct cv_err err;
        int hold[2], fd, status;
        pid_t pid;

        if (uid != getuid() && getuid() != 0) {
            continue; /* only root can become somebody else */
        }
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hold), 0);
        pid = connect_as(uid, port_of(listener), families[i % 2], hold);
        fd = accept(listener, NULL, NULL);
        assert_true(fd >= 0);
        cv_err_init(&err);
        if (cv_tls_front_uid(fd, &found, &err) != CV_OK) {
            fail_msg("uid %u: %s", uid, err.text);
        }
        assert_int_equal(found, uid);
        close(hold[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        /* gone: FIN has come, and nobody owns the other end */
        assert_int_equal(poll(&(struct pollfd){fd, POLLRDHUP, 0}, 1, 60000), 1);
        assert_int_equal(cv_tls_front_uid(fd, &found, NULL), CV_DENIED);
        assert_int_equal(found, (uid_t)-1);
        close(fd);
        assert_int_equal(cv_tls_front_uid(fd, &found, NULL), CV_DENIED);
    }
    close(listener);
}

static void knows_who_listens(void **state)
{
    int listener = tls_rig_listen(NULL, 0), port = port_of(listener);
    struct sockaddr_in any = {.sin_family = AF_INET};
    uid_t found = 77;
    int wide;

    (void)state;
    assert_int_equal(cv_tls_front_holder(port, &found, NULL), CV_OK);
    assert_int_equal(found, getuid());
    close(listener);
    assert_int_equal(cv_tls_front_holder(port, &found, NULL), CV_NOT_FOUND);
    assert_int_equal(found, (uid_t)-1);
    wide = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(wide, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(wide, 1), 0);
    assert_int_equal(cv_tls_front_holder(port_of(wide), &found, NULL), CV_OK);
    assert_int_equal(found, getuid());
    close(wide);
}

/* An end that is gone is not what was wrong with it. */
static void tells_the_cause(void **state)
{
    (void)state;
    ERR_clear_error();
    assert_int_equal(cv_tls_cause(), 0);
    ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
    ERR_raise(ERR_LIB_SYS, EPIPE);
    assert_int_equal(ERR_GET_REASON(cv_tls_cause()), SSL_R_BAD_SIGNATURE);
    assert_int_equal(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_SYS, ECONNRESET);
    ERR_raise(ERR_LIB_SYS, EPIPE);
    assert_int_equal(ERR_GET_REASON(cv_tls_cause()), EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_is_let_in),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(nobody_comes_without_certificate),
        cmocka_unit_test(other_protocols_are_refused),
        cmocka_unit_test(one_grant_is_named),
        cmocka_unit_test(needs_a_pair_and_a_ca),
        cmocka_unit_test(knows_whose_socket_it_is),
        cmocka_unit_test(knows_who_listens),
        cmocka_unit_test(tells_the_cause),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
