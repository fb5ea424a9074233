/* Connections to servers that are as they should be: every kind of key, TLS 1.2
 * and 1.3, ALPN, names, what the signer is told. Servers that are not are in
 * relay_upstream_hostile_test.c. */
#include "tests/unit/relay_upstream_rig.h"

#include "vault/base/limits.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(enum cv_status status, const struct rig_way *way,
                 const char *what)
{
    if (status != CV_OK) {
        fail_msg("%s: %s (%s)", what, way->err.text, way->err.hint);
    }
}

/* A whole connection with one kind of key. */
static void meet(const char *kind, int version)
{
    struct tls_rig_id client;
    struct tls_peer_wish how = {.id = &rig_server,
                                .client_ca = &rig_ca,
                                .min = version,
                                .max = version,
                                .alpn = "h2"};
    struct tls_peer peer;
    struct rig_way way;
    char spki[CV_UPSTREAM_SPKI_LEN], server[64];
    struct rig_wish wish = {.client = &client, .kind = kind, .ca = &rig_ca};

    rig_client(kind, &client);
    tls_peer_begin(&how, &peer);
    wish.port = peer.port;
    must(rig_open(&wish, &way), &way, kind);
    for (int i = 1; i <= 3; i++) {
        must(rig_connect(&way, 0), &way, kind);
        assert_true(rig_is_taken(&way));
        assert_true(way.conn.h2);
        assert_int_equal(way.conn.stage, CV_UPSTREAM_DONE);
        assert_int_equal(way.signer.asked, i);
        assert_int_equal(SSL_version(way.conn.ssl), version);
        assert_int_not_equal(fcntl(way.conn.fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_not_equal(fcntl(way.conn.fd, F_GETFD) & FD_CLOEXEC, 0);
        /* the connection has no key any more */
        assert_null(SSL_get_privatekey(way.conn.ssl));
        rig_hang_up(&way);
    }
    rig_spki(&rig_server, spki);
    assert_string_equal(way.server_spki, spki);
    assert_string_equal(way.conn.server_spki, spki);
    (void)snprintf(server, sizeof(server), "127.0.0.1:%d", peer.port);
    assert_string_equal(way.server, server);
    assert_string_equal(way.signer.purpose, version == TLS1_3_VERSION
                                                ? "tls13-client"
                                                : "tls12-client");
    rig_close(&way);
    tls_peer_end(&peer);
    assert_int_equal(peer.served, 3);
    assert_true(peer.verified);
    assert_false(peer.reused);
    assert_string_equal(peer.sni, "");
    tls_rig_free(&client);
}

static void every_kind_in_tls12(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        meet(tls_rig_kinds[i], TLS1_2_VERSION);
    }
}

static void every_kind_in_tls13(void **state)
{
    (void)state;
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        meet(tls_rig_kinds[i], TLS1_3_VERSION);
    }
}

struct alpn {
    const char *chosen;
    unsigned flags;
    bool good, h2;
};

static void offers_what_it_should(void **state)
{
    static const struct alpn table[] = {
        {"\x02h2", 0, true, true},
        {"\x08http/1.1", 0, true, false},
        {NULL, 0, true, false},
        {"\x08http/1.1", CV_UPSTREAM_H1_ONLY, true, false},
        {NULL, CV_UPSTREAM_H1_ONLY, true, false},
        {"\x02h2", CV_UPSTREAM_H1_ONLY, false, false},
        {"\x03foo", 0, false, false}};
    struct tls_rig_id client;

    (void)state;
    rig_client("p256", &client);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct tls_peer_wish how = {
            .id = &rig_server,
            .client_ca = &rig_ca,
            .alpn = table[i].chosen != NULL ? table[i].chosen + 1 : NULL};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {
            .client = &client, .kind = "p256", .ca = &rig_ca};

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        must(rig_open(&wish, &way), &way, "ALPN");
        if (table[i].good) {
            must(rig_connect(&way, table[i].flags), &way, "ALPN");
            assert_int_equal(way.conn.h2, table[i].h2);
        } else {
            assert_int_equal(rig_connect(&way, table[i].flags), CV_REMOTE);
            assert_int_equal(way.conn.fd, -1);
            assert_null(way.conn.ssl);
        }
        rig_close(&way);
        tls_peer_end(&peer);
    }
    tls_rig_free(&client);
}

