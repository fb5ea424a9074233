/* The door: decide, record, commit; in that order. */
#include "vault/broker/broker_internal.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/log.h"
#include "vault/base/clock.h"
#include "vault/base/name.h"
#include "vault/broker/approval.h"
#include "vault/broker/notify.h"
#include "vault/broker/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_MS 1000

static const char *mode_name(const struct cv_broker *b)
{
    static const char *const names[] = {
        [CV_BROKER_EXEC] = "exec",
        [CV_BROKER_AGENT] = "agent",
        [CV_BROKER_SERVICE] = "service",
    };

    return names[b->options->mode];
}

/* Who asks and what this broker is, in every leaf. */
static void leaf_begin(struct cv_broker *b, struct cv_leaf *leaf)
{
    struct cv_caller *c = b->caller;

    cv_leaf_init(leaf);
    leaf->mode = mode_name(b);
    leaf->host = b->host;
    leaf->uid = geteuid();
    if (c == NULL) {
        return;
    }
    if (c->user[0] == '\0' && b->user[0] != '\0') {
        memcpy(c->user, b->user, sizeof(c->user));
    }
    if (c->user[0] == '\0') {
        int fd;

        if (b->names.channel == NULL &&
            cv_spawner_run(b->spawner, CV_SPAWNER_NAMES, &fd, NULL) == CV_OK) {
            (void)!cv_channel_new(fd, CV_LIMIT_FRAME, &b->names.channel, NULL);
        }
        cv_names_user(b->names.channel, c->peer.uid, c->user);
        cv_helper_stop(&b->names);
        if (b->agent != NULL && strncmp(c->user, "uid:", 4) != 0) {
            memcpy(b->user, c->user, sizeof(b->user));
        }
    }
    leaf->uid = c->peer.uid;
    leaf->user = c->user;
    leaf->gids = c->peer.groups;
    leaf->n_gids = c->peer.n_groups;
    leaf->pid = c->peer.pid;
    leaf->exe = c->peer.exe;
    leaf->tty = c->peer.tty;
    leaf->loginuid = c->peer.loginuid;
}

/* A text of the entry, NULL where it has none. */
static const char *text_of(const cJSON *doc, const char *key)
{
    const char *text = doc != NULL ? cv_entry_text(doc, key) : "";

    return text[0] != '\0' ? text : NULL;
}

/* What a leaf says of a request. */
static void leaf_of_ask(const struct cv_ask *ask, struct cv_leaf *leaf)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(ask->doc, "key");

    leaf_begin(ask->broker, leaf);
    leaf->op = ask->op;
    leaf->action = cv_action_name(ask->action);
    leaf->entry = text_of(ask->doc, "name");
    leaf->entry_id = text_of(ask->doc, "entry_id");
    leaf->spki = text_of(key, "spki_sha256");
    leaf->context = ask->context;
    leaf->reason = ask->reason;
    leaf->ticket = ask->ticket;
    if (ask->broker->policy != NULL) {
        leaf->policy_version = cv_policy_version(ask->broker->policy);
        leaf->policy_sha256 = cv_policy_sha256(ask->broker->policy);
    }
}

/* Reads that waited go before what comes now: those that are not in the log's
 * queue yet. They outlive the answer whose arena may be in use: their members
 * are made on the heap. */
enum cv_status cv_broker_queue_waiting(struct cv_broker *b, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    enum cv_status s = CV_OK;

    while (b->n_queued < b->n_waiting && s == CV_OK) {
        s = cv_log_append(b->vault->log, b->waiting[b->n_queued], NULL, err);
        b->n_queued += s == CV_OK ? 1 : 0;
    }
    (void)cv_json_use(before);
    return s;
}

