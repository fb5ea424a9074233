/* vault/relay/leg.h over real sockets, plain and with TLS 1.2 and 1.3. */
#include "tests/unit/full.h"
#include "tests/unit/relay_pair.h"
#include "vault/relay/leg_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const int versions[] = {0, TLS1_2_VERSION, TLS1_3_VERSION};
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

/* One end, and what became of it. */
struct end {
    struct cv_leg *leg;
    uint8_t *got;
    size_t n_got, size;
    size_t take; /* at most so many a time; 0: all */
    unsigned writable, clean, broken;
    bool free_in_read, free_in_writable, free_in_closed;
    bool stop; /* the loop, at the next hook */
};

static struct event_base *base;

static void drop(struct end *e)
{
    cv_leg_free(e->leg);
    e->leg = NULL;
}

static void stop(const struct end *e)
{
    if (e->stop) {
        (void)event_base_loopbreak(base);
    }
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
    struct end *e = ctx;
    size_t n = e->take != 0 && e->take < len ? e->take : len;

    if (e->n_got + n > e->size) {
        e->size = (e->n_got + n) * 2;
        e->got = realloc(e->got, e->size);
        assert_non_null(e->got);
    }
    memcpy(e->got + e->n_got, data, n);
    e->n_got += n;
    stop(e);
    if (e->free_in_read) {
        drop(e);
    }
    return n;
}

static void on_writable(void *ctx)
{
    struct end *e = ctx;

    e->writable++;
    stop(e);
    if (e->free_in_writable) {
        drop(e);
    }
}

static void on_closed(void *ctx, bool clean)
{
    struct end *e = ctx;

    *(clean ? &e->clean : &e->broken) += 1;
    stop(e);
    if (e->free_in_closed) {
        drop(e);
    }
}

static const struct cv_leg_hooks hooks = {on_read, on_writable, on_closed};

/* What is ready now, and what that makes ready. */
static void turn(void)
{
    for (int i = 0; i < 4; i++) {
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    }
}

static void legs(struct relay_pair p, struct end e[2])
{
    memset(e, 0, 2 * sizeof(e[0]));
    for (int i = 0; i < 2; i++) {
        e[i].leg = cv_leg_new(base, p.fd[i], p.ssl[i]);
        assert_non_null(e[i].leg);
        cv_leg_hook(e[i].leg, &hooks, &e[i]);
    }
}

static void end(struct end e[2])
{
    for (int i = 0; i < 2; i++) {
        drop(&e[i]);
        free(e[i].got);
    }
}

static void say(const struct end *e, const char *text)
{
    assert_true(cv_leg_write(e->leg, text, strlen(text)));
}

static void heard(const struct end *e, const char *text)
{
    assert_int_equal(e->n_got, strlen(text));
    assert_memory_equal(e->got, text, strlen(text));
}

static void both_ways(void **state)
{
    (void)state;
    for (size_t v = 0; v < VERSIONS; v++) {
        struct end e[2];

        legs(relay_pair_new(versions[v]), e);
        say(&e[0], "to the client");
        say(&e[1], "to the server");
        turn();
        heard(&e[1], "to the client");
        heard(&e[0], "to the server");
        assert_int_equal(cv_leg_queued(e[0].leg), 0);
        assert_int_equal(e[0].writable + e[0].clean + e[0].broken, 0);
        end(e);
    }
}

/* Nothing is read before somebody is there to take it. */
static void no_hooks(void **state)
{
    struct relay_pair p = relay_pair_eager("early");
    struct end e[2];

    (void)state;
    memset(e, 0, sizeof(e));
    e[1].leg = cv_leg_new(base, p.fd[1], p.ssl[1]);
    e[0].leg = cv_leg_new(base, p.fd[0], p.ssl[0]);
    turn();
    assert_int_equal(e[0].n_got, 0);
    cv_leg_hook(e[0].leg, &hooks, &e[0]);
    turn();
    heard(&e[0], "early");
    end(e);
}

/* What is written in one turn of the loop is one record. */
static void coalesced(void **state)
{
    struct end e[2];
    uint64_t before;

    (void)state;
    legs(relay_pair_new(TLS1_2_VERSION), e);
    turn();
    before = BIO_number_read(SSL_get_rbio(cv_leg_ssl(e[1].leg)));
    for (int i = 0; i < 100; i++) {
        say(&e[0], "piece");
    }
    turn();
    assert_int_equal(e[1].n_got, 500);
    /* a record has 29 bytes of its own with AES-GCM (RFC 5288) */
    assert_in_range(BIO_number_read(SSL_get_rbio(cv_leg_ssl(e[1].leg))) -
                        before,
                    500, 500 + 2 * 29 - 1);
    end(e);
}

