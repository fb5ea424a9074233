/* The loop in a process of its own, with methods of the test's: what one caller
 * does to the others. */
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/loop.h"
#include "vault/wire/client.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME "io.certvault.Test"
#define PIECE CV_MIB(1)

/* What both processes see. */
struct seen {
    _Atomic int turns;    /* of `idle` */
    _Atomic int64_t took; /* ms that the last Flood took */
    _Atomic int flooded;  /* Floods that ended */
    sem_t slow;           /* posted as one begins to wait */
    sem_t held;           /* posted as the loop is */
    int order[32];        /* of those who waited, as they ended */
    _Atomic int n_order;
};

static struct seen *seen;
static int lifeline = -1;
static int release = -1; /* a datagram in it ends one Slow */
static struct cv_loop *loop;
static struct cv_caller *asking;

/* Waits until it was posted, and leaves it so for whoever awaits it next. */
static void await(sem_t *posted)
{
    while (sem_wait(posted) != 0) {
        assert_int_equal(errno, EINTR);
    }
    (void)sem_post(posted);
}

static enum cv_status ping(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    (void)context;
    (void)parameters;
    (void)reply;
    (void)err;
    return CV_OK;
}

/* More than is kept for one client. */
static enum cv_status flood(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    const int64_t begin = cv_clock_boot_ms();
    char *text = calloc(1, PIECE + 1);
    enum cv_status s = CV_OK;

    (void)context;
    (void)parameters;
    memset(text, 'a', PIECE);
    for (size_t i = 0; i < 3 * CV_LIMIT_UNSENT / PIECE && s == CV_OK; i++) {
        assert_true(cv_json_add_str(cv_reply_parameters(reply), "text", text));
        s = cv_reply_continue(reply, err);
    }
    free(text);
    seen->took = cv_clock_boot_ms() - begin;
    seen->flooded++;
    return s;
}

/* Waits until it is let go, and others are served meanwhile, but for those who
 * want the same. */
static enum cv_status slow(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(parameters, "n");
    char byte;

    (void)context;
    (void)reply;
    (void)err;
    assert_true(cv_loop_wait(loop, asking, release));
    (void)sem_post(&seen->slow);
    while (recv(release, &byte, 1, MSG_DONTWAIT) < 0) {
        cv_loop_wait_turn(loop, -1);
    }
    cv_loop_wait_end(loop);
    seen->order[seen->n_order++] = n->valueint;
    return CV_OK;
}

/* The loop is held until it is let go. */
static enum cv_status hold(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    char byte;

    (void)context;
    (void)parameters;
    (void)reply;
    (void)err;
    assert_true(cv_loop_hold(loop, release));
    (void)sem_post(&seen->held);
    while (recv(release, &byte, 1, MSG_DONTWAIT) < 0) {
        cv_loop_hold_turn(loop, -1);
    }
    cv_loop_hold_end(loop);
    return CV_OK;
}

/* Give, End: what was answered when. */
static enum cv_status note(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(parameters, "n");

    (void)context;
    (void)reply;
    (void)err;
    seen->order[seen->n_order++] = n->valueint;
    return CV_OK;
}

static const struct cv_method methods[] = {
    {"Ping", ping, false},   {"Hold", hold, false},   {"Give", note, false},
    {"End", note, false},    {"EndOwn", note, false}, {"Slow", slow, false},
    {"Flood", flood, false},
};

static const struct cv_interface iface = {
    .name = NAME,
    .description = "interface " NAME "\n",
    .methods = methods,
    .n_methods = sizeof(methods) / sizeof(methods[0]),
};

static void *enter(void *context, struct cv_caller *caller,
                   const struct cv_message *request)
{
    (void)request;
    asking = caller;
    return context;
}

static void begun(void *context, struct cv_loop *l)
{
    (void)context;
    loop = l;
}

static bool is(const struct cv_message *request, const char *method)
{
    return strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
                      request->tree, "method")),
                  method) == 0;
}

