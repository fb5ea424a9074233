/* Servers that are not as they should be, and those that take their time. None
 * of them gets a signature, and each is told apart. */
#include "tests/unit/relay_upstream_rig.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/relay/upstream_internal.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOUR 3600
#define SLOW_MS 400

static struct tls_rig_id client;

static int n_descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(all) != NULL) {
        n++;
    }
    closedir(all);
    return n;
}

static int descriptors, resolver;

static int begin(void **state)
{
    if (rig_begin(state) != 0) {
        return -1;
    }
    rig_client("p256", &client);
    resolver = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    descriptors = n_descriptors();
    return 0;
}

static int end(void **state)
{
    /* threads of the last look-ups may be about to end */
    for (int i = 0; i < 1000 && n_descriptors() != descriptors; i++) {
        (void)poll(NULL, 0, 10);
    }
    if (n_descriptors() != descriptors) {
        print_message("descriptors are left open\n");
        return -1;
    }
    tls_rig_free(&client);
    return rig_end(state);
}

static void open_way(const struct rig_wish *wish, struct rig_way *way)
{
    if (rig_open(wish, way) != CV_OK) {
        fail_msg("%s", way->err.text);
    }
}

/* A server whose certificate the chain or the name tells from ours. */
struct bad {
    const char *what;
    struct tls_rig_wish is;
    const char *text; /* in the error's */
};

static void no_signature_for_a_stranger(void **state)
{
    struct tls_rig_wish other_ca = {
        .kind = "p384", .ca = true, .cn = "other CA"};
    struct tls_rig_wish twin_ca = {
        .kind = "p384", .other = true, .ca = true, .cn = "test CA"};
    struct tls_rig_wish no_ca = {.kind = "p521", .issuer = &rig_ca, .cn = "x"};
    struct tls_rig_id other, twin, plain;
    const struct bad table[] = {
        {"another CA", {.issuer = &other, .san = "IP:127.0.0.1"}, "issuer"},
        {"a CA of the same name",
         {.issuer = &twin, .san = "IP:127.0.0.1"},
         "signature"},
        {"self-signed", {.san = "IP:127.0.0.1"}, "self-signed"},
        {"by one that is no CA",
         {.issuer = &plain, .san = "IP:127.0.0.1"},
         "issuer"},
        {"expired",
         {.issuer = &rig_ca,
          .san = "IP:127.0.0.1",
          .from_s = -2L * HOUR,
          .to_s = -HOUR},
         "expired"},
        {"not yet valid",
         {.issuer = &rig_ca,
          .san = "IP:127.0.0.1",
          .from_s = HOUR,
          .to_s = 2L * HOUR},
         "not yet valid"},
        {"another name", {.issuer = &rig_ca, .san = "IP:127.0.0.2"}, "not for"},
        {"no name", {.issuer = &rig_ca, .cn = "127.0.0.1"}, "not for"},
        {"for clients",
         {.issuer = &rig_ca, .san = "IP:127.0.0.1", .eku = "clientAuth"},
         "purpose"},
    };
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    tls_rig_make(&other_ca, &other);
    tls_rig_make(&twin_ca, &twin);
    tls_rig_make(&no_ca, &plain);
    for (size_t i = 0; i < 2 * sizeof(table) / sizeof(table[0]); i++) {
        const struct bad *b = &table[i / 2];
        struct tls_rig_wish is = b->is;
        struct tls_rig_id id;
        struct tls_peer_wish how = {.id = &id,
                                    .client_ca = &rig_ca,
                                    .min = versions[i % 2],
                                    .max = versions[i % 2]};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {
            .client = &client, .kind = "p256", .ca = &rig_ca};

        is.kind = "p256";
        is.other = true;
        tls_rig_make(&is, &id);
        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        open_way(&wish, &way);
        assert_int_equal(rig_connect(&way, 0), CV_REMOTE);
        if (strstr(way.err.text, b->text) == NULL) {
            fail_msg("%s: %s", b->what, way.err.text);
        }
        assert_string_equal(way.err.state, "nothing was signed or sent");
        assert_int_equal(way.conn.stage, CV_UPSTREAM_VERIFY);
        assert_int_equal(way.conn.fd, -1);
        assert_null(way.conn.ssl);
        assert_int_equal(strlen(way.conn.server_spki), 44);
        assert_int_equal(way.signer.asked, 0);
        rig_close(&way);
        tls_peer_end(&peer);
        assert_false(peer.accepted);
        tls_rig_free(&id);
    }
    tls_rig_free(&other);
    tls_rig_free(&twin);
    tls_rig_free(&plain);
}

