/* Calls of worker threads: handed to the loop, which answers them. */
#include "vault/base/limits.h"
#include "vault/relay/door_internal.h"
#include "vault/wire/interface.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct cv_door_call {
    struct cv_door_call *next;
    struct cv_door_calls *calls;
    struct cv_buf frame;
    struct cv_message reply;
    enum cv_status status;
    struct cv_err err;
    bool answered;
    bool left; /* the thread did not want to wait any longer */
};

struct cv_door_calls {
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    struct cv_door_call *first, **end;
    int fd;
    bool closed;
};

struct cv_door_calls *cv_door_calls_new(void)
{
    struct cv_door_calls *calls = calloc(1, sizeof(*calls));
    pthread_condattr_t attr;

    if (calls == NULL) {
        return NULL;
    }
    calls->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (calls->fd < 0) {
        free(calls);
        return NULL;
    }
    (void)pthread_mutex_init(&calls->mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&calls->answered, &attr);
    (void)pthread_condattr_destroy(&attr);
    calls->end = &calls->first;
    return calls;
}

void cv_door_calls_free(struct cv_door_calls *calls)
{
    if (calls == NULL) {
        return;
    }
    (void)pthread_cond_destroy(&calls->answered);
    (void)pthread_mutex_destroy(&calls->mutex);
    (void)close(calls->fd);
    free(calls);
}

int cv_door_calls_fd(const struct cv_door_calls *calls)
{
    return calls->fd;
}

void cv_door_calls_write(const char *method, cJSON *parameters,
                         struct cv_buf *out)
{
    cJSON *message = cJSON_CreateObject();
    char name[64];
    bool ok;

    (void)snprintf(name, sizeof(name), "%s.%s", CV_INTERFACE_DOOR, method);
    ok = cv_json_add_str(message, "method", name);
    if (parameters != NULL) {
        ok = cv_json_add_item(message, "parameters", parameters) && ok;
    }
    if (ok) {
        cv_json_write(message, CV_JSON_COMPACT, out);
        cv_buf_add_char(out, '\0');
    } else {
        out->status = CV_INTERNAL;
    }
    cJSON_Delete(message);
}

static void free_call(struct cv_door_call *call)
{
    cv_buf_wipe(&call->frame);
    cv_message_free(&call->reply);
    free(call);
}

static struct timespec after(int ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

/* With the mutex held. */
static void settle(struct cv_door_call *call, enum cv_status status,
                   const char *why)
{
    call->answered = true;
    call->status = cv_fail(&call->err, status, "%s", why);
}

/* With the mutex held: until it is answered, or too late. */
static void wait_for(struct cv_door_call *call, int timeout_ms)
{
    struct cv_door_calls *calls = call->calls;
    const struct timespec until = after(timeout_ms < 0 ? 0 : timeout_ms);
    int rc = 0;

    while (!call->answered && rc != ETIMEDOUT) {
        rc = timeout_ms < 0 ? pthread_cond_wait(&calls->answered, &calls->mutex)
                            : pthread_cond_timedwait(&calls->answered,
                                                     &calls->mutex, &until);
    }
}

/* Waits with the call handed over. The call is the loop's where it was left. */
static enum cv_status wait_answer(struct cv_door_call *call, int timeout_ms,
                                  struct cv_message *reply, struct cv_err *err)
{
    static const uint64_t one = 1;
    struct cv_door_calls *calls = call->calls;
    enum cv_status s;

    (void)pthread_mutex_lock(&calls->mutex);
    if (calls->closed) {
        settle(call, CV_UNAVAILABLE, CV_DOOR_GONE);
    } else {
        *calls->end = call;
        calls->end = &call->next;
        (void)!write(calls->fd, &one, sizeof(one));
    }
    wait_for(call, timeout_ms);
    if (!call->answered) {
        call->left = true;
        (void)pthread_mutex_unlock(&calls->mutex);
        return cv_fail(err, CV_BUSY, "the broker did not answer in time");
    }
    (void)pthread_mutex_unlock(&calls->mutex);
    s = call->status;
    if (s == CV_OK) {
        *reply = call->reply;
        call->reply = (struct cv_message){NULL, NULL};
    } else if (err != NULL) {
        *err = call->err;
    }
    free_call(call);
    return s;
}

enum cv_status cv_door_calls_run(struct cv_door_calls *calls,
                                 const char *method, cJSON *parameters,
                                 int timeout_ms, struct cv_message *reply,
                                 struct cv_err *err)
{
    struct cv_door_call *call = calloc(1, sizeof(*call));
    enum cv_status s;

    memset(reply, 0, sizeof(*reply));
    if (call == NULL) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    call->calls = calls;
    cv_err_init(&call->err);
    cv_buf_init(&call->frame, NULL, CV_LIMIT_FRAME);
    cv_door_calls_write(method, parameters, &call->frame);
    s = cv_buf_status(&call->frame, "an ask of the broker", err);
    if (s != CV_OK) {
        free_call(call);
        return s;
    }
    return wait_answer(call, timeout_ms, reply, err);
}

struct cv_door_call *cv_door_calls_next(struct cv_door_calls *calls)
{
    struct cv_door_call *call;

    (void)pthread_mutex_lock(&calls->mutex);
    while ((call = calls->first) != NULL) {
        calls->first = call->next;
        call->next = NULL;
        if (calls->first == NULL) {
            calls->end = &calls->first;
        }
        if (!call->left) {
            break;
        }
        free_call(call); /* nobody waits for it any more */
    }
    (void)pthread_mutex_unlock(&calls->mutex);
    return call;
}

struct cv_bytes cv_door_calls_frame(const struct cv_door_call *call)
{
    return cv_buf_bytes(&call->frame);
}

void cv_door_calls_answer(struct cv_door_call *call, enum cv_status status,
                          struct cv_message *m, const struct cv_err *err)
{
    struct cv_door_calls *calls = call->calls;
    bool left;

    (void)pthread_mutex_lock(&calls->mutex);
    call->answered = true;
    call->status = status;
    if (m != NULL) {
        call->reply = *m;
        *m = (struct cv_message){NULL, NULL};
    }
    if (status != CV_OK) {
        call->err = *err;
    }
    left = call->left;
    (void)pthread_cond_broadcast(&calls->answered);
    (void)pthread_mutex_unlock(&calls->mutex);
    if (left) {
        free_call(call);
    }
}

void cv_door_calls_close(struct cv_door_calls *calls)
{
    struct cv_door_call *call, *next, *left = NULL;

    (void)pthread_mutex_lock(&calls->mutex);
    calls->closed = true;
    for (call = calls->first; call != NULL; call = next) {
        next = call->next;
        settle(call, CV_UNAVAILABLE, CV_DOOR_GONE);
        if (call->left) {
            call->next = left;
            left = call;
        }
    }
    calls->first = NULL;
    calls->end = &calls->first;
    (void)pthread_cond_broadcast(&calls->answered);
    (void)pthread_mutex_unlock(&calls->mutex);
    for (call = left; call != NULL; call = next) {
        next = call->next;
        free_call(call);
    }
}