static bool beside(void *context, const struct cv_caller *caller,
                   const struct cv_message *request)
{
    (void)context;
    (void)caller;
    return is(request, NAME ".Ping");
}

static bool gives(void *context, const struct cv_caller *caller,
                  const struct cv_message *request)
{
    (void)context;
    (void)caller;
    return is(request, NAME ".Give");
}

static bool meanwhile(void *context, const struct cv_caller *caller,
                      const struct cv_message *request)
{
    return beside(context, caller, request) || gives(context, caller, request);
}

static enum cv_loop_ends ends(void *context, const struct cv_caller *caller,
                              const struct cv_message *request)
{
    (void)context;
    (void)caller;
    return is(request, NAME ".End")      ? CV_LOOP_ENDS_ALL
           : is(request, NAME ".EndOwn") ? CV_LOOP_ENDS_OWN
                                         : CV_LOOP_ENDS_NOTHING;
}

static bool admits(void *context, const struct cv_peer *peer)
{
    (void)context;
    (void)peer;
    return true;
}

static bool idle(void *context)
{
    (void)context;
    seen->turns++;
    return false;
}

/* Over when its lifeline is. */
static int64_t rest(void *context, size_t n_callers)
{
    char byte;

    (void)context;
    (void)n_callers;
    return lifeline != -1 && recv(lifeline, &byte, 1, MSG_DONTWAIT) == 0 ? 0
                                                                         : -1;
}

struct served {
    char path[64];
    pid_t pid;
    int life; /* the other end of its lifeline */
    int go;   /* and of `release` */
};

static int run(const char *path)
{
    const struct cv_loop_hooks hooks = {
        .iface = &iface,
        .begun = begun,
        .enter = enter,
        .meanwhile = meanwhile,
        .beside = beside,
        .ends = ends,
        .gives = gives,
        .shared = true,
        .admits = admits,
        .idle = idle,
        .rest = rest,
        .watch = -1,
        .lifeline = lifeline,
    };
    int listener = -1;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    s = cv_loop_listen(path, 0600, &listener, &err);
    if (s == CV_OK) {
        s = cv_loop_run(&hooks, -1, listener, &err);
    }
    return (int)s;
}

static int up(void **state)
{
    static struct served sv;
    int pair[2], go[2];

    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(seen != MAP_FAILED);
    assert_int_equal(sem_init(&seen->slow, 1, 0), 0);
    assert_int_equal(sem_init(&seen->held, 1, 0), 0);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, go),
                     0);
    (void)snprintf(sv.path, sizeof(sv.path), "/tmp/cv-loop-%ld",
                   (long)getpid());
    (void)unlink(sv.path);
    sv.pid = fork();
    assert_true(sv.pid != -1);
    if (sv.pid == 0) {
        (void)close(pair[1]);
        (void)close(go[1]);
        lifeline = pair[0];
        release = go[0];
        _exit(run(sv.path));
    }
    (void)close(pair[0]);
    (void)close(go[0]);
    sv.life = pair[1];
    sv.go = go[1];
    *state = &sv;
    return 0;
}

static int down(void **state)
{
    const struct served *sv = *state;
    int status = -1;

    (void)unlink(sv->path);
    (void)close(sv->go);
    (void)munmap(seen, sizeof(*seen));
    if (sv->pid == -1) {
        return 0; /* it ended by itself */
    }
    (void)close(sv->life);
    (void)kill(sv->pid, SIGTERM);
    assert_int_equal(waitpid(sv->pid, &status, 0), sv->pid);
    return status;
}

static struct cv_channel *connected(const struct served *sv)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct cv_channel *ch = NULL;
    int fd = -1;

    memcpy(sa.sun_path, sv->path, strlen(sv->path) + 1);
    for (int i = 0; i < 2000; i++) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd != -1);
        if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0) {
            break;
        }
        cv_file_close(&fd);
        (void)usleep(5000); /* it has not begun to listen */
    }
    assert_true(fd != -1);
    assert_int_equal(cv_channel_new(fd, CV_LIMIT_FRAME, &ch, NULL), CV_OK);
    return ch;
}

