#include "vault/relay/door.h"

#include "vault/base/limits.h"
#include "vault/relay/door_internal.h"
#include "vault/wire/client.h"
#include "vault/wire/interface.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Asks that wait for their answers; more is a relay out of its mind. */
#define UNSENT_MAX (4 * CV_LIMIT_FRAME)

struct ask {
    struct ask *next;
    uint64_t id;
    cv_door_done *done; /* NULL: nobody is told */
    void *ctx;
    struct cv_door_call *call; /* a thread that waits, instead */
    enum cv_status status;     /* of one that failed here */
    const char *why;
};

struct list {
    struct ask *first, **end;
};

struct cv_door {
    struct event_base *base;
    struct cv_channel *ch;
    struct event *in, *out, *calls_in, *failed_in;
    struct cv_buf unsent;
    struct list asked;  /* in the order of their answers */
    struct list failed; /* told at the next turn */
    struct cv_door_calls *calls;
    uint64_t last_id;
    void (*gone)(void *ctx);
    void *ctx;
    bool closed;
};

static void append(struct list *l, struct ask *a)
{
    a->next = NULL;
    *l->end = a;
    l->end = &a->next;
}

static struct ask *take_first(struct list *l)
{
    struct ask *a = l->first;

    if (a != NULL) {
        l->first = a->next;
        if (l->first == NULL) {
            l->end = &l->first;
        }
    }
    return a;
}

/* Tells it, and frees it. `m` may be NULL; what it holds goes to a thread. */
static void finish(struct ask *a, enum cv_status status, struct cv_message *m,
                   const struct cv_err *err)
{
    if (a->call != NULL) {
        cv_door_calls_answer(a->call, status, m, err);
    } else if (a->done != NULL) {
        a->done(a->ctx, status, m != NULL ? m->tree : NULL, err);
    }
    free(a);
}

static void fail_ask(struct cv_door *door, struct ask *a, enum cv_status status,
                     const char *why)
{
    a->status = status;
    a->why = why;
    append(&door->failed, a);
    event_active(door->failed_in, EV_TIMEOUT, 0);
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
    struct cv_door *door = arg;
    struct ask *a;

    (void)fd;
    (void)what;
    while ((a = take_first(&door->failed)) != NULL) {
        struct cv_err err;

        cv_err_init(&err);
        finish(a, cv_fail(&err, a->status, "%s", a->why), NULL, &err);
    }
    if (door->closed && door->gone != NULL) {
        void (*gone)(void *ctx) = door->gone;

        door->gone = NULL;
        gone(door->ctx);
    }
}

/* The broker is gone, or we are done with it. */
static void shut(struct cv_door *door)
{
    struct ask *a;

    if (door->closed) {
        return;
    }
    door->closed = true;
    cv_door_calls_close(door->calls);
    (void)event_del(door->in);
    (void)event_del(door->out);
    (void)event_del(door->calls_in);
    cv_buf_wipe(&door->unsent);
    while ((a = take_first(&door->asked)) != NULL) {
        fail_ask(door, a, CV_UNAVAILABLE, CV_DOOR_GONE);
    }
    event_active(door->failed_in, EV_TIMEOUT, 0);
}