/* A pin decides by the key; a CA that was given too must agree. */
static void a_pin_holds_the_key(void **state)
{
    struct tls_rig_wish odd = {.kind = "p384",
                               .from_s = -2L * HOUR,
                               .to_s = -HOUR,
                               .cn = "self-signed, expired, no name"};
    struct tls_rig_id id;
    char pin[CV_UPSTREAM_SPKI_LEN], foreign[CV_UPSTREAM_SPKI_LEN];
    const struct {
        const struct tls_rig_id *shown, *ca;
        const char *pin;
        bool good;
        const char *text;
    } table[] = {
        {&id, NULL, pin, true, NULL},
        {&id, NULL, foreign, false, "another key than the one pinned"},
        {&rig_server, NULL, foreign, true, NULL},
        {&rig_server, &rig_ca, foreign, true, NULL},
        {&rig_server, &rig_ca, pin, false, "another key than the one pinned"},
        {&id, &rig_ca, pin, false, "cannot be verified"},
    };

    (void)state;
    tls_rig_make(&odd, &id);
    rig_spki(&id, pin);
    rig_spki(&rig_server, foreign);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct tls_peer_wish how = {.id = table[i].shown, .client_ca = &rig_ca};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {.client = &client,
                                .kind = "p256",
                                .ca = table[i].ca,
                                .pin = table[i].pin};

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        open_way(&wish, &way);
        if ((rig_connect(&way, 0) == CV_OK) != table[i].good) {
            fail_msg("%zu: %s", i, way.err.text);
        }
        if (!table[i].good) {
            assert_non_null(strstr(way.err.text, table[i].text));
            assert_int_equal(way.conn.stage, CV_UPSTREAM_VERIFY);
            assert_int_equal(way.signer.asked, 0);
        }
        rig_close(&way);
        tls_peer_end(&peer);
    }
    tls_rig_free(&id);
}

/* The server says no to the client: in TLS 1.2 within the handshake, in 1.3
 * after it. */
static void a_refusal_has_words(void **state)
{
    struct tls_rig_wish foreign_ca = {.kind = "p384", .ca = true, .cn = "y"};
    struct tls_rig_wish old = {
        .kind = "p256", .issuer = &rig_ca, .from_s = -2L * HOUR, .to_s = -HOUR};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_rig_id foreign, expired;

    (void)state;
    tls_rig_make(&foreign_ca, &foreign);
    tls_rig_make(&old, &expired);
    for (size_t i = 0; i < 6; i++) {
        int version = versions[i % 2];
        struct tls_peer_wish how = {.id = &rig_server,
                                    .client_ca = i < 2 ? &foreign : &rig_ca,
                                    .min = version,
                                    .max = version};
        const char *words = i < 2   ? "of a CA that the server does not know"
                            : i < 4 ? "it is expired"
                                    : "the signature is not its key's";
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {.client = i / 2 == 1 ? &expired : &client,
                                .kind = "p256",
                                .ca = &rig_ca};
        enum cv_status status;

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        open_way(&wish, &way);
        if (i >= 4) {
            way.signer.key = tls_rig_key("p256", true);
        }
        status = rig_connect(&way, 0);
        assert_int_equal(way.signer.asked, 1);
        if (version == TLS1_2_VERSION) {
            assert_int_equal(status, CV_REMOTE);
            assert_int_equal(way.conn.stage, CV_UPSTREAM_TLS);
        } else {
            assert_int_equal(status, CV_OK);
            assert_false(rig_is_taken(&way));
            assert_int_equal(cv_upstream_fail(ERR_get_error(), &way.err),
                             CV_REMOTE);
        }
        if (strstr(way.err.text, words) == NULL) {
            fail_msg("%zu: %s", i, way.err.text);
        }
        rig_close(&way);
        tls_peer_end(&peer);
    }
    ERR_clear_error();
    tls_rig_free(&foreign);
    tls_rig_free(&expired);
}

/* A server that wants no certificate would take anybody's request. */
static void a_server_must_ask(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tls_peer_wish how = {
            .id = &rig_server, .min = versions[i], .max = versions[i]};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {
            .client = &client, .kind = "p256", .ca = &rig_ca};

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        open_way(&wish, &way);
        assert_int_equal(rig_connect(&way, 0), CV_REMOTE);
        assert_non_null(strstr(way.err.text, "does not ask for a client"));
        assert_int_equal(way.signer.asked, 0);
        rig_close(&way);
        tls_peer_end(&peer);
    }
}