/* Who does not read stops who writes. */
static void pressure(void **state)
{
    (void)state;
    for (size_t v = 0; v < VERSIONS; v++) {
        static uint8_t much[3000];
        size_t sent = 0;
        struct end e[2];

        legs(relay_pair_new(versions[v]), e);
        cv_leg_pause(e[1].leg, true);
        while (cv_leg_room(e[0].leg) > 0) {
            size_t room = cv_leg_room(e[0].leg);
            size_t n = room < sizeof(much) ? room : sizeof(much);

            assert_true(cv_leg_write(e[0].leg, much, n));
            sent += n;
            turn();
        }
        assert_int_equal(e[0].writable, 0);
        assert_int_equal(e[1].n_got, 0);
        assert_true(sent < CV_LEG_HIGH + 65536);
        e[0].stop = true;
        cv_leg_pause(e[1].leg, false);
        (void)event_base_dispatch(base);
        assert_int_equal(e[0].writable, 1);
        assert_true(cv_leg_queued(e[0].leg) <= CV_LEG_LOW);
        e[0].stop = false;
        turn();
        while (e[1].n_got < sent) {
            (void)event_base_loop(base, EVLOOP_ONCE);
        }
        assert_int_equal(e[1].n_got, sent);
        assert_int_equal(e[0].writable, 1);
        end(e);
    }
}

/* What is written without asking for room is bounded all the same. */
static void hard_bound(void **state)
{
    uint8_t *much = calloc(1, CV_LEG_PIECE);
    struct cv_err err;
    struct end e[2];
    int n = 0;

    (void)state;
    legs(relay_pair_new(TLS1_3_VERSION), e);
    cv_leg_pause(e[1].leg, true);
    while (cv_leg_write(e[0].leg, much, CV_LEG_PIECE)) {
        assert_true(++n < 100);
    }
    assert_int_equal(e[0].broken, 0); /* told from the loop alone */
    turn();
    assert_int_equal(e[0].broken, 1);
    assert_int_equal(cv_leg_queued(e[0].leg), 0);
    assert_int_equal(cv_leg_room(e[0].leg), 0);
    cv_err_init(&err);
    assert_int_equal(cv_leg_why(e[0].leg, &err), CV_REMOTE);
    assert_non_null(strstr(err.text, "does not take"));
    end(e);
    free(much);
}

/* What was not taken is offered again, and nothing overtakes it. */
static void taken_in_pieces(void **state)
{
    (void)state;
    for (size_t v = 0; v < VERSIONS; v++) {
        struct end e[2];

        legs(relay_pair_new(versions[v]), e);
        e[1].take = 2;
        say(&e[0], "abcdef");
        turn();
        heard(&e[1], "ab");
        say(&e[0], "ghi");
        cv_leg_finish(e[0].leg);
        turn();
        heard(&e[1], "ab");
        cv_leg_pause(e[1].leg, false);
        turn();
        heard(&e[1], "abcd");
        cv_leg_pause(e[1].leg, false);
        turn();
        heard(&e[1], "abcdefgh");
        assert_int_equal(e[1].clean, 0);
        cv_leg_pause(e[1].leg, false);
        turn();
        heard(&e[1], "abcdefghi");
        assert_int_equal(e[1].clean, 1);
        end(e);
    }
}

/* One direction ends, the other goes on. */
static void half_closed(void **state)
{
    (void)state;
    for (size_t v = 0; v < VERSIONS; v++) {
        struct end e[2];

        legs(relay_pair_new(versions[v]), e);
        say(&e[0], "last words");
        cv_leg_finish(e[0].leg);
        assert_false(cv_leg_write(e[0].leg, "x", 1));
        turn();
        heard(&e[1], "last words");
        assert_int_equal(e[1].clean, 1);
        assert_int_equal(e[0].clean + e[0].broken + e[1].broken, 0);
        say(&e[1], "an answer");
        turn();
        heard(&e[0], "an answer");
        cv_leg_finish(e[1].leg);
        turn();
        assert_int_equal(e[0].clean, 1);
        assert_int_equal(e[0].broken + e[1].broken, 0);
        /* whoever comes later is told too */
        e[0].clean = 0;
        cv_leg_hook(e[0].leg, &hooks, &e[0]);
        turn();
        assert_int_equal(e[0].clean, 1);
        end(e);
    }
}

