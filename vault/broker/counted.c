#include "vault/broker/counted.h"

#include "vault/base/manager.h"
#include "vault/broker/facts.h"
#include "vault/broker/meanwhile.h"
#include "vault/broker/policies_internal.h"
#include "vault/broker/tally.h"

#include <stdlib.h>
#include <string.h>

struct cv_counted {
    struct cv_broker *b;
    const char *user;
    int64_t asked_uid, seq;
    bool unknown;
    const struct cv_policy *policy; /* that is asked */
    struct cv_decide_counts counts;
    bool tried;
    bool nobody;            /* this host has no such user: nothing was used */
    struct cv_facts *facts; /* of now; may be NULL, */
    const struct cv_decide_counts *now; /* and so may these */
    bool wants;                         /* the log before the record, */
    int64_t back_s;                     /* so far back */
    bool read;                          /* that was done */
    struct cv_tally *then;              /* what it had; may be NULL */
    uid_t uid;
    enum cv_status status; /* of finding out */
    struct cv_err err;
};

/* Whom the host knows as `name`. */
static enum cv_status look_up(struct cv_broker *b, const char *name,
                              int64_t *uid, struct cv_err *err)
{
    cJSON *users = cJSON_CreateArray(), *none = cJSON_CreateArray();
    struct cv_message reply = {0};
    const cJSON *found;
    enum cv_status s = CV_INTERNAL;

    (void)cJSON_AddItemToArray(users, cJSON_CreateString(name));
    if (cJSON_GetArraySize(users) == 1 && none != NULL) {
        s = cv_helper_open(&b->names, err);
    }
    if (s == CV_OK) {
        s = cv_names_resolve(b->names.channel, users, none, none, &reply, err);
    }
    cv_helper_stop(&b->names);
    found = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(reply.tree, "users"), name);
    *uid = cJSON_IsNumber(found) ? (int64_t)found->valuedouble : -1;
    cv_message_free(&reply);
    cJSON_Delete(users);
    cJSON_Delete(none);
    return s;
}

/* Who is asked about, by number; -1: nobody here. CV_BUSY, CV_UNAVAILABLE: the
 * host does not say. */
static enum cv_status number_of(struct cv_counted *c, int64_t *uid)
{
    const char *user = c->user;
    char *end = NULL;

    *uid = c->asked_uid;
    if (user == NULL) {
        return CV_OK;
    }
    if (user[0] != '\0' && strspn(user, "0123456789") == strlen(user)) {
        *uid = strtoll(user, &end, 10);
        return CV_OK;
    }
    if (strcmp(user, c->b->caller->user) == 0) {
        *uid = (int64_t)c->b->caller->peer.uid;
        return CV_OK;
    }
    return look_up(c->b, user, uid, NULL);
}

/* Looks once. */
static void find_out(struct cv_counted *c)
{
    int64_t uid = -1;

    c->tried = true;
    if (c->unknown) {
        return;
    }
    if (c->seq != -1 && !c->read) {
        c->wants = true;
        c->back_s = cv_policy_longest_per_s(c->policy);
        return;
    }
    if (number_of(c, &uid) != CV_OK) {
        return;
    }
    c->nobody = uid < 0 || uid > UINT32_MAX;
    c->uid = c->nobody ? 0 : (uid_t)uid;
    if (!c->nobody && c->seq == -1) {
        c->status = cv_facts_of(c->b, c->uid, &c->facts, &c->now, &c->err);
    }
}

static bool count_used(void *context, const char *rule, int64_t per_s,
                       uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    struct cv_counted *c = context;

    if (!c->tried) {
        find_out(c);
    }
    *used = 0;
    *free_in_s = 0;
    if (c->then != NULL && !c->nobody) {
        return cv_tally_used(c->then, c->uid, rule, per_s, count, used,
                             free_in_s);
    }
    return c->nobody ||
           (c->now != NULL && c->now->used != NULL &&
            c->now->used(c->now->context, rule, per_s, count, used, free_in_s));
}

/* How many lived when a record was made no record says. */
static bool count_live(void *context, const char *rule, uint64_t *live)
{
    struct cv_counted *c = context;

    if (!c->tried) {
        find_out(c);
    }
    *live = 0;
    return c->nobody || (c->now != NULL && c->now->sessions != NULL &&
                         c->now->sessions(c->now->context, rule, live));
}

struct cv_counted *cv_counted_new(struct cv_broker *b, const char *user,
                                  int64_t uid, int64_t seq, bool unknown)
{
    struct cv_counted *c = calloc(1, sizeof(*c));

    if (c != NULL) {
        c->b = b;
        c->user = user;
        c->asked_uid = uid;
        c->seq = seq;
        c->unknown = unknown;
        c->counts = (struct cv_decide_counts){c, count_used, count_live};
        cv_err_init(&c->err);
    }
    return c;
}

void cv_counted_free(struct cv_counted *c)
{
    if (c != NULL) {
        cv_facts_free(c->facts);
        cv_tally_free(c->then);
        free(c);
    }
}

const struct cv_decide_counts *cv_counted_by(struct cv_counted *c,
                                             const struct cv_policy *policy)
{
    c->policy = policy;
    return &c->counts;
}

enum cv_status cv_counted_status(const struct cv_counted *c, struct cv_err *err)
{
    if (c->status != CV_OK && err != NULL) {
        *err = c->err;
    }
    return c->status;
}

bool cv_counted_wants(const struct cv_counted *c)
{
    return c->wants && !c->read;
}

static enum cv_status others_wait(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_BUSY,
                               "the service is busy with another request, and "
                               "what was counted then is far back");

    cv_err_state(err, "nothing was told");
    cv_err_hint(err, "try again in a moment");
    return s;
}

/* All of it, from the log's beginning. */
static enum cv_status read_then(struct cv_counted *c, struct cv_err *err)
{
    struct cv_broker *b = c->b;
    const bool serving = cv_meanwhile_begin(b);
    bool done = false;
    enum cv_status s;

    do {
        s = cv_tally_read(c->then, b->vault->dir, &done, err);
        cv_manager_feed(true);
        if (s == CV_OK && !done && serving) {
            cv_meanwhile_turn(b);
        } else if (s == CV_OK && !done &&
                   b->options->mode == CV_BROKER_SERVICE) {
            s = others_wait(err);
        }
    } while (s == CV_OK && !done);
    if (serving) {
        cv_meanwhile_end(b);
    }
    return s;
}

enum cv_status cv_counted_read(struct cv_counted *c, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    if (c->seq > CV_TALLY_STEP && !cv_broker_index_may(c->b)) {
        return others_wait(err);
    }
    s = cv_broker_index_for(c->b, c->seq, err);
    if (s != CV_OK) {
        return s;
    }
    cv_err_init(&why);
    s = cv_tally_before(c->b->vault->dir, (uint64_t)c->seq, c->back_s, &c->then,
                        &why);
    if (s == CV_OK) {
        s = read_then(c, &why);
    } else if (s == CV_NOT_FOUND) {
        s = CV_OK; /* archived: nobody can tell */
    }
    if (s != CV_OK && err != NULL) {
        *err = why;
    }
    c->read = true;
    c->tried = false;
    return s;
}
