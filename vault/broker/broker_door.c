/* The door: decide, record, commit; in that order. */
#include "vault/broker/broker_internal.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/log.h"
#include "vault/base/clock.h"
#include "vault/base/name.h"

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

static enum cv_decide_mode decide_mode(const struct cv_broker *b)
{
    static const enum cv_decide_mode modes[] = {
        [CV_BROKER_EXEC] = CV_DECIDE_MODE_EXEC,
        [CV_BROKER_AGENT] = CV_DECIDE_MODE_AGENT,
        [CV_BROKER_SERVICE] = CV_DECIDE_MODE_SERVICE,
    };

    return modes[b->options->mode];
}

/* The contexts that an action touches: the one named, or all of the entry. */
static size_t contexts_of(const struct cv_ask *ask,
                          const char *names[CV_LIMIT_CONTEXTS])
{
    const cJSON *item;
    size_t n = 0;

    if (ask->context != NULL) {
        names[0] = ask->context;
        return 1;
    }
    if (ask->action != CV_ACTION_EXPORT && ask->action != CV_ACTION_USE) {
        return 0;
    }
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(ask->doc, "contexts"))
    {
        if (n < CV_LIMIT_CONTEXTS) {
            names[n++] = cv_entry_text(item, "name");
        }
    }
    return n;
}

/* Fills what policy looks at; the arrays must outlive the request. */
static void request_of(const struct cv_ask *ask,
                       struct cv_entry_subject *subject,
                       const char *contexts[CV_LIMIT_CONTEXTS],
                       struct cv_decide_request *rq)
{
    const struct cv_peer *peer = &ask->caller->peer;

    memset(rq, 0, sizeof(*rq));
    rq->subject.uid = peer->uid;
    rq->subject.gid = peer->gid;
    rq->subject.gids = peer->groups;
    rq->subject.n_gids = peer->n_groups;
    rq->action = ask->action;
    if (ask->doc != NULL) {
        cv_entry_subject_fill(ask->doc, subject);
        rq->entry = &subject->entry;
    }
    rq->reason = ask->reason;
    rq->ticket = ask->ticket;
    rq->contexts = contexts;
    rq->n_contexts = contexts_of(ask, contexts);
    rq->mode = decide_mode(ask->broker);
    rq->tty = ask->tty;
    rq->read_only = ask->read_only;
    rq->duration_s = ask->duration_s;
    rq->now_s = cv_clock_now_s();
}

static enum cv_status decide(struct cv_ask *ask, struct cv_err *err)
{
    const char *contexts[CV_LIMIT_CONTEXTS];
    struct cv_entry_subject subject;
    struct cv_decide_request rq;

    memset(&ask->result, 0, sizeof(ask->result));
    if (cv_freeze_check(ask, err) != CV_OK) {
        return CV_DENIED;
    }
    request_of(ask, &subject, contexts, &rq);
    return cv_decide_run(ask->broker->policy, &rq, &ask->result, err);
}

bool cv_ask_would(const struct cv_ask *ask, const cJSON *doc)
{
    struct cv_ask trial = *ask;

    trial.doc = doc;
    return decide(&trial, NULL) == CV_OK;
}

enum cv_status cv_ask_would_now(struct cv_ask *ask, const cJSON *doc,
                                struct cv_err *err)
{
    ask->doc = doc;
    return decide(ask, err);
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

/* Entered. A denial is a record too, and as durable as a permit. */
static enum cv_status record_denial(struct cv_ask *ask,
                                    const struct cv_leaf *leaf,
                                    struct cv_err *err)
{
    struct cv_err record;
    enum cv_status s;

    if (cv_denials_take(ask, leaf->status)) {
        cv_denials_say(err);
        return leaf->status;
    }
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
    return CV_DENIED;
}

enum cv_status cv_ask_check(struct cv_ask *ask, const cJSON *doc,
                            const cJSON *details, struct cv_err *err)
{
    struct cv_leaf leaf;
    enum cv_status s;

    ask->doc = doc;
    s = decide(ask, err);
    if (s == CV_OK) {
        return CV_OK;
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

enum cv_status cv_ask_decide(struct cv_ask *ask, const cJSON *doc,
                             const cJSON *details, struct cv_err *err)
{
    struct cv_leaf leaf;
    enum cv_status s = cv_ask_check(ask, doc, details, err);

    if (s != CV_OK || is_left_out(ask)) {
        return s;
    }
    decision_leaf(ask, details, &leaf);
    return queue(ask->broker, &leaf, &ask->seq, err);
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
    s = decide(ask, err);
    if (s == CV_OK) {
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
