#include "relay_rig.h"

#include "vault/base/limits.h"
#include "vault/relay/leg.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 60

/* ---- the loop ---- */

static void too_late(evutil_socket_t fd, short what, void *ctx)
{
    bool *late = ctx;

    (void)fd;
    (void)what;
    *late = true;
}

static bool wait_for(struct rig *rig, bool (*cond)(void *ctx), void *ctx)
{
    struct timeval time = {PATIENCE_S, 0};
    bool late = false;
    struct event *timer = event_new(rig->base, -1, 0, too_late, &late);

    assert_non_null(timer);
    assert_int_equal(event_add(timer, &time), 0);
    while (!cond(ctx) && !late) {
        assert_int_not_equal(event_base_loop(rig->base, EVLOOP_ONCE), -1);
    }
    event_free(timer);
    return !late;
}

void rig_until(struct rig *rig, bool (*cond)(void *ctx), void *ctx)
{
    if (!wait_for(rig, cond, ctx)) {
        fail_msg("what was waited for did not come");
    }
}

void rig_settle(struct rig *rig)
{
    for (int i = 0; i < 50; i++) {
        assert_int_not_equal(event_base_loop(rig->base, EVLOOP_NONBLOCK), -1);
    }
}

/* ---- the broker ---- */

static void broker_say(struct rig *rig, bool permit)
{
    static const char yes[] = "{\"parameters\":{\"audit_seq\":1}}";
    static const char no[] =
        "{\"error\":\"io.certvault.Broker.Denied\",\"parameters\":"
        "{\"code\":\"denied\",\"message\":\"the grant has ended\"}}";
    const char *text = permit ? yes : no;

    assert_int_equal(write(rig->broker, text, strlen(text) + 1),
                     strlen(text) + 1);
}

static void broker_take(struct rig *rig, const char *text)
{
    cJSON *call = cJSON_Parse(text);
    const char *method;

    assert_non_null(call);
    method = cJSON_GetStringValue(cJSON_GetObjectItem(call, "method"));
    assert_string_equal(method, "io.certvault.Door.Request");
    rig->n_asks++;
    cJSON_Delete(rig->last);
    rig->last = cJSON_DetachItemFromObject(call, "parameters");
    cJSON_Delete(call);
    if (rig->answers == RIG_HOLD) {
        rig->held++;
    } else {
        broker_say(rig, rig->answers == RIG_PERMIT);
    }
}

static void on_broker(evutil_socket_t fd, short what, void *ctx)
{
    struct rig *rig = ctx;
    char buf[4096];
    ssize_t n = read(fd, buf, sizeof(buf));

    (void)what;
    if (n <= 0) {
        (void)event_del(rig->broker_in);
        return;
    }
    cv_buf_add(&rig->broker_text, buf, (size_t)n);
    for (;;) {
        uint8_t *end =
            rig->broker_text.len == 0
                ? NULL
                : memchr(rig->broker_text.data, 0, rig->broker_text.len);

        if (end == NULL) {
            return;
        }
        broker_take(rig, (const char *)rig->broker_text.data);
        cv_buf_drop(&rig->broker_text,
                    (size_t)(end - rig->broker_text.data) + 1);
    }
}

void rig_release(struct rig *rig, bool permit)
{
    while (rig->held > 0) {
        rig->held--;
        broker_say(rig, permit);
    }
}

/* ---- the servers' ends ---- */

static enum cv_status fake_connect(void *ctx, struct cv_grant *grant,
                                   unsigned flags, int cancel_fd,
                                   int timeout_ms, struct cv_dial_conn *out,
                                   struct cv_err *err)
{
    struct rig *rig = ctx;
    int fd[2];

    (void)grant;
    (void)cancel_fd;
    (void)timeout_ms;
    if (rig->unreachable) {
        return cv_fail(err, CV_REMOTE, "cannot connect to the server");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0) {
        return cv_fail_errno(err, CV_INTERNAL, "socketpair");
    }
    out->fd = fd[0];
    out->ssl = NULL;
    out->h2 = rig->speaks_h2 && (flags & CV_DIAL_H1_ONLY) == 0;
    (void)pthread_mutex_lock(&rig->lock);
    rig->last_flags = flags;
    if (rig->n_dialled < RIG_STREAMS) {
        rig->dialled[rig->n_dialled++] = fd[1];
    } else {
        (void)close(fd[1]);
    }
    (void)pthread_mutex_unlock(&rig->lock);
    return CV_OK;
}