/* Entered. */
static enum cv_status queue(struct cv_broker *b, const struct cv_leaf *leaf,
                            int64_t *seq, struct cv_err *err)
{
    cJSON *tree;
    uint64_t n = 0;
    enum cv_status s = cv_leaf_build(leaf, &tree, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_broker_queue_waiting(b, err);
    if (s == CV_OK) {
        s = cv_log_append(b->vault->log, tree, &n, err);
    }
    cJSON_Delete(tree);
    if (seq != NULL) {
        *seq = s == CV_OK ? (int64_t)n : -1;
    }
    return s;
}

/* A crash cut off the end of the log: the next writer drops it and says so. */
static enum cv_status tell_torn(struct cv_broker *b, struct cv_err *err)
{
    uint64_t torn = cv_log_torn(b->vault->log);
    char op[CV_LEAF_OP + 1];
    cJSON *details = NULL;
    struct cv_leaf leaf;
    enum cv_status s;

    if (torn == 0) {
        return CV_OK;
    }
    details = cJSON_CreateObject();
    if (details == NULL ||
        !cv_json_add_int(details, "torn_bytes", (int64_t)torn)) {
        cJSON_Delete(details);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_leaf_new_op(op);
    leaf_begin(b, &leaf);
    leaf.op = op;
    leaf.phase = CV_LEAF_EVENT;
    leaf.action = "log";
    leaf.details = details;
    s = queue(b, &leaf, NULL, err);
    cJSON_Delete(details);
    return s;
}

void cv_broker_forget_waiting(struct cv_broker *b)
{
    for (size_t i = 0; i < b->n_waiting; i++) {
        cJSON_Delete(b->waiting[i]);
    }
    b->n_waiting = b->n_queued = 0;
}

enum cv_status cv_broker_enter(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s;

    if (b->unopened.status != CV_OK) {
        if (err != NULL) {
            *err = b->unopened;
        }
        return b->unopened.status;
    }
    if (b->vault == NULL && b->folder != -1) {
        s = cv_vault_was_destroyed(b->folder, b->options->folder, err);
        if (s != CV_OK) {
            return s;
        }
    }
    if (b->vault == NULL) {
        s = cv_fail(err, CV_NOT_FOUND, "there is no vault in %s",
                    b->options->folder);
        cv_err_hint(err, "make one: certvault init");
        return s;
    }
    s = cv_vault_enter(b->vault, err);
    cv_notify_forget(b);
    if (b->tally != NULL) {
        cv_tally_enter(b->tally);
    }
    if (s == CV_OK) {
        s = cv_broker_policy_load(b, err);
    }
    if (s == CV_OK) {
        s = cv_freeze_look(b, err);
    }
    b->n_queued = 0;
    if (s == CV_OK) {
        s = tell_torn(b, err);
        cv_jump_look(b);
    }
    if (s != CV_OK) {
        cv_vault_leave(b->vault);
    }
    return s;
}

void cv_broker_leave(struct cv_broker *b)
{
    cv_vault_leave(b->vault);
}

enum cv_status cv_broker_commit(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s = cv_broker_queue_waiting(b, err);

    if (s == CV_OK) {
        s = cv_log_commit(b->vault->log, err);
    }
    if (s == CV_OK) {
        cv_broker_forget_waiting(b);
        cv_notify_release(b);
        return CV_OK;
    }
    cv_err_state(err, "nothing was released or changed, because it could not "
                      "be recorded");
    cv_err_hint(err, "see that the vault's disk has room and that audit/log is "
                     "in its place, then run certvault audit verify");
    return s;
}

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
    leaf_of_ask(ask, leaf);
    if (ask->result.permit) {
        cv_broker_metrics_count(ask->broker, true, ask->action);
    }
    leaf->phase = CV_LEAF_DECISION;
    leaf->decision = ask->result.permit ? CV_LEAF_PERMIT : CV_LEAF_DENY;
    leaf->rules = ask->result.rules;
    leaf->n_rules = ask->result.n_rules;
    leaf->details = details;
}

/* Entered. A denial is a record too, and as durable as a permit. Its status,
 * or that of the record. */
static enum cv_status commit_denial(struct cv_ask *ask,
                                    const struct cv_leaf *leaf,
                                    struct cv_err *err)
{
    struct cv_err record;
    enum cv_status s;

    cv_err_init(&record);
    s = queue(ask->broker, leaf, &ask->seq, &record);
    if (s == CV_OK) {
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
    return commit_denial(ask, leaf, err);
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
        s = commit_denial(ask, &leaf, err);
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
    struct cv_leaf leaf;
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
    decision_leaf(ask, details, &leaf);
    leaf.status = s;
    return record_denial(ask, &leaf, err);
}

/* Only in a build for the bench that tells what the record costs, which cannot
 * be a release (CMakeLists.txt): uses that are permitted leave no leaf. */
static bool is_left_out(const struct cv_ask *ask)
{
#ifdef CV_UNRECORDED
    return ask->action == CV_ACTION_USE;
#else
    (void)ask;
    return false;
#endif
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
    (void)cv_json_add_str(about, "entry", text_of(ask->doc, "name"));
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
        s = queue(b, &leaf, &ask->seq, err);
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

enum cv_status cv_ask_decide(struct cv_ask *ask, const cJSON *doc,
                             const cJSON *details, struct cv_err *err)
{
    enum cv_status s = cv_ask_check(ask, doc, details, err);

    if (s != CV_OK || is_left_out(ask)) {
        return s;
    }
    /* Used up before the leaf is written: a crash between the two loses an
     * approval, and never gives one twice. */
    if (ask->result.approved && ask->held_rule[0] == '\0' && !ask->preview) {
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
    return queue(ask->broker, &leaf, &ask->seq, err);
}

static void event_leaf(const struct cv_ask *ask, enum cv_status status,
                       const cJSON *details, struct cv_leaf *leaf)
{
    leaf_of_ask(ask, leaf);
    leaf->phase = CV_LEAF_EVENT;
    leaf->outcome = status == CV_OK ? "ok" : "failed";
    leaf->status = status;
    leaf->details = details;
}

enum cv_status cv_ask_event(struct cv_ask *ask, const cJSON *details,
                            struct cv_err *err)
{
    struct cv_leaf leaf;

    event_leaf(ask, CV_OK, details, &leaf);
    return queue(ask->broker, &leaf, &ask->seq, err);
}

/* Keeps a leaf for the next commit. Where too many wait they go first. */
static enum cv_status keep_waiting(struct cv_broker *b,
                                   const struct cv_leaf *leaf,
                                   struct cv_err *err)
{
    struct cv_arena *before;
    cJSON *tree;
    enum cv_status s;

    if (b->n_waiting == CV_BROKER_WAITING && cv_broker_flush(b, true)) {
        return cv_fail(err, CV_IO, "the record cannot be written");
    }
    before = cv_json_use(NULL);
    s = cv_leaf_build(leaf, &tree, err);
    (void)cv_json_use(before);
    if (s == CV_OK) {
        if (b->n_waiting == 0) {
            b->waiting_since_ms = cv_clock_boot_ms();
        }
        b->waiting[b->n_waiting++] = tree;
    }
    return s;
}

enum cv_status cv_ask_read_permitted(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_leaf leaf;

    decision_leaf(ask, NULL, &leaf);
    return keep_waiting(ask->broker, &leaf, err);
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
        return CV_OK;
    }
    cv_ask_list_free(*out);
    *out = NULL;
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = list_entered(ask, out, err);
        cv_broker_leave(b);
    }
    *recorded = s == CV_OK;
    if (s != CV_OK) {
        cv_ask_list_free(*out);
        *out = NULL;
    }
    return s;
}

enum cv_status cv_ask_read(struct cv_ask *ask, const cJSON *doc,
                           struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s;

    if (b->vault == NULL) {
        return cv_broker_enter(b, err);
    }
    s = cv_broker_policy_load(b, err);
    if (s != CV_OK) {
        return s;
    }
    ask->doc = doc;
    s = cv_ask_run(ask, err);
    if (s == CV_OK && !cv_ask_is_used_up(ask)) {
        return cv_ask_read_permitted(ask, err);
    }
    /* Again, with the lock held: the policy may be another one by now. */
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = cv_ask_decide(ask, doc, NULL, err);
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        cv_broker_leave(b);
    }
    return s;
}

static void outcome_leaf(const struct cv_ask *ask, enum cv_status status,
                         const cJSON *details, struct cv_leaf *leaf)
{
    leaf_of_ask(ask, leaf);
    leaf->phase = CV_LEAF_OUTCOME;
    leaf->decision = CV_LEAF_PERMIT;
    leaf->outcome = status == CV_OK ? "ok" : "failed";
    leaf->status = status;
    leaf->details = details;
}

enum cv_status cv_ask_outcome(struct cv_ask *ask, enum cv_status status,
                              const cJSON *details, struct cv_err *err)
{
    struct cv_leaf leaf;

    if (is_left_out(ask)) {
        return CV_OK;
    }
    outcome_leaf(ask, status, details, &leaf);
    return queue(ask->broker, &leaf, NULL, err);
}

void cv_ask_outcome_later(struct cv_ask *ask, enum cv_status status,
                          const cJSON *details)
{
    struct cv_leaf leaf;

    if (is_left_out(ask)) {
        return;
    }
    outcome_leaf(ask, status, details, &leaf);
    (void)!keep_waiting(ask->broker, &leaf, NULL);
}

void cv_ask_event_later(struct cv_ask *ask, enum cv_status status,
                        const cJSON *details)
{
    struct cv_leaf leaf;

    event_leaf(ask, status, details, &leaf);
    (void)!keep_waiting(ask->broker, &leaf, NULL);
}

void cv_ask_outcome_now(struct cv_ask *ask, enum cv_status status,
                        const cJSON *details)
{
    struct cv_broker *b = ask->broker;

    if (cv_broker_enter(b, NULL) != CV_OK) {
        return;
    }
    if (cv_ask_outcome(ask, status, details, NULL) == CV_OK) {
        (void)!cv_broker_commit(b, NULL);
    }
    cv_broker_leave(b);
}

void cv_ask_refused(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_leaf leaf;

    if (ask->seq != -1 || ask->broker->vault == NULL ||
        err->status == CV_LOCKED) {
        return;
    }
    if (cv_denials_take(ask, err->status)) {
        cv_denials_say(err);
        return;
    }
    if (cv_broker_enter(ask->broker, NULL) != CV_OK) {
        return;
    }
    leaf_of_ask(ask, &leaf);
    leaf.phase = CV_LEAF_DECISION;
    leaf.decision = CV_LEAF_DENY;
    leaf.status = err->status;
    if (queue(ask->broker, &leaf, &ask->seq, NULL) == CV_OK &&
        cv_broker_commit(ask->broker, NULL) == CV_OK) {
        err->audit_seq = ask->seq;
    }
    cv_broker_leave(ask->broker);
}

void cv_broker_event(struct cv_broker *b, const char *action,
                     enum cv_status status, const cJSON *details)
{
    char op[CV_LEAF_OP + 1];
    struct cv_leaf leaf;

    cv_leaf_new_op(op);
    leaf_begin(b, &leaf);
    leaf.op = op;
    leaf.phase = CV_LEAF_EVENT;
    leaf.action = action;
    leaf.outcome = status == CV_OK ? "ok" : "failed";
    leaf.status = status;
    leaf.details = details;
    (void)!keep_waiting(b, &leaf, NULL);
}

enum cv_status cv_broker_event_now(struct cv_broker *b, const char *action,
                                   const cJSON *doc, const cJSON *details,
                                   struct cv_err *err)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(doc, "key");
    char op[CV_LEAF_OP + 1];
    struct cv_leaf leaf;
    enum cv_status s;

    cv_leaf_new_op(op);
    leaf_begin(b, &leaf);
    leaf.op = op;
    leaf.phase = CV_LEAF_EVENT;
    leaf.action = action;
    leaf.entry = text_of(doc, "name");
    leaf.entry_id = text_of(doc, "entry_id");
    leaf.spki = text_of(key, "spki_sha256");
    leaf.details = details;
    s = queue(b, &leaf, NULL, err);
    return s == CV_OK ? cv_broker_commit(b, err) : s;
}

bool cv_broker_flush(struct cv_broker *b, bool now)
{
    struct cv_err err;

    if (b->n_waiting == 0 || b->vault == NULL) {
        return false;
    }
    if (!now && cv_clock_boot_ms() - b->waiting_since_ms < FLUSH_MS) {
        return true;
    }
    cv_err_init(&err);
    if (cv_broker_enter(b, &err) == CV_OK) {
        (void)!cv_broker_commit(b, &err);
        cv_broker_leave(b);
    }
    return b->n_waiting > 0;
}
