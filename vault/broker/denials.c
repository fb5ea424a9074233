#include "vault/broker/denials.h"

#include "vault/audit/details.h"
#include "vault/base/clock.h"
#include "vault/broker/broker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_MS 60000
/* Kinds (action and reason) that are told apart in one minute of one user. */
#define KINDS 16
/* Users who are named of those who share a minute. */
#define NAMED 16

struct kind {
    enum cv_action action;
    enum cv_status status;
    uint64_t n;
};

/* One user's minute. */
struct minute {
    bool used;
    uid_t uid;
    char user[CV_NAMES_LEN];
    int64_t began_ms, began_s;
    unsigned single; /* that have their leaf */
    uint64_t counted;
    struct kind kinds[KINDS];
    size_t n_kinds;
};

struct cv_denials {
    struct minute users[CV_LIMIT_DENIED_USERS];
    /* All who find no room above share one minute: a machine's users can be
     * more than there is memory for, when somebody makes them for that. */
    struct minute others;
    uid_t named[NAMED]; /* of them, the first */
    size_t n_named;
};

void cv_denials_free(struct cv_denials *d)
{
    free(d);
}

static bool is_over(const struct minute *m, int64_t now)
{
    return now - m->began_ms >= MINUTE_MS;
}

static void begin(struct minute *m, uid_t uid, int64_t now)
{
    memset(m, 0, sizeof(*m));
    m->used = true;
    m->uid = uid;
    m->began_ms = now;
    m->began_s = cv_clock_now_s();
}

/* The user's minute, begun anew where the last one is over and told. */
static struct minute *find(struct cv_denials *d, uid_t uid, int64_t now)
{
    struct minute *found = NULL, *room = NULL;

    for (size_t i = 0; i < CV_LIMIT_DENIED_USERS && found == NULL; i++) {
        struct minute *m = &d->users[i];

        if (m->used && m->uid == uid) {
            found = m;
        } else if (!m->used || (is_over(m, now) && m->counted == 0)) {
            room = room != NULL ? room : m;
        }
    }
    if (found == NULL && room != NULL) {
        begin(room, uid, now);
        return room;
    }
    found = found != NULL ? found : &d->others;
    if (!found->used || (is_over(found, now) && found->counted == 0)) {
        begin(found, uid, now);
        d->n_named = found == &d->others ? 0 : d->n_named;
    }
    return found;
}

/* One of those whose denials are counted together. */
static void name_one(struct cv_denials *d, uid_t uid)
{
    size_t i = 0;

    while (i < d->n_named && d->named[i] != uid) {
        i++;
    }
    if (i == d->n_named && i < NAMED) {
        d->named[d->n_named++] = uid;
    }
}

static void count(struct minute *m, enum cv_action action,
                  enum cv_status status)
{
    size_t i = 0;

    m->counted++;
    while (i < m->n_kinds &&
           (m->kinds[i].action != action || m->kinds[i].status != status)) {
        i++;
    }
    /* The last kind is everything that found no room. */
    if (i == KINDS) {
        i = KINDS - 1;
        m->kinds[i].action = CV_ACTION_NONE;
        m->kinds[i].status = CV_DENIED;
    } else if (i == m->n_kinds) {
        m->n_kinds++;
        m->kinds[i] = (struct kind){action, status, 0};
    }
    m->kinds[i].n++;
}

static struct cv_denials *table(struct cv_broker *b)
{
    if (b->denials == NULL) {
        b->denials = calloc(1, sizeof(*b->denials));
    }
    return b->denials;
}

bool cv_denials_take(struct cv_ask *ask, enum cv_status status)
{
    struct cv_broker *b = ask->broker;
    struct cv_denials *d = table(b);
    struct minute *m;

    /* Without memory for the table each has its leaf. */
    if (ask->counted || ask->told || d == NULL) {
        return ask->counted;
    }
    cv_broker_metrics_count(b, false, ask->action);
    m = find(d, ask->caller->peer.uid, cv_clock_boot_ms());
    if (m->single < CV_DENIALS_SINGLE) {
        m->single++;
        ask->told = true;
        return false;
    }
    if (m->user[0] == '\0') {
        memcpy(m->user, ask->caller->user, sizeof(m->user));
    }
    count(m, ask->action, status);
    if (m == &d->others) {
        name_one(d, ask->caller->peer.uid);
    }
    ask->counted = true;
    return true;
}

void cv_denials_say(struct cv_err *err)
{
    if (err != NULL && err->state[0] == '\0') {
        cv_err_state(err,
                     "nothing was done; of more than %d denials a minute "
                     "the record has the number",
                     CV_DENIALS_SINGLE);
    }
}

