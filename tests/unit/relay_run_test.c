/* The whole relay in a process of its own: the test is its broker, and its
 * clients, those that have a right to be there and those that do not. */
#include "tests/unit/tls_rig.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/relay/relay.h"
#include "vault/relay/upstream.h"
#include "vault/wire/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID_A "0123456789abcdef0123456789abcdef"
#define ID_B "1123456789abcdef0123456789abcdef"
#define ID_C "2123456789abcdef0123456789abcdef"
#define OTHER_UID 65534
#define WAIT_MS 60000

static struct tls_rig_id server_ca, server, server_2, client_ca, foreign_ca;
/* clients: for grants A and B, of no grant, of the foreign CA, over */
static struct tls_rig_id of_a, of_b, of_c, of_none, of_foreign, expired;

struct rig {
    struct cv_channel *orders, *asks;
    pid_t relay;
    int port;
};

static void make(struct tls_rig_id *out, const char *san, const char *eku,
                 const struct tls_rig_id *issuer, long from_s, long to_s)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f",
                                        "g", "h", "i", "j", "k"};
    static size_t made;
    const struct tls_rig_wish wish = {.kind = "p256",
                                      .san = san,
                                      .eku = eku,
                                      .ca = eku == NULL,
                                      .issuer = issuer,
                                      .from_s = from_s,
                                      .to_s = to_s,
                                      .cn = names[made++ % 11]};

    tls_rig_make(&wish, out);
}

static int group_start(void **state)
{
    (void)state;
    cv_process_begin(2);
    make(&server_ca, NULL, NULL, NULL, 0, 0);
    make(&client_ca, NULL, NULL, NULL, 0, 0);
    make(&foreign_ca, NULL, NULL, NULL, 0, 0);
    make(&server, "IP:127.0.0.1", "serverAuth", &server_ca, 0, 0);
    make(&server_2, "IP:127.0.0.1", "serverAuth", &server_ca, -60, 7200);
    make(&of_a, "URI:certvault:grant:" ID_A, "clientAuth", &client_ca, 0, 0);
    make(&of_b, "URI:certvault:grant:" ID_B, "clientAuth", &client_ca, 0, 0);
    make(&of_c, "URI:certvault:grant:" ID_C, "clientAuth", &client_ca, 0, 0);
    make(&of_none, "DNS:localhost", "clientAuth", &client_ca, 0, 0);
    make(&of_foreign, "URI:certvault:grant:" ID_A, "clientAuth", &foreign_ca, 0,
         0);
    make(&expired, "URI:certvault:grant:" ID_A, "clientAuth", &client_ca, -7200,
         -3600);
    return 0;
}

static int group_end(void **state)
{
    struct tls_rig_id *all[] = {&server_ca,  &server,     &server_2, &client_ca,
                                &foreign_ca, &of_a,       &of_b,     &of_c,
                                &of_none,    &of_foreign, &expired};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        tls_rig_free(all[i]);
    }
    return 0;
}

static void run_relay(int orders, int asks)
{
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    s = cv_upstream_start(&err);
    if (s == CV_OK) {
        s = cv_relay_run(orders, asks, &err);
    } else {
        (void)close(orders);
    }
    if (s != CV_OK) {
        (void)fprintf(stderr, "relay: %s\n", err.text);
    }
    _exit(cv_err_exit_code(s)); /* what the test holds is no leak of its */
}

static enum cv_status order(const struct rig *r, const char *method,
                            cJSON *parameters, struct cv_message *reply,
                            struct cv_err *err)
{
    char full[64];

    (void)snprintf(full, sizeof(full), "io.certvault.Relay.%s", method);
    return cv_client_call(r->orders, full, parameters, 0, WAIT_MS, reply, err);
}

static cJSON *listen_order(int port, const struct tls_rig_id *with)
{
    cJSON *p = cJSON_CreateObject();
    char *certificate = tls_rig_pem(with), *key = tls_rig_key_pem(with);
    char *ca = tls_rig_pem(&client_ca);
    const struct cv_bytes secret = {(const uint8_t *)key, strlen(key)};

    assert_true(cv_json_add_int(p, "port", port) &&
                cv_json_add_str(p, "certificate", certificate) &&
                cv_json_add_base64(p, "secret", secret) &&
                cv_json_add_str(p, "client_ca", ca) &&
                cv_json_add_int(p, "idle_s", 60) &&
                cv_json_add_int(p, "pool", 4));
    free(certificate);
    free(key);
    free(ca);
    return p;
}