static void send_unsent(struct cv_door *door)
{
    while (door->unsent.len > 0) {
        ssize_t n = send(cv_channel_fd(door->ch), door->unsent.data,
                         door->unsent.len, MSG_NOSIGNAL);

        if (n >= 0) {
            cv_buf_drop(&door->unsent, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            (void)event_add(door->out, NULL);
            return;
        } else if (errno != EINTR) {
            shut(door);
            return;
        }
    }
    cv_buf_wipe(&door->unsent);
}

/* Puts a whole frame behind what waits to be sent, and the ask behind those
 * that wait for their answers. */
static void submit(struct cv_door *door, struct ask *a, struct cv_bytes frame)
{
    if (door->closed) {
        fail_ask(door, a, CV_UNAVAILABLE, CV_DOOR_GONE);
        return;
    }
    if (door->unsent.len + frame.len > UNSENT_MAX) {
        fail_ask(door, a, CV_BUSY, "the broker does not answer");
        return;
    }
    cv_buf_add(&door->unsent, frame.data, frame.len);
    if (door->unsent.status != CV_OK) {
        fail_ask(door, a, CV_INTERNAL, "memory is gone");
        shut(door);
        return;
    }
    append(&door->asked, a);
    if (!event_pending(door->out, EV_WRITE, NULL)) {
        send_unsent(door);
    }
}

static void answer(struct cv_door *door, struct cv_message *m)
{
    struct ask *a = take_first(&door->asked);
    bool continues = false;
    enum cv_status s;
    struct cv_err err;

    if (a == NULL) {
        shut(door); /* what nobody asked for */
        return;
    }
    cv_err_init(&err);
    s = cv_client_answer(m, &continues, &err);
    if (s == CV_OK && continues) {
        s = cv_fail(&err, CV_INVALID, "the broker answers in pieces");
    }
    if (s != CV_OK) {
        cv_message_free(m);
    }
    finish(a, s, m, &err);
}

static void on_in(evutil_socket_t fd, short what, void *arg)
{
    struct cv_door *door = arg;

    (void)fd;
    (void)what;
    while (!door->closed) {
        struct cv_message m = {0};
        enum cv_status s = cv_channel_recv(door->ch, false, 0, &m, NULL);

        if (s == CV_OK && m.tree != NULL) {
            answer(door, &m);
        } else if (s != CV_BUSY) {
            shut(door);
        }
        cv_message_free(&m);
        if (s == CV_BUSY) {
            return;
        }
    }
}

static void on_out(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    send_unsent(arg);
}

static struct ask *new_ask(struct cv_door *door)
{
    struct ask *a = calloc(1, sizeof(*a));

    door->last_id++;
    if (a == NULL) {
        shut(door);
        return NULL;
    }
    a->id = door->last_id;
    return a;
}

/* What threads want asked. */
static void on_calls(evutil_socket_t fd, short what, void *arg)
{
    struct cv_door *door = arg;
    struct cv_door_call *call;
    uint64_t count;

    (void)what;
    (void)!read(fd, &count, sizeof(count));
    while (!door->closed && (call = cv_door_calls_next(door->calls)) != NULL) {
        struct ask *a = new_ask(door);

        if (a == NULL) {
            struct cv_err err;

            cv_err_init(&err);
            cv_door_calls_answer(
                call, cv_fail(&err, CV_INTERNAL, "memory is gone"), NULL, &err);
            return;
        }
        a->call = call;
        submit(door, a, cv_door_calls_frame(call));
    }
}

static bool make_events(struct cv_door *door)
{
    int fd = cv_channel_fd(door->ch);
    short persist = EV_READ | EV_PERSIST;

    door->in = event_new(door->base, fd, persist, on_in, door);
    door->out = event_new(door->base, fd, EV_WRITE, on_out, door);
    door->calls_in = event_new(door->base, cv_door_calls_fd(door->calls),
                               persist, on_calls, door);
    door->failed_in = event_new(door->base, -1, 0, on_failed, door);
    return door->in != NULL && door->out != NULL && door->calls_in != NULL &&
           door->failed_in != NULL && event_add(door->in, NULL) == 0 &&
           event_add(door->calls_in, NULL) == 0;
}

enum cv_status cv_door_new(struct event_base *base, int fd,
                           void (*gone)(void *ctx), void *ctx,
                           struct cv_door **out, struct cv_err *err)
{
    struct cv_door *door = calloc(1, sizeof(*door));
    struct cv_channel *ch = NULL;
    enum cv_status s = cv_channel_new(fd, CV_LIMIT_FRAME, &ch, err);

    *out = NULL;
    if (door == NULL || s != CV_OK) {
        free(door);
        cv_channel_free(ch);
        return s != CV_OK ? s : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    door->base = base;
    door->ch = ch;
    door->asked.end = &door->asked.first;
    door->failed.end = &door->failed.first;
    cv_buf_init(&door->unsent, NULL, UNSENT_MAX);
    door->calls = cv_door_calls_new();
    if (door->calls == NULL || !make_events(door)) {
        cv_door_free(door);
        return cv_fail(err, CV_INTERNAL, "memory or descriptors are gone");
    }
    door->gone = gone;
    door->ctx = ctx;
    *out = door;
    return CV_OK;
}

uint64_t cv_door_ask(struct cv_door *door, const char *method,
                     cJSON *parameters, cv_door_done *done, void *ctx)
{
    struct ask *a = new_ask(door);
    struct cv_buf frame;

    cv_buf_init(&frame, NULL, CV_LIMIT_FRAME);
    cv_door_calls_write(method, parameters, &frame);
    if (a != NULL) {
        a->done = done;
        a->ctx = ctx;
        if (cv_buf_status(&frame, "an ask", NULL) != CV_OK) {
            fail_ask(door, a, CV_INVALID, "an ask of the broker is too long");
        } else {
            submit(door, a, cv_buf_bytes(&frame));
        }
    }
    cv_buf_wipe(&frame);
    return door->last_id;
}

static void forget(const struct list *l, uint64_t id)
{
    for (struct ask *a = l->first; a != NULL; a = a->next) {
        if (a->id == id) {
            a->done = NULL;
            return;
        }
    }
}

void cv_door_forget(struct cv_door *door, uint64_t ask)
{
    forget(&door->asked, ask);
    forget(&door->failed, ask);
}

enum cv_status cv_door_call(struct cv_door *door, const char *method,
                            cJSON *parameters, int timeout_ms,
                            struct cv_message *reply, struct cv_err *err)
{
    return cv_door_calls_run(door->calls, method, parameters, timeout_ms, reply,
                             err);
}

/* Threads are told without the loop: who closes joins them next, and turns no
 * more. */
static void tell_threads(struct cv_door *door)
{
    struct list rest = {NULL, &rest.first};
    struct ask *a;

    while ((a = take_first(&door->failed)) != NULL) {
        struct cv_err err;

        if (a->call == NULL) {
            append(&rest, a);
            continue;
        }
        cv_err_init(&err);
        finish(a, cv_fail(&err, a->status, "%s", a->why), NULL, &err);
    }
    while ((a = take_first(&rest)) != NULL) {
        append(&door->failed, a);
    }
}

void cv_door_close(struct cv_door *door)
{
    door->gone = NULL;
    shut(door);
    tell_threads(door);
}

static void drop_list(struct list *l)
{
    struct ask *a;

    while ((a = take_first(l)) != NULL) {
        struct cv_err err;

        a->done = NULL;
        cv_err_init(&err);
        finish(a, cv_fail(&err, CV_UNAVAILABLE, CV_DOOR_GONE), NULL, &err);
    }
}

static void free_event(struct event *e)
{
    if (e != NULL) {
        event_free(e);
    }
}

void cv_door_free(struct cv_door *door)
{
    if (door == NULL) {
        return;
    }
    drop_list(&door->asked);
    drop_list(&door->failed);
    free_event(door->in);
    free_event(door->out);
    free_event(door->calls_in);
    free_event(door->failed_in);
    cv_door_calls_free(door->calls);
    cv_buf_wipe(&door->unsent);
    cv_channel_free(door->ch);
    free(door);
}
