/* vault/relay/door.h against a broker that the test plays. */
#include "tests/unit/full.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/relay/door.h"
#include "vault/wire/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME CV_MIB(16)

static struct event_base *base;

/* What was told, in its order. */
struct told {
    int n;
    enum cv_status status[64];
    int64_t number[64]; /* of the answer; -1: none */
    char text[CV_ERR_TEXT_LEN];
};

struct place {
    struct told *told;
    struct cv_door *door;
    uint64_t forget; /* another ask, when this one is told */
};

static void on_done(void *ctx, enum cv_status status, const cJSON *answer,
                    const struct cv_err *err)
{
    const struct place *p = ctx;
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(answer, "n");
    struct told *t = p->told;

    assert_non_null(err);
    assert_true((status == CV_OK) == (answer != NULL));
    t->status[t->n] = status;
    t->number[t->n++] = n != NULL ? (int64_t)n->valuedouble : -1;
    (void)snprintf(t->text, sizeof(t->text), "%s", err->text);
    if (p->forget != 0) {
        cv_door_forget(p->door, p->forget);
    }
}

static void on_gone(void *ctx)
{
    ++*(int *)ctx;
    (void)event_base_loopbreak(base);
}

struct rig {
    struct cv_door *door;
    struct cv_channel *broker;
    struct told told;
    int gone;
};

static void begin(struct rig *r)
{
    int pair[2];

    memset(r, 0, sizeof(*r));
    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    assert_int_equal(
        cv_door_new(base, pair[0], on_gone, &r->gone, &r->door, NULL), CV_OK);
    assert_int_equal(cv_channel_new(pair[1], FRAME, &r->broker, NULL), CV_OK);
}

static void end(struct rig *r)
{
    cv_door_free(r->door);
    cv_channel_free(r->broker);
}

static void turn(void)
{
    for (int i = 0; i < 4; i++) {
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    }
}

static cJSON *number(int64_t n)
{
    cJSON *p = cJSON_CreateObject();

    assert_true(cv_json_add_int(p, "n", n));
    return p;
}

/* The broker's half: the next ask, and its answer. */
static void hear(struct cv_channel *broker, const char *method, int64_t n)
{
    struct cv_message m;
    const cJSON *p;

    assert_int_equal(cv_channel_recv(broker, false, 5000, &m, NULL), CV_OK);
    assert_non_null(m.tree);
    assert_string_equal(cJSON_GetObjectItem(m.tree, "method")->valuestring,
                        method);
    p = cJSON_GetObjectItem(m.tree, "parameters");
    if (n >= 0) {
        assert_true(cJSON_GetObjectItem(p, "n")->valuedouble == (double)n);
    }
    cv_message_free(&m);
}

static void say(struct cv_channel *broker, const char *text)
{
    size_t len = strlen(text) + 1;

    assert_int_equal(send(cv_channel_fd(broker), text, len, 0), (ssize_t)len);
}

static void answer(struct cv_channel *broker, int64_t n)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "{\"parameters\":{\"n\":%lld}}",
                   (long long)n);
    say(broker, text);
}

/* All are asked before one is answered; answers find their asks. */
static void pipelined(void **state)
{
    struct rig r;
    struct place p = {&r.told, NULL, 0};

    (void)state;
    begin(&r);
    for (int i = 0; i < 20; i++) {
        assert_true(cv_door_ask(r.door, "Request", number(i), on_done, &p) > 0);
    }
    assert_int_equal(r.told.n, 0);
    for (int i = 0; i < 20; i++) {
        hear(r.broker, "io.certvault.Door.Request", i);
    }
    for (int i = 0; i < 10; i++) {
        answer(r.broker, 100 + i);
    }
    turn();
    assert_int_equal(r.told.n, 10);
    say(r.broker, "{\"error\":\"io.certvault.Door.Denied\",\"parameters\":"
                  "{\"code\":\"denied\",\"message\":\"no more\"}}");
    for (int i = 11; i < 20; i++) {
        answer(r.broker, 100 + i);
    }
    turn();
    assert_int_equal(r.told.n, 20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(r.told.status[i], i == 10 ? CV_DENIED : CV_OK);
        assert_true(r.told.number[i] == (i == 10 ? -1 : 100 + i));
    }
    assert_int_equal(r.gone, 0);
    end(&r);
}