static cJSON *strings(const char *one)
{
    cJSON *a = cJSON_CreateArray();

    if (one != NULL) {
        assert_true(cJSON_AddItemToArray(a, cJSON_CreateString(one)));
    }
    return a;
}

/* A grant for a server where nobody listens. */
static cJSON *grant_of(const char *id, int64_t uid, int64_t ends_ms)
{
    cJSON *p = cJSON_CreateObject(), *g = cJSON_CreateObject();
    cJSON *up = cJSON_CreateObject();
    const struct cv_bytes spki = {of_a.spki, of_a.spki_len};
    char *ca = tls_rig_pem(&server_ca), *chain = tls_rig_pem(&of_a);

    assert_true(
        cv_json_add_str(up, "server", "https://127.0.0.1:1") &&
        cv_json_add_str(up, "ca", ca) &&
        cv_json_add_item(up, "names", strings(NULL)) &&
        cv_json_add_str(up, "verify", "ca") &&
        cv_json_add_item(up, "pins", strings(NULL)) &&
        cv_json_add_str(up, "certificates", chain) &&
        cv_json_add_base64(up, "spki", spki) &&
        cv_json_add_item(up, "algorithms", strings("ecdsa_secp256r1_sha256")) &&
        cv_json_add_str(g, "id", id) && cv_json_add_int(g, "uid", uid) &&
        cv_json_add_str(g, "entry", "prod") &&
        cv_json_add_str(g, "entry_id", ID_C) &&
        cv_json_add_str(g, "context", "main") &&
        cv_json_add_item(g, "upstream", up) &&
        cv_json_add_bool(g, "read_only", false) &&
        cv_json_add_str(g, "record", "off") &&
        cv_json_add_int(g, "ends_ms", ends_ms) &&
        cv_json_add_item(p, "grant", g));
    free(ca);
    free(chain);
    return p;
}

static void given(const struct rig *r, const char *method, cJSON *parameters)
{
    struct cv_message reply;
    struct cv_err err;

    cv_err_init(&err);
    if (order(r, method, parameters, &reply, &err) != CV_OK) {
        fail_msg("%s: %s", method, err.text);
    }
    cv_message_free(&reply);
}

static int64_t in_an_hour(void)
{
    return cv_clock_boot_ms() + 3600000;
}

static void open_grant(const struct rig *r, const char *id, int64_t uid)
{
    given(r, "Open", grant_of(id, uid, in_an_hour()));
}

static void close_grant(const struct rig *r, const char *id, const char *why)
{
    cJSON *p = cJSON_CreateObject();

    assert_true(cv_json_add_item(p, "ids", strings(id)) &&
                cv_json_add_str(p, "why", why) &&
                cv_json_add_str(p, "hint", "ask again"));
    given(r, "Close", p);
}

static int listen_at(const struct rig *r, int port,
                     const struct tls_rig_id *with)
{
    struct cv_message reply;
    struct cv_err err;
    int got;

    cv_err_init(&err);
    if (order(r, "Listen", listen_order(port, with), &reply, &err) != CV_OK) {
        fail_msg("Listen: %s", err.text);
    }
    got = cJSON_GetObjectItem(reply.tree, "port")->valueint;
    cv_message_free(&reply);
    assert_in_range(got, 1, 65535);
    return got;
}

static void begin(struct rig *r)
{
    int orders[2], asks[2];

    assert_int_equal(cv_process_pair(orders, NULL), CV_OK);
    assert_int_equal(cv_process_pair(asks, NULL), CV_OK);
    (void)fflush(stdout);
    r->relay = fork();
    assert_true(r->relay >= 0);
    if (r->relay == 0) {
        (void)close(orders[0]);
        (void)close(asks[0]);
        run_relay(orders[1], asks[1]);
    }
    (void)close(orders[1]);
    (void)close(asks[1]);
    assert_int_equal(cv_channel_new(orders[0], CV_MIB(1), &r->orders, NULL),
                     CV_OK);
    assert_int_equal(cv_channel_new(asks[0], CV_MIB(1), &r->asks, NULL), CV_OK);
    r->port = listen_at(r, 0, &server);
}

static void end(struct rig *r)
{
    cv_channel_free(r->orders);
    assert_int_equal(cv_process_wait(r->relay), 0);
    cv_channel_free(r->asks);
}

/* The next ask of this name, answered with {}; others are passed over, so that
 * one that must not come before it can be looked for. Borrowed: free it. */
