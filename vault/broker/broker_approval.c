/* Request, Requests, Approve, Deny. */
#include "vault/broker/approval.h"

#include "vault/base/clock.h"
#include "vault/broker/approval_call.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/notify.h"
#include "vault/broker/proving_internal.h"
#include "vault/broker/sshsig.h"
#include "vault/broker/use_internal.h"

#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* A request, and the entry that it is about. */
struct about {
    struct cv_store_request *row;
    cJSON *doc;
    struct cv_store_entry *entry_row;
    cJSON *entry; /* NULL: it is about none */
};

static void about_free(struct about *a)
{
    cv_store_request_free(a->row);
    cJSON_Delete(a->doc);
    cv_store_entry_free(a->entry_row);
    cJSON_Delete(a->entry);
}

/* The entry as it is now, under whatever name; or as it would be. */
static enum cv_status load_entry(struct cv_broker *b, const cJSON *doc,
                                 struct cv_store_entry **row, cJSON **entry,
                                 struct cv_err *err)
{
    const char *id = cv_entry_text(doc, "entry_id");
    const cJSON *subject = member(doc, "subject");
    enum cv_status s;

    if (id[0] == '\0') {
        *entry = subject != NULL ? cJSON_Duplicate(subject, true) : NULL;
        return subject == NULL || *entry != NULL ? CV_OK : no_memory(err);
    }
    s = cv_store_entry_by_id(b->vault->store, id, false, row, err);
    if (s == CV_OK) {
        s = cv_json_parse(NULL,
                          (struct cv_bytes){(const uint8_t *)(*row)->doc,
                                            strlen((*row)->doc)},
                          entry, err);
    }
    return s;
}

static enum cv_status load_about(struct cv_broker *b, const char *id,
                                 struct about *a, struct cv_err *err)
{
    struct cv_err local;
    enum cv_status s;

    cv_err_init(&local);
    s = cv_store_request_by_id(b->vault->store, id, &a->row, &local);
    if (s == CV_OK) {
        s = cv_approval_doc(a->row, &a->doc, &local);
    }
    if (s == CV_OK) {
        s = load_entry(b, a->doc, &a->entry_row, &a->entry, &local);
        if (s == CV_NOT_FOUND) {
            s = cv_fail(&local, CV_NOT_FOUND,
                        "the entry of the request %s is not there any more",
                        a->row->id);
        }
    } else if (s == CV_NOT_FOUND) {
        cv_err_hint(&local, "certvault requests --all lists them");
    }
    if (s != CV_OK && err != NULL) {
        *err = local;
    }
    return s;
}

static struct cv_decide_approval approval_of(const struct cv_caller *c,
                                             bool is_signed)
{
    return (struct cv_decide_approval){
        .uid = c->peer.uid,
        .gid = c->peer.gid,
        .gids = c->peer.groups,
        .n_gids = c->peer.n_groups,
        .is_signed = is_signed,
    };
}

static bool counts_for(const struct cv_ask *ask, const struct about *a,
                       bool is_signed)
{
    const struct cv_decide_approval approval =
        approval_of(ask->caller, is_signed);

    return cv_decide_may_approve(ask->broker->policy,
                                 cv_entry_text(a->doc, "rule"), &approval);
}

static bool is_own(const struct cv_ask *ask, const struct about *a)
{
    return a->row->uid == (int64_t)ask->caller->peer.uid;
}

/* Asked without anything said: what wants a reason will get one, and what is
 * counted or waits will be then. Nobody looks through a broken glass unseen. */
static bool may_see(const struct cv_ask *ask, const struct about *a)
{
    struct cv_ask trial = *ask;

    if (is_own(ask, a)) {
        return true;
    }
    trial.reason = trial.reason != NULL ? trial.reason : "-";
    trial.dry_run = true;
    trial.preview = true;
    return counts_for(ask, a, true) &&
           cv_ask_would_now(&trial, a->entry, NULL) == CV_OK &&
           !trial.result.break_glass;
}

