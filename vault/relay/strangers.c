#include "vault/relay/strangers.h"

#include "vault/base/limits.h"

#include <stdlib.h>

#define TOGETHER_MS 60000

struct user {
    bool known;
    uid_t uid;
    unsigned count; /* not told yet */
    const char *why;
    int64_t told_ms;
};

struct cv_strangers {
    void (*tell)(void *ctx, const uid_t *uid, unsigned count, const char *why);
    void *ctx;
    /* [0] is who is not known */
    struct user users[CV_LIMIT_RELAY_STRANGERS + 1];
    size_t n;
};

struct cv_strangers *cv_strangers_new(void (*tell)(void *ctx, const uid_t *uid,
                                                   unsigned count,
                                                   const char *why),
                                      void *ctx)
{
    struct cv_strangers *s = calloc(1, sizeof(*s));

    if (s != NULL) {
        s->tell = tell;
        s->ctx = ctx;
        s->users[0].told_ms = INT64_MIN;
        s->n = 1;
    }
    return s;
}

void cv_strangers_free(struct cv_strangers *s)
{
    free(s);
}

static struct user *place(struct cv_strangers *s, const uid_t *uid)
{
    struct user *u;

    if (uid == NULL) {
        return &s->users[0];
    }
    for (size_t i = 1; i < s->n; i++) {
        if (s->users[i].uid == *uid) {
            return &s->users[i];
        }
    }
    if (s->n == CV_LIMIT_RELAY_STRANGERS + 1) {
        return &s->users[0];
    }
    u = &s->users[s->n++];
    u->known = true;
    u->uid = *uid;
    u->told_ms = INT64_MIN;
    return u;
}

static void tell(struct cv_strangers *s, struct user *u, int64_t boot_ms)
{
    if (u->count > 0 &&
        (u->told_ms == INT64_MIN || boot_ms - u->told_ms >= TOGETHER_MS)) {
        s->tell(s->ctx, u->known ? &u->uid : NULL, u->count, u->why);
        u->count = 0;
        u->told_ms = boot_ms;
    }
}

void cv_strangers_add(struct cv_strangers *s, const uid_t *uid, const char *why,
                      int64_t boot_ms)
{
    struct user *u = place(s, uid);

    u->count++;
    u->why = why;
    tell(s, u, boot_ms);
}

void cv_strangers_tick(struct cv_strangers *s, int64_t boot_ms)
{
    for (size_t i = 0; i < s->n; i++) {
        tell(s, &s->users[i], boot_ms);
    }
}
