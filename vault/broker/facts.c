#include "vault/broker/facts.h"

#include "vault/base/clock.h"
#include "vault/broker/approval.h"
#include "vault/broker/sshsig.h"
#include "vault/broker/tally.h"

#include <stdlib.h>
#include <string.h>

/* Answers about limits that are kept, so that one request gets the same all the
 * way through. */
#define KNOWN 64

struct known {
    const char *rule; /* the policy's */
    int64_t per_s, free_in_s;
    uint64_t count, used;
};

struct cv_facts {
    const struct cv_broker *broker;
    uid_t uid;
    char request[CV_FACTS_REQUEST_LEN];
    struct cv_decide_approval approvals[CV_LIMIT_APPROVALS];
    size_t n_approvals;
    gid_t *gids; /* of all of them */
    struct cv_decide_counts counts;
    struct known known[KNOWN];
    size_t n_known;
};

void cv_facts_free(struct cv_facts *facts)
{
    if (facts != NULL) {
        free(facts->gids);
        free(facts);
    }
}

const char *cv_facts_request(const struct cv_facts *facts)
{
    static const char none[CV_FACTS_REQUEST_LEN];

    return facts != NULL ? facts->request : none;
}

/* Limits */

static bool used(void *context, const char *rule, int64_t per_s, uint64_t count,
                 uint64_t *out, int64_t *free_in_s)
{
    struct cv_facts *f = context;
    struct known k = {.rule = rule, .per_s = per_s, .count = count};

    for (size_t i = 0; i < f->n_known; i++) {
        const struct known *there = &f->known[i];

        if (there->rule == rule && there->per_s == per_s &&
            there->count == count) {
            *out = there->used;
            *free_in_s = there->free_in_s;
            return true;
        }
    }
    if (f->broker->tally == NULL ||
        !cv_tally_used(f->broker->tally, f->uid, rule, per_s, count, &k.used,
                       &k.free_in_s)) {
        return false;
    }
    if (f->n_known < KNOWN) {
        f->known[f->n_known++] = k;
    }
    *out = k.used;
    *free_in_s = k.free_in_s;
    return true;
}

static bool sessions(void *context, const char *rule, uint64_t *live)
{
    const struct cv_facts *f = context;
    const struct cv_grant_table *t = &f->broker->grants;
    int64_t now = cv_clock_boot_ms();

    *live = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct cv_grant *g = t->all[i];

        if (g->counted && g->who.peer.uid == f->uid &&
            strcmp(g->rule, rule) == 0 && !cv_grant_is_over(g, now)) {
            ++*live;
        }
    }
    return true;
}

static enum cv_status count(struct cv_broker *b, struct cv_facts *f,
                            unsigned uses, struct cv_decide_request *rq,
                            struct cv_err *err)
{
    enum cv_status s = CV_OK;

    f->counts.context = f;
    f->counts.sessions = sessions;
    rq->counts = &f->counts;
    if ((uses & CV_POLICY_USES_LIMITS) == 0) {
        return CV_OK;
    }
    f->counts.used = used;
    if (b->tally == NULL) {
        b->tally = cv_tally_new();
    }
    if (b->tally == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_tally_catch_up(b->tally, b->vault->dir,
                          cv_policy_longest_per_s(b->policy), err);
    if (s != CV_OK) {
        cv_err_prefix(err, "cannot count what was permitted before");
    }
    return s;
}

/* Approvals */

static int n_groups(const cJSON *approvals)
{
    const cJSON *item;
    int n = 0;

    cJSON_ArrayForEach(item, approvals)
    {
        n += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(item, "gids"));
    }
    return n;
}

static bool is_number(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valuedouble >= 0 &&
           item->valuedouble < (double)UINT32_MAX;
}