/* JSON shape `Request`, with the text that a signed approval signs. */
static cJSON *whole_view(const struct cv_broker *b, const struct about *a)
{
    cJSON *view = cv_approval_view(a->row, a->doc);
    struct cv_buf text;

    cv_buf_init(&text, NULL, CV_KIB(16));
    cv_approval_text(b, a->row, a->doc, &text);
    if (cv_buf_status(&text, "a request", NULL) != CV_OK ||
        !cv_json_add_str(view, "text", cv_buf_text(&text))) {
        cJSON_Delete(view);
        view = NULL;
    }
    cv_buf_wipe(&text);
    return view;
}

/* Request */

struct call {
    const char *action, *name, *context;
    struct cv_use use; /* its ask, and the entry that it loads */
};

static enum cv_status read_request(const cJSON *parameters, struct call *c,
                                   struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    const struct cv_json_field fields[] = {
        {"action", CV_JSON_STRING, true, &c->action, 32},
        {"name", CV_JSON_STRING, false, &c->name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &c->context, CV_LIMIT_URL},
        {"duration", CV_JSON_INT, false, &ask->duration_s, 0},
        {"read_only", CV_JSON_BOOL, false, &ask->read_only, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s = cv_json_read(parameters, "Request",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        ask->action = cv_action_from_name(c->action);
    }
    if (s == CV_OK && ask->action == CV_ACTION_NONE) {
        s = cv_fail(err, CV_USAGE, "there is no such action");
        cv_err_hint(err, "certvault(1) lists the actions");
    }
    if (s == CV_OK && cv_approval_call_is_own(ask->action)) {
        s = cv_fail(err, CV_USAGE, "%s is asked for by the command itself",
                    c->action);
        cv_err_hint(err, "run it: what it lacks is filed, and it says so");
    }
    if (s == CV_OK && ask->action != CV_ACTION_USE &&
        (ask->duration_s != 0 || ask->read_only)) {
        s = cv_fail(err, CV_USAGE, "only use has a duration, or is read-only");
    }
    if (s == CV_OK &&
        (ask->duration_s < 0 || ask->duration_s > CV_LIMIT_GRANT_S)) {
        s = cv_fail(err, CV_INVALID, "this is no duration of a grant");
    }
    return s;
}

/* Entered. What the call itself would be asked about. */
static enum cv_status load_asked(struct cv_broker *b, struct call *c,
                                 struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    enum cv_status s;

    if (c->name == NULL) {
        return CV_OK;
    }
    c->use.name = c->name;
    if (ask->action == CV_ACTION_USE) {
        ask->context = c->context;
        s = cv_use_load(b, &c->use, err);
    } else {
        s = cv_broker_load_entry(b, c->name, false, &c->use.row, &c->use.doc,
                                 err);
    }
    if (s != CV_OK || ask->action != CV_ACTION_USE) {
        ask->context =
            ask->action == CV_ACTION_USE || ask->action == CV_ACTION_EXPORT
                ? c->context
                : NULL;
    }
    if (s != CV_OK) {
        s = cv_ask_tell(ask, c->use.doc, c->name, s, err);
        ask->context = NULL;
    }
    return s;
}

static enum cv_status nothing_to_approve(struct call *c, struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INVALID,
                               "policy permits it without anybody's approval");

    cv_err_state(err, "no request was filed");
    cv_err_hint(err, "run the command itself%s%s",
                c->name != NULL ? " for " : "", c->name != NULL ? c->name : "");
    return s;
}

/* Entered. */
static enum cv_status file(struct cv_broker *b, struct call *c, cJSON *out,
                           struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    struct about a = {0};
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "method", "Request");
    s = cv_ask_check(ask, c->use.doc, details, err);
    cJSON_Delete(details);
    if (s == CV_OK && !ask->result.approved) {
        return nothing_to_approve(c, err);
    }
    if (s != CV_OK && (s != CV_BUSY || err->request_id[0] == '\0')) {
        return s;
    }
    s = load_about(b, s == CV_OK ? ask->request : err->request_id, &a, err);
    if (s == CV_OK) {
        const cJSON *seq = member(a.doc, "audit_seq");

        if (!cv_json_add_item(out, "request", whole_view(b, &a)) ||
            !cv_json_add_bool(out, "filed",
                              cJSON_IsNumber(seq) &&
                                  seq->valuedouble == (double)ask->seq)) {
            s = no_memory(err);
        }
    }
    about_free(&a);
    return s;
}

