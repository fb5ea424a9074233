/* The loop in a process of its own, with methods of the test's: what one caller
 * does to the others. */
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/loop.h"
#include "vault/wire/client.h"

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
};

static struct seen *seen;
static int lifeline = -1;

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

static const struct cv_method methods[] = {
    {"Ping", ping, false},
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
    (void)caller;
    return context;
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
};

static int run(const char *path)
{
    const struct cv_loop_hooks hooks = {
        .iface = &iface,
        .enter = enter,
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
    int pair[2];

    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(seen != MAP_FAILED);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(sv.path, sizeof(sv.path), "/tmp/cv-loop-%ld",
                   (long)getpid());
    (void)unlink(sv.path);
    sv.pid = fork();
    assert_true(sv.pid != -1);
    if (sv.pid == 0) {
        (void)close(pair[1]);
        lifeline = pair[0];
        _exit(run(sv.path));
    }
    (void)close(pair[0]);
    sv.life = pair[1];
    *state = &sv;
    return 0;
}

static int down(void **state)
{
    const struct served *sv = *state;
    int status = -1;

    (void)unlink(sv->path);
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

/* Who reads gets all of it. */
static void a_reader_who_reads(void **state)
{
    const struct served *sv = *state;
    struct cv_channel *ch;
    int n = 0;

    ask_flood(sv, &ch);
    for (;;) {
        struct cv_message m;

        assert_int_equal(cv_channel_recv(ch, false, 60000, &m, NULL), CV_OK);
        assert_non_null(m.tree);
        n++;
        if (!cJSON_IsTrue(
                cJSON_GetObjectItemCaseSensitive(m.tree, "continues"))) {
            cv_message_free(&m);
            break;
        }
        cv_message_free(&m);
    }
    assert_int_equal(n, 3 * CV_LIMIT_UNSENT / PIECE + 1);
    cv_channel_free(ch);
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
        CASE(a_reader_who_stalls),
        CASE(a_reader_who_reads),
        CASE(a_lifeline_that_breaks),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
