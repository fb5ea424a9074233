#include "vault/relay/session_internal.h"

#include <stdlib.h>
#include <string.h>

/* Runs what was put off, and what that puts off. */
static void run_turns(struct cv_session_world *w)
{
    while (w->turns != NULL) {
        struct cv_turn *turn = w->turns;

        w->turns = turn->next;
        if (w->turns == NULL) {
            w->turns_end = &w->turns;
        }
        turn->queued = false;
        turn->run(turn->ctx);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    run_turns(ctx);
}

void cv_session_turn(struct cv_session_world *w, struct cv_turn *turn)
{
    if (turn->queued) {
        return;
    }
    turn->queued = true;
    turn->next = NULL;
    if (w->turns == NULL) {
        event_active(w->turn, EV_TIMEOUT, 0);
    }
    *w->turns_end = turn;
    w->turns_end = &turn->next;
}

void cv_session_unturn(struct cv_session_world *w, struct cv_turn *turn)
{
    struct cv_turn **at = &w->turns;

    if (!turn->queued) {
        return;
    }
    while (*at != turn) {
        at = &(*at)->next;
    }
    *at = turn->next;
    if (w->turns_end == &turn->next) {
        w->turns_end = at;
    }
    turn->queued = false;
}

struct cv_buf *cv_session_scratch(struct cv_session_world *w)
{
    /* Nothing in it is secret: it need not be wiped. */
    w->scratch.len = 0;
    w->scratch.status = CV_OK;
    return &w->scratch;
}

enum cv_status cv_session_world_new(const struct cv_session_config *config,
                                    struct cv_session_world **out,
                                    struct cv_err *err)
{
    struct cv_session_world *w = calloc(1, sizeof(*w));

    *out = NULL;
    if (w == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    w->config = *config;
    w->next_audit = config->before;
    w->turns_end = &w->turns;
    cv_buf_init(&w->scratch, NULL, CV_LIMIT_RELAY_HEAD * 2);
    w->turn = event_new(config->base, -1, 0, on_turn, w);
    if (w->turn == NULL) {
        free(w);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *out = w;
    return CV_OK;
}

void cv_session_world_tune(struct cv_session_world *w,
                           const struct cv_session_config *config)
{
    w->config.port = config->port;
    w->config.idle_s = config->idle_s;
    w->config.pool = config->pool;
}

void cv_session_world_free(struct cv_session_world *w)
{
    if (w == NULL) {
        return;
    }
    w->ending = true;
    while (w->sessions != NULL) {
        w->sessions->ops->free(w->sessions);
        run_turns(w);
    }
    while (w->pools != NULL) {
        struct cv_pool *pool = w->pools;

        cv_pool_use(pool);
        cv_pool_close(pool);
        run_turns(w);
        cv_pool_leave(pool);
    }
    event_free(w->turn);
    cv_buf_wipe(&w->scratch);
    free(w);
}

void cv_session_join(struct cv_session *session, struct cv_pool *pool)
{
    struct cv_session_world *w = session->world;

    session->pool = pool;
    cv_pool_use(pool);
    session->prev = NULL;
    session->next = w->sessions;
    if (session->next != NULL) {
        session->next->prev = session;
    }
    w->sessions = session;
    w->n_sessions++;
}

void cv_session_leave(struct cv_session *session)
{
    struct cv_session_world *w = session->world;

    if (session->prev != NULL) {
        session->prev->next = session->next;
    } else {
        w->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->prev = session->prev;
    }
    w->n_sessions--;
    cv_session_unturn(w, &session->turn);
    cv_leg_free(session->leg);
    session->leg = NULL;
    cv_pool_leave(session->pool);
    session->pool = NULL;
}

static enum cv_status begin(struct cv_session_world *w, struct cv_leg *leg,
                            bool h2, struct cv_pool *pool, struct cv_err *err)
{
    struct cv_session *session = NULL;

    if (pool != NULL) {
        cv_pool_use(pool);
        session =
            h2 ? cv_front_h2_new(w, leg, pool) : cv_front_h1_new(w, leg, pool);
        cv_pool_leave(pool);
    }
    if (session == NULL) {
        cv_leg_free(leg);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return CV_OK;
}

enum cv_status cv_session_new(struct cv_session_world *w, struct cv_leg *leg,
                              bool h2, struct cv_grant *grant,
                              struct cv_err *err)
{
    return begin(w, leg, h2, cv_pool_get(w, grant), err);
}

enum cv_status cv_session_new_ended(struct cv_session_world *w,
                                    struct cv_leg *leg, bool h2,
                                    unsigned status, const char *why,
                                    const char *hint, struct cv_err *err)
{
    return begin(w, leg, h2, cv_pool_new_ended(w, (int)status, why, hint), err);
}

void cv_session_replace_grant(struct cv_session_world *w,
                              struct cv_grant *grant)
{
    struct cv_pool *pool = cv_pool_find(w, grant->id);

    if (pool != NULL && pool->grant != grant) {
        cv_grant_unref(pool->grant);
        pool->grant = cv_grant_ref(grant);
        cv_pool_retire(pool);
    }
}

/* Refuses or cuts what is under way; the session is told to end. */
static void end_session(struct cv_session *session, const char *why,
                        const char *hint)
{
    struct cv_stream *s = session->streams;

    while (s != NULL) {
        struct cv_stream *next = s->next;

        /* What was answered whole, and only waits for the client to take it,
         * is let be: the session ends soon all the same. */
        if (s->back != NULL || !s->answer.ended) {
            cv_stream_refuse(s, 403, why, hint);
        }
        s = next;
    }
    session->ops->end(session);
}

void cv_session_end_grant(struct cv_session_world *w, const char *id,
                          const char *why, const char *hint)
{
    struct cv_pool *pool = cv_pool_find(w, id);
    struct cv_session *session = w->sessions;

    if (pool == NULL) {
        return;
    }
    cv_pool_use(pool);
    cv_pool_end(pool, 403, why, hint);
    while (session != NULL) {
        struct cv_session *next = session->next;

        if (session->pool == pool) {
            end_session(session, pool->why, pool->hint);
        }
        session = next;
    }
    cv_pool_close(pool);
    cv_pool_leave(pool);
}

struct cv_session_counts
cv_session_world_counts(const struct cv_session_world *w)
{
    struct cv_session_counts counts = {
        .clients = w->n_sessions,
        .streams = w->n_streams + w->n_splices,
        .upstreams = w->n_backs + w->n_splices,
        .requests = w->n_requests,
    };

    return counts;
}
