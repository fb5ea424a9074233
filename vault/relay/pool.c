/* The connections to one grant's server, and who waits for one. */
#include "vault/relay/session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Connections that are made at the same time for one grant. */
#define MOST_DIALS 8

/* One connection that is being made. */
struct cv_pool_dial {
    struct cv_pool *pool;
    struct cv_pool_dial *next;
    struct cv_pool_dial *prev;
    struct cv_dial *ticket;
    struct cv_stream *stream; /* the one it is for; NULL: whoever waits */
    struct cv_grant *grant;   /* as it was then */
};

static void serve(struct cv_pool *pool);

/* ---- pools ---- */

struct cv_pool *cv_pool_find(const struct cv_session_world *w, const char *id)
{
    struct cv_pool *pool = w->pools;

    while (pool != NULL &&
           (pool->ended_status != 0 || strcmp(pool->grant->id, id) != 0)) {
        pool = pool->next;
    }
    return pool;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx);

static struct cv_pool *make(struct cv_session_world *w)
{
    struct cv_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL) {
        return NULL;
    }
    pool->timer = event_new(w->config.base, -1, 0, on_timer, pool);
    if (pool->timer == NULL) {
        free(pool);
        return NULL;
    }
    pool->world = w;
    pool->waiting_end = &pool->waiting;
    pool->next = w->pools;
    if (pool->next != NULL) {
        pool->next->prev = pool;
    }
    w->pools = pool;
    return pool;
}

struct cv_pool *cv_pool_get(struct cv_session_world *w, struct cv_grant *grant)
{
    struct cv_pool *pool = cv_pool_find(w, grant->id);

    if (pool == NULL) {
        pool = make(w);
        if (pool != NULL) {
            pool->grant = cv_grant_ref(grant);
        }
    }
    return pool;
}

struct cv_pool *cv_pool_new_ended(struct cv_session_world *w, int status,
                                  const char *why, const char *hint)
{
    struct cv_pool *pool = make(w);

    if (pool != NULL) {
        cv_pool_end(pool, status, why, hint);
    }
    return pool;
}

void cv_pool_end(struct cv_pool *pool, int status, const char *why,
                 const char *hint)
{
    pool->ended_status = status;
    (void)snprintf(pool->why, sizeof(pool->why), "%s", why);
    (void)snprintf(pool->hint, sizeof(pool->hint), "%s",
                   hint != NULL ? hint : "");
}

void cv_pool_use(struct cv_pool *pool)
{
    pool->n_users++;
}

/* Frees a pool that nobody uses and that has nothing. */
static void free_unused(struct cv_pool *pool)
{
    if (pool->n_users > 0 || pool->backs != NULL || pool->dials != NULL) {
        return;
    }
    if (pool->prev != NULL) {
        pool->prev->next = pool->next;
    } else {
        pool->world->pools = pool->next;
    }
    if (pool->next != NULL) {
        pool->next->prev = pool->prev;
    }
    event_free(pool->timer);
    cv_grant_unref(pool->grant);
    free(pool);
}

void cv_pool_leave(struct cv_pool *pool)
{
    pool->n_users--;
    free_unused(pool);
}

/* ---- who waits ---- */

static void enqueue(struct cv_pool *pool, struct cv_stream *s)
{
    s->waiting = true;
    s->wait_next = NULL;
    *pool->waiting_end = s;
    pool->waiting_end = &s->wait_next;
    pool->n_waiting++;
}

static void unqueue(struct cv_pool *pool, struct cv_stream *s)
{
    struct cv_stream **at = &pool->waiting;

    while (*at != s) {
        at = &(*at)->wait_next;
    }
    *at = s->wait_next;
    if (pool->waiting_end == &s->wait_next) {
        pool->waiting_end = at;
    }
    s->wait_next = NULL;
    s->waiting = false;
    pool->n_waiting--;
}

/* ---- dials ---- */

static void free_dial(struct cv_pool_dial *d)
{
    if (d->prev != NULL) {
        d->prev->next = d->next;
    } else {
        d->pool->dials = d->next;
    }
    if (d->next != NULL) {
        d->next->prev = d->prev;
    }
    if (d->stream != NULL) {
        d->stream->dial = NULL;
    } else {
        d->pool->n_dials--;
    }
    cv_grant_unref(d->grant);
    free(d);
}

static void cancel_dial(struct cv_pool_dial *d)
{
    cv_dial_cancel(d->ticket);
    free_dial(d);
}

static void refuse_waiting(struct cv_pool *pool, const struct cv_err *err)
{
    while (pool->waiting != NULL) {
        struct cv_stream *s = pool->waiting;

        unqueue(pool, s);
        cv_stream_unreachable(s, err);
    }
}

