/* vault/relay/dial.h with a connect that does as the test says. */
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/relay/dial.h"
#include "vault/relay/leg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct event_base *base;

/* What connecting does, and what it was told. */
struct world {
    atomic_int entered, running, most, cancelled;
    atomic_uint flags;
    sem_t in;  /* posted by each that begins */
    sem_t go;  /* each that ends takes one; unused where not `hold` */
    bool hold; /* until `go`, or cancelled */
    bool refuse;
    int peer;              /* the other end of the last one */
    struct cv_grant *slow; /* this grant's alone are held */
};

static bool wait_go(struct world *w, int cancel_fd)
{
    struct pollfd p = {.fd = cancel_fd, .events = POLLIN};

    while (sem_trywait(&w->go) != 0) {
        if (poll(&p, 1, 1) == 1) {
            return false;
        }
    }
    return true;
}

static enum cv_status dial(void *ctx, struct cv_grant *grant, unsigned flags,
                           int cancel_fd, int timeout_ms,
                           struct cv_dial_conn *out, struct cv_err *err)
{
    struct world *w = ctx;
    int now = atomic_fetch_add(&w->running, 1) + 1;
    enum cv_status s = CV_OK;
    int pair[2];

    (void)timeout_ms;
    while (atomic_load(&w->most) < now) {
        atomic_store(&w->most, now);
    }
    atomic_fetch_add(&w->entered, 1);
    atomic_store(&w->flags, flags);
    (void)sem_post(&w->in);
    if ((w->hold || grant == w->slow) && !wait_go(w, cancel_fd)) {
        atomic_fetch_add(&w->cancelled, 1);
        s = cv_fail(err, CV_REMOTE, "cancelled");
    } else if (w->refuse) {
        s = cv_fail(err, CV_REMOTE, "nobody there");
    } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        s = cv_fail_errno(err, CV_INTERNAL, "no sockets");
    } else {
        *out = (struct cv_dial_conn){pair[0], NULL, true};
        w->peer = pair[1];
    }
    atomic_fetch_sub(&w->running, 1);
    return s;
}

struct told {
    int n, ok, h2;
    struct cv_leg *leg;
    struct cv_err err;
    struct cv_dial *cancel; /* another, when this is told */
};

static void on_done(void *ctx, struct cv_leg *leg, bool h2,
                    const struct cv_err *err)
{
    struct told *t = ctx;

    assert_non_null(err);
    t->n++;
    t->ok += leg != NULL;
    t->h2 += h2;
    t->err = *err;
    cv_leg_free(t->leg);
    t->leg = leg;
    if (t->cancel != NULL) {
        cv_dial_cancel(t->cancel);
    }
}

static struct cv_dialer *begin(struct world *w, unsigned threads)
{
    const struct cv_dial_how how = {dial, w};
    struct cv_dialer *d;

    memset(w, 0, sizeof(*w));
    w->peer = -1;
    assert_int_equal(sem_init(&w->in, 0, 0), 0);
    assert_int_equal(sem_init(&w->go, 0, 0), 0);
    assert_int_equal(cv_dial_begin(base, threads, &how, &d, NULL), CV_OK);
    return d;
}

static void end(struct cv_dialer *d, struct world *w)
{
    cv_dial_end(d);
    if (w->peer >= 0) {
        (void)close(w->peer);
    }
    (void)sem_destroy(&w->in);
    (void)sem_destroy(&w->go);
}

/* A grant that only needs to be one. */
static struct cv_grant *grant_of(const char *digit)
{
    static const char text[] =
        "{\"id\":\"%s123456789abcdef0123456789abcdef\",\"uid\":1,\"entry\":"
        "\"e\",\"entry_id\":\"%s123456789abcdef0123456789abcdef\",\"context\":"
        "\"c\",\"upstream\":{\"server\":\"https://localhost:6443\",\"ca\":null,"
        "\"server_name\":null,\"names\":[],\"verify\":\"pin\",\"pins\":["
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"],\"certificates\":"
        "\"x\",\"spki\":\"AAAA\",\"algorithms\":[\"ed25519\"]},\"read_only\":"
        "false,\"verbs\":null,\"namespaces\":null,\"resources\":null,"
        "\"record\":\"off\",\"ends_ms\":1}";
    struct cv_grant *grant = NULL;
    struct cv_err err;
    char json[1024];
    cJSON *tree;

