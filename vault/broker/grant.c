#include "vault/broker/grant.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
    [CV_GRANT_EXEC] = "exec",
    [CV_GRANT_PROXY] = "proxy",
    [CV_GRANT_CREDENTIAL] = "credential",
};

const char *cv_grant_kind_name(enum cv_grant_kind kind)
{
    return kinds[kind];
}

bool cv_grant_kind_read(const char *word, enum cv_grant_kind *out)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(word, kinds[i]) == 0) {
            *out = (enum cv_grant_kind)i;
            return true;
        }
    }
    return false;
}

/* Nobody has so many that others get none. */
static enum cv_status check_room(const struct cv_grant_table *t, uid_t uid,
                                 struct cv_err *err)
{
    size_t own = 0;

    if (t->n == CV_LIMIT_GRANTS) {
        return cv_fail(err, CV_BUSY, "%d grants live already", CV_LIMIT_GRANTS);
    }
    if (t->n < CV_LIMIT_GRANTS - CV_LIMIT_GRANTS_KEPT) {
        return CV_OK;
    }
    for (size_t i = 0; i < t->n; i++) {
        own += t->all[i]->who.peer.uid == uid;
    }
    if (own < CV_LIMIT_GRANTS_FEW) {
        return CV_OK;
    }
    (void)cv_fail(err, CV_BUSY,
                  "%zu grants live, %zu of them yours, and the last %d are for "
                  "others",
                  t->n, own, CV_LIMIT_GRANTS_KEPT);
    cv_err_hint(err, "end some: certvault grants list, grants revoke ID");
    return CV_BUSY;
}

enum cv_status cv_grant_new(struct cv_grant_table *t, uid_t uid,
                            struct cv_grant **out, struct cv_err *err)
{
    uint8_t id[(CV_GRANT_ID_LEN - 1) / 2];
    struct cv_grant *g;
    enum cv_status s = check_room(t, uid, err);

    *out = NULL;
    if (s != CV_OK) {
        return s;
    }
    g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    randombytes_buf(id, sizeof(id));
    (void)sodium_bin2hex(g->id, sizeof(g->id), id, sizeof(id));
    g->who.peer.uid = uid;
    t->all[t->n++] = g;
    *out = g;
    return CV_OK;
}

void cv_grant_name(struct cv_grant *g, const struct cv_caller *caller)
{
    g->who = *caller;
    g->who.channel = NULL;
    g->who.prompt = NULL;
    g->who.reading = NULL;
    g->who.grants = 0;
}

void cv_grant_hold(struct cv_grant *g, struct cv_caller *holder)
{
    g->holder = holder;
    holder->grants++;
}

void cv_grant_drop(struct cv_grant_table *t, struct cv_grant *g)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->all[i] == g) {
            t->all[i] = t->all[--t->n];
            break;
        }
    }
    if (g->holder != NULL) {
        g->holder->grants--;
    }
    cJSON_Delete(g->order);
    cJSON_Delete(g->subject);
    free(g);
}

void cv_grant_drop_all(struct cv_grant_table *t)
{
    while (t->n > 0) {
        cv_grant_drop(t, t->all[t->n - 1]);
    }
}

bool cv_grant_is_over(const struct cv_grant *g, int64_t now_ms)
{
    return now_ms >= g->ends_ms;
}

struct cv_grant *cv_grant_find(const struct cv_grant_table *t, const char *id,
                               int64_t now_ms)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->all[i]->id, id) == 0) {
            return cv_grant_is_over(t->all[i], now_ms) ? NULL : t->all[i];
        }
    }
    return NULL;
}

struct cv_grant *cv_grant_find_credential(const struct cv_grant_table *t,
                                          uid_t uid, const char *entry_id,
                                          const char *context, int64_t now_ms)
{
    struct cv_grant *best = NULL;

    for (size_t i = 0; i < t->n; i++) {
        struct cv_grant *g = t->all[i];

        if (g->kind == CV_GRANT_CREDENTIAL && g->who.peer.uid == uid &&
            strcmp(g->entry_id, entry_id) == 0 &&
            strcmp(g->context, context) == 0 && !cv_grant_is_over(g, now_ms) &&
            (best == NULL || g->ends_ms > best->ends_ms)) {
            best = g;
        }
    }
    return best;
}