static void add_named(const struct cv_denials *d, cJSON *details)
{
    cJSON *uids = cJSON_AddArrayToObject(details, "uids");
    char text[24];

    for (size_t i = 0; i < d->n_named; i++) {
        (void)snprintf(text, sizeof(text), "%u", (unsigned)d->named[i]);
        (void)cJSON_AddItemToArray(uids, cJSON_CreateString(text));
    }
}

static cJSON *details_of(const struct cv_denials *d, const struct minute *m)
{
    char text[CV_CLOCK_TEXT_LEN], kind[96];
    cJSON *out = cJSON_CreateObject(), *by;

    (void)cv_json_add_int(out, "count", (int64_t)m->counted);
    (void)cv_json_add_str(out, "since", cv_clock_format(m->began_s, text));
    (void)cv_json_add_str(out, "until",
                          cv_clock_format(cv_clock_now_s(), text));
    if (m == &d->others) {
        (void)cv_json_add_str(out, "because", "of several users");
        add_named(d, out);
    }
    by = cJSON_AddArrayToObject(out, "denied");
    for (size_t i = 0; i < m->n_kinds; i++) {
        const struct kind *k = &m->kinds[i];

        (void)snprintf(kind, sizeof(kind), "%s %s %llu",
                       k->action != CV_ACTION_NONE ? cv_action_name(k->action)
                                                   : "other",
                       cv_err_code_name(k->status), (unsigned long long)k->n);
        (void)cJSON_AddItemToArray(by, cJSON_CreateString(kind));
    }
    return out;
}

/* What stands for all of them: that policy denied some is not to be missed. */
static enum cv_status status_of(const struct minute *m)
{
    for (size_t i = 0; i < m->n_kinds; i++) {
        if (m->kinds[i].status == CV_DENIED) {
            return CV_DENIED;
        }
    }
    return m->kinds[0].status;
}

/* Entered. One denial of its user that stands for all of them. */
static enum cv_status tell(struct cv_broker *b, const struct minute *m)
{
    struct cv_caller who = {.peer = {.uid = m->uid, .loginuid = -1}};
    struct cv_caller *before = b->caller;
    struct cv_arena *arena = cv_json_use(NULL);
    cJSON *details = details_of(b->denials, m);
    struct cv_ask ask = {.broker = b, .caller = &who, .seq = -1, .told = true};
    enum cv_status s;

    if (m->user[0] != '\0') {
        memcpy(who.user, m->user, sizeof(who.user));
    } else {
        (void)snprintf(who.user, sizeof(who.user), "uid:%u", (unsigned)m->uid);
    }
    b->caller = &who;
    ask.action = m->kinds[0].action != CV_ACTION_NONE ? m->kinds[0].action
                                                      : CV_ACTION_USE;
    cv_leaf_new_op(ask.op);
    s = cv_ask_deny(&ask, status_of(m), details, NULL);
    b->caller = before;
    cJSON_Delete(details);
    (void)cv_json_use(arena);
    return s;
}

static struct minute *at(struct cv_denials *d, size_t i)
{
    return i < CV_LIMIT_DENIED_USERS ? &d->users[i] : &d->others;
}

/* Entered. Those that are due, in one commit. */
static void tell_due(struct cv_broker *b, const bool *due)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i <= CV_LIMIT_DENIED_USERS && s == CV_OK; i++) {
        if (due[i]) {
            s = tell(b, at(b->denials, i));
        }
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, NULL);
    }
    /* What could not be written is tried again. */
    for (size_t i = 0; i <= CV_LIMIT_DENIED_USERS && s == CV_OK; i++) {
        if (due[i]) {
            at(b->denials, i)->used = false;
            at(b->denials, i)->counted = 0;
        }
    }
}

bool cv_denials_tick(struct cv_broker *b, bool now)
{
    const int64_t now_ms = cv_clock_boot_ms();
    bool due[CV_LIMIT_DENIED_USERS + 1] = {false}, any = false, waits = false;

    for (size_t i = 0; b->denials != NULL && i <= CV_LIMIT_DENIED_USERS; i++) {
        const struct minute *m = at(b->denials, i);

        due[i] = m->used && m->counted > 0 && (now || is_over(m, now_ms));
        any = any || due[i];
        waits = waits || (m->used && m->counted > 0);
    }
    if (any && b->vault != NULL && cv_broker_enter(b, NULL) == CV_OK) {
        tell_due(b, due);
        cv_broker_leave(b);
    }
    return waits;
}