CV_BROKER_METHOD(request)
{
    struct cv_broker *b = context;
    struct call c = {0};
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_USE, parameters, &c.use.ask, err);

    if (s == CV_OK) {
        s = read_request(parameters, &c, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = load_asked(b, &c, err);
            if (s == CV_OK) {
                s = file(b, &c, cv_reply_parameters(reply), err);
            }
            cv_broker_leave(b);
        }
    }
    if (s != CV_OK) {
        cv_ask_refused(&c.use.ask, err);
    }
    cv_use_free(&c.use);
    return s;
}

/* Requests */

struct listing {
    struct cv_ask *ask; /* approve */
    const cJSON *ids;   /* NULL: any */
    cJSON *items;
};

static bool is_wanted(const cJSON *ids, const char *id)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, ids)
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, id) == 0) {
            return true;
        }
    }
    return ids == NULL;
}

static enum cv_status
list_one(void *context, const struct cv_store_request *row, struct cv_err *err)
{
    struct listing *l = context;
    struct cv_broker *b = l->ask->broker;
    struct cv_store_request copy = *row;
    struct about a = {.row = &copy};
    bool lost = false;
    cJSON *view = NULL;
    enum cv_status s;

    if (!is_wanted(l->ids, row->id)) {
        return CV_OK;
    }
    s = cv_approval_doc(row, &a.doc, err);
    if (s == CV_OK &&
        load_entry(b, a.doc, &a.entry_row, &a.entry, NULL) != CV_OK) {
        cJSON_Delete(a.entry); /* it is gone: shown to its own alone */
        a.entry = NULL;
        lost = true;
    }
    if (s == CV_OK && (lost ? is_own(l->ask, &a) : may_see(l->ask, &a))) {
        view =
            l->ids != NULL ? whole_view(b, &a) : cv_approval_view(row, a.doc);
        if (view == NULL || !cJSON_AddItemToArray(l->items, view)) {
            cJSON_Delete(view);
            s = no_memory(err);
        }
    }
    a.row = NULL;
    about_free(&a);
    return s;
}

CV_BROKER_METHOD(requests)
{
    struct cv_broker *b = context;
    struct listing l = {0};
    bool all = false;
    const struct cv_json_field fields[] = {
        {"ids", CV_JSON_ARRAY, false, &l.ids, 0},
        {"all", CV_JSON_BOOL, false, &all, 0},
    };
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_APPROVE, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Requests", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        l.ask = &ask;
        l.items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");
        s = l.items != NULL
                ? cv_store_request_list(b->vault->store, all || l.ids != NULL,
                                        list_one, &l, err)
                : no_memory(err);
        cv_broker_leave(b);
    }
    return s;
}

/* Approve and Deny */

struct answer {
    const char *id, *signature;
    bool deny, receipt;
    struct cv_ask ask;
    struct about about;
    bool is_signed;
    char key[CV_SSHSIG_FINGERPRINT]; /* that signed; "": none */
};

static cJSON *answer_details(const struct answer *a)
{
    const cJSON *doc = a->about.doc;
    cJSON *out = cJSON_CreateObject();

    (void)cv_json_add_str(out, "method", a->deny ? "Deny" : "Approve");
    (void)cv_json_add_str(out, "request", a->about.row->id);
    (void)cv_json_add_str(out, "for_action", cv_entry_text(doc, "action"));
    (void)cv_json_add_int(out, "for_uid", a->about.row->uid);
    (void)cv_json_add_str(out, "for_rule", cv_entry_text(doc, "rule"));
    (void)cv_json_add_str(out, "digest", a->about.row->key);
    if (a->key[0] != '\0') {
        (void)cv_json_add_str(out, "key", a->key);
    }
    return out;
}