static cJSON *ask(const struct rig *r, const char *name, const char *never)
{
    char full[64];

    (void)snprintf(full, sizeof(full), "io.certvault.Door.%s", name);
    for (;;) {
        static const char answer[] = "{\"parameters\":{}}";
        struct cv_message m;
        const char *method;
        cJSON *p = NULL;

        assert_int_equal(cv_channel_recv(r->asks, false, WAIT_MS, &m, NULL),
                         CV_OK);
        assert_non_null(m.tree);
        assert_int_equal(
            send(cv_channel_fd(r->asks), answer, sizeof(answer), 0),
            sizeof(answer));
        method = cJSON_GetObjectItem(m.tree, "method")->valuestring;
        if (never != NULL) {
            assert_string_not_equal(method + 18, never);
        }
        if (strcmp(method, full) == 0) {
            p = cJSON_DetachItemFromObject(m.tree, "parameters");
        }
        cv_message_free(&m);
        if (p != NULL) {
            return p;
        }
    }
}

static void stranger(const struct rig *r, int64_t uid, const char *why)
{
    cJSON *p = ask(r, "Strangers", NULL);

    assert_int_equal(cJSON_GetObjectItem(p, "uid")->valueint, uid);
    assert_int_equal(cJSON_GetObjectItem(p, "count")->valueint, 1);
    assert_non_null(strstr(cJSON_GetObjectItem(p, "why")->valuestring, why));
    cJSON_Delete(p);
}

/* ---- clients ---- */

static int tcp(int port)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {WAIT_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static SSL *shake(int port, const struct tls_rig_id *with)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    int fd = tcp(port);

    assert_non_null(ctx);
    assert_int_equal(
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), server_ca.certificate),
        1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (with != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, with->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, with->key), 1);
    }
    ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (SSL_connect(ssl) != 1) { /* 1.3: we are done first */
        ERR_print_errors_fp(stderr);
        fail_msg("no handshake");
    }
    return ssl;
}

static void bye(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    SSL_free(ssl);
    (void)close(fd);
    ERR_clear_error();
}

/* All that comes; returns how it ended: SSL_get_error's. */
static int hear(SSL *ssl, char *out, size_t out_len)
{
    size_t len = 0;
    int rc;

    while ((rc = SSL_read(ssl, out + len, (int)(out_len - 1 - len))) > 0) {
        len += (size_t)rc;
    }
    out[len] = '\0';
    return SSL_get_error(ssl, rc);
}

static void say(SSL *ssl, int port)
{
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "GET /version HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                     "Connection: close\r\n\r\n",
                     port);

    (void)SSL_write(ssl, text, n);
}

/* A request, and the beginning of its answer. */
static void expect(const struct rig *r, const struct tls_rig_id *with,
                   const char *status, const char *word)
{
    char got[4096];
    SSL *ssl = shake(r->port, with);

    say(ssl, r->port);
    assert_int_equal(hear(ssl, got, sizeof(got)), SSL_ERROR_ZERO_RETURN);
    if (strncmp(got, status, strlen(status)) != 0 || !strstr(got, word)) {
        fail_msg("%s", got);
    }
    bye(ssl);
}

/* Refused in the handshake, whether the client knows it yet or not. */
static void refused(const struct rig *r, const struct tls_rig_id *with)
{
    char got[64];
    SSL *ssl = shake(r->port, with);

    say(ssl, r->port);
    assert_int_not_equal(hear(ssl, got, sizeof(got)), SSL_ERROR_ZERO_RETURN);
    assert_string_equal(got, "");
    bye(ssl);
}

/* Closed without a byte. */
static bool is_shut_out(int port)
{
    int fd = tcp(port);
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    bool shut = n == 0 || (n < 0 && errno == ECONNRESET);

    (void)close(fd);
    return shut;
}

/* ---- tests ---- */

static void comes_in(void **state)
{
    struct rig r;
    cJSON *alive;

    (void)state;
    begin(&r);
    open_grant(&r, ID_A, (int64_t)getuid());
    expect(&r, &of_a, "HTTP/1.1 50", "\"kind\":\"Status\"");
    alive = ask(&r, "Alive", "Strangers");
    assert_true(cJSON_IsNumber(cJSON_GetObjectItem(alive, "requests")));
    cJSON_Delete(alive);
    end(&r);
}

