#include "vault/relay/dial.h"

#include "vault/base/limits.h"
#include "vault/relay/leg.h"

#include <event2/event.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum state { WAITS, RUNS, DONE };

struct cv_dial {
    struct cv_dial *next;
    struct cv_dialer *dialer;
    struct cv_grant *grant;
    unsigned flags;
    cv_dial_done *done;
    void *ctx;
    enum state state;
    bool cancelled;
    int cancel_fd; /* while it runs */
    struct cv_dial_conn conn;
    enum cv_status status;
    struct cv_err err;
};

struct list {
    struct cv_dial *first, **end;
    unsigned n;
};

struct cv_dialer {
    struct event_base *base;
    struct event *finished_in;
    struct cv_dial_how how;
    unsigned max, n_threads, idle;
    pthread_t threads[CV_LIMIT_DIAL_THREADS];
    pthread_mutex_t mutex; /* for all that follows, and what dials hold */
    pthread_cond_t wanted;
    struct list waiting, running, finished;
    int fd; /* readable when one is finished */
    bool ending;
};

static void append(struct list *l, struct cv_dial *d)
{
    d->next = NULL;
    *l->end = d;
    l->end = &d->next;
    l->n++;
}

static void take(struct list *l, struct cv_dial *d)
{
    struct cv_dial **at = &l->first;

    while (*at != d) {
        at = &(*at)->next;
    }
    *at = d->next;
    if (d->next == NULL) {
        l->end = at;
    }
    d->next = NULL;
    l->n--;
}

/* Loop or, for one that never ran, whoever holds the mutex. */
static void free_dial(struct cv_dial *d)
{
    cv_grant_unref(d->grant);
    free(d);
}

static void drop_conn(struct cv_dial_conn *conn)
{
    SSL_free(conn->ssl);
    if (conn->fd >= 0) {
        (void)close(conn->fd);
    }
}

static void signal_fd(int fd)
{
    static const uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one));
}

/* With the mutex held. */
static void finish(struct cv_dialer *dialer, struct cv_dial *d)
{
    d->state = DONE;
    append(&dialer->finished, d);
    signal_fd(dialer->fd);
}

static unsigned running_for(const struct cv_dialer *dialer,
                            const struct cv_grant *grant)
{
    unsigned n = 0;

    for (const struct cv_dial *d = dialer->running.first; d != NULL;
         d = d->next) {
        n += d->grant == grant;
    }
    return n;
}

/* The first that waits and whose grant has not its share already. */
static struct cv_dial *next_dial(const struct cv_dialer *dialer)
{
    unsigned share = dialer->max >= 8 ? dialer->max / 4 : 2;
    struct cv_dial *d = dialer->waiting.first;

    while (d != NULL && running_for(dialer, d->grant) >= share) {
        d = d->next;
    }
    return d;
}

/* Without the mutex: it takes as long as it takes. */
static void run(struct cv_dialer *dialer, struct cv_dial *d)
{
    d->conn = (struct cv_dial_conn){-1, NULL, false};
    if (d->cancel_fd < 0) {
        d->status =
            cv_fail_errno(&d->err, CV_INTERNAL, "cannot connect to a server");
        return;
    }
    d->status =
        dialer->how.connect(dialer->how.ctx, d->grant, d->flags, d->cancel_fd,
                            CV_LIMIT_DIAL_S * 1000, &d->conn, &d->err);
    if (d->status != CV_OK) {
        d->conn = (struct cv_dial_conn){-1, NULL, false};
    }
}

static void *work(void *arg)
{
    struct cv_dialer *dialer = arg;

    (void)pthread_mutex_lock(&dialer->mutex);
    while (!dialer->ending) {
        struct cv_dial *d = next_dial(dialer);

        if (d == NULL) {
            dialer->idle++;
            (void)pthread_cond_wait(&dialer->wanted, &dialer->mutex);
            dialer->idle--;
            continue;
        }
        take(&dialer->waiting, d);
        d->state = RUNS;
        d->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        append(&dialer->running, d);
        (void)pthread_mutex_unlock(&dialer->mutex);
        run(dialer, d);
        (void)pthread_mutex_lock(&dialer->mutex);
        if (d->cancel_fd >= 0) {
            (void)close(d->cancel_fd);
        }
        take(&dialer->running, d);
        finish(dialer, d);
        /* another of its grant may go on now */
        (void)pthread_cond_signal(&dialer->wanted);
    }
    (void)pthread_mutex_unlock(&dialer->mutex);
    return NULL;
}