/* Is the key that it was signed with still its user's, by the policy of now? */
static bool has_key(const struct cv_policy *policy, uid_t uid,
                    const cJSON *approval)
{
    const struct cv_policy_key *keys;
    const char *signer =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(approval, "key"));
    char print[CV_SSHSIG_FINGERPRINT];
    size_t n = cv_policy_keys(policy, uid, &keys);

    for (size_t i = 0; i < n && signer != NULL; i++) {
        cv_sshsig_fingerprint(&keys[i], print);
        if (strcmp(print, signer) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status take(struct cv_facts *f, const struct cv_policy *policy,
                           const cJSON *approvals, struct cv_err *err)
{
    const cJSON *item, *gid;
    gid_t *next;

    f->gids = calloc((size_t)n_groups(approvals) + 1, sizeof(*f->gids));
    if (f->gids == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    next = f->gids;
    cJSON_ArrayForEach(item, approvals)
    {
        const cJSON *uid = cJSON_GetObjectItemCaseSensitive(item, "uid");
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(item, "gid");
        struct cv_decide_approval *a;

        if (f->n_approvals == CV_LIMIT_APPROVALS || !is_number(uid) ||
            !is_number(own)) {
            return cv_fail(err, CV_INTEGRITY, "an approval is none");
        }
        a = &f->approvals[f->n_approvals++];
        a->uid = (uid_t)uid->valuedouble;
        a->gid = (gid_t)own->valuedouble;
        a->gids = next;
        a->is_signed =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "signed")) &&
            has_key(policy, a->uid, item);
        cJSON_ArrayForEach(gid, cJSON_GetObjectItemCaseSensitive(item, "gids"))
        {
            if (!is_number(gid)) {
                return cv_fail(err, CV_INTEGRITY, "an approval is none");
            }
            *next++ = (gid_t)gid->valuedouble;
            a->n_gids++;
        }
    }
    return CV_OK;
}

static enum cv_status approve(const struct cv_ask *ask, struct cv_facts *f,
                              struct cv_decide_request *rq, struct cv_err *err)
{
    struct cv_store_request *row = NULL;
    cJSON *doc = NULL;
    enum cv_status s = cv_approval_of(ask, &row, &doc, err);

    if (s == CV_OK && row != NULL) {
        s = take(f, ask->broker->policy,
                 cJSON_GetObjectItemCaseSensitive(doc, "approvals"), err);
    }
    if (s == CV_OK && row != NULL) {
        memcpy(f->request, row->id, sizeof(f->request));
        rq->approvals = f->approvals;
        rq->n_approvals = f->n_approvals;
    }
    cv_store_request_free(row);
    cJSON_Delete(doc);
    return s;
}

enum cv_status cv_facts_gather(const struct cv_ask *ask,
                               struct cv_decide_request *rq,
                               struct cv_facts **out, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    unsigned uses = cv_policy_uses(b->policy);
    struct cv_facts *f;
    enum cv_status s = CV_OK;

    *out = NULL;
    if (uses == 0) {
        return CV_OK;
    }
    f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    f->broker = b;
    f->uid = ask->caller->peer.uid;
    if ((uses & (CV_POLICY_USES_LIMITS | CV_POLICY_USES_SESSIONS)) != 0) {
        s = count(b, f, uses, rq, err);
    }
    /* Outside the service nobody else could be asked. */
    if (s == CV_OK && (uses & CV_POLICY_USES_APPROVALS) != 0 &&
        b->options->mode == CV_BROKER_SERVICE && ask->held_rule[0] == '\0') {
        s = approve(ask, f, rq, err);
    }
    if (s != CV_OK) {
        cv_facts_free(f);
        return s;
    }
    *out = f;
    return CV_OK;
}

enum cv_status cv_facts_of(struct cv_broker *b, uid_t uid,
                           struct cv_facts **out,
                           const struct cv_decide_counts **counts,
                           struct cv_err *err)
{
    const unsigned uses = cv_policy_uses(b->policy);
    struct cv_decide_request rq = {0};
    struct cv_facts *f;
    enum cv_status s;

    *out = NULL;
    *counts = NULL;
    if ((uses & (CV_POLICY_USES_LIMITS | CV_POLICY_USES_SESSIONS)) == 0) {
        return CV_OK;
    }
    f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    f->broker = b;
    f->uid = uid;
    s = count(b, f, uses, &rq, err);
    if (s != CV_OK) {
        cv_facts_free(f);
        return s;
    }
    *out = f;
    *counts = rq.counts;
    return CV_OK;
}