/* ms until it is answered; -1: it is not. */
static int64_t pinged(struct cv_channel *ch)
{
    const int64_t begin = cv_clock_boot_ms();
    struct cv_message reply = {0};
    enum cv_status s = cv_client_call(ch, NAME ".Ping", cJSON_CreateObject(), 0,
                                      60000, &reply, NULL);

    cv_message_free(&reply);
    return s == CV_OK ? cv_clock_boot_ms() - begin : -1;
}

static void ask_flood(const struct served *sv, struct cv_channel **out)
{
    static const char text[] = "{\"method\":\"" NAME ".Flood\",\"more\":true}";

    *out = connected(sv);
    assert_int_equal(send(cv_channel_fd(*out), text, sizeof(text), 0),
                     sizeof(text));
}

static void wait_flooded(int n)
{
    const int64_t end = cv_clock_boot_ms() + 60000;

    while (seen->flooded < n) {
        assert_true(cv_clock_boot_ms() < end);
        (void)usleep(5000);
    }
}

/* Who takes nothing of an answer that is longer than what is kept for him is
 * waited for once, however many connections he has; then he is dropped. The
 * others have their turn, and so has what is done in between (the watchdog). */
static void a_reader_who_stalls(void **state)
{
    const struct served *sv = *state;
    struct cv_channel *good = connected(sv), *stalls[4];
    const int64_t begin = cv_clock_boot_ms();
    int turns;

    assert_true(pinged(good) >= 0);
    turns = seen->turns;
    for (int i = 0; i < 4; i++) {
        ask_flood(sv, &stalls[i]);
        wait_flooded(i + 1);
        if (i == 0) {
            assert_in_range(seen->took, CV_LIMIT_STALL_MS - 100, INT32_MAX);
        }
    }
    /* The first took what may be waited, those after it hardly anything. */
    assert_in_range(cv_clock_boot_ms() - begin, 0, 3 * CV_LIMIT_STALL_MS);
    assert_true(pinged(good) >= 0);
    assert_true(seen->turns >= turns + 4);
    for (int i = 0; i < 4; i++) {
        cv_channel_free(stalls[i]);
    }
    cv_channel_free(good);
}

/* Who reads gets all of it. The bytes are counted and not looked at: a machine
 * that is busy must not make this one who stalls. */
static void a_reader_who_reads(void **state)
{
    static char bytes[1 << 20];
    const struct served *sv = *state;
    struct cv_channel *ch;
    size_t n = 0;

    ask_flood(sv, &ch);
    while (n < 3 * CV_LIMIT_UNSENT / PIECE + 1) {
        struct pollfd there = {.fd = cv_channel_fd(ch), .events = POLLIN};
        const char *at = bytes;
        ssize_t got;

        assert_int_equal(poll(&there, 1, 60000), 1);
        got = recv(cv_channel_fd(ch), bytes, sizeof(bytes), 0);
        assert_true(got > 0);
        while ((at = memchr(at, '\0', (size_t)(bytes + got - at))) != NULL) {
            at++;
            n++;
        }
    }
    assert_int_equal(n, 3 * CV_LIMIT_UNSENT / PIECE + 1);
    assert_int_equal(recv(cv_channel_fd(ch), bytes, 1, MSG_DONTWAIT), -1);
    cv_channel_free(ch);
}

static void ask(struct cv_channel *ch, const char *method, int n)
{
    char text[96];
    int len = snprintf(text, sizeof(text),
                       "{\"method\":\"" NAME ".%s\",\"parameters\":{\"n\":%d}}",
                       method, n);

    assert_int_equal(send(cv_channel_fd(ch), text, (size_t)len + 1, 0),
                     len + 1);
}