/* Entered. A denial that is not the policy's rules'. */
static enum cv_status refuse(struct answer *a, const char *why,
                             const char *hint, struct cv_err *err)
{
    struct cv_broker *b = a->ask.broker;
    cJSON *details = answer_details(a);
    enum cv_status s;

    a->ask.doc = a->about.entry;
    s = cv_ask_deny(&a->ask, CV_DENIED, details, err);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    cJSON_Delete(details);
    if (s != CV_OK) {
        return s;
    }
    s = cv_fail(err, CV_DENIED, "%s", why);
    err->audit_seq = a->ask.seq;
    cv_err_state(err, "the request is as it was; the denial is recorded");
    if (hint != NULL) {
        cv_err_hint(err, "%s", hint);
    }
    return s;
}

static enum cv_status check_open(const struct answer *a, struct cv_err *err)
{
    const struct cv_store_request *row = a->about.row;
    enum cv_store_request_state state = row->state;
    enum cv_status s;

    if (state <= CV_STORE_REQUEST_APPROVED &&
        cv_approval_is_over(row, a->about.doc)) {
        state = CV_STORE_REQUEST_EXPIRED;
    }
    if (state <= CV_STORE_REQUEST_APPROVED) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INVALID, "the request %s is %s already", row->id,
                cv_store_request_word(state));
    cv_err_state(err, "nothing was changed");
    return s;
}

/* Entered. May this caller answer it, and has not yet? */
static enum cv_status check_answer(struct answer *a, struct cv_err *err)
{
    const struct cv_policy_require *require = cv_policy_require_of(
        a->ask.broker->policy, cv_entry_text(a->about.doc, "rule"));
    const cJSON *before = cv_approval_by(a->about.doc, a->ask.caller->peer.uid);
    enum cv_status s;

    if (is_own(&a->ask, &a->about)) {
        return refuse(a, "nobody approves a request of their own", NULL, err);
    }
    if (!counts_for(&a->ask, &a->about, true)) {
        return refuse(a,
                      "your approval does not count for the rule of this "
                      "request",
                      "certvault policy show has who approves it", err);
    }
    if (!a->deny && require != NULL && require->is_signed && !a->is_signed) {
        return refuse(a, "the rule of this request wants signed approvals",
                      "certvault approve ID --sign-key FILE", err);
    }
    if (!a->deny && before != NULL &&
        (!a->is_signed || strcmp(cv_entry_text(before, "key"), a->key) == 0)) {
        s = cv_fail(err, CV_EXISTS, "you have approved the request %s already",
                    a->about.row->id);
        cv_err_state(err, "nothing was changed");
        return s;
    }
    return CV_OK;
}

static enum cv_store_request_state next_state(const struct answer *a,
                                              const cJSON *doc)
{
    const cJSON *needed = member(doc, "needed");

    if (a->deny) {
        return CV_STORE_REQUEST_DENIED;
    }
    return cJSON_IsNumber(needed) &&
                   cJSON_GetArraySize(member(doc, "approvals")) >=
                       (int)needed->valuedouble
               ? CV_STORE_REQUEST_APPROVED
               : CV_STORE_REQUEST_OPEN;
}

static enum cv_status store_answer(struct answer *a, struct cv_err *err)
{
    struct cv_broker *b = a->ask.broker;
    struct cv_ask *asks[] = {&a->ask};
    enum cv_store_request_state state;
    bool ok =
        a->deny
            ? cv_json_add_item(a->about.doc, "closed", cv_approval_who(&a->ask))
            : cv_approval_add(&a->ask, a->is_signed, a->key, a->about.doc);
    enum cv_status s =
        ok ? cv_store_begin(b->vault->store, err) : no_memory(err);

    state = next_state(a, a->about.doc);
    if (s == CV_OK) {
        s = cv_approval_put(b, a->about.row, state, a->about.doc, err);
    }
    if (s == CV_OK) {
        s = cv_change_done(asks, 1, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(b->vault->store, err);
    }
    if (s == CV_OK) {
        a->about.row->state = state;
    } else {
        cv_store_rollback(b->vault->store);
    }
    return s;
}

static void tell(const struct answer *a)
{
    cJSON *about = cJSON_CreateObject();

    (void)cv_json_add_item(about, "request",
                           cv_approval_view(a->about.row, a->about.doc));
    cv_notify_event(a->ask.broker, a->deny ? "denied" : "approved", about);
    cJSON_Delete(about);
}

/* Entered. Decided, recorded, then done. */
static enum cv_status run_answer(struct answer *a, struct cv_err *err)
{
    struct cv_ask *asks[] = {&a->ask};
    cJSON *details = answer_details(a);
    enum cv_status s = cv_ask_decide(&a->ask, a->about.entry, details, err);