/* An end without close_notify is none: something may be missing. */
static void cut(void **state)
{
    (void)state;
    for (size_t v = 0; v < VERSIONS; v++) {
        struct relay_pair p = relay_pair_new(versions[v]);
        struct end e[2];
        struct cv_err err;

        legs(p, e);
        turn();
        drop(&e[1]);
        turn();
        cv_err_init(&err);
        assert_int_equal(e[0].clean, versions[v] == 0);
        assert_int_equal(e[0].broken, versions[v] != 0);
        if (versions[v] != 0) {
            assert_int_equal(cv_leg_why(e[0].leg, &err), CV_REMOTE);
            assert_non_null(strstr(err.text, "close_notify"));
            assert_false(cv_leg_write(e[0].leg, "x", 1));
        } else {
            assert_int_equal(cv_leg_why(e[0].leg, &err), CV_OK);
        }
        end(e);
    }
}

/* TLS 1.3: a client learns after its handshake that it was refused. */
static void refused(void **state)
{
    struct end e[2];
    struct cv_err err;

    (void)state;
    legs(relay_pair_refused(), e);
    turn();
    cv_err_init(&err);
    assert_int_equal(e[1].broken, 1);
    assert_int_equal(cv_leg_why(e[1].leg, &err), CV_REMOTE);
    assert_non_null(strstr(err.text, "TLS alert: certificate required"));
    end(e);
}

static void reset(void **state)
{
    struct end e[2];
    int i;

    (void)state;
    legs(relay_pair_new(0), e);
    cv_leg_pause(e[0].leg, true);
    cv_leg_pause(e[1].leg, true);
    say(&e[0], "never read");
    turn();
    drop(&e[1]);
    for (i = 0; i < 100 && e[0].broken == 0; i++) {
        (void)cv_leg_write(e[0].leg, "x", 1);
        turn();
    }
    assert_int_equal(e[0].broken, 1);
    end(e);
}

static void freed_in_hooks(void **state)
{
    (void)state;
    for (size_t v = 0; v < VERSIONS; v++) {
        static uint8_t much[CV_LEG_HIGH];
        struct end e[2];

        legs(relay_pair_new(versions[v]), e);
        e[1].free_in_read = true;
        say(&e[0], "one");
        turn();
        assert_null(e[1].leg);
        end(e);

        legs(relay_pair_new(versions[v]), e);
        e[0].free_in_closed = e[1].free_in_closed = true;
        cv_leg_finish(e[0].leg);
        turn();
        assert_null(e[1].leg);
        turn();
        assert_null(e[0].leg);
        end(e);

        legs(relay_pair_new(versions[v]), e);
        e[0].free_in_writable = true;
        e[0].stop = true;
        assert_true(cv_leg_write(e[0].leg, much, sizeof(much)));
        (void)event_base_dispatch(base);
        assert_null(e[0].leg);
        turn();
        end(e);
    }
}

/* A leg that has nothing to do holds nothing. */
static void idle(void **state)
{
    static uint8_t much[100000];
    struct end e[2];

    (void)state;
    legs(relay_pair_new(TLS1_3_VERSION), e);
    assert_true(cv_leg_write(e[0].leg, much, sizeof(much)));
    while (e[1].n_got < sizeof(much)) {
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    turn();
    assert_null(e[0].leg->queue.first);
    assert_null(e[1].leg->rest);
    assert_false(SSL_has_pending(e[1].leg->ssl));
    end(e);
}

static size_t lingering(int fd, size_t want)
{
    uint8_t buf[4096];
    size_t n = 0;

    for (int i = 0; i < 10000; i++) {
        ssize_t got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (got == 0) {
            break;
        }
        n += got > 0 ? (size_t)got : 0;
        turn();
    }
    assert_int_equal(n, want);
    return n;
}

/* The owner lets go; what is queued still arrives, and then the end does. */
static void lingers(void **state)
{
    static uint8_t much[CV_LEG_HIGH];
    struct relay_pair p = relay_pair_new(0);
    struct cv_leg *leg = cv_leg_new(base, p.fd[0], NULL);

    (void)state;
    assert_true(cv_leg_write(leg, much, sizeof(much)));
    /* would be a reset, were the socket closed with this unread */
    assert_int_equal(send(p.fd[1], "unread", 6, 0), 6);
    cv_leg_linger(leg, 60000);
    (void)lingering(p.fd[1], sizeof(much));
    assert_int_equal(close(p.fd[1]), 0);
    turn();
    assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED),
                     0);
}

/* ... but not for ever. */
static void lingers_in_vain(void **state)
{
    static uint8_t much[CV_LEG_HIGH];
    struct relay_pair p = relay_pair_new(0);
    struct cv_leg *leg = cv_leg_new(base, p.fd[0], NULL);

    (void)state;
    assert_true(cv_leg_write(leg, much, sizeof(much)));
    cv_leg_linger(leg, 20);
    (void)event_base_dispatch(base); /* ends when no event is left */
    (void)close(p.fd[1]);

    p = relay_pair_new(0);
    cv_leg_linger(cv_leg_new(base, p.fd[0], NULL), 60000);
    turn();
    cv_leg_end(base);
    assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED),
                     0);
    (void)close(p.fd[1]);
}