/* Asked on another connection, and looked at by the loop, be it held: whoever
 * stood in line before it has had his turn when a second ping is answered. */
static void ask_and_see(struct cv_channel *ch, const char *method, int n,
                        struct cv_channel *other)
{
    ask(ch, method, n);
    await(&seen->held);
    assert_true(pinged(other) >= 0);
    assert_true(pinged(other) >= 0);
}

static void ask_slow(struct cv_channel *ch, int n)
{
    ask(ch, "Slow", n);
}

/* One of those who wait ends. */
static void let_go(const struct served *sv)
{
    assert_int_equal(send(sv->go, "x", 1, 0), 1);
}

/* What can be done one at a time alone is done in the order in which it was
 * asked for: who sits in front, and who asks again and again, overtakes nobody.
 * Meanwhile others have their answers. */
static void those_who_wait(void **state)
{
    enum { N = 6 };
    const struct served *sv = *state;
    struct cv_channel *ch[N], *other = connected(sv);
    const int expected[] = {0, 5, 4, 3, 2, 1, 10, 11};
    struct cv_message m;

    for (int i = 0; i < N; i++) {
        ch[i] = connected(sv);
        assert_true(pinged(ch[i]) >= 0);
    }
    ask_slow(ch[0], 0);
    await(&seen->slow);
    for (int i = N - 1; i > 0; i--) {
        ask_slow(ch[i], i);
    }
    /* What the first asks next lies there before its answer does. */
    ask_slow(ch[0], 10);
    ask_slow(ch[0], 11);
    assert_true(pinged(other) >= 0);
    assert_int_equal(seen->n_order, 0);
    for (int i = 0; i < N + 2; i++) {
        let_go(sv);
    }
    for (int i = 1; i < N; i++) {
        assert_int_equal(cv_channel_recv(ch[i], false, 60000, &m, NULL), CV_OK);
        assert_non_null(m.tree);
        cv_message_free(&m);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cv_channel_recv(ch[0], false, 60000, &m, NULL), CV_OK);
        assert_non_null(m.tree);
        cv_message_free(&m);
    }
    assert_int_equal(seen->n_order, N + 2);
    assert_memory_equal(seen->order, expected, sizeof(expected));
    for (int i = 0; i < N; i++) {
        cv_channel_free(ch[i]);
    }
    cv_channel_free(other);
}

/* Who goes while it waits is forgotten, and holds nobody up. */
static void those_who_wait_and_go(void **state)
{
    const struct served *sv = *state;
    struct cv_channel *ch[5];
    const int expected[] = {0, 1, 3};
    struct cv_message m;

    for (int i = 0; i < 5; i++) {
        ch[i] = connected(sv);
        assert_true(pinged(ch[i]) >= 0);
    }
    ask_slow(ch[0], 0);
    await(&seen->slow);
    for (int i = 1; i < 4; i++) {
        ask_slow(ch[i], i);
    }
    assert_true(pinged(ch[4]) >= 0);
    cv_channel_free(ch[2]);
    assert_true(pinged(ch[4]) >= 0);
    for (int i = 0; i < 4; i++) {
        let_go(sv);
    }
    for (int i = 0; i < 4; i += i == 1 ? 2 : 1) {
        assert_int_equal(cv_channel_recv(ch[i], false, 60000, &m, NULL), CV_OK);
        cv_message_free(&m);
        cv_channel_free(ch[i]);
    }
    assert_true(pinged(ch[4]) >= 0);
    cv_channel_free(ch[4]);
    assert_in_range(seen->n_order, 3, 4);
    if (seen->n_order == 3) {
        assert_memory_equal(seen->order, expected, sizeof(expected));
    }
}

/* Each on a connection of its own; the first holds the loop, the others wait
 * for it. */