static void old_tls_is_refused(void **state)
{
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tls_peer_wish how = {.id = &rig_server,
                                    .client_ca = &rig_ca,
                                    .min = versions[i],
                                    .max = versions[i],
                                    .weak = true};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {
            .client = &client, .kind = "p256", .ca = &rig_ca};

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        open_way(&wish, &way);
        assert_int_equal(rig_connect(&way, 0), CV_REMOTE);
        if (strstr(way.err.text, "protocol version") == NULL) {
            fail_msg("%s", way.err.text);
        }
        assert_non_null(strstr(way.err.hint, "TLS 1.2 or 1.3"));
        assert_int_equal(way.conn.stage, CV_UPSTREAM_TLS);
        rig_close(&way);
        tls_peer_end(&peer);
    }
}

/* The signer's own status and words come back. */
static void a_signer_may_refuse(void **state)
{
    static const enum cv_status said[] = {CV_DENIED, CV_LOCKED, CV_UNAVAILABLE};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        int version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
        struct tls_peer_wish how = {.id = &rig_server,
                                    .client_ca = &rig_ca,
                                    .min = version,
                                    .max = version};
        struct tls_peer peer;
        struct rig_way way;
        struct rig_wish wish = {
            .client = &client, .kind = "p256", .ca = &rig_ca};

        tls_peer_begin(&how, &peer);
        wish.port = peer.port;
        open_way(&wish, &way);
        way.signer.fail = said[i / 2];
        assert_int_equal(rig_connect(&way, 0), said[i / 2]);
        assert_string_equal(way.err.text, "the signer says no");
        assert_int_equal(way.conn.stage, CV_UPSTREAM_SIGN);
        assert_int_equal(way.signer.asked, 1);
        way.signer.fail = CV_OK; /* and the way is as good as before */
        assert_int_equal(rig_connect(&way, 0), CV_OK);
        rig_close(&way);
        tls_peer_end(&peer);
    }
}

/* Answers one connection with `text`, or nothing (""), then closes; or never
 * does (NULL). */
struct talker {
    int listener;
    const char *text;
    size_t len;
};

static void *talk(void *v)
{
    const struct talker *t = v;
    int fd = accept(t->listener, NULL, NULL);
    char byte[4096];

    if (t->text != NULL) {
        (void)recv(fd, byte, sizeof(byte), 0);
        (void)send(fd, t->text, t->len, MSG_NOSIGNAL);
    } else {
        while (recv(fd, byte, sizeof(byte), 0) > 0) {
        }
    }
    close(fd);
    return NULL;
}

static int port_of(int listener)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static void what_is_no_tls_is_told(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *words;
    } table[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "does not speak TLS"},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21, "does not speak TLS"},
        {"", 0, "closed the connection"},
        {"\x15\x03\x03\x00\x02\x02\x28", 7, "alert: handshake failure"},
        {"\x15\x03\x01\x00\x02\x02\x46", 7, "alert: protocol version"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct talker t = {tls_rig_listen(NULL, 0), table[i].text,
                           table[i].len};
        struct rig_way way;
        struct rig_wish wish = {.client = &client,
                                .kind = "p256",
                                .ca = &rig_ca,
                                .port = port_of(t.listener)};
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, talk, &t), 0);
        open_way(&wish, &way);
        assert_int_equal(rig_connect(&way, 0), CV_REMOTE);
        assert_int_equal(way.conn.stage, CV_UPSTREAM_TLS);
        if (strstr(way.err.text, table[i].words) == NULL) {
            fail_msg("%zu: %s", i, way.err.text);
        }
        pthread_join(thread, NULL);
        rig_close(&way);
        close(t.listener);
    }
}

static enum cv_status connect_for(struct rig_way *way, int cancel_fd, int ms)
{
    cv_err_init(&way->err);
    return cv_upstream_connect(way->up, 0, cancel_fd, ms, &way->conn,
                               &way->err);
}