/* ---- rigs ---- */

struct cv_grant *rig_grant(const char *id, const char *limits)
{
    struct cv_grant *grant = NULL;
    struct cv_err err;
    cJSON *tree;
    char text[4096];

    (void)snprintf(
        text, sizeof(text),
        "{\"id\":\"%s\",\"uid\":1000,\"entry\":\"prod\",\"entry_id\":\"e1\","
        "\"context\":\"prod\",\"upstream\":{"
        "\"server\":\"https://api.example:6443/k8s\",\"ca\":\"x\","
        "\"names\":[],\"verify\":\"ca\",\"pins\":[],\"certificates\":\"y\","
        "\"spki\":\"AAAA\",\"algorithms\":[\"ecdsa_secp256r1_sha256\"]},"
        "%s%s%s%s}",
        id, limits,
        strstr(limits, "read_only") != NULL ? "" : "\"read_only\":false,",
        strstr(limits, "ends_ms") != NULL ? ""
                                          : "\"ends_ms\":9007199254740991,",
        strstr(limits, "record") != NULL ? "\"verbs\":null"
                                         : "\"record\":\"off\"");
    tree = cJSON_Parse(text);
    assert_non_null(tree);
    cv_err_init(&err);
    if (cv_grant_parse(tree, &grant, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    cJSON_Delete(tree);
    return grant;
}

struct rig *rig_new(const char *limits)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct cv_session_config config = {.port = 6443, .idle_s = 60, .pool = 8};
    struct cv_dial_how how = {fake_connect, rig};
    struct cv_err err;
    int fd[2];

    assert_non_null(rig);
    assert_int_equal(pthread_mutex_init(&rig->lock, NULL), 0);
    rig->base = event_base_new();
    assert_non_null(rig->base);
    rig->grant = rig_grant(RIG_ID, limits);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    rig->broker = fd[1];
    cv_buf_init(&rig->broker_text, NULL, CV_MIB(1));
    rig->broker_in =
        event_new(rig->base, fd[1], EV_READ | EV_PERSIST, on_broker, rig);
    assert_int_equal(event_add(rig->broker_in, NULL), 0);
    cv_err_init(&err);
    assert_int_equal(
        cv_door_new(rig->base, fd[0], NULL, NULL, &rig->door, &err), CV_OK);
    assert_int_equal(cv_dial_begin(rig->base, 2, &how, &rig->dialer, &err),
                     CV_OK);
    config.base = rig->base;
    config.door = rig->door;
    config.dialer = rig->dialer;
    assert_int_equal(cv_session_world_new(&config, &rig->world, &err), CV_OK);
    return rig;
}

void rig_free(struct rig *rig)
{
    cv_session_world_free(rig->world);
    cv_dial_end(rig->dialer);
    cv_door_free(rig->door);
    for (unsigned i = rig->n_accepted; i < rig->n_dialled; i++) {
        (void)close(rig->dialled[i]);
    }
    event_free(rig->broker_in);
    (void)close(rig->broker);
    cv_buf_wipe(&rig->broker_text);
    cJSON_Delete(rig->last);
    cv_grant_unref(rig->grant);
    /* legs that linger go with the loop's patience */
    rig_settle(rig);
    event_base_free(rig->base);
    (void)pthread_mutex_destroy(&rig->lock);
    free(rig);
}

struct cv_session_counts rig_counts(const struct rig *rig)
{
    return cv_session_world_counts(rig->world);
}

/* ---- ends that speak bytes ---- */

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
    struct rig_end *e = ctx;
    char buf[65536];
    ssize_t n = read(fd, buf, sizeof(buf));