/* Makes a connection of ours of a leg; NULL: memory, the leg is freed. */
static struct cv_back *add_back(struct cv_pool *pool, struct cv_leg *leg,
                                bool h2)
{
    struct cv_back *back =
        h2 ? cv_back_h2_new(pool, leg) : cv_back_h1_new(pool, leg);

    if (back == NULL) {
        cv_leg_free(leg);
        return NULL;
    }
    back->prev = NULL;
    back->next = pool->backs;
    if (back->next != NULL) {
        back->next->prev = back;
    }
    pool->backs = back;
    pool->n_backs++;
    pool->world->n_backs++;
    return back;
}

/* There is no connection: whoever waited for this one is told. */
static void no_connection(struct cv_pool *pool, struct cv_stream *s,
                          const struct cv_err *err)
{
    if (s != NULL) {
        cv_stream_unreachable(s, err);
    } else if (pool->n_dials == 0) {
        refuse_waiting(pool, err);
    } else if (pool->waiting != NULL) {
        s = pool->waiting;
        unqueue(pool, s);
        cv_stream_unreachable(s, err);
    }
}

static void on_dialled(void *ctx, struct cv_leg *leg, bool h2,
                       const struct cv_err *err)
{
    struct cv_pool_dial *d = ctx;
    struct cv_pool *pool = d->pool;
    struct cv_stream *s = d->stream;
    bool old = d->grant != pool->grant;
    struct cv_back *back;
    struct cv_err gone;

    cv_pool_use(pool);
    free_dial(d);
    if (leg != NULL) {
        back = add_back(pool, leg, h2);
        if (back == NULL) {
            cv_err_init(&gone);
            (void)cv_fail(&gone, CV_INTERNAL, "out of memory");
            no_connection(pool, s, &gone);
        } else if (s != NULL && h2) {
            back->ops->free(back);
            cv_err_init(&gone);
            (void)cv_fail(&gone, CV_REMOTE,
                          "the server chose HTTP/2, which was not offered");
            no_connection(pool, s, &gone);
        } else if (old) {
            /* The grant was replaced meanwhile: this one is of no use. */
            back->ops->retire(back);
            if (s != NULL) {
                cv_pool_want(pool, s);
            }
        } else if (s != NULL) {
            cv_stream_connected(s, back);
        } else {
            pool->speaks = h2 ? CV_POOL_H2 : CV_POOL_H1;
            cv_pool_freed(pool, back);
        }
    } else {
        no_connection(pool, s, err);
    }
    serve(pool);
    cv_pool_leave(pool);
}

/* Begins to connect, for `s` alone or for whoever waits. */
static bool start_dial(struct cv_pool *pool, struct cv_stream *s,
                       unsigned flags)
{
    struct cv_pool_dial *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return false;
    }
    d->ticket =
        cv_dial(pool->world->config.dialer, pool->grant, flags, on_dialled, d);
    if (d->ticket == NULL) {
        free(d);
        return false;
    }
    d->pool = pool;
    d->grant = cv_grant_ref(pool->grant);
    d->stream = s;
    if (s != NULL) {
        s->dial = d;
    } else {
        pool->n_dials++;
    }
    d->next = pool->dials;
    if (d->next != NULL) {
        d->next->prev = d;
    }
    pool->dials = d;
    return true;
}

/* How many connections are to be under way for those who wait: one while it is
 * not known what the server speaks, and where it speaks HTTP/2 (most find room
 * on it); else one each. */
static size_t wanted_dials(const struct cv_pool *pool)
{
    size_t want = pool->n_waiting;

    if (pool->speaks != CV_POOL_H1 && want > 1) {
        want = 1;
    }
    if (want > MOST_DIALS) {
        want = MOST_DIALS;
    }
    if (pool->n_backs + want > CV_LIMIT_RELAY_UPSTREAMS) {
        want = pool->n_backs < CV_LIMIT_RELAY_UPSTREAMS
                   ? CV_LIMIT_RELAY_UPSTREAMS - pool->n_backs
                   : 0;
    }
    return want;
}

static struct cv_back *find_room(const struct cv_pool *pool)
{
    struct cv_back *back = pool->backs;

    while (back != NULL && (back->retiring || !back->ops->has_room(back))) {
        back = back->next;
    }
    return back;
}

/* Gives those who wait what there is, and sees to it that more comes. */
static void serve(struct cv_pool *pool)
{
    struct cv_back *back;

    while (pool->waiting != NULL && (back = find_room(pool)) != NULL) {
        struct cv_stream *s = pool->waiting;

        unqueue(pool, s);
        cv_stream_connected(s, back);
    }
    while (pool->ended_status == 0 && pool->n_dials < wanted_dials(pool)) {
        if (!start_dial(pool, NULL, 0)) {
            struct cv_err err;

            cv_err_init(&err);
            (void)cv_fail(&err, CV_INTERNAL, "out of memory");
            no_connection(pool, NULL, &err);
            return;
        }
    }
}