    if (s == CV_OK) {
        s = cv_change_intend(asks, 1, err);
        if (s == CV_OK) {
            s = store_answer(a, err);
            s = cv_change_end(asks, 1, s, details, err);
        }
    }
    cJSON_Delete(details);
    if (s == CV_OK) {
        tell(a);
    }
    return s;
}

/* Entered. One's own needs nobody's leave. */
static enum cv_status withdraw(struct answer *a, struct cv_err *err)
{
    struct cv_broker *b = a->ask.broker;
    cJSON *details = answer_details(a);
    enum cv_status s;

    a->ask.doc = a->about.entry;
    s = cv_ask_event(&a->ask, details, err);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s == CV_OK) {
        s = cv_json_add_item(a->about.doc, "closed", cv_approval_who(&a->ask))
                ? cv_approval_put(b, a->about.row, CV_STORE_REQUEST_WITHDRAWN,
                                  a->about.doc, err)
                : no_memory(err);
    }
    if (s == CV_OK) {
        a->about.row->state = CV_STORE_REQUEST_WITHDRAWN;
    }
    cJSON_Delete(details);
    return s;
}

/* Not entered: a helper reads what came from outside. */
static enum cv_status check_signature(struct cv_broker *b, struct answer *a,
                                      struct cv_err *err)
{
    const struct cv_policy_key *keys = NULL;
    size_t n = cv_policy_keys(b->policy, b->caller->peer.uid, &keys);
    struct cv_helper helper = {0};
    struct cv_buf text;
    size_t which = 0;
    int fd = -1;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_KIB(16));
    cv_approval_text(b, a->about.row, a->about.doc, &text);
    s = cv_buf_status(&text, "a request", err);
    if (s == CV_OK && n == 0) {
        s = cv_fail(err, CV_DENIED, "the policy has no keys of yours");
        cv_err_hint(err, "certvault policy show: keys");
    }
    if (s == CV_OK) {
        s = cv_spawner_run(b->spawner, CV_SPAWNER_SSHSIG, &fd, err);
    }
    if (s == CV_OK) {
        s = cv_channel_new(fd, CV_LIMIT_FRAME, &helper.channel, err);
    }
    if (s == CV_OK) {
        s = cv_sshsig_ask(helper.channel, a->signature, cv_buf_bytes(&text),
                          keys, n, &which, err);
        cv_helper_stop(&helper);
    }
    if (s == CV_OK) {
        a->is_signed = true;
        cv_sshsig_fingerprint(&keys[which], a->key);
    }
    cv_buf_wipe(&text);
    return s;
}

/* May it know of every request that there is? */
static bool sees_all(const struct cv_ask *ask)
{
    struct cv_ask trial = *ask;

    trial.reason = trial.reason != NULL ? trial.reason : "-";
    trial.dry_run = true;
    trial.preview = true;
    return cv_ask_would_now(&trial, NULL, NULL) == CV_OK &&
           !trial.result.break_glass;
}

/* By what is said with it: a glass is broken seen. */
static bool may_now(const struct answer *a)
{
    struct cv_ask trial = a->ask;

    return counts_for(&a->ask, &a->about, true) &&
           cv_ask_would_now(&trial, a->about.entry, NULL) != CV_DENIED;
}

/* Entered. Of a request that is not the caller's to see, and of one that is not
 * there, the answer is the same. `s` is what looking for it came to. */
static enum cv_status check_seen(struct answer *a, enum cv_status s,
                                 struct cv_err *err)
{
    struct cv_broker *b = a->ask.broker;
    const bool there = a->about.row != NULL;
    char shown[CV_STORE_REQUEST_ID + 1];
    cJSON *details;