    (void)what;
    if (n > 0) {
        e->total += (size_t)n;
        cv_buf_add(&e->got, buf, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    e->closed = true;
    (void)event_del(e->in);
}

struct rig_end *rig_end_of(struct rig *rig, int fd)
{
    struct rig_end *e = calloc(1, sizeof(*e));

    assert_non_null(e);
    e->rig = rig;
    e->fd = fd;
    cv_buf_init(&e->got, NULL, CV_MIB(256));
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    e->in = event_new(rig->base, fd, EV_READ | EV_PERSIST, on_end, e);
    assert_non_null(e->in);
    assert_int_equal(event_add(e->in, NULL), 0);
    return e;
}

int rig_client_fd(struct rig *rig, bool h2)
{
    int fd[2];
    struct cv_leg *leg;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    leg = cv_leg_new(rig->base, fd[0], NULL);
    assert_non_null(leg);
    assert_int_equal(cv_session_new(rig->world, leg, h2, rig->grant, NULL),
                     CV_OK);
    return fd[1];
}

struct rig_end *rig_client(struct rig *rig)
{
    return rig_end_of(rig, rig_client_fd(rig, false));
}

bool rig_has_dialled(struct rig *rig)
{
    bool has;

    (void)pthread_mutex_lock(&rig->lock);
    has = rig->n_dialled > rig->n_accepted;
    (void)pthread_mutex_unlock(&rig->lock);
    return has;
}

static bool has_dialled(void *ctx)
{
    return rig_has_dialled(ctx);
}

struct rig_end *rig_accept(struct rig *rig)
{
    rig_until(rig, has_dialled, rig);
    return rig_end_of(rig, rig->dialled[rig->n_accepted++]);
}

void rig_end_free(struct rig_end *e)
{
    event_free(e->in);
    (void)close(e->fd);
    cv_buf_wipe(&e->got);
    free(e);
}

size_t rig_send_some(struct rig_end *e, const void *data, size_t len)
{
    ssize_t n = send(e->fd, data, len, MSG_NOSIGNAL);

    return n > 0 ? (size_t)n : 0;
}

void rig_send(struct rig_end *e, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        size_t n = rig_send_some(e, text, len);

        text += n;
        len -= n;
        if (len > 0) {
            assert_int_not_equal(event_base_loop(e->rig->base, EVLOOP_NONBLOCK),
                                 -1);
        }
    }
}

void rig_shut(struct rig_end *e)
{
    assert_int_equal(shutdown(e->fd, SHUT_WR), 0);
}

void rig_deaf(struct rig_end *e, bool deaf)
{
    e->deaf = deaf;
    assert_int_equal(deaf ? event_del(e->in) : event_add(e->in, NULL), 0);
}

struct waits {
    struct rig_end *end;
    const char *text;
    size_t n;
};

static bool has_text(void *ctx)
{
    struct waits *w = ctx;

    return w->end->closed || strstr(cv_buf_text(&w->end->got), w->text) != NULL;
}

static bool has_bytes(void *ctx)
{
    struct waits *w = ctx;

    return w->end->closed || w->end->got.len >= w->n ||
           (w->text != NULL && w->end->got.len > 0 &&
            strncmp(cv_buf_text(&w->end->got), w->text, w->end->got.len) != 0);
}

static bool is_closed(void *ctx)
{
    struct rig_end *e = ctx;

    return e->closed;
}

void rig_expect(struct rig_end *e, const char *text)
{
    struct waits w = {e, text, strlen(text)};

    (void)wait_for(e->rig, has_bytes, &w);
    if (e->got.len < w.n || memcmp(e->got.data, text, w.n) != 0) {
        fail_msg("expected:\n%s\ngot:\n%s", text, cv_buf_text(&e->got));
    }
    cv_buf_drop(&e->got, w.n);
}

const char *rig_until_text(struct rig_end *e, const char *text)
{
    static char kept[65536];
    struct waits w = {e, text, 0};
    const char *at;
    size_t n;

    (void)wait_for(e->rig, has_text, &w);
    at = strstr(cv_buf_text(&e->got), text);
    if (at == NULL) {
        fail_msg("expected somewhere:\n%s\ngot:\n%s", text,
                 cv_buf_text(&e->got));
    }
    n = (size_t)(at - (const char *)e->got.data) + strlen(text);
    assert_true(n < sizeof(kept));
    memcpy(kept, e->got.data, n);
    kept[n] = '\0';
    cv_buf_drop(&e->got, n);
    return kept;
}

void rig_until_closed(struct rig_end *e)
{
    rig_until(e->rig, is_closed, e);
}

void rig_skip(struct rig_end *e, size_t n)
{
    struct waits w = {e, NULL, n};

    rig_until(e->rig, has_bytes, &w);
    assert_true(e->got.len >= n);
    cv_buf_drop(&e->got, n);
}

uint64_t rig_sum(size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += rig_byte(i) * (uint64_t)(i + 1);
    }
    return sum;
}
