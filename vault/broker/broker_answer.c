/* Approve and Deny. */
#include "vault/broker/approval_about.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/notify.h"
#include "vault/broker/proving_internal.h"
#include "vault/broker/sshsig.h"

#include <stdio.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

struct answer {
    const char *id, *signature;
    bool deny, receipt;
    struct cv_ask ask;
    struct cv_approval_about about;
    bool is_signed;
    char key[CV_SSHSIG_FINGERPRINT]; /* that signed; "": none */
};

static cJSON *answer_details(const struct answer *a)
{
    const cJSON *doc = a->about.doc;
    cJSON *out = cJSON_CreateObject();

    if (a->about.row == NULL) {
        return out; /* there is none */
    }
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
    cv_err_state(err, "nothing was changed; the denial is recorded");
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

    if (cv_approval_is_own(&a->ask, &a->about)) {
        return refuse(a, "nobody approves a request of their own", NULL, err);
    }
    if (!cv_approval_counts(&a->ask, &a->about)) {
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

    return cv_approval_counts(&a->ask, &a->about) &&
           cv_ask_would_now(&trial, a->about.entry, NULL) != CV_DENIED;
}

/* Entered. Of a request that is not the caller's to see, and of one that is not
 * there, the answer is the same. `s` is what looking for it came to. */
static enum cv_status check_seen(struct answer *a, enum cv_status s,
                                 struct cv_err *err)
{
    const bool there = a->about.row != NULL;
    char shown[CV_STORE_REQUEST_ID + 1], why[96];

    if ((s != CV_OK && s != CV_NOT_FOUND) ||
        (there && cv_approval_is_own(&a->ask, &a->about)) ||
        (s == CV_OK && there &&
         (cv_approval_may_see(&a->ask, &a->about) || may_now(a))) ||
        sees_all(&a->ask)) {
        return s;
    }
    (void)snprintf(why, sizeof(why),
                   "there is no request %s that you may answer",
                   cv_err_quote(shown, sizeof(shown), a->id, strlen(a->id)));
    return refuse(a, why, "certvault requests lists those that you may", err);
}

/* Entered. */
static enum cv_status load_answer(struct cv_broker *b, struct answer *a,
                                  struct cv_err *err)
{
    enum cv_status s =
        check_seen(a, cv_approval_about_load(b, a->id, &a->about, err), err);

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

    if (s == CV_OK && a->deny && cv_approval_is_own(&a->ask, &a->about)) {
        return withdraw(a, err);
    }
    if (s == CV_OK && !cv_approval_is_own(&a->ask, &a->about)) {
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
    cv_approval_about_free(&a->about);
    a->about = (struct cv_approval_about){0};
    a->ask.doc = NULL;
    return s;
}

static enum cv_status read_answer(struct cv_broker *b, const cJSON *parameters,
                                  struct answer *a, struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &a->id, CV_STORE_REQUEST_ID},
        {"reason", CV_JSON_ANY, false, &(const cJSON *){0}, 0},
        {"ticket", CV_JSON_ANY, false, &(const cJSON *){0}, 0},
        {"receipt", CV_JSON_BOOL, false, &a->receipt, 0},
        {"signature", CV_JSON_TEXT, false, &a->signature, CV_SSHSIG_MAX},
    };
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_APPROVE, parameters, &a->ask, err);

    return s == CV_OK ? cv_json_read(parameters, a->deny ? "Deny" : "Approve",
                                     fields, a->deny ? 4 : 5, true, err)
                      : s;
}

static enum cv_status run_call(struct cv_broker *b, struct answer *a,
                               const cJSON *parameters, struct cv_reply *reply,
                               struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s = read_answer(b, parameters, a, err);

    s = s == CV_OK && a->receipt ? cv_signer_need(b, reply, err) : s;
    if (s == CV_OK && a->signature != NULL) {
        s = verify_first(b, a, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = answer_entered(b, a, err);
            if (s == CV_OK &&
                (!cv_json_add_item(out, "request",
                                   cv_approval_whole_view(b, &a->about)) ||
                 !cv_json_add_int(out, "audit_seq", a->ask.seq))) {
                s = no_memory(err);
            }
            cv_broker_leave(b);
        }
    }
    if (s != CV_OK) {
        cv_ask_refused(&a->ask, err);
    }
    cv_approval_about_free(&a->about);
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

/* One's own is withdrawn. Whoever is told the id of another's may ask for its
 * end: that alone ends nothing. */
enum cv_loop_ends cv_broker_deny_reach(struct cv_broker *b,
                                       const cJSON *parameters)
{
    struct answer a = {.deny = true};
    enum cv_loop_ends reach = CV_LOOP_ENDS_NOTHING;

    if (b->vault != NULL && read_answer(b, parameters, &a, NULL) == CV_OK &&
        cv_approval_about_load(b, a.id, &a.about, NULL) == CV_OK &&
        check_open(&a, NULL) == CV_OK) {
        if (cv_approval_is_own(&a.ask, &a.about)) {
            reach = CV_LOOP_ENDS_OWN;
        } else if (b->policy == NULL || may_now(&a)) {
            reach = CV_LOOP_ENDS_ALL;
        }
    }
    cv_approval_about_free(&a.about);
    return reach;
}
