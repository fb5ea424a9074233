/* The door: what is recorded, and when it is on the disk. */
#include "vault/broker/door_internal.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/log.h"
#include "vault/base/clock.h"
#include "vault/broker/naming.h"
#include "vault/broker/notify.h"
#include "vault/broker/room.h"
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

const char *cv_broker_user(struct cv_broker *b)
{
    struct cv_caller *c = b->caller;

    if (c == NULL) {
        return "";
    }
    if (c->user[0] == '\0' && b->user[0] != '\0') {
        memcpy(c->user, b->user, sizeof(c->user));
    }
    if (c->user[0] == '\0') {
        cv_naming_of(b, c->peer.uid, c->user);
        if (b->agent != NULL && strncmp(c->user, "uid:", 4) != 0) {
            memcpy(b->user, c->user, sizeof(b->user));
        }
    }
    return c->user;
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
    leaf->uid = c->peer.uid;
    leaf->user = cv_broker_user(b);
    leaf->gid = c->peer.gid;
    leaf->has_gid = true;
    leaf->gids = c->peer.groups;
    leaf->n_gids = c->peer.n_groups;
    leaf->pid = c->peer.pid;
    leaf->exe = c->peer.exe;
    leaf->tty = c->peer.tty;
    leaf->loginuid = c->peer.loginuid;
}

/* What a leaf says that nobody asked for; `op` is its own. */
static void event_begin(struct cv_broker *b, const char *action,
                        const cJSON *details, char op[CV_LEAF_OP + 1],
                        struct cv_leaf *leaf)
{
    cv_leaf_new_op(op);
    leaf_begin(b, leaf);
    leaf->op = op;
    leaf->phase = CV_LEAF_EVENT;
    leaf->action = action;
    leaf->details = details;
}

/* A text of the entry, NULL where it has none. */
const char *cv_door_text_of(const cJSON *doc, const char *key)
{
    const char *text = doc != NULL ? cv_entry_text(doc, key) : "";

    return text[0] != '\0' ? text : NULL;
}

/* What a leaf says of a request. */
void cv_door_leaf_of_ask(const struct cv_ask *ask, struct cv_leaf *leaf)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(ask->doc, "key");

    leaf_begin(ask->broker, leaf);
    leaf->op = ask->op;
    leaf->action = cv_action_name(ask->action);
    leaf->entry = cv_door_text_of(ask->doc, "name");
    leaf->entry_id = cv_door_text_of(ask->doc, "entry_id");
    leaf->spki = cv_door_text_of(key, "spki_sha256");
    leaf->context = ask->context;
    leaf->reason = ask->reason;
    leaf->ticket = ask->ticket;
    if (ask->broker->policy != NULL) {
        leaf->policy_version = cv_policy_version(ask->broker->policy);
        leaf->policy_sha256 = cv_policy_sha256(ask->broker->policy);
    }
}

/* Does the decision that this outcome belongs to wait itself, from `first` on?
 */
static bool waits_decision(const struct cv_broker *b, size_t first, size_t i)
{
    const char *op = cv_entry_text(b->waiting[i], "op");

    for (; first < i; first++) {
        const cJSON *leaf = b->waiting[first];

        if (strcmp(cv_entry_text(leaf, "op"), op) == 0 &&
            strcmp(cv_entry_text(leaf, "phase"), "decision") == 0) {
            return true;
        }
    }
    return false;
}

/* While the disk is full only outcomes are for the room that is reserved: reads
 * stay, and their outcomes with them, which never come before their decision.
 * How many of those that wait are to be queued, or are. */
static size_t outcomes_first(struct cv_broker *b)
{
    size_t n = b->n_queued;

    for (size_t i = n; i < b->n_waiting; i++) {
        cJSON *leaf = b->waiting[i];

        if (strcmp(cv_entry_text(leaf, "phase"), "outcome") == 0 &&
            !waits_decision(b, n, i)) {
            memmove(&b->waiting[n + 1], &b->waiting[n],
                    (i - n) * sizeof(b->waiting[0]));
            b->waiting[n++] = leaf;
        }
    }
    return n;
}

/* Reads that waited go before what comes now: those that are not in the log's
 * queue yet. They outlive the answer whose arena may be in use: their members
 * are made on the heap. */
enum cv_status cv_broker_queue_waiting(struct cv_broker *b, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    size_t n = b->n_waiting;
    enum cv_status s = CV_OK;

    if (cv_log_is_tight(b->vault->log)) {
        n = outcomes_first(b);
    }
    while (b->n_queued < n && s == CV_OK) {
        s = cv_log_append(b->vault->log, b->waiting[b->n_queued], NULL, err);
        b->n_queued += s == CV_OK ? 1 : 0;
    }
    (void)cv_json_use(before);
    return s;
}

