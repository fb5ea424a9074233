/* Decisions that are recorded: decide, queue the leaf; in that order. */
#include "vault/broker/approval.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/door_internal.h"
#include "vault/broker/notify.h"
#include "vault/broker/question_internal.h"
#include "vault/broker/room.h"
#include "vault/broker/tally.h"

#include "vault/base/name.h"

#include <stdio.h>
#include <string.h>

enum cv_status cv_ask_begin(struct cv_broker *b, enum cv_action action,
                            const cJSON *parameters, struct cv_ask *ask,
                            struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"reason", CV_JSON_STRING, false, &ask->reason, CV_LIMIT_URL},
        {"ticket", CV_JSON_STRING, false, &ask->ticket, CV_LIMIT_URL},
        {"tty", CV_JSON_BOOL, false, &ask->tty, 0},
        {"break_glass", CV_JSON_BOOL, false, &ask->break_glass, 0},
        {"dry_run", CV_JSON_BOOL, false, &ask->dry_run, 0},
    };
    enum cv_status s;

    memset(ask, 0, sizeof(*ask));
    ask->broker = b;
    ask->caller = b->caller;
    ask->action = action;
    ask->method = b->method;
    ask->parameters = parameters;
    ask->seq = -1;
    cv_leaf_new_op(ask->op);
    s = cv_json_read(parameters, "the request", fields,
                     sizeof(fields) / sizeof(fields[0]), false, err);
    if (s == CV_OK && ask->reason != NULL) {
        s = cv_name_check_words(ask->reason, CV_LIMIT_REASON, "the reason",
                                err);
    }
    if (s == CV_OK && ask->ticket != NULL) {
        s = cv_name_check_words(ask->ticket, CV_LIMIT_TICKET, "the ticket",
                                err);
    }
    if (s != CV_OK) {
        /* What was refused must not be recorded either. */
        ask->reason = ask->ticket = NULL;
    }
    return s;
}

static void decision_leaf(const struct cv_ask *ask, const cJSON *details,
                          struct cv_leaf *leaf)
{
    cv_door_leaf_of_ask(ask, leaf);
    if (ask->result.permit) {
        cv_broker_metrics_count(ask->broker, true, ask->action);
    }
    leaf->phase = CV_LEAF_DECISION;
    leaf->decision = ask->result.permit ? CV_LEAF_PERMIT : CV_LEAF_DENY;
    leaf->rules = ask->result.rules;
    leaf->n_rules = ask->result.n_rules;
    leaf->details = details;
}

/* Entered. A denial is a record too, and as durable as a permit: now, or, where
 * that is enough and others share its commit, before anybody is told. Its
 * status, or that of the record. */
static enum cv_status commit_denial(struct cv_ask *ask,
                                    const struct cv_leaf *leaf, bool now,
                                    struct cv_err *err)
{
    struct cv_err record;
    enum cv_status s;

    cv_err_init(&record);
    s = cv_door_queue(ask->broker, leaf, &ask->seq, &record);
    if (s == CV_OK && (now || !ask->broker->shares)) {
        s = cv_broker_commit(ask->broker, &record);
    }
    if (s != CV_OK) {
        if (err != NULL) {
            *err = record;
        }
        return s;
    }
    if (err != NULL) {
        err->audit_seq = ask->seq;
        if (err->state[0] == '\0') {
            cv_err_state(err, "nothing was done; the denial is recorded");
        }
    }
    return leaf->status;
}

/* The same, unless there are too many of them. */
static enum cv_status record_denial(struct cv_ask *ask,
                                    const struct cv_leaf *leaf,
                                    struct cv_err *err)
{
    if (cv_denials_take(ask, leaf->status)) {
        cv_denials_say(err);
        return leaf->status;
    }
    return commit_denial(ask, leaf, false, err);
}

/* A copy of what the record is to say (may be NULL), to say more. It lives on
 * the heap. */