static void told_why(void **state)
{
    struct rig r;
    struct place p = {&r.told, NULL, 0};

    (void)state;
    begin(&r);
    (void)cv_door_ask(r.door, "Sign", NULL, on_done, &p);
    hear(r.broker, "io.certvault.Door.Sign", -1);
    say(r.broker, "{\"error\":\"io.certvault.Door.Denied\",\"parameters\":"
                  "{\"code\":\"denied\",\"message\":\"the grant has ended\"}}");
    turn();
    assert_int_equal(r.told.n, 1);
    assert_int_equal(r.told.status[0], CV_DENIED);
    assert_string_equal(r.told.text, "the grant has ended");
    end(&r);
}

/* Who has gone is not told; the others still get their own answers. */
static void forgotten(void **state)
{
    struct rig r;
    struct place p = {&r.told, NULL, 0};
    uint64_t ask[3];

    (void)state;
    begin(&r);
    for (int i = 0; i < 3; i++) {
        ask[i] = cv_door_ask(r.door, "Request", number(i), on_done, &p);
    }
    cv_door_forget(r.door, ask[0]);
    cv_door_forget(r.door, 4711);
    p.door = r.door;
    p.forget = ask[2]; /* within the second one's answer */
    for (int i = 0; i < 3; i++) {
        answer(r.broker, i);
    }
    turn();
    assert_int_equal(r.told.n, 1);
    assert_true(r.told.number[0] == 1);
    end(&r);
}

/* A broker that does not read must not hold the loop up. */
static void does_not_block(void **state)
{
    struct rig r;
    struct place p = {&r.told, NULL, 0};
    char *text = malloc(200001);

    (void)state;
    begin(&r);
    memset(text, 'x', 200000);
    text[200000] = '\0';
    for (int i = 0; i < 20; i++) {
        cJSON *m = number(i);

        assert_true(cv_json_add_str(m, "text", text));
        (void)cv_door_ask(r.door, "Request", m, on_done, &p);
        turn();
    }
    for (int i = 0; i < 20; i++) {
        struct cv_message m = {NULL, NULL};

        while (m.tree == NULL) {
            turn();
            assert_int_not_equal(cv_channel_recv(r.broker, false, 10, &m, NULL),
                                 CV_INVALID);
        }
        assert_true(
            cJSON_GetObjectItem(cJSON_GetObjectItem(m.tree, "parameters"), "n")
                ->valuedouble == i);
        cv_message_free(&m);
        answer(r.broker, i);
    }
    turn();
    assert_int_equal(r.told.n, 20);
    free(text);
    end(&r);
}

static void broker_gone(void **state)
{
    struct rig r;
    struct place p = {&r.told, NULL, 0};

    (void)state;
    begin(&r);
    (void)cv_door_ask(r.door, "Request", number(1), on_done, &p);
    (void)cv_door_ask(r.door, "Request", number(2), on_done, &p);
    cv_channel_free(r.broker);
    r.broker = NULL;
    (void)event_base_dispatch(base);
    assert_int_equal(r.told.n, 2);
    assert_int_equal(r.told.status[0], CV_UNAVAILABLE);
    assert_int_equal(r.told.status[1], CV_UNAVAILABLE);
    assert_int_equal(r.gone, 1);
    /* and whoever comes later */
    (void)cv_door_ask(r.door, "Request", number(3), on_done, &p);
    assert_int_equal(r.told.n, 2);
    turn();
    assert_int_equal(r.told.n, 3);
    assert_int_equal(r.told.status[2], CV_UNAVAILABLE);
    assert_int_equal(r.gone, 1);
    end(&r);
}

/* What is no answer, or none to a question, ends it. */
static void nonsense(void **state)
{
    static const char *const said[] = {"{\"parameters\":{}}", "[]", "nonsense"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct rig r;

        begin(&r);
        say(r.broker, said[i]);
        (void)event_base_dispatch(base);
        assert_int_equal(r.gone, 1);
        end(&r);
    }
}

struct caller {
    pthread_t thread;
    struct cv_door *door;
    int first, n, timeout_ms;
    enum cv_status status;
    int wrong;
};

static void *call(void *arg)
{
    struct caller *c = arg;

    for (int i = 0; i < c->n; i++) {
        struct cv_message m;

        c->status = cv_door_call(c->door, "Sign", number(c->first + i),
                                 c->timeout_ms, &m, NULL);
        if (c->status != CV_OK) {
            return NULL;
        }
        c->wrong += cJSON_GetObjectItem(m.tree, "n")->valuedouble !=
                    (c->first + i) * 2.0;
        cv_message_free(&m);
    }
    return NULL;
}

static void start(struct caller *c, struct cv_door *door, int first, int n,
                  int timeout_ms)
{
    *c = (struct caller){
        .door = door, .first = first, .n = n, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&c->thread, NULL, call, c), 0);
}