/* Entered. */
enum cv_status cv_door_queue(struct cv_broker *b, const struct cv_leaf *leaf,
                             int64_t *seq, struct cv_err *err)
{
    uint64_t n = 0;
    enum cv_status s = cv_broker_queue_waiting(b, err);

    if (s == CV_OK) {
        s = cv_log_append_leaf(b->vault->log, leaf, &n, err);
    }
    if (seq != NULL) {
        *seq = s == CV_OK ? (int64_t)n : -1;
    }
    return s;
}

/* Queues an event about the log itself; `details` is taken. */
static enum cv_status tell_log(struct cv_broker *b, cJSON *details,
                               struct cv_err *err)
{
    char op[CV_LEAF_OP + 1];
    struct cv_leaf leaf;
    enum cv_status s;

    event_begin(b, "log", details, op, &leaf);
    s = cv_door_queue(b, &leaf, NULL, err);
    cJSON_Delete(details);
    return s;
}

/* A crash cut off the end of the log: the next writer drops it and says so. */
static enum cv_status tell_torn(struct cv_broker *b, struct cv_err *err)
{
    uint64_t torn = cv_log_torn(b->vault->log);
    cJSON *details = NULL;

    if (torn == 0) {
        return CV_OK;
    }
    details = cJSON_CreateObject();
    if (details == NULL ||
        !cv_json_add_int(details, "torn_bytes", (int64_t)torn)) {
        cJSON_Delete(details);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return tell_log(b, details, err);
}

/* Before another one is signed: so that it stays to be seen. */
static enum cv_status tell_bare(struct cv_broker *b, struct cv_err *err)
{
    cJSON *details = NULL;