static void has_no_right(void **state)
{
    const int64_t me = (int64_t)getuid();
    struct rig r;

    (void)state;
    begin(&r);
    open_grant(&r, ID_A, me);
    refused(&r, NULL);
    stranger(&r, me, "no client certificate");
    /* the rest of this minute is told together */
    refused(&r, &of_foreign);
    refused(&r, &expired);
    refused(&r, &of_none);
    expect(&r, &of_a, "HTTP/1.1 50", "\"kind\":\"Status\"");
    cJSON_Delete(ask(&r, "Alive", "Strangers"));
    end(&r);
}

static void says_why(const struct tls_rig_id *with, const char *why)
{
    const int64_t me = (int64_t)getuid();
    struct rig r;

    begin(&r);
    open_grant(&r, ID_A, me);
    refused(&r, with);
    stranger(&r, me, why);
    end(&r);
}

static void each_wrong_certificate(void **state)
{
    (void)state;
    says_why(&of_foreign, "not of this relay");
    says_why(&expired, "not of this relay, or is over");
    says_why(&of_none, "no grant");
}

/* Nobody who has no grant gets as far as TLS. */
static void other_grants(void **state)
{
    const int64_t me = (int64_t)getuid();
    char got[4096];
    struct rig r;
    SSL *ssl;

    (void)state;
    begin(&r);
    assert_true(is_shut_out(r.port));
    stranger(&r, me, "without a grant");
    open_grant(&r, ID_B, me + 1);
    assert_true(is_shut_out(r.port));
    open_grant(&r, ID_A, me);
    /* another's certificate, out of our own process: after TLS */
    ssl = shake(r.port, &of_b);
    say(ssl, r.port);
    assert_int_not_equal(hear(ssl, got, sizeof(got)), SSL_ERROR_ZERO_RETURN);
    assert_string_equal(got, "");
    bye(ssl);
    end(&r);
}

static void another_user_as_root(void **state)
{
    struct rig r;
    pid_t child;

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    begin(&r);
    open_grant(&r, ID_A, (int64_t)getuid());
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        /* even with everything that it needs, stolen */
        if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) != 0) {
            _exit(2);
        }
        _exit(is_shut_out(r.port) ? 0 : 1);
    }
    assert_int_equal(cv_process_wait(child), 0);
    stranger(&r, OTHER_UID, "without a grant");
    expect(&r, &of_a, "HTTP/1.1 50", "\"kind\":\"Status\"");
    end(&r);
}

static void is_told_why(void **state)
{
    struct rig r;
    SSL *ssl;
    char got[64];

    (void)state;
    begin(&r);
    open_grant(&r, ID_A, (int64_t)getuid());
    ssl = shake(r.port, &of_a);
    expect(&r, &of_a, "HTTP/1.1 50", "Status");
    close_grant(&r, ID_A, "the entry was removed");
    /* who was there is cut off */
    (void)hear(ssl, got, sizeof(got));
    assert_string_equal(got, "");
    bye(ssl);
    expect(&r, &of_a, "HTTP/1.1 403", "the entry was removed");
    expect(&r, &of_a, "HTTP/1.1 403", "ask again");
    expect(&r, &of_c, "HTTP/1.1 401", "has ended");
    /* and comes back */
    open_grant(&r, ID_A, (int64_t)getuid());
    expect(&r, &of_a, "HTTP/1.1 50", "Status");
    end(&r);
}

static void ends_by_itself(void **state)
{
    struct rig r;
    SSL *ssl;
    char got[64];

    (void)state;
    begin(&r);
    given(&r, "Open",
          grant_of(ID_A, (int64_t)getuid(), cv_clock_boot_ms() + 4000));
    ssl = shake(r.port, &of_a);
    (void)hear(ssl, got, sizeof(got)); /* until it is cut off */
    assert_string_equal(got, "");
    bye(ssl);
    expect(&r, &of_a, "HTTP/1.1 403", "time of this grant is over");
    end(&r);
}

static void listens_again(void **state)
{
    struct cv_message reply;
    struct cv_err err;
    struct rig r;
    char word[64];
    int fd, port;
    SSL *ssl;

    (void)state;
    begin(&r);
    open_grant(&r, ID_A, (int64_t)getuid());
    ssl = shake(r.port, &of_a);
    assert_int_equal(listen_at(&r, r.port, &server_2), r.port);
    bye(ssl);
    ssl = shake(r.port, &of_a);
    {
        X509 *peer = SSL_get1_peer_certificate(ssl);

        assert_int_equal(X509_cmp(peer, server_2.certificate), 0);
        X509_free(peer);
    }
    bye(ssl);
    /* taken, and by whom */
    fd = tls_rig_listen(NULL, 0);
    {
        struct sockaddr_in a;
        socklen_t len = sizeof(a);

        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
        port = ntohs(a.sin_port);
    }
    cv_err_init(&err);
    assert_int_equal(
        order(&r, "Listen", listen_order(port, &server), &reply, &err),
        CV_BUSY);
    cv_message_free(&reply);
    (void)snprintf(word, sizeof(word), "port %d is taken: a process of uid %d",
                   port, (int)getuid());
    assert_non_null(strstr(err.text, word));
    (void)close(fd);
    /* it still listens where it did */
    expect(&r, &of_a, "HTTP/1.1 50", "Status");
    end(&r);
}