void cv_pool_want(struct cv_pool *pool, struct cv_stream *s)
{
    struct cv_back *back;

    if (s->upgrade.len > 0) {
        /* A connection of its own, with the protocol that can be upgraded. */
        if (!start_dial(pool, s, CV_DIAL_H1_ONLY)) {
            cv_stream_refuse(s, 503, "out of memory", NULL);
        }
        return;
    }
    back = pool->waiting == NULL ? find_room(pool) : NULL;
    if (back != NULL) {
        cv_stream_connected(s, back);
        return;
    }
    enqueue(pool, s);
    serve(pool);
}

void cv_pool_forget(struct cv_pool *pool, struct cv_stream *s)
{
    if (s->dial != NULL) {
        cancel_dial(s->dial);
    }
    if (s->waiting) {
        unqueue(pool, s);
    }
}

/* ---- connections ---- */

void cv_pool_attach(struct cv_back *back, struct cv_stream *s)
{
    if (back->idle_since_ms != 0) {
        back->idle_since_ms = 0;
        back->pool->n_idle--;
    }
    s->back = back;
    s->back_prev = NULL;
    s->back_next = back->streams;
    if (s->back_next != NULL) {
        s->back_next->back_prev = s;
    }
    back->streams = s;
    back->n_streams++;
}

void cv_pool_detach(struct cv_back *back, struct cv_stream *s)
{
    if (s->back_prev != NULL) {
        s->back_prev->back_next = s->back_next;
    } else {
        back->streams = s->back_next;
    }
    if (s->back_next != NULL) {
        s->back_next->back_prev = s->back_prev;
    }
    s->back = NULL;
    s->back_next = NULL;
    s->back_prev = NULL;
    back->n_streams--;
}

static void set_timer(struct cv_pool *pool)
{
    struct timeval time = {pool->world->config.idle_s, 0};

    if (!pool->timer_on && event_add(pool->timer, &time) == 0) {
        pool->timer_on = true;
    }
}

void cv_pool_freed(struct cv_pool *pool, struct cv_back *back)
{
    if (back->n_streams == 0 && back->idle_since_ms == 0) {
        back->idle_since_ms = cv_clock_boot_ms();
        pool->n_idle++;
    }
    serve(pool);
    if (back->idle_since_ms == 0 || back->retiring) {
        return;
    }
    if (pool->ended_status != 0 || pool->world->config.idle_s <= 0 ||
        pool->n_idle > pool->world->config.pool) {
        back->ops->retire(back);
    } else {
        set_timer(pool);
    }
}

/* Retires what has been idle for long enough; comes again for the rest. */
static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct cv_pool *pool = ctx;
    int64_t idle_ms = (int64_t)pool->world->config.idle_s * 1000;
    int64_t now = cv_clock_boot_ms();
    int64_t next = 0;

    (void)fd;
    (void)what;
    pool->timer_on = false;
    for (struct cv_back *back = pool->backs; back != NULL; back = back->next) {
        int64_t left = back->idle_since_ms + idle_ms - now;

        if (back->idle_since_ms == 0 || back->retiring) {
            continue;
        }
        if (left <= 0) {
            back->ops->retire(back);
        } else if (next == 0 || left < next) {
            next = left;
        }
    }
    if (next > 0) {
        struct timeval time = {next / 1000, (next % 1000) * 1000};

        pool->timer_on = event_add(pool->timer, &time) == 0;
    }
}

void cv_pool_lost(struct cv_pool *pool, struct cv_back *back)
{
    if (back->idle_since_ms != 0) {
        pool->n_idle--;
    }
    if (back->prev != NULL) {
        back->prev->next = back->next;
    } else {
        pool->backs = back->next;
    }
    if (back->next != NULL) {
        back->next->prev = back->prev;
    }
    pool->n_backs--;
    pool->world->n_backs--;
    cv_session_unturn(pool->world, &back->turn);
    cv_pool_use(pool);
    serve(pool);
    cv_pool_leave(pool);
}

void cv_pool_retire(struct cv_pool *pool)
{
    for (struct cv_back *back = pool->backs; back != NULL; back = back->next) {
        back->ops->retire(back);
    }
    pool->speaks = CV_POOL_UNKNOWN;
}

void cv_pool_distrust(struct cv_pool *pool)
{
    for (struct cv_back *back = pool->backs; back != NULL; back = back->next) {
        if (back->n_streams == 0 && back->used) {
            back->ops->retire(back);
        }
    }
}

void cv_pool_close(struct cv_pool *pool)
{
    struct cv_pool_dial *d = pool->dials;

    while (d != NULL) {
        struct cv_pool_dial *next = d->next;

        cancel_dial(d);
        d = next;
    }
    for (struct cv_back *back = pool->backs; back != NULL; back = back->next) {
        back->ops->free(back);
    }
}