/* Under which names a server may be: the server's certificate, what is asked.
 */
struct name {
    const char *san;
    const char *host, *server_name, *names;
    bool good;
    const char *sni;
};

static const struct name NAMES[] = {
    {"IP:127.0.0.1", NULL, NULL, NULL, true, ""},
    {"DNS:localhost", "localhost", NULL, NULL, true, "localhost"},
    {"DNS:LocalHost", "localhost", NULL, NULL, true, "localhost"},
    {"DNS:kube.test", NULL, "kube.test", NULL, true, "kube.test"},
    {"DNS:*.kube.test", NULL, "a.kube.test", NULL, true, "a.kube.test"},
    {"DNS:*.kube.test", NULL, "a.b.kube.test", NULL, false, "a.b.kube.test"},
    {"DNS:*.kube.test", NULL, "kube.test", NULL, false, "kube.test"},
    {"DNS:a*.kube.test", NULL, "ab.kube.test", NULL, false, "ab.kube.test"},
    {"DNS:other.test", NULL, "kube.test", NULL, false, "kube.test"},
    {"IP:127.0.0.1", NULL, "kube.test", NULL, false, "kube.test"},
    {"IP:10.0.0.9", NULL, "10.0.0.9", NULL, true, ""},
    {"IP:10.0.0.9", NULL, NULL, NULL, false, ""},
    {"DNS:127.0.0.1", NULL, NULL, NULL, false, ""},
    {NULL, NULL, NULL, NULL, false, ""},
    {"IP:10.0.0.9", NULL, NULL, "[\"10.0.0.9\"]", true, ""},
    {"IP:10.0.0.9", NULL, NULL, "[\"a.test\",\"10.0.0.9\"]", true, ""},
    {"DNS:a.test", NULL, NULL, "[\"a.test\",\"10.0.0.9\"]", true, ""},
    {"DNS:b.test", NULL, NULL, "[\"a.test\",\"10.0.0.9\"]", false, ""},
    {"IP:::1", NULL, NULL, "[\"::1\"]", true, ""},
};

static void goes_by_the_right_name(void **state)
{
    struct tls_rig_id client;

    (void)state;
    rig_client("p256", &client);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        const struct name *n = &NAMES[i];
        struct tls_rig_wish as = {.kind = "p256",
                                  .other = true,
                                  .issuer = &rig_ca,
                                  .san = n->san,
                                  .cn = "127.0.0.1"};
        struct tls_rig_id id;
        struct tls_peer_wish how = {.id = &id, .client_ca = &rig_ca};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {.client = &client,
                                .kind = "p256",
                                .ca = &rig_ca,
                                .host = n->host,
                                .server_name = n->server_name,
                                .names = n->names};
        enum cv_status status;

        tls_rig_make(&as, &id);
        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        must(rig_open(&wish, &way), &way, "a name");
        status = rig_connect(&way, 0);
        if ((status == CV_OK) != n->good) {
            fail_msg("%zu: %s as %s: %s", i, n->san,
                     n->server_name ? n->server_name : "", way.err.text);
        }
        if (!n->good) {
            assert_int_equal(way.conn.stage, CV_UPSTREAM_VERIFY);
            assert_non_null(strstr(way.err.text, "is not for"));
            assert_int_equal(way.signer.asked, 0);
        } else {
            assert_true(rig_is_taken(&way));
        }
        rig_close(&way);
        tls_peer_end(&peer);
        if (n->good) {
            assert_string_equal(peer.sni, n->sni);
        }
        tls_rig_free(&id);
    }
    tls_rig_free(&client);
}

/* An intermediate that the server sends, one that was given as CA, and the
 * server's own certificate as CA. */