    (void)snprintf(json, sizeof(json), text, digit, digit);
    tree = cJSON_Parse(json);
    assert_non_null(tree);
    cv_err_init(&err);
    if (cv_grant_parse(tree, &grant, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    cJSON_Delete(tree);
    return grant;
}

static void until(const int *n, int wanted)
{
    while (*n < wanted) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
}

static void connects(void **state)
{
    struct cv_grant *g = grant_of("0");
    struct told t = {0};
    struct world w;
    struct cv_dialer *d = begin(&w, 4);

    (void)state;
    assert_non_null(cv_dial(d, g, CV_DIAL_H1_ONLY, on_done, &t));
    cv_grant_unref(g); /* it holds its own */
    assert_int_equal(t.n, 0);
    until(&t.n, 1);
    assert_int_equal(t.ok, 1);
    assert_int_equal(t.h2, 1);
    assert_int_equal(atomic_load(&w.flags), CV_DIAL_H1_ONLY);
    assert_true(cv_leg_write(t.leg, "hello", 5));
    cv_leg_finish(t.leg);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    {
        char buf[8];

        assert_int_equal(recv(w.peer, buf, sizeof(buf), 0), 5);
        assert_int_equal(recv(w.peer, buf, sizeof(buf), 0), 0);
    }
    cv_leg_free(t.leg);
    end(d, &w);
}

static void fails(void **state)
{
    struct cv_grant *g = grant_of("0");
    struct told t = {0};
    struct world w;
    struct cv_dialer *d = begin(&w, 4);

    (void)state;
    w.refuse = true;
    assert_non_null(cv_dial(d, g, 0, on_done, &t));
    until(&t.n, 1);
    assert_int_equal(t.ok, 0);
    assert_int_equal(t.err.status, CV_REMOTE);
    assert_string_equal(t.err.text, "nobody there");
    cv_grant_unref(g);
    end(d, &w);
}

/* Many at once, no more than there are threads for one grant. */
static void bounded(void **state)
{
    struct cv_grant *g = grant_of("0");
    struct told t = {0};
    struct world w;
    struct cv_dialer *d = begin(&w, 16);

    (void)state;
    w.hold = true;
    for (int i = 0; i < 30; i++) {
        assert_non_null(cv_dial(d, g, 0, on_done, &t));
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sem_wait(&w.in), 0);
    }
    for (int i = 0; i < 30; i++) {
        assert_int_equal(sem_post(&w.go), 0);
    }
    w.refuse = true; /* no sockets, please */
    until(&t.n, 30);
    assert_int_equal(atomic_load(&w.most), 4);
    assert_int_equal(atomic_load(&w.entered), 30);
    cv_leg_free(t.leg);
    cv_grant_unref(g);
    end(d, &w);
}

/* A server that does not answer does not hold up another's. */
static void fair(void **state)
{
    struct cv_grant *slow = grant_of("0"), *quick = grant_of("1");
    struct told t[2] = {{0}, {0}};
    struct world w;
    struct cv_dialer *d = begin(&w, 8);

    (void)state;
    w.slow = slow;
    for (int i = 0; i < 20; i++) {
        assert_non_null(cv_dial(d, slow, 0, on_done, &t[0]));
    }
    assert_non_null(cv_dial(d, quick, 0, on_done, &t[1]));
    until(&t[1].n, 1);
    assert_int_equal(t[1].ok, 1);
    assert_int_equal(t[0].n, 0);
    cv_leg_free(t[1].leg);
    cv_grant_unref(slow);
    cv_grant_unref(quick);
    end(d, &w); /* with all the others under way */
    assert_int_equal(t[0].n, 0);
}

/* Cancelled while it waits, while it runs, when it is done. */
static void cancelled(void **state)
{
    struct cv_grant *g = grant_of("0");
    struct cv_dial *dials[6];
    struct told t = {0};
    struct world w;
    struct cv_dialer *d = begin(&w, 8);

    (void)state;
    w.hold = true;
    for (int i = 0; i < 6; i++) {
        dials[i] = cv_dial(d, g, 0, on_done, &t);
        assert_non_null(dials[i]);
    }
    /* two run, four wait */
    assert_int_equal(sem_wait(&w.in), 0);
    assert_int_equal(sem_wait(&w.in), 0);
    for (int i = 5; i >= 0; i--) {
        cv_dial_cancel(dials[i]);
    }
    while (atomic_load(&w.cancelled) < 2) {
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(atomic_load(&w.entered), 2);
    w.hold = false;
    /* done, but not told yet */
    dials[0] = cv_dial(d, g, 0, on_done, &t);
    assert_int_equal(sem_wait(&w.in), 0);
    while (atomic_load(&w.running) > 0) {
        (void)poll(NULL, 0, 1);
    }
    cv_dial_cancel(dials[0]);
    /* one that is told cancels another that is done too */
    dials[1] = cv_dial(d, g, 0, on_done, &t);
    dials[2] = cv_dial(d, g, 0, on_done, &t);
    t.cancel = NULL;
    until(&t.n, 2);
    assert_int_equal(t.n, 2);
    cv_leg_free(t.leg);
    cv_grant_unref(g);
    end(d, &w);
}

static void too_many(void **state)
{
    struct cv_grant *g = grant_of("0");
    struct told t = {0};
    struct world w;
    struct cv_dialer *d = begin(&w, 4);

    (void)state;
    w.hold = true;
    for (int i = 0; i < CV_LIMIT_DIALS + 10; i++) {
        assert_non_null(cv_dial(d, g, 0, on_done, &t));
    }
    until(&t.n, 1);
    assert_int_equal(t.ok, 0);
    assert_int_equal(t.err.status, CV_BUSY);
    cv_grant_unref(g);
    end(d, &w);
}

static int group_start(void **state)
{
    (void)state;
    cv_process_begin(2);
    base = event_base_new();
    return base == NULL ? -1 : 0;
}

static int group_end(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects),  cmocka_unit_test(fails),
        cmocka_unit_test(bounded),   cmocka_unit_test(fair),
        cmocka_unit_test(cancelled), cmocka_unit_test(too_many),
    };

    return cmocka_run_group_tests(tests, group_start, group_end);
}