    if ((s != CV_OK && s != CV_NOT_FOUND) ||
        (there && is_own(&a->ask, &a->about)) ||
        (s == CV_OK && there && (may_see(&a->ask, &a->about) || may_now(a))) ||
        sees_all(&a->ask)) {
        return s;
    }
    details = there ? answer_details(a) : cJSON_CreateObject();
    a->ask.doc = a->about.entry;
    s = cv_ask_deny(&a->ask, CV_DENIED, details, err);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    cJSON_Delete(details);
    if (s != CV_OK) {
        return s;
    }
    s = cv_fail(err, CV_DENIED, "there is no request %s that you may answer",
                cv_err_quote(shown, sizeof(shown), a->id, strlen(a->id)));
    err->audit_seq = a->ask.seq;
    cv_err_state(err, "nothing was changed; the denial is recorded");
    cv_err_hint(err, "certvault requests lists those that you may");
    return s;
}

/* Entered. */
static enum cv_status load_answer(struct cv_broker *b, struct answer *a,
                                  struct cv_err *err)
{
    enum cv_status s = check_seen(a, load_about(b, a->id, &a->about, err), err);

    if (s == CV_OK) {
        a->ask.doc = a->about.entry;
        s = check_open(a, err);
    }
    return s;
}

/* Entered; with the lock held all the way, unless a signature has to be
 * checked: then what was read is read again. */
static enum cv_status answer_entered(struct cv_broker *b, struct answer *a,
                                     struct cv_err *err)
{
    enum cv_status s = load_answer(b, a, err);

    if (s == CV_OK && a->deny && is_own(&a->ask, &a->about)) {
        return withdraw(a, err);
    }
    if (s == CV_OK && !is_own(&a->ask, &a->about)) {
        cJSON *details = answer_details(a);

        /* What the caller may not approve is not told apart further. */
        s = cv_ask_check(&a->ask, a->about.entry, details, err);
        cJSON_Delete(details);
    }
    if (s == CV_OK) {
        s = check_answer(a, err);
    }
    return s == CV_OK ? run_answer(a, err) : s;
}

/* Verified before the lock is taken for good: by whom it is does not change,
 * and neither does what it is about. */
static enum cv_status verify_first(struct cv_broker *b, struct answer *a,
                                   struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = load_answer(b, a, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = check_signature(b, a, err);
    }
    about_free(&a->about);
    a->about = (struct about){0};
    a->ask.doc = NULL;
    return s;
}

static enum cv_status run_call(struct cv_broker *b, struct answer *a,
                               const cJSON *parameters, struct cv_reply *reply,
                               struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &a->id, CV_STORE_REQUEST_ID},
        {"reason", CV_JSON_ANY, false, &(const cJSON *){0}, 0},
        {"ticket", CV_JSON_ANY, false, &(const cJSON *){0}, 0},
        {"receipt", CV_JSON_BOOL, false, &a->receipt, 0},
        {"signature", CV_JSON_TEXT, false, &a->signature, CV_SSHSIG_MAX},
    };
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_APPROVE, parameters, &a->ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, a->deny ? "Deny" : "Approve", fields,
                         a->deny ? 4 : 5, true, err);
    }
    s = s == CV_OK && a->receipt ? cv_signer_need(b, reply, err) : s;
    if (s == CV_OK && a->signature != NULL) {
        s = verify_first(b, a, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = answer_entered(b, a, err);
            if (s == CV_OK &&
                (!cv_json_add_item(out, "request", whole_view(b, &a->about)) ||
                 !cv_json_add_int(out, "audit_seq", a->ask.seq))) {
                s = no_memory(err);
            }
            cv_broker_leave(b);
        }
    }
    if (s != CV_OK) {
        cv_ask_refused(&a->ask, err);
    }
    about_free(&a->about);
    return s == CV_OK && a->receipt
               ? cv_proving_receipt(&a->ask, "the answer stands", out, err)
               : s;
}

CV_BROKER_METHOD(approve)
{
    return run_call(context, &(struct answer){0}, parameters, reply, err);
}

CV_BROKER_METHOD(deny)
{
    return run_call(context, &(struct answer){.deny = true}, parameters, reply,
                    err);
}
