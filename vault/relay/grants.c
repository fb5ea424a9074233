#include "vault/relay/grants.h"

#include "vault/base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TELL_MS 60000

struct item {
    char id[CV_GRANT_ID_LEN + 1];
    struct cv_grant *grant; /* NULL: ended */
    struct cv_upstream *up; /* likewise */
    uid_t uid;
    char *why, *hint;
    int64_t ended_ms;
    int64_t told_ms; /* 0: never */
};

struct cv_grants {
    pthread_mutex_t mutex; /* whoever changes, and other threads that look */
    struct item *all;
    size_t n, size;
};

struct cv_grants *cv_grants_new(void)
{
    struct cv_grants *g = calloc(1, sizeof(*g));

    if (g != NULL) {
        (void)pthread_mutex_init(&g->mutex, NULL);
    }
    return g;
}

static void empty(struct item *it)
{
    cv_upstream_unref(it->up);
    cv_grant_unref(it->grant);
    free(it->why);
    free(it->hint);
    it->up = NULL;
    it->grant = NULL;
    it->why = it->hint = NULL;
}

void cv_grants_free(struct cv_grants *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t i = 0; i < g->n; i++) {
        empty(&g->all[i]);
    }
    free(g->all);
    (void)pthread_mutex_destroy(&g->mutex);
    free(g);
}

static struct item *find(const struct cv_grants *g, const char *id)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->all[i].id, id) == 0) {
            return &g->all[i];
        }
    }
    return NULL;
}

/* The place of one that ended first, to be used anew; NULL: all live. */
static struct item *oldest_ended(const struct cv_grants *g)
{
    struct item *oldest = NULL;

    for (size_t i = 0; i < g->n; i++) {
        struct item *it = &g->all[i];

        if (it->grant == NULL &&
            (oldest == NULL || it->ended_ms < oldest->ended_ms)) {
            oldest = it;
        }
    }
    return oldest;
}

/* With the mutex held: an empty place. */
static struct item *place(struct cv_grants *g, const char *id)
{
    struct item *it = find(g, id);

    if (it == NULL && g->n == CV_LIMIT_RELAY_GRANTS) {
        it = oldest_ended(g);
    } else if (it == NULL && g->n == g->size) {
        size_t size = g->size == 0 ? 16 : g->size * 2;
        struct item *all = realloc(g->all, size * sizeof(*all));

        if (all != NULL) {
            g->all = all;
            g->size = size;
            it = &all[g->n++];
            memset(it, 0, sizeof(*it));
        }
    } else if (it == NULL) {
        it = &g->all[g->n++];
        memset(it, 0, sizeof(*it));
    }
    if (it != NULL) {
        empty(it);
    }
    return it;
}

enum cv_status cv_grants_add(struct cv_grants *g, struct cv_grant *grant,
                             struct cv_upstream *up, struct cv_err *err)
{
    struct item *it;

    (void)pthread_mutex_lock(&g->mutex);
    it = place(g, grant->id);
    if (it != NULL) {
        memcpy(it->id, grant->id, sizeof(it->id));
        it->grant = cv_grant_ref(grant);
        it->up = cv_upstream_ref(up);
        it->uid = grant->uid;
        it->told_ms = 0;
    }
    (void)pthread_mutex_unlock(&g->mutex);
    if (it == NULL) {
        return cv_fail(err, CV_BUSY, "the relay holds %d grants already",
                       CV_LIMIT_RELAY_GRANTS);
    }
    return CV_OK;
}

bool cv_grants_find(const struct cv_grants *g, const char *id,
                    struct cv_grants_item *out)
{
    const struct item *it = find(g, id);

    if (it == NULL) {
        return false;
    }
    *out = (struct cv_grants_item){it->grant, it->uid, it->why, it->hint};
    return true;
}

bool cv_grants_has(const struct cv_grants *g, const char *id)
{
    const struct item *it = find(g, id);

    return it != NULL && it->grant != NULL;
}

bool cv_grants_knows(const struct cv_grants *g, uid_t uid)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->all[i].uid == uid) {
            return true;
        }
    }
    return false;
}

bool cv_grants_end(struct cv_grants *g, const char *id, const char *why,
                   const char *hint)
{
    struct item *it = find(g, id);

    if (it == NULL || it->grant == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&g->mutex);
    empty(it);
    it->why = strdup(why);
    it->hint = hint != NULL ? strdup(hint) : NULL;
    it->ended_ms = cv_clock_boot_ms();
    (void)pthread_mutex_unlock(&g->mutex);
    return true;
}

static void forget(struct cv_grants *g, int64_t boot_ms)
{
    size_t i = 0;

    while (i < g->n) {
        struct item *it = &g->all[i];

        if (it->grant == NULL &&
            boot_ms - it->ended_ms > CV_LIMIT_RELAY_ENDED_S * INT64_C(1000)) {
            (void)pthread_mutex_lock(&g->mutex);
            empty(it);
            *it = g->all[--g->n];
            (void)pthread_mutex_unlock(&g->mutex);
        } else {
            i++;
        }
    }
}

bool cv_grants_over(struct cv_grants *g, int64_t boot_ms,
                    char id[CV_GRANT_ID_LEN + 1])
{
    forget(g, boot_ms);
    for (size_t i = 0; i < g->n; i++) {
        const struct item *it = &g->all[i];

        if (it->grant != NULL && it->grant->ends_ms <= boot_ms) {
            memcpy(id, it->id, CV_GRANT_ID_LEN + 1);
            return true;
        }
    }
    return false;
}

size_t cv_grants_count(const struct cv_grants *g)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++) {
        n += g->all[i].grant != NULL;
    }
    return n;
}

struct cv_upstream *cv_grants_upstream(struct cv_grants *g, const char *id)
{
    struct cv_upstream *up = NULL;
    const struct item *it;

    (void)pthread_mutex_lock(&g->mutex);
    it = find(g, id);
    if (it != NULL && it->up != NULL) {
        up = cv_upstream_ref(it->up);
    }
    (void)pthread_mutex_unlock(&g->mutex);
    return up;
}

bool cv_grants_may_tell(struct cv_grants *g, const char *id)
{
    int64_t now = cv_clock_boot_ms();
    struct item *it;
    bool may;

    (void)pthread_mutex_lock(&g->mutex);
    it = find(g, id);
    may = it != NULL && it->grant != NULL &&
          (it->told_ms == 0 || now - it->told_ms >= TELL_MS);
    if (may) {
        it->told_ms = now;
    }
    (void)pthread_mutex_unlock(&g->mutex);
    return may;
}