/* One that says nothing: given up in time, or when nobody wants it any more. */
static void silence_ends(void **state)
{
    struct talker t = {tls_rig_listen(NULL, 0), NULL, 0};
    struct rig_way way;
    struct rig_wish wish = {.client = &client,
                            .kind = "p256",
                            .ca = &rig_ca,
                            .port = port_of(t.listener)};
    pthread_t threads[2];
    int64_t began;
    int cancel;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &t), 0);
    }
    open_way(&wish, &way);
    began = cv_clock_boot_ms();
    assert_int_equal(connect_for(&way, -1, SLOW_MS), CV_REMOTE);
    assert_true(cv_clock_boot_ms() - began >= SLOW_MS);
    assert_true(way.conn.timed_out);
    assert_false(way.conn.cancelled);
    assert_int_equal(way.conn.stage, CV_UPSTREAM_TLS);
    assert_non_null(strstr(way.err.text, "within the time"));

    cancel = eventfd(1, EFD_CLOEXEC);
    assert_int_equal(connect_for(&way, cancel, RIG_TIME_MS), CV_REMOTE);
    assert_true(way.conn.cancelled);
    assert_false(way.conn.timed_out);
    assert_true(cv_clock_boot_ms() - began < RIG_TIME_MS);
    close(cancel);
    rig_close(&way);
    /* the second was given up before it was accepted, or after */
    (void)shutdown(t.listener, SHUT_RDWR);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    close(t.listener);
}

/* A person may take their time to type a PIN: the server's time stands still.
 */
struct slow {
    struct tls_rig_signer signer;
    int ms;
};

static enum cv_status sign_slowly(void *context,
                                  const struct cv_upstream_ask *ask,
                                  struct cv_buf *signature, struct cv_err *err)
{
    struct slow *s = context;

    assert_int_equal(poll(NULL, 0, s->ms), 0);
    return tls_rig_sign(&s->signer, ask->purpose, ask->algorithm, ask->data,
                        signature, err);
}

static void a_slow_signer_is_waited_for(void **state)
{
    struct tls_peer_wish how = {
        .id = &rig_server, .client_ca = &rig_ca, .max = TLS1_2_VERSION};
    struct tls_peer peer;
    struct rig_way way;
    struct rig_wish wish = {.client = &client, .kind = "p256", .ca = &rig_ca};
    struct cv_upstream *up = NULL;
    struct slow slow = {.ms = 6000};

    (void)state;
    tls_rig_signer(&client, &slow.signer);
    tls_peer_begin(&how, &peer);
    wish.port = peer.port;
    open_way(&wish, &way);
    assert_int_equal(
        cv_upstream_new(rig_provider, way.grant, sign_slowly, &slow, &up, NULL),
        CV_OK);
    cv_upstream_unref(way.up);
    way.up = up;
    if (connect_for(&way, -1, 5500) != CV_OK) {
        fail_msg("%s", way.err.text);
    }
    assert_true(rig_is_taken(&way));
    rig_close(&way);
    tls_peer_end(&peer);
}

/* What the resolver says, address by address; when it is `silent`, after a
 * word by `resolver`. */
static const char *const *addresses;
static atomic_bool silent;

static int resolve(const char *host, const char *port,
                   const struct addrinfo *hints, struct addrinfo **out)
{
    struct addrinfo *last = NULL;
    eventfd_t value;

    if (strcmp(host, "kube.test") != 0 ||
        (hints->ai_flags & AI_NUMERICHOST) != 0) {
        return getaddrinfo(host, port, hints, out);
    }
    if (atomic_load(&silent)) {
        (void)eventfd_read(resolver, &value);
    }
    *out = NULL;
    for (size_t i = 0; addresses[i] != NULL; i++) {
        struct addrinfo *one = NULL;

        if (getaddrinfo(addresses[i], port, hints, &one) != 0) {
            return EAI_FAIL;
        }
        if (last != NULL) {
            last->ai_next = one; /* glibc frees each by itself */
        } else {
            *out = one;
        }
        last = one;
    }
    return *out != NULL ? 0 : EAI_NONAME;
}

/* Listens on 127.0.0.3:`port`, accepts nobody and has no room for more: who
 * connects gets no answer. */
struct hole {
    int listener, fill[16];
};

static void dig(struct hole *h, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};

    assert_int_equal(inet_pton(AF_INET, "127.0.0.3", &at.sin_addr), 1);
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(h->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(h->listener, 0), 0);
    for (size_t i = 0; i < 16; i++) {
        h->fill[i] =
            socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(h->fill[i], (struct sockaddr *)&at, sizeof(at));
    }
}

static void fill_in(struct hole *h)
{
    for (size_t i = 0; i < 16; i++) {
        close(h->fill[i]);
    }
    close(h->listener);
}