static void ask_while_held(const struct served *sv, struct cv_channel **ch,
                           const char *const *asked, int n,
                           struct cv_channel *other)
{
    for (int i = 0; i < n; i++) {
        ch[i] = connected(sv);
        assert_true(pinged(ch[i]) >= 0);
    }
    for (int i = 0; i < n; i++) {
        ask_and_see(ch[i], asked[i], i, other);
    }
    assert_int_equal(seen->n_order, 0);
}

/* What ends something is the first to be done when the loop is free: what was
 * asked earlier, and then lets others be served, does not let what is given go
 * in front of it. */
static void what_ends_is_first(void **state)
{
    enum { N = 4 };
    static const char *const asked[N] = {"Hold", "Slow", "End", "EndOwn"};
    const struct served *sv = *state;
    struct cv_channel *ch[N], *other = connected(sv);
    struct cv_message m;

    ask_while_held(sv, ch, asked, N, other);
    let_go(sv);
    await(&seen->slow);
    ask(other, "Give", N);
    assert_int_equal(cv_channel_recv(other, false, 60000, &m, NULL), CV_OK);
    cv_message_free(&m);
    let_go(sv);
    for (int i = 0; i < N; i++) {
        assert_int_equal(cv_channel_recv(ch[i], false, 60000, &m, NULL), CV_OK);
        assert_non_null(m.tree);
        cv_message_free(&m);
        cv_channel_free(ch[i]);
    }
    assert_int_equal(seen->n_order, N);
    assert_int_equal(seen->order[0], 2);
    assert_int_equal(seen->order[1], 3);
    assert_int_equal(seen->order[2], N);
    cv_channel_free(other);
}

/* What had to wait while the loop was held, and could be done while another
 * waits, is not kept for that: what is asked later is answered by then. */
static void what_was_kept_goes_on(void **state)
{
    enum { N = 3 };
    static const char *const asked[N] = {"Hold", "Slow", "Give"};
    const struct served *sv = *state;
    struct cv_channel *ch[N], *other = connected(sv);
    struct cv_message m;

    ask_while_held(sv, ch, asked, N, other);
    let_go(sv);
    assert_int_equal(cv_channel_recv(ch[2], false, 60000, &m, NULL), CV_OK);
    assert_non_null(m.tree);
    cv_message_free(&m);
    assert_int_equal(sem_trywait(&seen->slow), 0);
    assert_int_equal(seen->n_order, 1);
    assert_int_equal(seen->order[0], 2);
    let_go(sv);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cv_channel_recv(ch[i], false, 60000, &m, NULL), CV_OK);
        assert_non_null(m.tree);
        cv_message_free(&m);
    }
    for (int i = 0; i < N; i++) {
        cv_channel_free(ch[i]);
    }
    cv_channel_free(other);
}

/* Nobody says anything, and still it is noticed at once. */
static void a_lifeline_that_breaks(void **state)
{
    struct served *sv = *state;
    struct cv_channel *ch = connected(sv);
    int status = -1, turns;
    pid_t gone = 0;

    assert_true(pinged(ch) >= 0);
    cv_channel_free(ch);
    /* With nobody connected it comes to rest, for ever. */
    do {
        turns = seen->turns;
        (void)usleep(200000);
    } while (turns != seen->turns);
    (void)close(sv->life);
    for (int i = 0; i < 2000 && gone == 0; i++) {
        gone = waitpid(sv->pid, &status, WNOHANG);
        (void)usleep(5000);
    }
    assert_int_equal(gone, sv->pid);
    assert_int_equal(status, 0);
    sv->pid = -1;
}

static int start(void **state)
{
    (void)state;
    cv_json_start();
    (void)signal(SIGPIPE, SIG_IGN);
    return cv_arena_start(NULL) == CV_OK ? 0 : -1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_reader_who_stalls),    CASE(a_reader_who_reads),
        CASE(those_who_wait),         CASE(those_who_wait_and_go),
        CASE(what_ends_is_first),     CASE(what_was_kept_goes_on),
        CASE(a_lifeline_that_breaks),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