static int64_t counted(const struct rig *r, const char *what)
{
    struct cv_message reply;
    int64_t n;

    assert_int_equal(order(r, "Status", NULL, &reply, NULL), CV_OK);
    n = (int64_t)cJSON_GetObjectItem(reply.tree, what)->valuedouble;
    cv_message_free(&reply);
    return n;
}

static void counts(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    assert_int_equal(counted(&r, "grants"), 0);
    open_grant(&r, ID_A, (int64_t)getuid());
    open_grant(&r, ID_A, (int64_t)getuid());
    open_grant(&r, ID_B, (int64_t)getuid());
    assert_int_equal(counted(&r, "grants"), 2);
    assert_int_equal(counted(&r, "requests"), 0);
    expect(&r, &of_a, "HTTP/1.1 50", "Status");
    assert_int_equal(counted(&r, "requests"), 1);
    close_grant(&r, ID_B, "over");
    assert_int_equal(counted(&r, "grants"), 1);
    assert_int_equal(counted(&r, "signatures"), 0);
    end(&r);
}

static void bad_orders(void **state)
{
    static const struct {
        const char *method, *parameters;
    } bad[] = {
        {"Listen", "{}"},
        {"Listen", "{\"port\":70000,\"certificate\":\"\",\"secret\":\"\","
                   "\"client_ca\":\"\",\"idle_s\":1,\"pool\":1}"},
        {"Listen", "{\"port\":0,\"certificate\":\"x\",\"secret\":\"eA==\","
                   "\"client_ca\":\"x\",\"idle_s\":1,\"pool\":1}"},
        {"Open", "{}"},
        {"Open", "{\"grant\":{\"id\":\"x\"}}"},
        {"Close", "{\"ids\":[\"x\"],\"why\":\"x\"}"},
        {"Close", "{\"ids\":[3],\"why\":\"x\"}"},
        {"Status", "{\"x\":1}"},
        {"Nothing", "{}"},
    };
    struct rig r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cv_message reply;

        assert_int_equal(order(&r, bad[i].method,
                               cJSON_Parse(bad[i].parameters), &reply, NULL),
                         CV_INVALID);
        cv_message_free(&reply);
    }
    assert_int_equal(counted(&r, "grants"), 0);
    end(&r);
}

static void ends(void **state)
{
    struct rig r;

    (void)state;
    /* the asks */
    begin(&r);
    cv_channel_free(r.asks);
    assert_int_equal(cv_process_wait(r.relay), 0);
    cv_channel_free(r.orders);
    /* a signal, with somebody connected */
    begin(&r);
    open_grant(&r, ID_A, (int64_t)getuid());
    {
        SSL *ssl = shake(r.port, &of_a);

        assert_int_equal(kill(r.relay, SIGTERM), 0);
        assert_int_equal(cv_process_wait(r.relay), 0);
        bye(ssl);
    }
    cv_channel_free(r.orders);
    cv_channel_free(r.asks);
    /* what is no order */
    begin(&r);
    assert_int_equal(send(cv_channel_fd(r.orders), "[]", 3, 0), 3);
    assert_int_equal(cv_process_wait(r.relay), 65);
    cv_channel_free(r.orders);
    cv_channel_free(r.asks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_in),
        cmocka_unit_test(has_no_right),
        cmocka_unit_test(each_wrong_certificate),
        cmocka_unit_test(other_grants),
        cmocka_unit_test(another_user_as_root),
        cmocka_unit_test(is_told_why),
        cmocka_unit_test(ends_by_itself),
        cmocka_unit_test(listens_again),
        cmocka_unit_test(counts),
        cmocka_unit_test(bad_orders),
        cmocka_unit_test(ends),
    };

    int failed = cmocka_run_group_tests(tests, group_start, group_end);

    return failed == 0 && geteuid() != 0 ? 77 : failed;
}