/* With the mutex held. Signals are the loop's. */
static void start_thread(struct cv_dialer *dialer)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&dialer->threads[dialer->n_threads], NULL, work,
                       dialer) == 0) {
        dialer->n_threads++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Tells one that is finished, and frees it. */
static void tell(struct cv_dialer *dialer, struct cv_dial *d)
{
    struct cv_leg *leg = NULL;

    if (d->cancelled) {
        if (d->status == CV_OK) {
            drop_conn(&d->conn);
        }
    } else {
        if (d->status == CV_OK) {
            leg = cv_leg_new(dialer->base, d->conn.fd, d->conn.ssl);
        }
        if (d->status == CV_OK && leg == NULL) {
            (void)cv_fail(&d->err, CV_INTERNAL, "memory is gone");
        }
        d->done(d->ctx, leg, d->conn.h2, &d->err);
    }
    free_dial(d);
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    struct cv_dialer *dialer = arg;
    struct cv_dial *d;
    uint64_t count;

    (void)what;
    (void)!read(fd, &count, sizeof(count));
    /* One at a time: `done` may cancel another that is finished too. */
    for (;;) {
        (void)pthread_mutex_lock(&dialer->mutex);
        d = dialer->finished.first;
        if (d != NULL) {
            take(&dialer->finished, d);
        }
        (void)pthread_mutex_unlock(&dialer->mutex);
        if (d == NULL) {
            return;
        }
        tell(dialer, d);
    }
}

enum cv_status cv_dial_begin(struct event_base *base, unsigned threads,
                             const struct cv_dial_how *how,
                             struct cv_dialer **out, struct cv_err *err)
{
    struct cv_dialer *dialer = calloc(1, sizeof(*dialer));

    *out = NULL;
    if (dialer == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    dialer->base = base;
    dialer->how = *how;
    dialer->max =
        threads < CV_LIMIT_DIAL_THREADS ? threads : CV_LIMIT_DIAL_THREADS;
    dialer->waiting.end = &dialer->waiting.first;
    dialer->running.end = &dialer->running.first;
    dialer->finished.end = &dialer->finished.first;
    (void)pthread_mutex_init(&dialer->mutex, NULL);
    (void)pthread_cond_init(&dialer->wanted, NULL);
    dialer->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (dialer->fd >= 0) {
        dialer->finished_in = event_new(base, dialer->fd, EV_READ | EV_PERSIST,
                                        on_finished, dialer);
    }
    if (dialer->finished_in == NULL ||
        event_add(dialer->finished_in, NULL) != 0) {
        cv_dial_end(dialer);
        return cv_fail(err, CV_INTERNAL, "memory or descriptors are gone");
    }
    *out = dialer;
    return CV_OK;
}

static void drop_list(struct list *l)
{
    while (l->first != NULL) {
        struct cv_dial *d = l->first;

        take(l, d);
        if (d->state == DONE && d->status == CV_OK) {
            drop_conn(&d->conn);
        }
        free_dial(d);
    }
}

void cv_dial_end(struct cv_dialer *dialer)
{
    if (dialer == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&dialer->mutex);
    dialer->ending = true;
    for (struct cv_dial *d = dialer->running.first; d != NULL; d = d->next) {
        signal_fd(d->cancel_fd);
    }
    (void)pthread_cond_broadcast(&dialer->wanted);
    (void)pthread_mutex_unlock(&dialer->mutex);
    for (unsigned i = 0; i < dialer->n_threads; i++) {
        (void)pthread_join(dialer->threads[i], NULL);
    }
    drop_list(&dialer->waiting);
    drop_list(&dialer->finished);
    if (dialer->finished_in != NULL) {
        event_free(dialer->finished_in);
    }
    if (dialer->fd >= 0) {
        (void)close(dialer->fd);
    }
    (void)pthread_cond_destroy(&dialer->wanted);
    (void)pthread_mutex_destroy(&dialer->mutex);
    free(dialer);
}

/* With the mutex held: a thread will take it, or it is finished already. */
static void enqueue(struct cv_dialer *dialer, struct cv_dial *d)
{
    if (dialer->waiting.n >= CV_LIMIT_DIALS) {
        d->status = cv_fail(&d->err, CV_BUSY,
                            "too many connections to servers are being made");
        finish(dialer, d);
        return;
    }
    if (dialer->idle <= dialer->waiting.n && dialer->n_threads < dialer->max) {
        start_thread(dialer);
    }
    if (dialer->n_threads == 0) {
        d->status = cv_fail(&d->err, CV_INTERNAL, "no thread can be started");
        finish(dialer, d);
        return;
    }
    append(&dialer->waiting, d);
    (void)pthread_cond_signal(&dialer->wanted);
}

struct cv_dial *cv_dial(struct cv_dialer *dialer, struct cv_grant *grant,
                        unsigned flags, cv_dial_done *done, void *ctx)
{
    struct cv_dial *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return NULL;
    }
    d->dialer = dialer;
    d->grant = cv_grant_ref(grant);
    d->flags = flags;
    d->done = done;
    d->ctx = ctx;
    d->cancel_fd = -1;
    d->conn.fd = -1;
    cv_err_init(&d->err);
    (void)pthread_mutex_lock(&dialer->mutex);
    enqueue(dialer, d);
    (void)pthread_mutex_unlock(&dialer->mutex);
    return d;
}

void cv_dial_cancel(struct cv_dial *dial)
{
    struct cv_dialer *dialer = dial->dialer;
    bool waits;

    (void)pthread_mutex_lock(&dialer->mutex);
    waits = dial->state == WAITS;
    dial->cancelled = true;
    if (waits) {
        take(&dialer->waiting, dial);
    } else if (dial->state == RUNS) {
        signal_fd(dial->cancel_fd);
    }
    (void)pthread_mutex_unlock(&dialer->mutex);
    if (waits) {
        free_dial(dial);
    }
}