/* Both ends write all the time, in pieces of any length, read as much as they
 * like, and pause when they like. */
struct traffic {
    struct end e;
    uint64_t *random;
    uint64_t to_send, sent, to_get, next;
    struct event *wake;
    bool done;
};

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)((i * 2654435761U) >> 13);
}

static void send_more(struct traffic *t)
{
    static uint8_t piece[40000];

    while (t->sent < t->to_send) {
        size_t room = cv_leg_room(t->e.leg);
        size_t n = 1 + relay_pair_below(t->random, sizeof(piece) - 1);

        if (room == 0) {
            return; /* writable will come */
        }
        n = n < room ? n : room;
        n = n < t->to_send - t->sent ? n : t->to_send - t->sent;
        for (size_t i = 0; i < n; i++) {
            piece[i] = byte_at(t->sent + i);
        }
        assert_true(cv_leg_write(t->e.leg, piece, n));
        t->sent += n;
        if (relay_pair_below(t->random, 4) == 0) {
            const struct timeval soon = {0, 100};

            (void)event_add(t->wake, &soon);
            return;
        }
    }
    cv_leg_finish(t->e.leg);
}

static size_t traffic_read(void *ctx, const uint8_t *data, size_t len)
{
    const struct timeval soon = {0, 100};
    struct traffic *t = ctx;
    size_t n = relay_pair_below(t->random, 3) == 0
                   ? relay_pair_below(t->random, (uint32_t)len + 1)
                   : len;

    for (size_t i = 0; i < n; i++) {
        if (data[i] != byte_at(t->next + i)) {
            fail_msg("byte %llu is another", (unsigned long long)(t->next + i));
        }
    }
    t->next += n;
    if (n < len || relay_pair_below(t->random, 8) == 0) {
        cv_leg_pause(t->e.leg, true);
        (void)event_add(t->wake, &soon);
    }
    return n;
}

static void traffic_writable(void *ctx)
{
    send_more(ctx);
}

static void traffic_closed(void *ctx, bool clean)
{
    struct traffic *t = ctx;

    assert_true(clean);
    t->done = true;
}

static void traffic_wake(evutil_socket_t fd, short what, void *arg)
{
    struct traffic *t = arg;

    (void)fd;
    (void)what;
    cv_leg_pause(t->e.leg, false);
    send_more(t);
}

static const struct cv_leg_hooks traffic_hooks = {
    traffic_read, traffic_writable, traffic_closed};

static void any_traffic(void **state)
{
    uint64_t random = relay_pair_seed();
    int rounds = cv_full_run() ? 60 : 6;

    (void)state;
    for (int r = 0; r < rounds; r++) {
        struct relay_pair p = relay_pair_new(versions[(size_t)r % VERSIONS]);
        struct traffic t[2];

        memset(t, 0, sizeof(t));
        for (int i = 0; i < 2; i++) {
            t[i].random = &random;
            t[i].to_send = relay_pair_below(&random, 3000000);
            t[i].wake = event_new(base, -1, 0, traffic_wake, &t[i]);
            t[i].e.leg = cv_leg_new(base, p.fd[i], p.ssl[i]);
            cv_leg_hook(t[i].e.leg, &traffic_hooks, &t[i]);
        }
        send_more(&t[0]);
        send_more(&t[1]);
        while (!t[0].done || !t[1].done) {
            assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
        }
        for (int i = 0; i < 2; i++) {
            assert_true(t[i].next == t[1 - i].to_send);
            cv_leg_free(t[i].e.leg);
            event_free(t[i].wake);
        }
    }
}

static int start(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    return base == NULL ? -1 : 0;
}

static int finish(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),      cmocka_unit_test(no_hooks),
        cmocka_unit_test(coalesced),      cmocka_unit_test(pressure),
        cmocka_unit_test(hard_bound),     cmocka_unit_test(taken_in_pieces),
        cmocka_unit_test(half_closed),    cmocka_unit_test(cut),
        cmocka_unit_test(refused),        cmocka_unit_test(reset),
        cmocka_unit_test(freed_in_hooks), cmocka_unit_test(idle),
        cmocka_unit_test(lingers),        cmocka_unit_test(lingers_in_vain),
        cmocka_unit_test(any_traffic),
    };

    return cmocka_run_group_tests(tests, start, finish);
}
