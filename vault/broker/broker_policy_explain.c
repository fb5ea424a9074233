/* policy explain: what would be decided, or what was. */
#include "policy/explain.h"
#include "vault/base/clock.h"
#include "vault/broker/anchor.h"
#include "vault/broker/counted.h"
#include "vault/broker/policies_internal.h"
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

static enum cv_status explain_with(struct cv_counted *counted,
                                   const struct cv_policy *policy,
                                   struct cv_decide_request *rq, cJSON **out,
                                   struct cv_err *err)
{
    enum cv_status s;

    rq->counts = cv_counted_by(counted, policy);
    s = cv_explain_make(policy, rq, out, err);
    rq->counts = NULL;
    if (s == CV_OK) {
        s = cv_counted_status(counted, err);
        if (s != CV_OK) {
            cJSON_Delete(*out);
            *out = NULL;
        }
    }
    return s;
}

/* By the policy in force, or by that of a version. */
static enum cv_status explain_by(struct cv_broker *b, const struct question *q,
                                 struct cv_counted *counted,
                                 struct cv_decide_request *rq, cJSON **out,
                                 struct cv_err *err)
{
    struct cv_store_policy *row = NULL;
    struct cv_policy *policy = NULL;
    cJSON *resolution = NULL;
    enum cv_status s;

    if (q->version == -1) {
        return explain_with(counted, b->policy, rq, out, err);
    }
    s = cv_store_policy_version(b->vault->store, q->version, &row, err);
    if (s == CV_OK) {
        s = cv_broker_policy_row(row, &policy, &resolution, err);
    }
    if (s == CV_OK) {
        s = explain_with(counted, policy, rq, out, err);
    }
    cJSON_Delete(resolution);
    cv_policy_free(policy);
    cv_store_policy_free(row);
    return s;
}

static enum cv_status explain(struct cv_broker *b, const struct question *q,
                              struct cv_counted *counted, cJSON **out,
                              struct cv_err *err)
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
        s = explain_by(b, q, counted, &rq, out, err);
    }
    cJSON_Delete(doc);
    return s;
}

/* Where a rule asks for what was used before a record, that is read between two
 * decisions and not in the middle of one: others have their turn meanwhile. */
static enum cv_status explain_whole(struct cv_broker *b,
                                    const struct question *q, cJSON **out,
                                    struct cv_err *err)
{
    struct cv_counted *counted =
        cv_counted_new(b, q->user, q->uid, q->seq,
                       q->seq == -1 && (q->at != NULL || q->version != -1));
    enum cv_status s = counted != NULL
                           ? explain(b, q, counted, out, err)
                           : cv_fail(err, CV_INTERNAL, "memory is gone");

    if (s == CV_OK && cv_counted_wants(counted)) {
        cJSON_Delete(*out);
        *out = NULL;
        s = cv_counted_read(counted, err);
        s = s == CV_OK ? explain(b, q, counted, out, err) : s;
    }
    cv_counted_free(counted);
    return s;
}

/* A freeze is no rule's: of now it is told beside what policy says. */
static enum cv_status add_freeze(struct cv_broker *b, const struct question *q,
                                 cJSON *explanation, struct cv_buf *words,
                                 struct cv_err *err)
{
    char why[CV_FREEZE_WORDS];
    enum cv_status s = CV_OK;

    if (q->seq != -1 || q->at != NULL || q->version != -1) {
        return CV_OK;
    }
    s = cv_freeze_look(b, err);
    if (s == CV_OK && cv_freeze_bars(b, cv_action_from_name(q->action))) {
        cv_freeze_words(b, why);
        cv_buf_add_format(words, "deny: %s; but for that:\n", why);
        s = cv_freeze_add(b, explanation)
                ? CV_OK
                : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status answer(struct cv_broker *b, const struct question *q,
                             cJSON *explanation, cJSON *reply,
                             struct cv_err *err)
{
    struct cv_buf words;
    enum cv_status s;

    cv_buf_init(&words, NULL, CV_MIB(1));
    s = add_freeze(b, q, explanation, &words, err);
    cv_explain_words(explanation, &words);
    if (s == CV_OK && !cv_json_add_str(reply, "words", cv_buf_text(&words))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&words);
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
        s = explain_whole(b, &q, &explanation, err);
    }
    if (s == CV_OK) {
        s = answer(b, &q, explanation, cv_reply_parameters(reply), err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_item(cv_reply_parameters(reply), "explanation",
                               explanation);
    } else {
        cJSON_Delete(explanation);
        cv_ask_refused(&ask, err);
    }
    return s;
}