static void finds_the_way_to_a_ca(void **state)
{
    struct tls_rig_wish as = {
        .kind = "p384", .ca = true, .issuer = &rig_ca, .cn = "middle"};
    struct tls_rig_id middle, leaf, client;

    (void)state;
    tls_rig_make(&as, &middle);
    as = (struct tls_rig_wish){.kind = "p256",
                               .other = true,
                               .issuer = &middle,
                               .san = "IP:127.0.0.1"};
    tls_rig_make(&as, &leaf);
    rig_client("p256", &client);
    for (int i = 0; i < 4; i++) {
        struct tls_peer_wish how = {
            .id = &leaf, .client_ca = &rig_ca, .more = i == 0 ? &middle : NULL};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {.client = &client,
                                .kind = "p256",
                                .ca = i == 2   ? &middle
                                      : i == 3 ? &leaf
                                               : &rig_ca,
                                .more = i == 2 ? &client : NULL};

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        must(rig_open(&wish, &way), &way, "a CA");
        /* 1: nobody has the one in the middle */
        assert_int_equal(rig_connect(&way, 0), i == 1 ? CV_REMOTE : CV_OK);
        rig_close(&way);
        tls_peer_end(&peer);
    }
    tls_rig_free(&middle);
    tls_rig_free(&leaf);
    tls_rig_free(&client);
}

/* A key that has PKCS#1 v1.5 alone: TLS 1.2 with it, even where the server has
 * 1.3; nothing where the server has no 1.2. */
static void stays_with_what_the_key_has(void **state)
{
    static char pss[] = "rsa_pss_rsae_sha256:rsa_pss_rsae_sha512";
    static const struct {
        const char *algorithms;
        int min, max;
        char *asked;
        bool good;
        int version;
        const char *algorithm;
    } table[] = {
        {"[\"rsa_pkcs1_sha256\"]", 0, 0, NULL, true, TLS1_2_VERSION,
         "rsa_pkcs1_sha256"},
        {"[\"rsa_pkcs1_sha512\"]", 0, 0, NULL, true, TLS1_2_VERSION,
         "rsa_pkcs1_sha512"},
        {"[\"rsa_pkcs1_sha256\"]", TLS1_3_VERSION, 0, NULL, false, 0, NULL},
        {"[\"rsa_pss_rsae_sha384\"]", 0, 0, NULL, true, TLS1_3_VERSION,
         "rsa_pss_rsae_sha384"},
        {"[\"rsa_pss_rsae_sha384\"]", 0, TLS1_2_VERSION, NULL, true,
         TLS1_2_VERSION, "rsa_pss_rsae_sha384"},
        {"[\"rsa_pkcs1_sha256\",\"rsa_pss_rsae_sha512\"]", 0, 0, pss, true,
         TLS1_3_VERSION, "rsa_pss_rsae_sha512"},
        /* the server takes none of them */
        {"[\"rsa_pss_rsae_sha384\"]", 0, 0, pss, false, 0, NULL},
        {"[\"rsa_pss_rsae_sha384\"]", 0, TLS1_2_VERSION, pss, false, 0, NULL},
        {"[\"rsa_pkcs1_sha256\"]", 0, TLS1_2_VERSION, pss, false, 0, NULL},
        /* names that are not this key's are passed over */
        {"[\"ed25519\",\"sha1\",\"rsa_pss_rsae_sha256\"]", 0, 0, NULL, true,
         TLS1_3_VERSION, "rsa_pss_rsae_sha256"}};
    struct tls_rig_id client;

    (void)state;
    rig_client("rsa2048", &client);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct tls_peer_wish how = {.id = &rig_server,
                                    .client_ca = &rig_ca,
                                    .min = table[i].min,
                                    .max = table[i].max,
                                    .client_algorithms = table[i].asked};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {.client = &client,
                                .kind = "rsa",
                                .ca = &rig_ca,
                                .algorithms = table[i].algorithms};
        enum cv_status status;

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        must(rig_open(&wish, &way), &way, "algorithms");
        status = rig_connect(&way, 0);
        if ((status == CV_OK) != table[i].good) {
            fail_msg("%zu: %s: %s", i, table[i].algorithms, way.err.text);
        }
        if (table[i].good) {
            assert_true(rig_is_taken(&way));
            assert_int_equal(SSL_version(way.conn.ssl), table[i].version);
            assert_string_equal(way.signer.algorithm, table[i].algorithm);
        } else {
            assert_int_equal(status, CV_REMOTE);
            assert_int_equal(way.signer.asked, 0);
        }
        rig_close(&way);
        tls_peer_end(&peer);
    }
    tls_rig_free(&client);
}

