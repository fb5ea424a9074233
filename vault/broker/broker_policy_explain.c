/* policy explain: what would be decided, or what was. */
#include "policy/explain.h"
#include "vault/base/clock.h"
#include "vault/broker/anchor.h"
#include "vault/broker/facts.h"
#include "vault/broker/policies_internal.h"
#include "vault/broker/tally.h"
#include "vault/store/store_policy.h"

#include <stdlib.h>
#include <string.h>

/* What `policy explain` asks about. */
struct question {
    const char *user, *action, *entry, *reason, *ticket, *at, *context, *mode;
    const cJSON *groups;
    bool tty;
    int64_t duration;
    int64_t uid; /* by number, as a record has it; -1: by name */
    const cJSON *gids;
    int64_t version;   /* by this policy; -1: the one in force */
    int64_t seq;       /* as when that record was made; -1: as it is now */
    const char *held;  /* under what this rule gave; NULL: anew */
    int64_t approvals; /* which had so many */
};

static enum cv_status read_question(const cJSON *request, struct question *q,
                                    struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"user", CV_JSON_STRING, false, &q->user, 256},
        {"uid", CV_JSON_INT, false, &q->uid, 0},
        {"gids", CV_JSON_ARRAY, false, &q->gids, 0},
        {"version", CV_JSON_INT, false, &q->version, 0},
        {"seq", CV_JSON_INT, false, &q->seq, 0},
        {"held", CV_JSON_STRING, false, &q->held, CV_LIMIT_NAME},
        {"approvals", CV_JSON_INT, false, &q->approvals, 0},
        {"groups", CV_JSON_ARRAY, false, &q->groups, 0},
        {"action", CV_JSON_STRING, true, &q->action, 64},
        {"entry", CV_JSON_STRING, false, &q->entry, CV_LIMIT_NAME},
        {"reason", CV_JSON_STRING, false, &q->reason, CV_LIMIT_REASON},
        {"ticket", CV_JSON_STRING, false, &q->ticket, CV_LIMIT_TICKET},
        {"at", CV_JSON_STRING, false, &q->at, 64},
        {"context", CV_JSON_STRING, false, &q->context, CV_LIMIT_URL},
        {"mode", CV_JSON_STRING, false, &q->mode, 16},
        {"tty", CV_JSON_BOOL, false, &q->tty, 0},
        {"duration", CV_JSON_INT, false, &q->duration, 0},
    };
    enum cv_status s;

    q->uid = q->version = q->seq = -1;
    s = cv_json_read(request, "the question", CV_BROKER_FIELDS(fields), true,
                     err);
    if (s == CV_OK && ((q->user != NULL) == (q->uid != -1) || q->uid < -1 ||
                       q->uid > UINT32_MAX)) {
        s = cv_fail(err, CV_INVALID, "a user or a uid is asked about");
    }
    if (s == CV_OK && (q->seq < -1 || q->approvals < 0)) {
        s = cv_fail(err, CV_INVALID, "a number of the question is negative");
    }
    return s;
}

/* The highest gid that stands for a group: nobody's, where none is told. */
#define NO_GROUP 4294967293U

/* As a record has them. */
static void group_numbers(const struct question *q, gid_t *gids,
                          struct cv_decide_subject *who)
{
    const cJSON *item;

    who->by_name = false;
    who->uid = (uid_t)q->uid;
    who->gid = NO_GROUP;
    cJSON_ArrayForEach(item, q->gids)
    {
        if (cJSON_IsNumber(item) && who->n_gids < CV_DECIDE_GROUPS) {
            gids[who->n_gids++] = (gid_t)item->valuedouble;
        }
    }
    who->gids = gids;
    if (who->n_gids > 0) {
        who->gid = gids[0];
    }
}

static size_t group_names(const cJSON *groups,
                          const char *out[CV_DECIDE_GROUPS])
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, groups)
    {
        if (cJSON_IsString(item) && n < CV_DECIDE_GROUPS) {
            out[n++] = item->valuestring;
        }
    }
    return n;
}