static cJSON *copy_details(const cJSON *details)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *copy =
        details != NULL ? cJSON_Duplicate(details, true) : cJSON_CreateObject();

    (void)cv_json_use(before);
    return copy;
}

/* Entered. A decision that came to `s`: what the freeze denied says so, because
 * no rule is named that did. */
static enum cv_status deny(struct cv_ask *ask, const cJSON *details,
                           bool with_context, enum cv_status s,
                           struct cv_err *err)
{
    char words[CV_FREEZE_WORDS];
    struct cv_arena *before;
    struct cv_leaf leaf;
    cJSON *more = NULL;

    if (ask->frozen && !cJSON_HasObjectItem(details, "because")) {
        more = copy_details(details);
        cv_freeze_words(ask->broker, words);
        before = cv_json_use(NULL);
        (void)cv_json_add_str(more, "because", words);
        (void)cv_json_use(before);
        details = more != NULL ? more : details;
    }
    decision_leaf(ask, details, &leaf);
    leaf.context = with_context ? leaf.context : NULL;
    leaf.status = s;
    s = record_denial(ask, &leaf, err);
    cJSON_Delete(more);
    return s;
}

/* Entered. Approvals are missing: the denial names the request for them, which
 * is filed once that is durable. */
static enum cv_status
ask_for_approvals(struct cv_ask *ask, const cJSON *details, struct cv_err *err)
{
    char id[CV_STORE_REQUEST_ID + 1];
    struct cv_arena *before;
    struct cv_leaf leaf;
    bool file = false;
    cJSON *more;
    enum cv_status s = cv_approval_find(ask, id, &file, err);

    more = copy_details(details);
    before = cv_json_use(NULL);
    if (id[0] != '\0' && !cv_json_add_str(more, "request", id)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    decision_leaf(ask, more, &leaf);
    leaf.status = s;
    (void)cv_json_use(before);
    if (file) {
        /* Nothing is filed without its leaf; there are few of them. */
        cv_broker_metrics_count(ask->broker, false, ask->action);
        s = commit_denial(ask, &leaf, true, err);
    } else {
        s = record_denial(ask, &leaf, err);
    }
    cJSON_Delete(more);
    if (s != CV_BUSY || !file) {
        return s;
    }
    s = cv_approval_file(ask, id, err);
    if (s != CV_OK && err != NULL) {
        err->audit_seq = ask->seq;
        cv_err_state(err, "nothing was done, and no request was filed");
    }
    return s == CV_OK ? CV_BUSY : s;
}

enum cv_status cv_ask_check(struct cv_ask *ask, const cJSON *doc,
                            const cJSON *details, struct cv_err *err)
{
    enum cv_status s;

    ask->doc = doc;
    s = cv_ask_run(ask, err);
    if (s == CV_OK) {
        return CV_OK;
    }
    if (s == CV_BUSY && ask->result.cause == CV_DECIDE_APPROVALS &&
        !ask->dry_run) {
        return ask_for_approvals(ask, details, err);
    }
    return deny(ask, details, true, s, err);
}

/* Not what is asked for failed, but what it is asked of. */
static bool is_broken(enum cv_status s)
{
    return s == CV_INTERNAL || s == CV_IO || s == CV_INTEGRITY;
}

/* Entered. Decides on what ask->doc says, as if nobody could be waited for. */
static enum cv_status deny_first(struct cv_ask *ask, enum cv_status s,
                                 struct cv_err *err)
{
    struct cv_err why;

    cv_err_init(&why);
    if (cv_ask_run(ask, &why) != CV_DENIED) {
        return s;
    }
    if (err != NULL) {
        *err = why;
    }
    /* Its context may be a text that no entry has. */
    return deny(ask, NULL, false, CV_DENIED, err);
}

enum cv_status cv_ask_tell(struct cv_ask *ask, const cJSON *doc,
                           const char *name, enum cv_status s,
                           struct cv_err *err)
{
    struct cv_vault *vault = ask->broker->vault;
    const bool enters = vault != NULL && !vault->entered;
    cJSON *bare = NULL;
    enum cv_status entered;

    /* What is no name is no entry's: that may be told. */
    if (vault == NULL || is_broken(s) ||
        (doc == NULL && name != NULL && cv_name_check(name, NULL) != CV_OK)) {
        return s;
    }
    if (doc == NULL && name != NULL) {
        bare = cJSON_CreateObject();
        /* Each entry has a provenance: the usual, as where it is explained. */
        if (!cv_json_add_str(bare, "name", name) ||
            !cv_json_add_str(bare, "provenance", "sealed")) {
            cJSON_Delete(bare);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    entered = enters ? cv_broker_enter(ask->broker, err) : CV_OK;
    if (entered == CV_OK) {
        ask->doc = doc != NULL ? doc : bare;
        s = deny_first(ask, s, err);
        memset(&ask->result, 0, sizeof(ask->result));
        ask->doc = doc;
    }
    if (enters && entered == CV_OK) {
        cv_broker_leave(ask->broker);
    }
    cJSON_Delete(bare);
    return entered == CV_OK ? s : entered;
}

/* What the record says of a permit beyond what the method told: what approvals
 * it used, that the glass was broken, that it counts for no limit. */
static bool add_permit(const struct cv_ask *ask, bool held, cJSON *details)
{
    const struct cv_decide_result *r = &ask->result;

    return (!held || cv_json_add_bool(details, "uncounted", true)) &&
           (ask->request[0] == '\0' || held || !r->approved ||
            (cv_json_add_str(details, "request", ask->request) &&
             cv_json_add_int(details, "approvals",
                             (int64_t)r->approvals_had))) &&
           (!r->break_glass || cv_json_add_bool(details, "break_glass", true));
}

/* The glass was broken: people are told, as soon as it is recorded. */
static void tell_glass(const struct cv_ask *ask)
{
    const struct cv_caller *c = ask->caller;
    cJSON *about = cJSON_CreateObject();
    cJSON *actor = cJSON_AddObjectToObject(about, "actor");

    (void)cv_json_add_int(actor, "uid", (int64_t)c->peer.uid);
    (void)cv_json_add_str(actor, "user", c->user);
    (void)cv_json_add_str(about, "action", cv_action_name(ask->action));
    (void)cv_json_add_str(about, "entry", cv_door_text_of(ask->doc, "name"));
    (void)cv_json_add_str(about, "context", ask->context);
    (void)cv_json_add_str(about, "reason", ask->reason);
    (void)cv_json_add_str(about, "ticket", ask->ticket);
    (void)cv_json_add_str(about, "rule", ask->result.offer);
    (void)cv_json_add_int(about, "audit_seq", ask->seq);
    cv_notify_later(ask->broker, "break-glass", about);
    cJSON_Delete(about);
}

/* Entered. The leaf of a permit; from then on it is one that was given. */
static enum cv_status queue_permit(struct cv_ask *ask, const cJSON *details,
                                   struct cv_err *err)
{
    const bool held = ask->held_rule[0] != '\0' || ask->preview;
    const struct cv_decide_result *r = &ask->result;
    struct cv_broker *b = ask->broker;
    struct cv_arena *before;
    struct cv_leaf leaf;
    cJSON *more = copy_details(details);
    enum cv_status s;

    before = cv_json_use(NULL);
    s = add_permit(ask, held, more)
            ? CV_OK
            : cv_fail(err, CV_INTERNAL, "memory is gone");
    (void)cv_json_use(before);
    if (s == CV_OK) {
        decision_leaf(ask, more, &leaf);
        s = cv_door_queue(b, &leaf, &ask->seq, err);
    }
    cJSON_Delete(more);
    if (s != CV_OK || held || r->offer == NULL) {
        return s;
    }
    if (r->break_glass) {
        tell_glass(ask);
    }
    if (b->tally != NULL) {
        s = cv_tally_queued(b->tally, ask->caller->peer.uid, r->offer,
                            (uint64_t)ask->seq, err);
    }
    (void)snprintf(ask->held_rule, sizeof(ask->held_rule), "%s", r->offer);
    ask->held_approvals = r->approvals_had;
    return s;
}

/* Entered. It was checked, and is permitted. `used`: its approvals are used up
 * already. */
static enum cv_status give(struct cv_ask *ask, bool used, const cJSON *details,
                           struct cv_err *err)
{
    enum cv_status s;

    /* Used up before the leaf is written: a crash between the two loses an
     * approval, and never gives one twice. */
    if (ask->result.approved && ask->held_rule[0] == '\0' && !ask->preview &&
        !used) {
        s = cv_approval_use(ask, err);
        if (s != CV_OK) {
            struct cv_leaf leaf;

            memset(&ask->result, 0, sizeof(ask->result));
            decision_leaf(ask, details, &leaf);
            leaf.status = s;
            return record_denial(ask, &leaf, err);
        }
    }
    return queue_permit(ask, details, err);
}

enum cv_status cv_ask_decide(struct cv_ask *ask, const cJSON *doc,
                             const cJSON *details, struct cv_err *err)
{
    enum cv_status s = cv_ask_check(ask, doc, details, err);

    return s != CV_OK || cv_door_is_left_out(ask)
               ? s
               : give(ask, false, details, err);
}

enum cv_status cv_ask_decide_both(struct cv_ask *ask, const cJSON *doc,
                                  struct cv_ask *other, const cJSON *other_doc,
                                  const cJSON *details, bool *both,
                                  struct cv_err *err)
{
    bool same;
    enum cv_status s;

    *both = false;
    *other = *ask;
    s = cv_ask_check(other, other_doc, details, err);
    ask->seq = other->seq;
    ask->told = other->told;
    ask->counted = other->counted;
    if (s == CV_OK) {
        s = cv_ask_check(ask, doc, details, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_leaf_new_op(other->op);
    *both = cv_ask_is_used_up(other) &&
            strcmp(other->result.offer, ask->result.offer) != 0;
    same = ask->result.approved && strcmp(ask->request, other->request) == 0;
    s = give(ask, false, details, err);
    if (s == CV_OK && *both) {
        s = give(other, same, details, err);
        if (s != CV_OK) {
            cv_change_drop(&ask, 1, s);
        }
    }
    return s;
}

void cv_ask_suppose(const struct cv_ask *ask)
{
    const struct cv_decide_result *r = &ask->result;

    if (ask->broker->tally != NULL && r->offer != NULL &&
        ask->held_rule[0] == '\0') {
        cv_tally_suppose(ask->broker->tally, ask->caller->peer.uid, r->offer);
    }
}

void cv_ask_suppose_end(struct cv_broker *b)
{
    if (b->tally != NULL) {
        cv_tally_suppose_end(b->tally);
    }
}

enum cv_status cv_ask_deny(struct cv_ask *ask, enum cv_status status,
                           const cJSON *details, struct cv_err *err)
{
    struct cv_leaf leaf;

    if (cv_denials_take(ask, status)) {
        return CV_OK;
    }
    memset(&ask->result, 0, sizeof(ask->result));
    decision_leaf(ask, details, &leaf);
    leaf.status = status;
    return cv_door_queue(ask->broker, &leaf, &ask->seq, err);
}

/* Nothing is read that could not be recorded within the second. */
static enum cv_status check_room(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s;

    if (!cv_room_is_full(b)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_IO,
                "the vault's disk is full: reads cannot be "
                "recorded");
    cv_err_state(err, "nothing was told");
    cv_err_hint(err, "make room on its file system, then try again");
    return s;
}

enum cv_status cv_ask_read_permitted(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_leaf leaf;
    enum cv_status s = check_room(ask->broker, err);

    if (s == CV_OK) {
        decision_leaf(ask, ask->question, &leaf);
        s = cv_door_keep(ask->broker, &leaf, err);
    }
    ask->read = s == CV_OK;
    return s;
}

bool cv_ask_is_used_up(const struct cv_ask *ask)
{
    const struct cv_decide_result *r = &ask->result;

    return r->approved || r->break_glass || r->limit.count > 0;
}

/* Entered. */
static enum cv_status list_entered(struct cv_ask *ask, struct cv_ask_list **out,
                                   struct cv_err *err)
{
    struct cv_leaf leaf;
    enum cv_status s = cv_ask_run_list(ask, out, err);

    if (s == CV_OK && ask->result.approved) {
        s = cv_approval_use(ask, err);
    }
    if (s == CV_OK) {
        s = queue_permit(ask, NULL, err);
        return s == CV_OK ? cv_broker_commit(ask->broker, err) : s;
    }
    if (s == CV_BUSY && ask->result.cause == CV_DECIDE_APPROVALS) {
        return ask_for_approvals(ask, NULL, err);
    }
    decision_leaf(ask, NULL, &leaf);
    leaf.decision = CV_LEAF_DENY;
    leaf.status = s;
    return record_denial(ask, &leaf, err);
}

enum cv_status cv_ask_list(struct cv_ask *ask, struct cv_ask_list **out,
                           bool *recorded, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_ask_run_list(ask, out, err);

    *recorded = false;
    if (s == CV_OK && !cv_ask_is_used_up(ask)) {
        /* Before anything is told: a list may go in pieces. */
        s = check_room(b, err);
        if (s == CV_OK) {
            return CV_OK;
        }
        cv_ask_list_free(*out);
        *out = NULL;
        return s;
    }
    cv_ask_list_free(*out);
    *out = NULL;
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = list_entered(ask, out, err);
        cv_broker_leave(b);
    }
    *recorded = ask->read = s == CV_OK;
    if (s != CV_OK) {
        cv_ask_list_free(*out);
        *out = NULL;
    }
    return s;
}

enum cv_status cv_ask_could(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct cv_ask_list *list = NULL;
    struct cv_err why;
    enum cv_status s = cv_broker_enter(b, err);

    if (s != CV_OK) {
        return s;
    }
    cv_err_init(&why);
    s = cv_ask_run_list(ask, &list, &why);
    cv_ask_list_free(list);
    if (s == CV_BUSY) {
        s = CV_OK;
    } else if (s != CV_OK) {
        if (err != NULL) {
            *err = why;
        }
        s = deny(ask, NULL, true, s, err);
    }
    cv_broker_leave(b);
    return s;
}

static enum cv_status read_asked(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_ask_run(ask, err);

    if (s == CV_OK && !cv_ask_is_used_up(ask)) {
        return cv_ask_read_permitted(ask, err);
    }
    /* Again, with the lock held: the policy may be another one by now. */
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = cv_ask_decide(ask, ask->doc, ask->question, err);
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
            ask->read = s == CV_OK;
        }
        cv_broker_leave(b);
    }
    return s;
}

enum cv_status cv_ask_read(struct cv_ask *ask, const cJSON *doc,
                           struct cv_err *err)
{
    const cJSON *given = ask->question;
    cJSON *own = NULL;
    enum cv_status s;

    if (ask->broker->vault == NULL) {
        return cv_broker_enter(ask->broker, err);
    }
    s = cv_broker_policy_load(ask->broker, err);
    if (s == CV_OK && given == NULL && doc == NULL) {
        own = cv_question_of_read(ask);
        s = own != NULL ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
        ask->question = own;
    }
    if (s == CV_OK) {
        ask->doc = doc;
        s = read_asked(ask, err);
    }
    ask->question = given;
    cJSON_Delete(own);
    return s;
}