/* What a grant says that cannot be. */
static void refuses_what_does_not_fit(void **state)
{
    struct tls_rig_wish other = {.kind = "p256", .other = true};
    struct tls_rig_id client, mixed, foreign;
    struct rig_way way;
    struct rig_wish wish = {
        .client = &client, .kind = "p256", .ca = &rig_ca, .port = 1};

    (void)state;
    rig_client("p256", &client);
    tls_rig_make(&other, &foreign);
    must(rig_open(&wish, &way), &way, "the good one");
    rig_close(&way);

    /* the certificate of another key */
    mixed = client;
    mixed.certificate = foreign.certificate;
    wish.client = &mixed;
    assert_int_equal(rig_open(&wish, &way), CV_INVALID);
    assert_null(way.up);
    assert_non_null(strstr(way.err.text, "is not the key's"));
    rig_close(&way);
    wish.client = &client;

    wish.algorithms = "[\"rsa_pss_rsae_sha256\"]";
    assert_int_equal(rig_open(&wish, &way), CV_INVALID);
    rig_close(&way);
    tls_rig_free(&client);
    tls_rig_free(&foreign);
}

/* Several threads, two servers: each signature is asked for the handshake that
 * it belongs to. */
struct crowd {
    struct cv_upstream *up;
    EVP_PKEY *key;
    char server[64];
    int good; /* of its own thread */
};

static enum cv_status sign_for_own(void *context,
                                   const struct cv_upstream_ask *ask,
                                   struct cv_buf *signature, struct cv_err *err)
{
    const struct crowd *c = context;

    return strcmp(ask->server, c->server) == 0 &&
                   strlen(ask->server_spki) == 44 &&
                   tls_rig_sign_with(c->key, ask->algorithm, ask->data,
                                     signature)
               ? CV_OK
               : cv_fail(err, CV_FAILED, "asked for another's handshake");
}

static void *connect_often(void *v)
{
    struct crowd *c = v;

    for (int i = 0; i < 10; i++) {
        struct rig_way way = {.up = c->up};

        if (rig_connect(&way, 0) == CV_OK && rig_is_taken(&way)) {
            c->good++;
        }
        rig_hang_up(&way);
    }
    return NULL;
}