static void several_addresses_are_tried(void **state)
{
    static const char *const lists[][5] = {
        {"127.0.0.1", NULL},
        {"127.0.0.2", "127.0.0.1", NULL}, /* refused */
        {"127.0.0.3", "127.0.0.1", NULL}, /* silent */
        {"::1", "127.0.0.3", "127.0.0.2", "127.0.0.1", NULL},
        {"127.0.0.2", "::1", NULL}};
    struct tls_rig_wish as = {.kind = "p256",
                              .other = true,
                              .issuer = &rig_ca,
                              .san = "DNS:kube.test"};
    struct tls_rig_id id;
    struct tls_peer_wish how = {.id = &id, .client_ca = &rig_ca};
    struct tls_peer peer;
    struct hole hole;
    struct rig_way way;
    struct rig_wish wish = {
        .client = &client, .kind = "p256", .ca = &rig_ca, .host = "kube.test"};

    (void)state;
    tls_rig_make(&as, &id);
    tls_peer_begin(&how, &peer);
    dig(&hole, peer.port);
    wish.port = peer.port;
    open_way(&wish, &way);
    cv_upstream_lookup = resolve;
    for (size_t i = 0; i < 5; i++) {
        addresses = lists[i];
        if ((rig_connect(&way, 0) == CV_OK) != (i < 4)) {
            fail_msg("%zu: %s", i, way.err.text);
        }
        rig_hang_up(&way);
    }
    assert_non_null(strstr(way.err.text, "cannot be reached"));
    assert_int_equal(way.conn.stage, CV_UPSTREAM_REACH);
    cv_upstream_lookup = getaddrinfo;
    fill_in(&hole);
    rig_close(&way);
    tls_peer_end(&peer);
    tls_rig_free(&id);
}

static void silent_addresses_end(void **state)
{
    static const char *const only[] = {"127.0.0.3", NULL};
    int listener = tls_rig_listen(NULL, 0);
    struct hole hole;
    struct rig_way way;
    struct rig_wish wish = {.client = &client,
                            .kind = "p256",
                            .ca = &rig_ca,
                            .host = "kube.test",
                            .port = port_of(listener)};

    (void)state;
    dig(&hole, wish.port);
    open_way(&wish, &way);
    addresses = only;
    cv_upstream_lookup = resolve;
    assert_int_equal(connect_for(&way, -1, SLOW_MS), CV_REMOTE);
    assert_true(way.conn.timed_out);
    assert_int_equal(way.conn.stage, CV_UPSTREAM_REACH);
    cv_upstream_lookup = getaddrinfo;
    fill_in(&hole);
    rig_close(&way);
    close(listener);
}

/* A resolver that does not come back holds nobody up. */
static void a_silent_resolver_is_left(void **state)
{
    static const char *const none[] = {NULL};
    struct rig_way way;
    struct rig_wish wish = {.client = &client,
                            .kind = "p256",
                            .ca = &rig_ca,
                            .host = "kube.test",
                            .port = 1};
    int cancel = eventfd(1, EFD_CLOEXEC);

    (void)state;
    addresses = none;
    cv_upstream_lookup = resolve;
    open_way(&wish, &way);
    assert_int_equal(rig_connect(&way, 0), CV_REMOTE);
    assert_non_null(strstr(way.err.text, "kube.test has no address"));

    atomic_store(&silent, true);
    assert_int_equal(connect_for(&way, -1, SLOW_MS), CV_REMOTE);
    assert_true(way.conn.timed_out);
    for (int i = 1; i < CV_LIMIT_LOOKUPS; i++) {
        assert_int_equal(connect_for(&way, cancel, RIG_TIME_MS), CV_REMOTE);
        assert_true(way.conn.cancelled);
    }
    assert_int_equal(connect_for(&way, cancel, RIG_TIME_MS), CV_BUSY);
    (void)eventfd_write(resolver, CV_LIMIT_LOOKUPS);
    /* they are gone when there is room again */
    for (enum cv_status s = CV_BUSY; s == CV_BUSY;) {
        (void)eventfd_write(resolver, 1);
        s = connect_for(&way, -1, RIG_TIME_MS);
    }
    assert_non_null(strstr(way.err.text, "kube.test has no address"));
    rig_close(&way);
    close(cancel);
    atomic_store(&silent, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_signature_for_a_stranger),
        cmocka_unit_test(a_pin_holds_the_key),
        cmocka_unit_test(a_refusal_has_words),
        cmocka_unit_test(a_server_must_ask),
        cmocka_unit_test(old_tls_is_refused),
        cmocka_unit_test(a_signer_may_refuse),
        cmocka_unit_test(what_is_no_tls_is_told),
        cmocka_unit_test(silence_ends),
        cmocka_unit_test(a_slow_signer_is_waited_for),
        cmocka_unit_test(several_addresses_are_tried),
        cmocka_unit_test(silent_addresses_end),
        cmocka_unit_test(a_silent_resolver_is_left),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