    if (!cv_log_is_bare(b->vault->log)) {
        return CV_OK;
    }
    details = cJSON_CreateObject();
    if (!cv_json_add_str(details, "missing", "checkpoint") ||
        !cv_json_add_int(details, "size",
                         (int64_t)cv_log_size(b->vault->log))) {
        cJSON_Delete(details);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return tell_log(b, details, err);
}

void cv_broker_forget_waiting(struct cv_broker *b)
{
    for (size_t i = 0; i < b->n_queued; i++) {
        cJSON_Delete(b->waiting[i]);
    }
    b->n_waiting -= b->n_queued;
    memmove(&b->waiting[0], &b->waiting[b->n_queued],
            b->n_waiting * sizeof(b->waiting[0]));
    b->n_queued = 0;
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
    /* Twice would throw away what is queued, and let go of the lock. */
    if (b->vault->entered) {
        return cv_fail(err, CV_INTERNAL, "the vault's lock is held already");
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
    if (s == CV_OK) {
        s = tell_bare(b, err);
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
    enum cv_status s =
        b->vault->entered
            ? cv_broker_queue_waiting(b, err)
            : cv_fail(err, CV_INTERNAL, "the vault's lock is not held");

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

static void event_leaf(const struct cv_ask *ask, enum cv_status status,
                       const cJSON *details, struct cv_leaf *leaf)
{
    cv_door_leaf_of_ask(ask, leaf);
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
    return cv_door_queue(ask->broker, &leaf, &ask->seq, err);
}

/* How many may wait so that this one may too. While the disk is full reads and
 * then events stay here: they leave room for outcomes, which need not. */
static size_t room_for(const struct cv_leaf *leaf)
{
    switch (leaf->phase) {
    case CV_LEAF_DECISION:
        return CV_BROKER_WAITING_READS;
    case CV_LEAF_EVENT:
        return CV_BROKER_WAITING_EVENTS;
    default:
        return CV_BROKER_WAITING;
    }
}

/* Keeps a leaf for the next commit. Where too many wait they go first. */
enum cv_status cv_door_keep(struct cv_broker *b, const struct cv_leaf *leaf,
                            struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *tree;
    /* Before a flush, which may read a new policy: the leaf names rules of the
     * one that decided. */
    enum cv_status s = cv_leaf_build(leaf, &tree, err);

    (void)cv_json_use(before);
    if (s != CV_OK) {
        return s;
    }
    if (b->n_waiting >= room_for(leaf)) {
        (void)cv_broker_flush(b, true);
    }
    if (b->n_waiting >= room_for(leaf)) {
        cJSON_Delete(tree);
        return cv_fail(err, CV_IO, "the record cannot be written");
    }
    if (b->n_waiting == 0) {
        b->waiting_since_ms = cv_clock_boot_ms();
    }
    b->waiting[b->n_waiting++] = tree;
    return CV_OK;
}

/* Only in a build for the bench that tells what the record costs, which cannot
 * be a release (CMakeLists.txt): uses that are permitted leave no leaf. */
bool cv_door_is_left_out(const struct cv_ask *ask)
{
#ifdef CV_UNRECORDED
    return ask->action == CV_ACTION_USE;
#else
    (void)ask;
    return false;
#endif
}

static void outcome_leaf(const struct cv_ask *ask, enum cv_status status,
                         const cJSON *details, struct cv_leaf *leaf)
{
    cv_door_leaf_of_ask(ask, leaf);
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

    if (cv_door_is_left_out(ask)) {
        return CV_OK;
    }
    outcome_leaf(ask, status, details, &leaf);
    return cv_door_queue(ask->broker, &leaf, NULL, err);
}

void cv_ask_outcome_later(struct cv_ask *ask, enum cv_status status,
                          const cJSON *details)
{
    struct cv_leaf leaf;

    if (cv_door_is_left_out(ask)) {
        return;
    }
    outcome_leaf(ask, status, details, &leaf);
    (void)!cv_door_keep(ask->broker, &leaf, NULL);
}

void cv_ask_event_later(struct cv_ask *ask, enum cv_status status,
                        const cJSON *details)
{
    struct cv_leaf leaf;

    event_leaf(ask, status, details, &leaf);
    (void)!cv_door_keep(ask->broker, &leaf, NULL);
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

/* Entered. */
static enum cv_status queue_refused(struct cv_ask *ask, const cJSON *details,
                                    enum cv_status status)
{
    struct cv_leaf leaf;

    cv_door_leaf_of_ask(ask, &leaf);
    leaf.phase = CV_LEAF_DECISION;
    leaf.decision = CV_LEAF_DENY;
    leaf.status = status;
    leaf.details = details;
    return cv_door_queue(ask->broker, &leaf, &ask->seq, NULL);
}

void cv_ask_refused(struct cv_ask *ask, struct cv_err *err)
{
    if (ask->broker->vault == NULL || err->status == CV_LOCKED) {
        return;
    }
    if (ask->read) {
        cv_ask_outcome_later(ask, err->status, NULL);
    }
    if (ask->read || ask->seq != -1) {
        return;
    }
    if (cv_denials_take(ask, err->status)) {
        cv_denials_say(err);
        return;
    }
    /* What was refused because it could not be recorded cannot be now: to try
     * would have the log opened anew each time. */
    if (err->status == CV_IO && cv_room_is_full(ask->broker)) {
        return;
    }
    if (cv_broker_enter(ask->broker, NULL) != CV_OK) {
        return;
    }
    if (queue_refused(ask, NULL, err->status) == CV_OK &&
        cv_broker_commit(ask->broker, NULL) == CV_OK) {
        err->audit_seq = ask->seq;
    }
    cv_broker_leave(ask->broker);
}

void cv_ask_refuse(struct cv_ask *ask, const cJSON *details, struct cv_err *err)
{
    if (ask->seq != -1 || err->status == CV_LOCKED) {
        return;
    }
    if (cv_denials_take(ask, err->status)) {
        cv_denials_say(err);
    } else if (queue_refused(ask, details, err->status) == CV_OK) {
        err->audit_seq = ask->seq;
    }
}

void cv_broker_event(struct cv_broker *b, const char *action,
                     enum cv_status status, const cJSON *details)
{
    char op[CV_LEAF_OP + 1];
    struct cv_leaf leaf;

    event_begin(b, action, details, op, &leaf);
    leaf.outcome = status == CV_OK ? "ok" : "failed";
    leaf.status = status;
    (void)!cv_door_keep(b, &leaf, NULL);
}

enum cv_status cv_broker_event_queue(struct cv_broker *b, const char *action,
                                     const cJSON *doc, const cJSON *details,
                                     struct cv_err *err)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(doc, "key");
    char op[CV_LEAF_OP + 1];
    struct cv_leaf leaf;

    event_begin(b, action, details, op, &leaf);
    leaf.entry = cv_door_text_of(doc, "name");
    leaf.entry_id = cv_door_text_of(doc, "entry_id");
    leaf.spki = cv_door_text_of(key, "spki_sha256");
    return cv_door_queue(b, &leaf, NULL, err);
}

enum cv_status cv_broker_event_now(struct cv_broker *b, const char *action,
                                   const cJSON *doc, const cJSON *details,
                                   struct cv_err *err)
{
    enum cv_status s = cv_broker_event_queue(b, action, doc, details, err);

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
    if (b->vault->entered) {
        /* In the middle of a decision: to enter anew would throw away what is
         * queued. A commit that fails here fails that decision's own, too. */
        (void)!cv_broker_commit(b, &err);
    } else if (cv_broker_enter(b, &err) == CV_OK) {
        (void)!cv_broker_commit(b, &err);
        cv_broker_leave(b);
    }
    return b->n_waiting > 0;
}