static void several_at_once(void **state)
{
    static const char *const kinds[2] = {"p256", "ed25519"};
    struct tls_rig_id clients[2];
    struct tls_peer peers[2];
    struct cv_grant *grants[2];
    struct crowd crowds[2], members[4];
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tls_peer_wish how = {.id = &rig_server, .client_ca = &rig_ca};
        struct rig_wish wish = {
            .client = &clients[i], .kind = kinds[i], .ca = &rig_ca};

        rig_client(kinds[i], &clients[i]);
        tls_peer_begin(&how, &peers[i]);
        wish.port = peers[i].port;
        grants[i] = rig_grant(&wish);
        crowds[i] = (struct crowd){.key = clients[i].key};
        (void)snprintf(crowds[i].server, sizeof(crowds[i].server),
                       "127.0.0.1:%d", peers[i].port);
        assert_int_equal(cv_upstream_new(rig_provider, grants[i], sign_for_own,
                                         &crowds[i], &crowds[i].up, NULL),
                         CV_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        members[i] = crowds[i % 2];
        assert_int_equal(
            pthread_create(&threads[i], NULL, connect_often, &members[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(members[i].good, 10);
    }
    for (size_t i = 0; i < 2; i++) {
        cv_upstream_unref(crowds[i].up);
        cv_grant_unref(grants[i]);
        tls_peer_end(&peers[i]);
        tls_rig_free(&clients[i]);
    }
}

/* `openssl s_server`, which nobody here wrote, asks and verifies. */
static pid_t start_s_server(int version, int *port, const char *folder)
{
    char line[256], cert[128], key[128], ca[128];
    int out[2];
    pid_t pid;
    FILE *from;

    (void)snprintf(cert, sizeof(cert), "%s/server.pem", folder);
    (void)snprintf(key, sizeof(key), "%s/server.key", folder);
    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    assert_int_equal(pipe(out), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(out[1], 1);
        (void)unsetenv("OPENSSL_CONF"); /* it reads it */
        execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0",
               "-cert", cert, "-key", key, "-CAfile", ca, "-no-CApath",
               "-no-CAstore", "-Verify", "3", "-verify_return_error", "-www",
               version == TLS1_3_VERSION ? "-tls1_3" : "-tls1_2", "-alpn", "h2",
               (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    from = fdopen(out[0], "r");
    *port = 0;
    while (*port == 0 && fgets(line, sizeof(line), from) != NULL) {
        const char *at = strstr(line, "ACCEPT ");
        const char *colon = at != NULL ? strrchr(at, ':') : NULL;

        if (colon != NULL) {
            *port = (int)strtol(colon + 1, NULL, 10);
        }
    }
    fclose(from);
    return pid;
}

static void put(const char *folder, const char *name, char *text)
{
    char path[160];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(text);
}

static void take_away(const char *folder)
{
    static const char *const names[] = {"server.pem", "server.key", "ca.pem"};
    char path[160];

    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void s_server(int version)
{
    char folder[] = "/tmp/certvault-test-XXXXXX";
    int port = 0, status = 0;
    pid_t pid;

    assert_non_null(mkdtemp(folder));
    put(folder, "server.pem", tls_rig_pem(&rig_server));
    put(folder, "server.key", tls_rig_key_pem(&rig_server));
    put(folder, "ca.pem", tls_rig_pem(&rig_ca));
    pid = start_s_server(version, &port, folder);
    if (port == 0) {
        print_message("no openssl s_server here\n");
        skip();
    }
    for (size_t i = 0; i < TLS_RIG_KINDS; i++) {
        struct tls_rig_id client;
        struct rig_way way;
        struct rig_wish wish = {.client = &client,
                                .kind = tls_rig_kinds[i],
                                .ca = &rig_ca,
                                .port = port};
        char byte = 0;

        rig_client(tls_rig_kinds[i], &client);
        must(rig_open(&wish, &way), &way, "s_server");
        must(rig_connect(&way, 0), &way, "s_server");
        assert_true(way.conn.h2);
        assert_int_equal(SSL_write(way.conn.ssl, "GET / HTTP/1.0\r\n\r\n", 18),
                         18);
        /* "HTTP/1.0 200 ok": it has taken the certificate */
        assert_true(tls_rig_wait(way.conn.ssl, way.conn.fd, &byte));
        assert_int_equal(byte, 'H');
        rig_close(&way);
        tls_rig_free(&client);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    take_away(folder);
}

static void s_server_in_tls12(void **state)
{
    (void)state;
    s_server(TLS1_2_VERSION);
}

static void s_server_in_tls13(void **state)
{
    (void)state;
    s_server(TLS1_3_VERSION);
}

/* What is in the environment and in openssl.cnf is nobody's business here: with
 * either of these no handshake would work, or a file would appear. */
static char conf[] = "/tmp/certvault-test-XXXXXX";
static char keylog[80];

static void poison_environment(void)
{
    static const char text[] = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\n"
                               "system_default = c\n[c]\n"
                               "CipherString = NULL\nCiphersuites =\n"
                               "MaxProtocol = TLSv1.1\n";
    int fd = mkstemp(conf);

    (void)snprintf(keylog, sizeof(keylog), "%s-keylog", conf);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0 ||
        setenv("OPENSSL_CONF", conf, 1) != 0 ||
        setenv("SSLKEYLOGFILE", keylog, 1) != 0) {
        abort();
    }
    close(fd);
}

static int clean(void **state)
{
    int rc = access(keylog, F_OK) == 0;

    (void)unlink(conf);
    (void)unlink(keylog);
    return rc != 0 ? -1 : rig_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_in_tls12),
        cmocka_unit_test(every_kind_in_tls13),
        cmocka_unit_test(offers_what_it_should),
        cmocka_unit_test(goes_by_the_right_name),
        cmocka_unit_test(finds_the_way_to_a_ca),
        cmocka_unit_test(stays_with_what_the_key_has),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(s_server_in_tls12),
        cmocka_unit_test(s_server_in_tls13),
    };

    poison_environment();
    return cmocka_run_group_tests(tests, rig_begin, clean);
}