/* An entry that the vault does not have is explained by its name alone. */
static enum cv_status load_subject(struct cv_broker *b, const char *name,
                                   cJSON **doc, struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    struct cv_err missing;
    enum cv_status s;

    cv_err_init(&missing);
    s = cv_broker_load_entry(b, name, false, &row, doc, &missing);
    cv_store_entry_free(row);
    if (s == CV_OK) {
        return CV_OK;
    }
    if (s != CV_NOT_FOUND) {
        *err = missing;
        return s;
    }
    *doc = cJSON_CreateObject();
    return cv_json_add_str(*doc, "name", name)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* What was used of limits, found out when a rule first asks for it. */
struct counting {
    struct cv_broker *b;
    const struct question *q;
    const struct cv_policy *policy; /* that is asked */
    struct cv_decide_counts counts;
    bool tried;
    bool nobody;            /* this host has no such user: nothing was used */
    struct cv_facts *facts; /* of now; may be NULL, */
    const struct cv_decide_counts *now; /* and so may these */
    struct cv_tally *then;              /* of a record's time; may be NULL */
    uid_t uid;
    enum cv_status status; /* of finding out: nothing may be explained */
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
static enum cv_status number_of(struct counting *c, int64_t *uid)
{
    const char *user = c->q->user;
    char *end = NULL;

    *uid = c->q->uid;
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

/* Looks once. What nobody can tell stays unknown: of another time than now or a
 * record's, of records that were archived, of a user whom nobody looks up. */
static void find_out(struct counting *c)
{
    const struct question *q = c->q;
    int64_t uid = -1;

    c->tried = true;
    if (q->seq == -1 && (q->at != NULL || q->version != -1)) {
        return;
    }
    if (number_of(c, &uid) != CV_OK) {
        return;
    }
    c->nobody = uid < 0 || uid > UINT32_MAX;
    c->uid = c->nobody ? 0 : (uid_t)uid;
    if (c->nobody) {
        return;
    }
    if (q->seq == -1) {
        c->status = cv_facts_of(c->b, c->uid, &c->facts, &c->now, &c->err);
        return;
    }
    c->status =
        cv_tally_before(c->b->vault->dir, (uint64_t)q->seq,
                        cv_policy_longest_per_s(c->policy), &c->then, &c->err);
    if (c->status == CV_NOT_FOUND) {
        c->status = CV_OK;
    }
}

static bool count_used(void *context, const char *rule, int64_t per_s,
                       uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    struct counting *c = context;

    if (!c->tried) {
        find_out(c);
    }
    *used = 0;
    *free_in_s = 0;
    if (c->then != NULL) {
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
    struct counting *c = context;

    if (!c->tried) {
        find_out(c);
    }
    *live = 0;
    return c->nobody || (c->now != NULL && c->now->sessions != NULL &&
                         c->now->sessions(c->now->context, rule, live));
}

static enum cv_status explain_with(struct cv_broker *b,
                                   const struct question *q,
                                   const struct cv_policy *policy,
                                   struct cv_decide_request *rq, cJSON **out,
                                   struct cv_err *err)
{
    struct counting c = {.b = b, .q = q, .policy = policy};
    enum cv_status s;

    c.counts = (struct cv_decide_counts){&c, count_used, count_live};
    rq->counts = &c.counts;
    s = cv_explain_make(policy, rq, out, err);
    rq->counts = NULL;
    cv_facts_free(c.facts);
    cv_tally_free(c.then);
    if (s == CV_OK && c.status != CV_OK) {
        *err = c.err;
        s = c.status;
        cJSON_Delete(*out);
        *out = NULL;
    }
    return s;
}

/* By the policy in force, or by that of a version. */
static enum cv_status explain_by(struct cv_broker *b, const struct question *q,
                                 struct cv_decide_request *rq, cJSON **out,
                                 struct cv_err *err)
{
    struct cv_store_policy *row = NULL;
    struct cv_policy *policy = NULL;
    cJSON *resolution = NULL;
    enum cv_status s;

    if (q->version == -1) {
        return explain_with(b, q, b->policy, rq, out, err);
    }
    s = cv_store_policy_version(b->vault->store, q->version, &row, err);
    if (s == CV_OK) {
        s = cv_broker_policy_row(row, &policy, &resolution, err);
    }
    if (s == CV_OK) {
        s = explain_with(b, q, policy, rq, out, err);
    }
    cJSON_Delete(resolution);
    cv_policy_free(policy);
    cv_store_policy_free(row);
    return s;
}

static enum cv_status explain(struct cv_broker *b, const struct question *q,
                              cJSON **out, struct cv_err *err)
{
    const char *groups[CV_DECIDE_GROUPS];
    gid_t gids[CV_DECIDE_GROUPS];
    struct cv_entry_subject subject;
    struct cv_decide_request rq = {
        .subject = {.by_name = true, .user = q->user, .groups = groups},
        .action = cv_action_from_name(q->action),
        .reason = q->reason,
        .ticket = q->ticket,
        .contexts = &q->context,
        .n_contexts = q->context != NULL ? 1 : 0,
        .mode = q->mode != NULL ? cv_decide_mode_from_name(q->mode)
                                : (enum cv_decide_mode)(CV_DECIDE_MODE_EXEC +
                                                        (int)b->options->mode),
        .tty = q->tty,
        .now_s = cv_clock_now_s(),
        .duration_s = q->duration,
        .held_rule = q->held,
        .held_approvals = (uint64_t)q->approvals,
    };
    cJSON *doc = NULL;
    enum cv_status s = CV_OK;

    cv_anchor_fact(b, &rq);
    if (q->uid != -1) {
        rq.subject = (struct cv_decide_subject){0};
        group_numbers(q, gids, &rq.subject);
    } else {
        rq.subject.n_groups = group_names(q->groups, groups);
    }
    if (rq.action == CV_ACTION_NONE) {
        s = cv_fail(err, CV_USAGE, "there is no such action");
        cv_err_hint(err, "certvault(1) lists the actions");
    }
    if (s == CV_OK && q->at != NULL) {
        s = cv_clock_parse(q->at, &rq.now_s, err);
    }
    if (s == CV_OK && q->entry != NULL) {
        s = load_subject(b, q->entry, &doc, err);
        if (s == CV_OK) {
            cv_entry_subject_fill(doc, &subject);
            if (subject.entry.provenance[0] == '\0') {
                /* By number a request says what it is; of an entry that is
                 * gone the usual is taken. */
                subject.entry.provenance = q->uid != -1 ? "sealed" : NULL;
            }
            rq.entry = &subject.entry;
        }
    }
    if (s == CV_OK) {
        s = explain_by(b, q, &rq, out, err);
    }
    cJSON_Delete(doc);
    return s;
}

CV_BROKER_METHOD(policy_explain)
{
    struct cv_broker *b = context;
    const cJSON *request = NULL;
    const struct cv_json_field fields[] = {
        {"request", CV_JSON_OBJECT, true, &request, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct question q = {0};
    cJSON *explanation = NULL;
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "PolicyExplain", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = read_question(request, &q, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s == CV_OK) {
        s = explain(b, &q, &explanation, err);
    }
    if (s == CV_OK) {
        struct cv_buf words;

        cv_buf_init(&words, NULL, CV_MIB(1));
        cv_explain_words(explanation, &words);
        (void)cv_json_add_str(cv_reply_parameters(reply), "words",
                              cv_buf_text(&words));
        (void)cv_json_add_item(cv_reply_parameters(reply), "explanation",
                               explanation);
        cv_buf_wipe(&words);
    } else {
        cv_ask_refused(&ask, err);
    }
    return s;
}