struct broker {
    struct cv_channel *ch;
    int n;
};

/* Answers twice the number. */
static void *be_broker(void *arg)
{
    const struct broker *b = arg;

    for (int i = 0; i < b->n; i++) {
        struct cv_message m;

        if (cv_channel_recv(b->ch, false, 20000, &m, NULL) != CV_OK) {
            return NULL;
        }
        answer(b->ch, 2 * (int64_t)cJSON_GetObjectItem(
                              cJSON_GetObjectItem(m.tree, "parameters"), "n")
                              ->valuedouble);
        cv_message_free(&m);
    }
    return NULL;
}

/* Threads and the loop ask at once; everybody gets his own answer. */
static void from_threads(void **state)
{
    struct caller c[8];
    int each = cv_full_run() ? 2000 : 100;
    struct broker b;
    struct rig r;
    struct place p = {&r.told, NULL, 0};
    pthread_t broker;

    (void)state;
    begin(&r);
    b = (struct broker){r.broker, 8 * each + 20};
    assert_int_equal(pthread_create(&broker, NULL, be_broker, &b), 0);
    for (int i = 0; i < 8; i++) {
        start(&c[i], r.door, 10000 * (i + 1), each, 20000);
    }
    for (int i = 0; i < 20; i++) {
        (void)cv_door_ask(r.door, "Request", number(i), on_done, &p);
        turn();
    }
    while (r.told.n < 20) {
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    /* until the broker has answered all */
    for (int alive = 1; alive != 0;) {
        const struct timeval soon = {0, 1000};

        alive = pthread_tryjoin_np(broker, NULL);
        (void)event_base_loopexit(base, &soon);
        (void)event_base_dispatch(base);
    }
    for (int i = 0; i < 100; i++) {
        turn();
    }
    for (int i = 0; i < 8; i++) {
        (void)pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].status, CV_OK);
        assert_int_equal(c[i].wrong, 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_true(r.told.number[i] == 2 * i);
    }
    end(&r);
}

/* Who does not want to wait any longer does not; the answer that comes in the
 * end is nobody's, and the next one's is not mistaken for it. */
static void too_late(void **state)
{
    struct caller c;
    struct rig r;
    struct place p = {&r.told, NULL, 0};

    (void)state;
    begin(&r);
    start(&c, r.door, 5, 1, 1);
    (void)pthread_join(c.thread, NULL);
    assert_int_equal(c.status, CV_BUSY);
    turn(); /* was not asked yet: never is */
    (void)cv_door_ask(r.door, "Request", number(7), on_done, &p);
    hear(r.broker, "io.certvault.Door.Request", 7);

    start(&c, r.door, 6, 1, 300);
    (void)event_base_loop(base, EVLOOP_ONCE);
    hear(r.broker, "io.certvault.Door.Sign", 6);
    (void)pthread_join(c.thread, NULL);
    assert_int_equal(c.status, CV_BUSY);
    (void)cv_door_ask(r.door, "Request", number(8), on_done, &p);
    answer(r.broker, 70);
    answer(r.broker, 60);
    answer(r.broker, 80);
    turn();
    assert_int_equal(r.told.n, 2);
    assert_true(r.told.number[0] == 70);
    assert_true(r.told.number[1] == 80);
    end(&r);
}

/* Threads that wait are let go before everything ends. */
static void closed(void **state)
{
    struct caller c[4];
    struct rig r;
    struct place p = {&r.told, NULL, 0};

    (void)state;
    begin(&r);
    for (int i = 0; i < 4; i++) {
        start(&c[i], r.door, i, 1, 20000);
    }
    (void)event_base_loop(base, EVLOOP_ONCE); /* some are asked already */
    (void)cv_door_ask(r.door, "Request", number(1), on_done, &p);
    cv_door_close(r.door);
    /* The loop does not turn for them: its thread waits for them. */
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].status, CV_UNAVAILABLE);
    }
    turn();
    assert_int_equal(r.told.n, 1);
    assert_int_equal(r.told.status[0], CV_UNAVAILABLE);
    assert_int_equal(r.gone, 0);
    end(&r);
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
        cmocka_unit_test(pipelined),    cmocka_unit_test(told_why),
        cmocka_unit_test(forgotten),    cmocka_unit_test(does_not_block),
        cmocka_unit_test(broker_gone),  cmocka_unit_test(nonsense),
        cmocka_unit_test(from_threads), cmocka_unit_test(too_late),
        cmocka_unit_test(closed),
    };

    return cmocka_run_group_tests(tests, group_start, group_end);
}
